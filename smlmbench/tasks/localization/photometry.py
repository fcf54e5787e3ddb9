"""Photons, background and uncertainty of found positions, measured on the frames where they were found.

The positions are kept. The width of the PSF is one for the whole movie, since a width of its own for every spot would
scatter its photons by up to 40 % more: the user's where it is stated, else that of the movie's own spots that stand
alone and are bright (`widths`) where that is known to 2 %, else that of the training data. A width that is 10 % wrong
makes photons that are 3 to 10 % wrong, most where the background is high, so a movie that contradicts is told with both
numbers.

The uncertainty is the Cramér-Rao bound at the measured photons and background, beside the neighbours that were found:
the precision that the light allows, not a claim about the network that found the position.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.camera import Noise
from smlmbench.errors import ConfigError
from smlmbench.movies import Frames, stretches
from smlmbench.predictions import Localizations
from smlmbench.references.peaks_gaussian import START_SIGMA_PX
from smlmbench.references.photometry import Places, measure
from smlmbench.tasks.localization.widths import FEW, Widths

COLUMNS = ("photons", "background_photons", "sigma_x_nm", "sigma_y_nm")
SIGMA_NM = (20.0, 1000.0)
APART = 0.1
LIGHT_OFF = 0.2  # of a PSF's light, beyond which a fit of one Gaussian says nothing of its photons
UNLIKE = 0.2  # spread of the widths of bright spots; noise alone makes 0.03 to 0.12
BLOCK_FRAMES, BLOCK_PIXELS = 64, 2**22


class Photometry:
    """See the file's first line; keys of `known` and `stated` as in `Condition.told` (`Task.measuring`)."""

    names = "photons, background and uncertainty"

    def __init__(self, known: Mapping[str, float], stated: Mapping[str, float]) -> None:
        self._pixel_nm, self._noise = known.get("pixel_size_nm", np.nan), Noise.of(known)
        self._light = known.get("gaussian_light_low", 1.0), known.get("gaussian_light_high", 1.0)
        self._trained_nm, self._stated_nm = known.get("psf_sigma_nm"), stated.get("psf_sigma_nm")
        if self._stated_nm is not None and not SIGMA_NM[0] <= self._stated_nm <= SIGMA_NM[1]:
            said = f"a PSF of {self._stated_nm:g} nm is not accepted; give its standard deviation"
            raise ConfigError(f"{said}, {SIGMA_NM[0]:g} ... {SIGMA_NM[1]:g} nm")
        expected_nm = self._stated_nm or self._trained_nm
        start_px = START_SIGMA_PX if expected_nm is None else expected_nm / self._pixel_nm
        self._widths = Widths(start_px, self._noise or Noise())

    @property
    def absent(self) -> str:
        """Why nothing can be measured, or empty."""
        if self._noise is None:
            return "no camera is given, so counts are no photons"
        if not self._pixel_nm > 0:
            return "the camera pixel is unknown"
        if self._stated_nm is None and not 1 - LIGHT_OFF <= self._light[0] <= self._light[1] <= 1 + LIGHT_OFF:
            low, high = (f"{100 * share:.0f}" for share in self._light)
            return (
                f"a Gaussian of {self._trained_nm:.0f} nm takes {low} to {high} % of the light of the PSF that the"
                " network was trained on, by depth; where all is in focus state the width there with --psf-sigma-nm"
            )
        if self.sigma_nm is None:
            seen = self._widths.width.spots
            return (
                f"the width of the PSF is unknown: nothing states it, and {seen} bright spots that stand alone were"
                f" seen (at least {FEW} of one width are needed); state it with --psf-sigma-nm"
            )
        return ""

    @property
    def sigma_nm(self) -> float | None:
        """Width that is used; None where none is known."""
        return self._stated_nm or self._seen_nm or self._trained_nm

    @property
    def _seen_nm(self) -> float | None:
        found = self._widths.width
        return found.sigma_px * self._pixel_nm if found.sure else None

    def look(self, frames: NDArray[np.float32], table: Localizations) -> bool:
        """Learn the width from the spots of a stretch."""
        if self._noise is None or not self._pixel_nm > 0 or frames.ndim != 3:
            return True
        return self._widths.add(frames, self._places(table))

    def measure(self, frames: NDArray[np.float32], table: Localizations) -> Localizations:
        """The table with the columns that it lacks; as it is where its photons are known."""
        sigma_nm = self.sigma_nm
        if self.absent or self._noise is None or sigma_nm is None or frames.ndim != 3:
            return table
        if not len(table) or np.isfinite(table.photons).any():
            return table
        found = measure(frames, self._places(table), sigma_nm / self._pixel_nm, self._noise)
        nm = self._pixel_nm
        columns = (found.photons, found.background, found.x_bound_px * nm, found.y_bound_px * nm)
        made: dict[str, Any] = dict(zip(COLUMNS, columns, strict=True))
        return replace(table, **{name: made[name] for name in made if np.isnan(getattr(table, name)).all()})

    @property
    def told(self) -> str:
        """The width, and where it is from."""
        seen, trained = self._widths.width, self._trained_nm
        by = f"{seen.spots} spots of the movie"
        if self._stated_nm is not None:
            return f"PSF {self._stated_nm:g} nm as stated"
        if self._seen_nm is not None:
            beside = "" if trained is None else f", {trained:.0f} nm in training"
            return f"PSF {self._seen_nm:.0f} nm from {by}{beside}"
        return f"PSF {trained:.0f} nm as in training, which {by} are too few to check"

    @property
    def doubts(self) -> tuple[str, ...]:
        """Where the movie contradicts what was said of it."""
        seen, lines = self._widths.width, []
        if seen.spots < FEW:
            return ()
        nm, stated = seen.sigma_px * self._pixel_nm, self._stated_nm is not None
        expected = self._stated_nm or self._trained_nm
        off = 0.0 if expected is None else nm / expected - 1
        if abs(off) > max(APART, 3 * seen.error_px / seen.sigma_px):
            used = "stated one" if stated else "movie's" if seen.sure else "one of the training"
            lines.append(
                f"{seen.spots} spots of the movie have a PSF of {nm:.0f} nm, the one"
                f" {'stated' if stated else 'of the training'} is {expected:.0f} nm ({100 * off:+.0f} %): {self.names}"
                f" are made with the {used}"
            )
        spread = seen.spread_px / seen.sigma_px
        if spread > UNLIKE:
            lines.append(
                f"the widths of {seen.spots} bright spots spread by {100 * spread:.0f} %, as out of focus: one width of"
                f" {self.sigma_nm:.0f} nm makes the photons of the wider ones too low"
            )
        return tuple(lines)

    def _places(self, table: Localizations) -> Places:
        return Places(table.frame, table.x_nm / self._pixel_nm, table.y_nm / self._pixel_nm)


def measured(photometry: Photometry, frames: Frames, table: Localizations) -> Localizations:
    """A whole table, block by block of its movie."""
    order = np.argsort(table.frame, kind="stable")
    ordered = table.frame[order]

    def block(start: int, stop: int) -> tuple[NDArray[np.float32], Localizations, NDArray[np.int64]]:
        rows = order[slice(*np.searchsorted(ordered, (start, stop)))]
        return frames.read(start, stop), table.select(rows).shifted(-start), rows

    for start, stop in stretches(frames):
        if photometry.look(*block(start, stop)[:2]):
            break
    if photometry.absent:
        return table
    columns = {name: getattr(table, name).copy() for name in COLUMNS}
    size = max(1, min(BLOCK_FRAMES, BLOCK_PIXELS // (frames.height * frames.width)))
    for start in range(0, frames.n_frames, size):
        pixels, part, rows = block(start, min(start + size, frames.n_frames))
        part = photometry.measure(pixels, part)
        for name, values in columns.items():
            values[rows] = getattr(part, name)
    return replace(table, **columns)
