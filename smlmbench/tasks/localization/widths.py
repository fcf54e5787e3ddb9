"""The one width of the PSF in a movie, from its own spots that stand alone and are bright."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from smlmbench.camera import Noise
from smlmbench.predictions import Floats
from smlmbench.references.fitting import fit
from smlmbench.references.photometry import Places, pairs

WINDOW, ALONE = 2.5, 5.5  # in sigma: half a window; the next spot is farther than that along an axis
RANGE = (0.4, 2.5)  # of the width that a fit starts from
BRIGHT = 8.0  # photons over their noise under the spot
ELSEWHERE = 0.15  # the start was so far off that windows and neighbours are chosen anew
FEW, SURE = 20, 0.02
ENOUGH, SURER = 40, 0.01


@dataclass(frozen=True, slots=True)
class Width:
    """The median width of some spots in camera pixels, its standard error, half of what holds two thirds of them."""

    sigma_px: float
    error_px: float
    spread_px: float
    spots: int

    @property
    def sure(self) -> bool:
        """Whether it is known to 2 %, from at least 20 spots."""
        return self.spots >= FEW and self.error_px <= SURE * self.sigma_px


@dataclass
class Widths:
    """Collects widths of spots, block by block, until there are enough."""

    start_px: float
    noise: Noise
    seen: Floats = field(default_factory=lambda: np.empty(0))
    width: Width = field(default=Width(np.nan, np.nan, np.nan, 0))  # what was seen so far; NaN without spots

    def add(self, frames: NDArray[np.float32], places: Places) -> bool:
        """Fit the spots of frames (F, H, W) in photo-electrons that were found at `places`; True: enough are seen."""
        for _ in range(3):
            seen = np.concatenate([self.seen, self._fitted(frames, places)])
            middle = float(np.median(seen)) if len(seen) >= FEW else self.start_px
            if abs(middle / self.start_px - 1) <= ELSEWHERE:
                break
            self.start_px, self.seen = middle, np.empty(0)
        self.seen = seen
        if not len(seen):
            return False
        low, middle, high = np.quantile(seen, [0.159, 0.5, 0.841]).tolist()
        spread = (high - low) / 2
        self.width = Width(middle, 1.2533 * spread / len(seen) ** 0.5, spread, len(seen))
        return len(seen) >= ENOUGH and self.width.error_px <= SURER * middle

    def _fitted(self, frames: NDArray[np.float32], places: Places) -> Floats:
        """Widths of the spots that stand alone and are bright, from least squares with a free width."""
        half = int(np.ceil(WINDOW * self.start_px))
        column, line = (np.floor(at).astype(np.int64) for at in (places.x_px, places.y_px))
        alone = np.ones(len(places), dtype=bool)
        alone[pairs(places, ALONE * self.start_px).reshape(-1)] = False
        _, height, width = frames.shape
        alone &= (column >= half) & (column < width - half) & (line >= half) & (line < height - half)
        frame, column, line = (at[alone] for at in (places.frame, column, line))
        steps = np.arange(-half, half + 1)
        windows = frames[
            frame[:, None, None], (line[:, None] + steps)[:, :, None], (column[:, None] + steps)[:, None, :]
        ]
        x_px, y_px = places.x_px[alone] - column + half, places.y_px[alone] - line + half
        found = fit(windows, x_px, y_px, self.start_px, free_sigma=True)
        under = 4 * np.pi * found.sigma_px**2  # pixels of noise under a spot
        variance = self.noise.excess * (found.photons + under * np.maximum(found.background, 0))
        with np.errstate(invalid="ignore"):
            bright = found.photons > BRIGHT * np.sqrt(np.maximum(variance + under * self.noise.added, 0))
        low, high = (factor * self.start_px for factor in RANGE)
        near = np.hypot(found.x_px - x_px, found.y_px - y_px) < self.start_px
        good = found.settled & bright & near & (found.sigma_px > low) & (found.sigma_px < high)
        return found.sigma_px[good]
