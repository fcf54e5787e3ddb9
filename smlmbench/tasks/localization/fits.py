"""Whether a movie looks like what a network was trained on, and whether the network finds what a fitter sees in it.

Both sides are measured by `looks`. A movie is one draw of background and width where a training may be many, so its
median is held against the range of the training; its spots differ among themselves, so the median of their brightness
is held against the middle 80 % of the training's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.camera import Noise
from smlmbench.errors import FormatError
from smlmbench.movies import Frames, stretches
from smlmbench.predictions import Floats, Localizations
from smlmbench.references.peaks_gaussian import START_SIGMA_PX, fitted, maxima, plan_for
from smlmbench.tasks.localization.looks import LEAST_PX, SIDE_PX, Scale, looks, patches_of

VERSION = 1
LEVELS = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
LOWEST, LOW, TENTH, _, _, QUARTER, NINTH, HIGH, HIGHEST = range(len(LEVELS))
FEW = 20  # spots whose median says something
SAMPLES, PIXELS = 512, 2**20  # of a training; of a movie
SURE, ENOUGH, SHARE = 8.0, 20, 0.5  # height of spots that are to be found; how many there must be; how many of them


@dataclass(frozen=True, slots=True)
class Quantity:
    """How a quantity of a movie is held against a training: its words, and which levels of the training bound it.

    `margin` widens the range by a factor, and by `slack` at least; `{}` of the words is the number.
    """

    said: str
    low: int | None
    high: int
    margin: float
    slack: float = 0.0
    spots: bool = False  # whether it is of spots, which may be few
    unless: tuple[str, ...] = ()  # not told beside these, which explain it
    scale: float = 1.0  # of the number for people


SPECTRUM_UNLESS = ("background", "brightness", "width", "elongation", "noise", "uneven", "density")
QUANTITIES = {
    "background": Quantity("background {} photons a pixel", LOWEST, HIGHEST, 0.3, 1.0),
    "brightness": Quantity("spots of {} photons (median)", TENTH, NINTH, 0.0, spots=True),
    "width": Quantity("spots {} nm wide (standard deviation)", LOW, HIGH, 0.05, spots=True),
    "elongation": Quantity("spots {} % longer than wide", None, QUARTER, 0.1, 0.08, spots=True, scale=100.0),
    "lopsided": Quantity("spots lopsided by {} % (coma)", None, HIGHEST, 0.3, 0.008, scale=100.0),
    "peaked": Quantity("spots {} % more peaked than a Gaussian", LOWEST, HIGHEST, 0.0, 0.004, scale=100.0),
    "noise": Quantity("pixel noise {} times (variance) what light and camera make", LOWEST, HIGHEST, 0.15),
    "uneven": Quantity("background uneven by {} times the pixel noise", None, HIGH, 0.6),
    "density": Quantity("{} spots per um2", None, HIGH, 0.25),
    "coarse": Quantity("structure above 11 px {} times the pixel noise", None, HIGHEST, 0.3, unless=SPECTRUM_UNLESS),
    "middle": Quantity("structure of 3 to 11 px {} times the pixel noise", None, HIGHEST, 0.3, unless=SPECTRUM_UNLESS),
    "fine": Quantity("structure below 3 px {} times the pixel noise", LOWEST, HIGHEST, 0.3, unless=SPECTRUM_UNLESS),
}


@dataclass(frozen=True, slots=True)
class Compared:
    """A quantity of a movie beside a training: the movie's number, the range that the training bounds, the verdict."""

    value: float
    low: float | None
    high: float
    outside: bool
    said: str


def seen(inputs: Iterable[NDArray[np.float32]], known: Mapping[str, float]) -> dict[str, Any]:
    """What a training saw, in plain values, from samples (n, H, W); empty where they are too small.

    `known` as `Condition.told`; without a width of the PSF fits start from 1.3 px, without a camera noise is held
    against the square root of the level.
    """
    pixel_nm = known.get("pixel_size_nm", np.nan)
    sigma_nm, noise = known.get("psf_sigma_nm"), Noise.of(known) or Noise()
    start_px = START_SIGMA_PX if sigma_nm is None else sigma_nm / pixel_nm
    samples = np.concatenate(list(inputs))
    side = min(SIDE_PX, *samples.shape[1:])
    if side < LEAST_PX or not pixel_nm > 0:
        return {}
    scale = Scale(float(start_px), float(pixel_nm), noise, side)
    found = looks(patches_of(samples, side), scale)
    quantiles = {name: _quantiles(values) for name, values in found.items() if len(values) >= FEW}
    return {"version": VERSION, "scale": asdict(scale), "levels": list(LEVELS), "quantiles": quantiles}


def comparable(trained: Mapping[str, Any], frames: Frames) -> bool:
    """Whether frames can be held against what was stored."""
    return trained.get("version") == VERSION and min(frames.height, frames.width) >= LEAST_PX


def _quantiles(values: Floats) -> list[float]:
    return [float(value) for value in np.quantile(values, LEVELS)]


class Fits:
    """One movie beside a training, see the file's first line; `seen` is what the function of that name gave."""

    def __init__(self, trained: Mapping[str, Any], frames: Frames) -> None:
        scale = Scale(**{**trained["scale"], "noise": Noise(**trained["scale"]["noise"])})
        self._quantiles: Mapping[str, Sequence[float]] = trained["quantiles"]
        self._spots: dict[int, int] = {}  # in each frame that was looked at
        self._heard: dict[int, int] = {}
        patches = []
        for first, block in some_frames(frames):
            patches.append(patches_of(block, scale.side_px))
            self._spots |= dict(enumerate(_counted(block, scale.start_px).tolist(), first))
        measured = looks(np.concatenate(patches), scale) if patches else {}
        self.compared = {
            name: self._compare(name, measured[name]) for name in QUANTITIES if self._comparable(name, measured)
        }

    def _comparable(self, name: str, measured: Mapping[str, Floats]) -> bool:
        least = FEW if QUANTITIES[name].spots else 1
        return name in self._quantiles and len(measured.get(name, ())) >= least

    def _compare(self, name: str, values: Floats) -> Compared:
        how, levels = QUANTITIES[name], self._quantiles[name]
        value = float(np.mean(values) if name == "density" else np.median(values))
        low, high = None if how.low is None else levels[how.low], levels[how.high]
        outside = value > max(high * (1 + how.margin), high + how.slack)
        outside |= low is not None and value < min(low / (1 + how.margin), low - how.slack)
        most = _shown(how.scale * high)
        trained = f"{most} at most" if low is None else f"{_shown(how.scale * low)} to {most}"
        said = f"{how.said.format(_shown(how.scale * value))}; trained on {trained}"
        return Compared(value, low, high, outside, said)

    @property
    def lines(self) -> list[str]:
        """A line for each quantity that lies outside and is not explained by another."""
        outside = [name for name, found in self.compared.items() if found.outside]
        return [self.compared[name].said for name in outside if not set(QUANTITIES[name].unless) & set(outside)]

    def found(self, start: int, stop: int, table: Localizations) -> None:
        """Hear what a network found in frames start .. stop - 1, whose numbers the rows have."""
        for number in range(start, stop):
            if number in self._spots:
                self._heard[number] = int(np.count_nonzero(table.frame == number))

    @property
    def missed(self) -> str:
        """How few localizations there are beside the clear spots of a fitter in the same frames; or empty."""
        spots, found = sum(self._spots[number] for number in self._heard), sum(self._heard.values())
        if spots < ENOUGH or found >= SHARE * spots:
            return ""
        return f"{found} localizations in {len(self._heard)} frames where a fitter sees {spots} spots"

    @property
    def facts(self) -> dict[str, Any]:
        """All of it as plain values."""
        lines = [*self.lines, *([self.missed] if self.missed else [])]
        counted = {
            "frames": len(self._heard),
            "localizations": sum(self._heard.values()),
            "spots": sum(self._spots[number] for number in self._heard),
        }
        compared = {name: asdict(found) for name, found in self.compared.items()}
        return {"lines": lines, "compared": compared, "counted": counted}


def some_frames(frames: Frames) -> Iterable[tuple[int, NDArray[np.float32]]]:
    """Short stretches of a movie with the number of their first frame, until they have a million pixels.

    Those that cannot be read are left out, which is for the prediction to tell; frames of several channels have none.
    """
    left = PIXELS
    for start, stop in stretches(frames):
        try:
            block = frames.read(start, stop)
        except FormatError:
            continue
        if left <= 0 or block.ndim != 3:
            return
        yield start, block
        left -= block.size


def _counted(block: NDArray[np.float32], start_px: float) -> NDArray[np.int64]:
    """Clear spots of each frame (n, H, W)."""
    plan = plan_for(block.shape[1], block.shape[2], start_px, SURE)
    spots = fitted(block, maxima(block, plan), plan)
    return np.bincount(spots.maxima.frame[spots.plausible], minlength=len(block))


def _shown(value: float) -> str:
    return f"{float(f'{value:.3g}'):g}"
