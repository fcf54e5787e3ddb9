"""Does the light at a found place look like a spot of this movie? A likelihood-ratio test of each that stands alone.

A Gaussian (position, photons, background free, the width that of the movie) is fitted to the pixels around a place, and
its likelihood is compared with that of a model that has a mean for every pixel. The deviance of spots that are as they
should be follows from the camera's noise (`deviance`); their ranks in that law are spread evenly over 0 ... 1, where
pixels expect about 1 photo-electron or more. Of spots of five times their error 6 % instead of 5 are beyond the 95 %
point. Ranks near 1 are shapes that noise does not make: two emitters in one, light out of focus, a PSF that is no
Gaussian.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smlmbench.camera import Noise
from smlmbench.movies import BLOCK_BYTES, Frames
from smlmbench.predictions import Floats, Ints
from smlmbench.references.deviance import rank
from smlmbench.references.fitting import started
from smlmbench.references.photometry import Places, pairs

REACH = 2.5  # in sigma: half a window
LIGHT = 3.0  # in sigma: how far the light of a neighbour reaches
MOST, FEWEST = 20_000, 50  # spots
AT_ONCE = 2048
LEAST_WIDTH, MOST_WIDTH = 0.1, 10.0  # of the width that a fit starts from
SEEN = 5.0  # photons over their error; the brighter half of those above tells the width of the movie
WIDTHS, OFF = (0.5, 2.0), 0.1  # of the width that is started from


@dataclass(frozen=True, slots=True)
class Shapes:
    """What the test says of spots, (n,) each.

    Attributes:
        rank: Share of spots of the movie's shape whose deviance would be lower; spread evenly where all are.
        narrower: Deviance by which a width of its own explains more (a chi-square of one degree).
        light: Fitted photons over their standard error.
        sigma_px: Width of the movie's spots, and `sigma_error_px`.
        given, alone: Places that were given, and those that stand alone inside the frame; of these `rank` has at most
            20,000, evenly over the movie.
    """

    rank: Floats
    narrower: Floats
    light: Floats
    sigma_px: float
    sigma_error_px: float
    given: int
    alone: int


def shapes(frames: Frames, places: Places, sigma_px: float, noise: Noise, *, again: bool = True) -> Shapes | str:
    """Test the spots of frames in photo-electrons (n, H, W), or say why they cannot be tested.

    `sigma_px` is about the width; the one that is used is the median of the bright spots' own. Where it is far off, all
    is done `again` with windows that suit.
    """
    alone = np.flatnonzero(_alone(places, sigma_px, frames))
    chosen = alone[np.unique(np.linspace(0, len(alone) - 1, min(MOST, len(alone))).astype(np.int64))]
    if len(chosen) < FEWEST:
        return f"{len(chosen)} of {len(places)} spots stand alone inside the frames; needs {FEWEST}"
    windows, x_px, y_px = _windows(frames, places.rows(chosen), int(np.ceil(REACH * sigma_px)))
    free = _all(windows, x_px, y_px, sigma_px, noise, free_sigma=True)
    light = _all(windows, x_px, y_px, sigma_px, noise, free_sigma=False).light
    low, high = (factor * sigma_px for factor in WIDTHS)
    telling = (light > SEEN) & (free.sigma_px > low) & (free.sigma_px < high)
    if telling.sum() < FEWEST:
        return f"{telling.sum()} of {len(chosen)} spots that stand alone tell the movie's width; needs {FEWEST}"
    seen = free.sigma_px[telling & (light >= np.median(light[telling]))]
    middle = float(np.median(seen))
    if again and abs(middle / sigma_px - 1) > OFF:  # the windows were made for another width
        return shapes(frames, places, middle, noise, again=False)
    low, high = np.quantile(seen, [0.159, 0.841])
    error = 1.2533 * float(high - low) / 2 / len(seen) ** 0.5
    fixed = _all(windows, x_px, y_px, middle, noise, free_sigma=False)
    gained = np.maximum(fixed.apart - free.apart, 0.0)
    return Shapes(fixed.rank, gained, fixed.light, middle, error, len(places), len(alone))


@dataclass(frozen=True, slots=True)
class _Fitted:
    """Fits of windows, (n,) each."""

    apart: Floats  # deviance
    rank: Floats
    light: Floats
    sigma_px: Floats


def _alone(places: Places, sigma_px: float, frames: Frames) -> NDArray[np.bool_]:
    """Which places have a window inside the frame that no neighbour's light reaches."""
    half = int(np.ceil(REACH * sigma_px))
    alone = np.ones(len(places), dtype=bool)
    alone[pairs(places, half + LIGHT * sigma_px).reshape(-1)] = False
    for at, size in ((places.x_px, frames.width), (places.y_px, frames.height)):
        alone &= (at >= half) & (at < size - half)
    return alone


def _windows(frames: Frames, places: Places, half: int) -> tuple[NDArray[np.float32], Floats, Floats]:
    """Pixels around places (n, s, s), and the places in them."""
    side = np.arange(-half, half + 1)
    column, line = (np.floor(at).astype(np.int64) for at in (places.x_px, places.y_px))
    found = np.empty((len(places), len(side), len(side)), dtype=np.float32)
    for block, rows in _blocks(frames, places.frame):
        frame = places.frame[rows] - block.start
        pixels = frames.read(block.start, block.stop)
        across, down = (column[rows][:, None] + side)[:, None, :], (line[rows][:, None] + side)[:, :, None]
        found[rows] = pixels[frame[:, None, None], down, across]
    return found, places.x_px - column + half, places.y_px - line + half


def _blocks(frames: Frames, frame: Ints) -> Iterator[tuple[range, Ints]]:
    """Stretches of the movie that have places, and the rows of those."""
    order = np.argsort(frame, kind="stable")
    size = max(1, BLOCK_BYTES // (4 * frames.height * frames.width))
    for start in range(0, frames.n_frames, size):
        stop = min(start + size, frames.n_frames)
        rows = order[slice(*np.searchsorted(frame[order], (start, stop)))]
        if len(rows):
            yield range(start, stop), rows


def _all(
    windows: NDArray[np.float32], x_px: Floats, y_px: Floats, sigma_px: float, noise: Noise, *, free_sigma: bool
) -> _Fitted:
    parts = [slice(first, first + AT_ONCE) for first in range(0, len(windows), AT_ONCE)]
    made = [_fitted(windows[one], x_px[one], y_px[one], sigma_px, noise, free_sigma=free_sigma) for one in parts]
    return _Fitted(*(np.concatenate(each) for each in zip(*made, strict=True)))


def _fitted(
    windows: NDArray[np.float32], x_px: Floats, y_px: Floats, sigma_px: float, noise: Noise, *, free_sigma: bool
) -> tuple[Floats, Floats, Floats, Floats]:
    """Deviance, rank, photons over their error and width of the most likely Gaussians."""
    import torch

    from smlmbench.references.likelihood import PHOTONS, SHAPE, Pixels, Spot, climb

    values, zero = np.asarray(windows, dtype=np.float64), torch.zeros(1, dtype=torch.float64)
    pixels = Pixels(
        torch.from_numpy(values).permute(1, 2, 0), zero + noise.excess, zero + noise.added / noise.excess, zero
    )
    reach = (LEAST_WIDTH * sigma_px, MOST_WIDTH * sigma_px)
    spot = Spot(widest=reach) if free_sigma else Spot((sigma_px, sigma_px))
    start = torch.from_numpy(started(values, x_px, y_px, sigma_px).T[: len(spot.names)])
    fits = climb(spot, pixels, start)
    apart, mean = pixels.deviance(fits.mean).sum(dim=(0, 1)).numpy(), fits.mean.permute(2, 0, 1).numpy()
    light = fits.at[PHOTONS] / fits.covariance[PHOTONS, PHOTONS].sqrt()
    width = fits.at[SHAPE] if free_sigma else torch.full_like(light, sigma_px)
    return apart, rank(apart, mean, noise, len(spot.names)), light.numpy(), width.numpy()
