"""The width of the PSF from how pixels flicker together, at any density, without a spot being found.

Emitters that come and go make pixels vary together over the frames. Where they do so independently of each other, the
covariance of two pixels at a distance r is the density times the mean square of the photons times the PSF's
autocorrelation at r, a Gaussian of sqrt(2) sigma (the second cumulant of Dertinger et al. 2009,
doi:10.1073/pnas.0907866106). Structure does not enter, nor what stays; noise enters at r = 0 alone, which is left out.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import ndtr

from smlmbench.predictions import Floats

RANGE_PX = (0.35, 6.0)  # widths that are looked for
REACH = 3.0  # in sigma: distances that are looked at
FARTHEST_PX = 20
PARTS = 8  # of the frames, which tell the error
FEW_FRAMES = 4  # below, spots are compared with the mean of their frame


@dataclass(frozen=True, slots=True)
class Flicker:
    """Width in camera pixels; density per pixel times mean square photons; share of the covariance that it explains.

    `error` is the standard error of the logarithm of the width, infinite where there are too few frames to tell.
    """

    sigma_px: float
    power: float
    explained: float
    error: float = math.inf


def flicker(tiles: NDArray[np.float32]) -> Flicker:
    """The one Gaussian that explains the covariance of pixels in tiles (T, F, H, W) over their F frames."""
    lags = _covariance(tiles)
    found, reach = Flicker(FARTHEST_PX / REACH / 2, 0.0, 0.0), 0
    for _ in range(3):  # from far to near, so that slow changes over the field do not count as a spot
        reach = int(np.clip(np.ceil(REACH * found.sigma_px), 3, len(lags) // 2))
        found = _fitted(lags, reach)
    parts = np.array_split(np.arange(tiles.shape[1]), PARTS)
    if len(parts[-1]) < FEW_FRAMES:
        return found
    each = [np.log(_fitted(_covariance(tiles[:, part]), reach).sigma_px) for part in parts]
    return replace(found, error=float(np.std(each, ddof=1)) / PARTS**0.5)


def _covariance(tiles: NDArray[np.float32]) -> Floats:
    """Mean covariance of two pixels at each distance (2 R + 1, 2 R + 1), by rows and columns, 0 in the middle."""
    n_frames, height, width = tiles.shape[1:]
    axes = (1,) if n_frames >= FEW_FRAMES else (2, 3)
    rest = tiles - tiles.mean(axis=axes, keepdims=True, dtype=np.float64)
    free = n_frames / (n_frames - 1) if n_frames >= FEW_FRAMES else 1.0
    reach = min(FARTHEST_PX, height - 1, width - 1)
    size = (height + reach, width + reach)
    power = np.zeros((size[0], size[1] // 2 + 1))
    for frame in rest.reshape(-1, height, width):
        power += np.abs(np.fft.rfft2(frame, size)) ** 2
    sums = np.fft.irfft2(power, size)
    steps = np.arange(-reach, reach + 1)
    pairs = np.outer(height - np.abs(steps), width - np.abs(steps)) * tiles.shape[0] * n_frames
    return np.asarray(free * sums[steps][:, steps] / pairs)


def _fitted(lags: Floats, reach: int) -> Flicker:
    """Least squares within a distance, with a constant."""
    middle = len(lags) // 2
    steps = np.arange(-reach, reach + 1)
    values = lags[middle - reach : middle + reach + 1, middle - reach : middle + reach + 1]
    away = np.hypot(*np.meshgrid(steps, steps))
    used = (away > 0) & (away <= reach + 0.5)
    data = values[used]

    def solved(sigma_px: float) -> tuple[float, float]:
        along = _overlap(steps.astype(np.float64), sigma_px)
        design = np.column_stack([np.outer(along, along)[used], np.ones(len(data))])
        best, *_ = np.linalg.lstsq(design, data, rcond=None)
        return float(((data - design @ best) ** 2).sum()), float(best[0])

    sigma_px = float(minimize_scalar(lambda sigma: solved(sigma)[0], bounds=RANGE_PX, method="bounded").x)
    misfit, power = solved(sigma_px)
    spread = float(((data - data.mean()) ** 2).sum())
    return Flicker(sigma_px, power, 1 - misfit / spread if spread > 0 and power > 0 else 0.0)


def _overlap(steps: Floats, sigma_px: float) -> Floats:
    """Along one axis: overlap of what two pixels at a distance see of a Gaussian spot, over all of its places."""
    wide = np.sqrt(2) * sigma_px

    def twice(x: Floats) -> Floats:  # the Gaussian's second integral
        return np.asarray(x * ndtr(x / wide) + wide * np.exp(-((x / wide) ** 2) / 2) / np.sqrt(2 * np.pi))

    return np.asarray(twice(steps + 1.0) - 2 * twice(steps) + twice(steps - 1.0))
