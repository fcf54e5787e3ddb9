"""How frames look to who reads positions out of them: numbers of patches, and of the spots that a fitter sees there.

Training and movie are cut into patches of one size and measured alike, so that whatever the measures are biased by
(crowding, borders, the limit of detection) is the same on both sides.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from smlmbench.camera import Noise
from smlmbench.predictions import Floats, Ints
from smlmbench.references.fitting import axis
from smlmbench.references.peaks_gaussian import Spots, fitted, maxima, pixel_noise, plan_for

Real = TypeVar("Real", np.float32, np.float64)
SIDE_PX, LEAST_PX = 32, 8
PATCHES, SPOTS = 512, 1500  # that are measured at most
PLACE_PX = 8  # side of the places whose levels make the unevenness
DARKEST = 1.0  # photons^2 of a pixel's variance
CLEAR = 12.0  # height over the noise of spots whose shape is known to some per cent
ROUND = 0.25  # elongation of spots that are not two
DOZEN, FEWEST = 12, 3  # spots that share an aberration, so that noise is averaged; dozens that say something
APART = 4.0  # in sigma: from a spot that stands alone to the next
BANDS = {"coarse": (0.02, 0.09), "middle": (0.09, 0.3), "fine": (0.3, 0.71)}  # cycles per pixel


@dataclass(frozen=True, slots=True)
class Scale:
    """What frames are measured by: the width that fits start from, in pixels; the pixel; what noise is expected."""

    start_px: float
    pixel_nm: float
    noise: Noise
    side_px: int  # of a patch


def patches_of(frames: NDArray[Real], side_px: int) -> NDArray[Real]:
    """Frames (n, H, W) cut into whole patches (m, h, w) of at most that side, from the middle of each."""
    n, height, width = frames.shape
    tall, wide = min(side_px, height), min(side_px, width)
    down, across = height // tall, width // wide
    top, left = (height - down * tall) // 2, (width - across * wide) // 2
    inner = frames[:, top : top + down * tall, left : left + across * wide]
    return inner.reshape(n, down, tall, across, wide).swapaxes(2, 3).reshape(-1, tall, wide)


def evenly(count: int, most: int) -> Ints:
    """Numbers of at most so many things, evenly spaced."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)


def looks(patches: NDArray[np.float32], scale: Scale) -> dict[str, Floats]:
    """Measure patches (m, h, w), evenly spaced ones where there are more than 512.

    Returns:
        By quantity: of each patch `background` (median), `noise` (variance over the expected one), `uneven` (spread of
        the level over places, in deviations of a pixel), `coarse`, `middle` and `fine` (root of the power in a band,
        in that unit), `density` per um2; of each spot `brightness`; of each clear spot that stands alone `elongation`,
        and of those of them that are not two `width` in nm; of each dozen of these `lopsided` and `peaked`, their mean
        departure from a Gaussian to one side and towards a peak with wings.
    """
    patches = patches[evenly(len(patches), PATCHES)]
    values = patches.astype(np.float64)
    level, noise = np.median(values, axis=(1, 2)), np.maximum(pixel_noise(values), 1e-6)
    expected = scale.noise.excess * np.maximum(level, 0) + scale.noise.added
    plan = plan_for(patches.shape[1], patches.shape[2], scale.start_px)
    seen = maxima(patches, plan)
    counts = np.bincount(seen.frame, minlength=len(patches)).astype(np.float64)
    alone = _alone(seen.frame, seen.row, seen.column, APART * scale.start_px)
    rows = evenly(len(alone), SPOTS)
    spots = fitted(patches, seen.select(rows), plan)
    good = spots.plausible
    shaped = good & alone[rows] & (spots.maxima.height > CLEAR)
    elongation = _elongation(spots, scale.noise)
    round_ones = shaped & (elongation < ROUND)
    lopsided, peaked = _departures(spots, round_ones)
    found = {
        "background": level,
        "noise": noise**2 / np.maximum(expected, DARKEST),
        "uneven": _spread(values) / noise,
        **{name: np.sqrt(power) / noise for name, power in _bands(values).items()},
        "density": counts / (patches[0].size * (scale.pixel_nm / 1000) ** 2),
        "brightness": spots.fits.photons[good],
        "width": spots.fits.sigma_px[round_ones] * scale.pixel_nm,
        "elongation": elongation[shaped],
        "lopsided": lopsided,
        "peaked": peaked,
    }
    return {name: held[np.isfinite(held)] for name, held in found.items()}


def _spread(values: Floats) -> Floats:
    """Half of what holds two thirds of the levels of the places in patches (m, h, w); a spot leaves a quarter free."""
    places = patches_of(values, PLACE_PX)
    levels = np.quantile(places, 0.25, axis=(1, 2)).reshape(len(values), -1)
    low, high = np.quantile(levels, [0.16, 0.84], axis=1)
    return np.asarray((high - low) / 2)


def _bands(values: Floats) -> Mapping[str, Floats]:
    """Mean power of patches (m, h, w) in bands of the radial spectrum; white noise of variance v has v in each."""
    _, tall, wide = values.shape
    taper = np.outer(np.hanning(tall + 2)[1:-1], np.hanning(wide + 2)[1:-1])
    level = (values * taper).sum(axis=(1, 2), keepdims=True) / taper.sum()
    power = np.abs(np.fft.fft2((values - level) * taper)) ** 2 / (taper**2).sum()
    away = np.hypot(np.fft.fftfreq(tall)[:, None], np.fft.fftfreq(wide)[None, :])
    inside = {name: (away > low) & (away <= high) for name, (low, high) in BANDS.items()}
    return {name: power[:, band].mean(axis=1) for name, band in inside.items() if band.any()}


def _alone(frame: Ints, row: Ints, column: Ints, apart_px: float) -> NDArray[np.bool_]:
    """Which maxima have no other within some pixels of their frame."""
    alone = np.ones(len(frame), dtype=bool)
    if len(frame):
        pairs = cKDTree(np.stack((frame * 1e6, row, column), axis=1)).query_pairs(apart_px, output_type="ndarray")
        alone[pairs.reshape(-1)] = False
    return alone


def _elongation(spots: Spots, noise: Noise) -> Floats:
    """Relative difference of the longer and the shorter axis (n,), whatever their direction, beyond what noise makes.

    Of what a round Gaussian leaves in the window, the parts along its two derivatives that stretch it: by opposite
    widths along x and y, and along the diagonals.
    """
    fits, side = spots.fits, spots.windows.shape[1]
    along_x, x_by_place, x_by_sigma = axis(fits.x_px, fits.sigma_px, side)
    along_y, y_by_place, y_by_sigma = axis(fits.y_px, fits.sigma_px, side)

    def image(down: Floats, across: Floats) -> Floats:
        made: Floats = fits.photons[:, None, None] * down[:, :, None] * across[:, None, :]
        return made

    model = image(along_y, along_x) + fits.background[:, None, None]
    variance = noise.excess * np.maximum(model, 0) + noise.added
    modes = (image(along_y, x_by_sigma) - image(y_by_sigma, along_x), image(y_by_place, x_by_place))
    squared, ones = np.zeros(len(fits.sigma_px)), np.ones(len(fits.sigma_px))
    for mode, length in zip(modes, (ones, 2 * fits.sigma_px), strict=True):
        power = np.maximum((mode**2).sum(axis=(1, 2)), 1e-12)
        part = ((spots.windows - model) * mode).sum(axis=(1, 2)) / power
        squared += (part**2 - (mode**2 * variance).sum(axis=(1, 2)) / power**2) / length**2
    found: Floats = 2 * np.sqrt(np.maximum(squared, 0)) / fits.sigma_px
    return found


def _departures(spots: Spots, rows: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Of each dozen of spots (their order is that of the frames) the mean part of two shapes in what the fits leave.

    These are the lowest that position, light and width of a Gaussian g cannot take up: with u, v from its middle in
    sigmas and r^2 = u^2 + v^2, (u, v) (r^2 - 2) g, of which the length is returned, and (r^4 - 4 r^2 + 2) g.
    """
    fits, side = spots.fits, spots.windows.shape[1]
    count = rows.sum() // DOZEN
    numbers = np.flatnonzero(rows)[: count * DOZEN if count >= FEWEST else 0]
    place, width = np.arange(side) + 0.5, fits.sigma_px[numbers, None]
    u = ((place - fits.x_px[numbers, None]) / width)[:, None, :]
    v = ((place - fits.y_px[numbers, None]) / width)[:, :, None]
    squared = u**2 + v**2
    bell = np.exp(-squared / 2)
    light = (fits.photons[numbers] / (2 * np.pi * fits.sigma_px[numbers] ** 2))[:, None, None]
    left = (spots.windows[numbers] - fits.background[numbers, None, None]) / light - bell
    shapes = (u * (squared - 2) * bell, v * (squared - 2) * bell, (squared**2 - 4 * squared + 2) * bell)
    parts = np.stack([(left * shape).sum(axis=(1, 2)) / (shape**2).sum(axis=(1, 2)) for shape in shapes])
    mean = parts.reshape(3, -1, DOZEN).mean(axis=2)
    return np.hypot(mean[0], mean[1]), mean[2]
