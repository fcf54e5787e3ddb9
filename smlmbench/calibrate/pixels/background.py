"""Light without spots, from the dark side of its distribution in every place and frame.

Spots only add light. In a place of about 10 px the background B is solved for from what lies below it: where values
are normal with a standard deviation s, those < B + a s have the mean B - s l, l = phi(a) / Phi(a), and the variance
s^2 (1 - a l - l^2). Values are means over 3 x 3 px, whose noise is nearly normal where a pixel holds a photon or so.
Spots that are dim, and the tails of bright ones, hide below the cut; there are the more of them, the more stand above.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from smlmbench.calibrate.contracts import BackgroundFound, Number
from smlmbench.calibrate.pixels.transfer import GROUPS, jackknifed, rough_variance
from smlmbench.movies import Frames
from smlmbench.predictions import Floats

BLOCK, PLACE = 3, 4  # px, and blocks
PIXELS, MOST_PIXELS, BATCH = 2**21, 2**24, 2**19  # looked at
FEWEST_FRAMES, ENOUGH_FRAMES = 4, 32
ORDER = 4
CUT, ROUNDS = 1.0, 16
BELOW = math.exp(-(CUT**2) / 2) / math.sqrt(2 * math.pi) / 0.8413447460685429  # phi(a) / Phi(a)
MOST_SPREAD = 2.0
BRIGHT = 2.5  # standard deviations above the background: not noise
# Of simulated movies of 0.01 to 1 emitters per um2, bias / s = HIDDEN * logarithm(values / values of noise) - SMALL;
# the second is that of 16 values.
HIDDEN, SMALL = 0.75, 0.05
UNSURE, SYSTEMATIC = 0.5, 0.02  # of the correction for spots, and of the level
MOST_HIDDEN = 2.5
OVER = (5.0, 95.0)
WIDE = 6.0
LEAST_FRAMES, LEAST_PLACES, STEADY_FRAMES = 4, 4, 16


def measure_background(frames_in_photons: Frames, sigma_px: float) -> BackgroundFound:
    """Level, spread over frames and field, and structure of the light that is not the spots'.

    Args:
        frames_in_photons: Frames (n, H, W) in photo-electrons.
        sigma_px: Standard deviation of the PSF in pixels; places are 12 px, or 6 of it where that is more.

    Returns:
        `structure` is what stays at its place in all frames; what moves from frame to frame, as focus drifts, is in
        neither it nor `over_field`. Numbers without a value say why.
    """
    height, width = frames_in_photons.height, frames_in_photons.width
    if min(height, width) < ORDER + BLOCK:
        why = f"frames of {width} x {height} px are too small; give {ORDER + BLOCK} x {ORDER + BLOCK} px or more"
        nothing = (math.nan, math.nan)
        return BackgroundFound(Number.unknown(why), nothing, nothing, Number.unknown(why))
    levels, hidden = _levels(frames_in_photons, max(PLACE, round(WIDE * sigma_px / BLOCK)))
    level = float(np.median(levels))
    groups = np.arange(levels.size).reshape(levels.shape) % GROUPS
    without = np.array([np.median(levels[groups != group]) for group in range(GROUPS)])
    half = math.hypot(jackknifed(without, level), UNSURE * hidden, SYSTEMATIC * level)
    over = [np.percentile(np.median(levels, axis=axis), OVER) for axis in (1, 0)]
    over_frames, over_field = ((float(low), float(high)) for low, high in over)
    return BackgroundFound(Number(level, level - half, level + half), over_frames, over_field, _structure(levels))


def _levels(frames: Frames, side: int) -> tuple[Floats, float]:
    """Background of each frame and place that is looked at (frames, places), and the usual correction for spots."""
    blocks, variance = _blocks(frames)
    noise = _of_places(_tiled(blocks, side), _tiled(variance, side))
    found = _dark_side(_tiled(blocks, side), noise)
    if len(blocks) >= STEADY_FRAMES:
        even = _dark_side(_tiled(blocks - _steady(blocks, found[0], side), side), noise)
        explained = even[1].mean(axis=0) < found[1].mean(axis=0)  # else spots are there too often to be told from light
        levels, bright, spread = (np.where(explained, *both) for both in zip(even, found, strict=True))
    else:
        levels, bright, spread = found
    crowd = np.minimum(-np.log(np.maximum(1 - bright.mean(axis=0), 1e-9)), MOST_HIDDEN)
    correction = spread * HIDDEN * crowd
    return levels + SMALL * spread - correction, float(np.median(correction))


def _blocks(frames: Frames) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Frames spread over a movie as means over blocks (n, rows, columns), and the variance of a pixel there."""
    size = frames.height * frames.width
    count = min(frames.n_frames, max(FEWEST_FRAMES, PIXELS // size, min(ENOUGH_FRAMES, MOST_PIXELS // size)))
    numbers = np.unique(np.linspace(0, frames.n_frames - 1, count).astype(int))
    means, variances, edge = [], [], ORDER // 2
    for batch in np.array_split(numbers, min(len(numbers), -(-len(numbers) * size // BATCH))):
        some = np.concatenate([frames.read(number, number + 1) for number in batch.tolist()])
        rough = np.pad(rough_variance(some, ORDER), ((0, 0), (edge, edge), (edge, edge)), mode="edge")
        means.append(_meaned(some))
        variances.append(_meaned(rough))
    return np.concatenate(means), np.concatenate(variances)


def _of_places(blocks: NDArray[np.float32], variance: NDArray[np.float32]) -> Floats:
    """Noise of a block in each frame (n, 1), by the darker half of every place."""
    dim = blocks <= np.median(blocks, axis=2, keepdims=True)
    usual = np.median(np.mean(variance, axis=2, where=dim), axis=1, keepdims=True)
    return np.asarray(np.sqrt(usual) / BLOCK, dtype=np.float64)


def _dark_side(blocks: NDArray[np.float32], noise: Floats) -> tuple[Floats, Floats, Floats]:
    """Of places with blocks (n, places, blocks): background and share of blocks above noise (n, places); spread (n, 1).

    The spread is that of the blocks' dark side, at least the noise and at most twice as much: light may have structure
    within places that is not the same in all frames.
    """
    lowest, spread = blocks.min(axis=2), noise
    found = np.quantile(blocks, 0.25, axis=2) + 0.67 * noise
    for _ in range(ROUNDS):
        below = blocks <= np.maximum(found + CUT * spread, lowest)[..., None]
        middle, count = np.mean(blocks, axis=2, where=below), below.sum(axis=2)
        squares = np.sum((blocks - middle[..., None]) ** 2, axis=2, where=below).sum(axis=1, keepdims=True)
        variance = squares / np.maximum(1, count - 1).sum(axis=1, keepdims=True) / (1 - CUT * BELOW - BELOW**2)
        spread = np.clip(np.sqrt(variance), noise, MOST_SPREAD * noise)
        found = np.asarray(middle + BELOW * spread, dtype=np.float64)
    return found, (blocks > (found + BRIGHT * spread)[..., None]).mean(axis=2), spread


def _steady(blocks: NDArray[np.float32], levels: Floats, side: int) -> NDArray[np.float32]:
    """What stays in all frames within the places (rows, columns): the dark side of each block over time, less its mean.

    Light that has a slope within a place would else look as if spots stood on its dark end.
    """
    even = blocks - np.median(levels, axis=1).astype(np.float32)[:, None, None]
    steady = ndimage.gaussian_filter(np.quantile(even, 0.25, axis=0), 1.0, mode="nearest")
    means = _tiled(steady[None], side).mean(axis=2)
    high, wide = (min(side, size) for size in steady.shape)
    rows, columns = steady.shape[0] // high, steady.shape[1] // wide
    spread = means.reshape(rows, columns).repeat(high, axis=0).repeat(wide, axis=1)
    steady[: rows * high, : columns * wide] -= spread
    return np.asarray(steady, dtype=np.float32)


def _meaned(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Frames (n, H, W) as means over blocks."""
    n, rows, columns = len(frames), frames.shape[1] // BLOCK, frames.shape[2] // BLOCK
    cut = frames[:, : rows * BLOCK, : columns * BLOCK]
    return np.asarray(cut.reshape(n, rows, BLOCK, columns, BLOCK).mean(axis=(2, 4)))


def _tiled(blocks: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Blocks (n, H, W) by places (n, places, blocks), a whole frame where it is smaller; what is left over is cut."""
    high, wide = (min(side, size) for size in blocks.shape[1:])
    n, rows, columns = len(blocks), blocks.shape[1] // high, blocks.shape[2] // wide
    cut = blocks[:, : rows * high, : columns * wide].reshape(n, rows, high, columns, wide)
    return np.asarray(cut.transpose(0, 1, 3, 2, 4).reshape(n, rows * columns, high * wide))


def _structure(levels: Floats) -> Number:
    """Standard deviation of the places over their level, by what two halves of the frames have in common."""
    if len(levels) < LEAST_FRAMES or levels.shape[1] < LEAST_PLACES:
        return Number.unknown("too few frames or places to tell structure from noise")
    level = float(np.median(levels))
    if level <= 0:
        return Number.unknown("there is no light without spots")
    halves = np.stack([np.mean(levels[start::2], axis=0) for start in (0, 1)])
    rows = np.arange(levels.shape[1])
    shared = np.array([_shared(halves[:, rows % GROUPS != group]) for group in (-1, *range(min(GROUPS, len(rows))))])
    half = jackknifed(shared[1:], float(shared[0]))
    value, low, high = (math.sqrt(max(0.0, float(shared[0]) + by)) / level for by in (0.0, -half, half))
    return Number(value, low, high)


def _shared(halves: Floats) -> float:
    return float(np.cov(halves)[0, 1])
