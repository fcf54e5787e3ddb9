"""What a plain detector sees in frames: local maxima, and the fits of those that stand alone.

Movies and simulated ones go through the same detector, so what it gets wrong is the same in both.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smlmbench.camera import Noise
from smlmbench.predictions import Floats, Ints
from smlmbench.references.fitting import Fits, fit
from smlmbench.references.peaks_gaussian import maxima, plan_for
from smlmbench.references.photometry import Places, pairs

THRESHOLD = 5.0  # standard deviations of the filtered frame's noise
WINDOW = 2.5  # in sigma: half a window
BRIGHT = 8.0  # photons over their noise under the spot: those whose width counts
MOST_FITS = 1500


@dataclass(frozen=True, slots=True)
class Detector:
    """How it looks: width of the PSF it expects, how far the next spot is from one that stands alone, in sigma."""

    sigma_px: float
    alone: float
    noise: Noise

    @property
    def half_px(self) -> int:
        """Half a window."""
        return max(2, int(np.ceil(WINDOW * self.sigma_px)))


@dataclass(frozen=True, slots=True)
class Seen:
    """Frames of the maxima (n,) that are not at the borders; of some that stand alone photons (m,) and widths (k,).

    Widths are those of bright ones. `area_px` is that of a frame in which maxima count, `level` the median pixel.
    """

    frame: Ints
    photons: Floats
    widths: Floats
    level: float
    n_frames: int
    area_px: float

    @property
    def per_pixel(self) -> float:
        """Maxima per frame and pixel."""
        return len(self.frame) / self.n_frames / self.area_px


def look(frames: NDArray[np.float32], detector: Detector) -> Seen:
    """Detect on frames (F, H, W) in photo-electrons, and fit up to 1500 spots that stand alone."""
    n_frames, height, width = frames.shape
    found = maxima(frames, plan_for(height, width, detector.sigma_px, THRESHOLD))
    frame, line, column = found.frame, found.row, found.column
    places = Places(frame, *(np.asarray(at + 0.5, dtype=np.float64) for at in (column, line)))
    half = detector.half_px
    alone = np.ones(len(frame), dtype=bool)
    alone[pairs(places, detector.alone * detector.sigma_px).reshape(-1)] = False
    inside = (column >= half) & (column < width - half) & (line >= half) & (line < height - half)
    chosen = np.flatnonzero(alone & inside)
    if len(chosen) > MOST_FITS:
        chosen = chosen[:: -(-len(chosen) // MOST_FITS)]
    photons, widths = _fits(frames, places.rows(chosen), detector)
    return Seen(
        frame[inside],
        photons,
        widths,
        level=float(np.median(frames)),
        n_frames=n_frames,
        area_px=float((height - 2 * half) * (width - 2 * half)),
    )


def _fits(frames: NDArray[np.float32], at: Places, detector: Detector) -> tuple[Floats, Floats]:
    """Photons of spots at the width that is expected, and widths of the bright ones; without fits that went astray."""
    half, noise, sigma_px = detector.half_px, detector.noise, detector.sigma_px
    steps = np.arange(-half, half + 1)
    lines, columns = (np.floor(place).astype(np.int64)[:, None] + steps for place in (at.y_px, at.x_px))
    windows = frames[at.frame[:, None, None], lines[:, :, None], columns[:, None, :]]
    middle = np.full(len(at), half + 0.5)
    found = fit(windows, middle, middle, sigma_px, free_sigma=False)
    good = _near(found, middle, sigma_px)
    under = 4 * np.pi * sigma_px**2  # pixels of noise under a spot
    variance = noise.excess * (np.abs(found.photons) + under * np.maximum(found.background, 0)) + under * noise.added
    bright = good & (found.photons > BRIGHT * np.sqrt(variance))
    wide = fit(windows[bright], middle[bright], middle[bright], sigma_px, free_sigma=True)
    apart = np.abs(np.log2(wide.sigma_px / sigma_px))
    return found.photons[good], wide.sigma_px[_near(wide, middle[bright], sigma_px) & (apart < 1)]


def _near(found: Fits, middle: Floats, sigma_px: float) -> NDArray[np.bool_]:
    away = np.hypot(found.x_px - middle, found.y_px - middle)
    return found.settled & (away < max(1.0, sigma_px)) & (found.photons > 0)
