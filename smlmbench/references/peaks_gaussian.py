"""A classical fitter: local maxima above the noise, each fitted by a Gaussian in a small window.

Frames are smoothed by the PSF and a wide Gaussian is taken off; the noise of the result follows from that of the
pixels, which is measured by second differences (Immerkaer 1996, doi:10.1006/cviu.1996.0060), and rises to the borders,
where the filters have less to average. Claimed precision: the least-squares formula of Mortensen et al. 2010,
doi:10.1038/nmeth.1447.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from smlmbench.data.contracts import Condition, Settings
from smlmbench.errors import SizeError
from smlmbench.movies import blocks
from smlmbench.predictions import Floats, Ints, Localizations, Prediction, concatenate
from smlmbench.references.fitting import Fits, fit

CARD: dict[str, Any] = {
    "version": 2,
    "summary": "Local maxima above the noise, fitted by a Gaussian (least squares)",
    "settings": {
        "threshold": {
            "default": 5.0,
            "min": 1.0,
            "max": 1000.0,
            "help": "Height of a maximum of the filtered frame, in standard deviations of its noise",
        },
        "sigma_nm": {
            "default": None,
            "min": 20.0,
            "max": 1000.0,
            "help": "Width that is started from; by default the condition's, else 1.3 camera pixels",
        },
        "free_sigma": {"default": True, "help": "Fit the width too"},
        "window_px": {
            "default": None,
            "min": 5.0,
            "max": 31.0,
            "help": "Side of the fitted window; by default 4.6 sigma, 7 px for a width of 1.3 px",
        },
    },
    "paper": "Mortensen et al. 2010, Optimized localization analysis for single-molecule tracking. Nature Methods",
    "doi": "10.1038/nmeth.1447",
    "facts": {"tasks": {"localization": {"gives": "table", "knows": ["psf"]}}, "timed": True, "block_frames": 64},
}

START_SIGMA_PX = 1.3
WIDE = 3.0  # the removed background is this much wider than the PSF
NORMAL_MAD = 1.4826
SECOND = 6.0  # standard deviation of second differences along both axes, for white noise of 1
ENOUGH = 500  # second differences that tell the noise of a frame alone; 25 x 25 px
SIGMA_RANGE = (0.5, 2.0)
SMALLEST_PX = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """What is fitted: start width, window side and threshold."""

    sigma_px: float
    side: int
    threshold: float
    free_sigma: bool


@dataclass(frozen=True, slots=True)
class Maxima:
    """Local maxima above the threshold, (n,): frame, row, column, and height over the noise."""

    frame: Ints
    row: Ints
    column: Ints
    height: Floats

    def select(self, rows: NDArray[np.generic]) -> "Maxima":
        """Some of them."""
        return Maxima(self.frame[rows], self.row[rows], self.column[rows], self.height[rows])


@dataclass(frozen=True, slots=True)
class Spots:
    """Maxima with what was fitted to the window of each (n, s, s), whose first pixel is at `top`, `left`."""

    maxima: Maxima
    windows: NDArray[np.float32]
    top: Ints
    left: Ints
    fits: Fits
    plausible: NDArray[np.bool_]  # settled near the maximum inside the frame, with light and a width near the start

    @property
    def x_px(self) -> Floats:
        """From the left edge of the frame."""
        return self.fits.x_px + self.left

    @property
    def y_px(self) -> Floats:
        """From the upper edge of the frame."""
        return self.fits.y_px + self.top


def predict(condition: Condition, settings: Settings, output_settings: Settings, seed: int) -> Prediction:
    """Detect and fit; the probability column is the height of the maximum in standard deviations of the noise.

    Raises:
        SizeError: Frames below 5 x 5 px, where the noise is unknown and the window has fewer pixels than parameters.
    """
    del output_settings, seed
    plan = _plan(condition, settings)
    n_frames, field_nm = condition.frames.n_frames, condition.field_nm
    tables = []
    for first, block in blocks(condition.frames, CARD["facts"]["block_frames"]):
        columns = _localize(block, plan, condition.pixel_size_nm)
        table = Localizations.of(columns, n_frames=len(block), field_nm=field_nm)
        tables.append(table.shifted(first, n_frames=n_frames))
    return Prediction(concatenate(tables, n_frames=n_frames, field_nm=field_nm))


def _plan(condition: Condition, settings: Settings) -> Plan:
    pixel, frames = condition.pixel_size_nm, condition.frames
    sigma_nm = settings["sigma_nm"] or condition.told.get("psf_sigma_nm") or START_SIGMA_PX * pixel
    plan = plan_for(frames.height, frames.width, sigma_nm / pixel, settings["threshold"], settings["window_px"])
    return replace(plan, free_sigma=settings["free_sigma"])


def plan_for(height: int, width: int, sigma_px: float, threshold: float = 5.0, window_px: float | None = None) -> Plan:
    """How frames of a size are fitted, with a free width (SizeError: below 5 x 5 px)."""
    if min(height, width) < SMALLEST_PX:
        raise SizeError(
            f"frames of {width} x {height} px are smaller than the window that is fitted, {SMALLEST_PX} x {SMALLEST_PX}"
            " px; give a larger part of the movie, or leave this fitter out"
        )
    side = int(window_px or max(SMALLEST_PX, 2 * math.ceil(2.3 * sigma_px) + 1))
    side = min(side - (side + 1) % 2, height, width)
    return Plan(sigma_px, side, threshold, free_sigma=True)


def _localize(frames: NDArray[np.float32], plan: Plan, pixel_size_nm: float) -> dict[str, Floats | Ints]:
    """Columns of one block of frames (F, H, W)."""
    found = fitted(frames, maxima(frames, plan), plan)
    precision = _precision_px(found.fits) * pixel_size_nm
    columns: dict[str, Floats | Ints] = {
        "frame": found.maxima.frame,
        "x_nm": found.x_px * pixel_size_nm,
        "y_nm": found.y_px * pixel_size_nm,
        "photons": found.fits.photons,
        "background_photons": found.fits.background,
        "probability": found.maxima.height,
        "sigma_x_nm": precision,
        "sigma_y_nm": precision,
    }
    return {name: values[found.plausible] for name, values in columns.items()}


def fitted(frames: NDArray[np.float32], seen: Maxima, plan: Plan) -> Spots:
    """Fit maxima of frames (F, H, W)."""
    half, (_, tall, wide) = plan.side // 2, frames.shape
    top = np.clip(seen.row - half, 0, tall - plan.side)
    left = np.clip(seen.column - half, 0, wide - plan.side)
    span = np.arange(plan.side)
    windows = frames[seen.frame[:, None, None], (top[:, None] + span)[:, :, None], (left[:, None] + span)[:, None, :]]
    x_start = np.asarray(seen.column - left + 0.5, dtype=np.float64)
    y_start = np.asarray(seen.row - top + 0.5, dtype=np.float64)
    fits = fit(windows, x_start, y_start, plan.sigma_px, free_sigma=plan.free_sigma)
    x_px, y_px = fits.x_px + left, fits.y_px + top
    kept = _plausible(fits, x_px - seen.column - 0.5, y_px - seen.row - 0.5, plan)
    kept &= (x_px >= 0) & (x_px < wide) & (y_px >= 0) & (y_px < tall)
    return Spots(seen, windows, top, left, fits, kept)


def maxima(frames: NDArray[np.float32], plan: Plan) -> Maxima:
    """The local maxima of filtered frames (F, H, W) above the threshold."""
    values = frames.astype(np.float64)
    band = _band(values, plan.sigma_px)
    noise = pixel_noise(values)[:, None, None] * _gain(frames.shape[1], frames.shape[2], plan.sigma_px)
    # a frame that is constant but for rounding has no maxima
    noise = np.maximum(noise, 1e-6 * np.abs(values).max(axis=(1, 2), keepdims=True) + 1e-12)
    near = 2 * max(1, round(plan.sigma_px)) + 1
    peaks = (band == ndimage.maximum_filter(band, (1, near, near))) & (band > plan.threshold * noise)
    frame, row, column = np.nonzero(peaks)
    return Maxima(frame, row, column, (band / noise)[frame, row, column])


def _band(values: Floats, sigma_px: float) -> Floats:
    """Frames (F, H, W) smoothed by the PSF, less a wide background."""
    wide = WIDE * sigma_px
    narrow = ndimage.gaussian_filter(values, (0, sigma_px, sigma_px), mode="nearest")
    band: Floats = narrow - ndimage.gaussian_filter(values, (0, wide, wide), mode="nearest")
    return band


def pixel_noise(values: Floats) -> Floats:
    """Standard deviation of a pixel's noise in each frame (F,), from the part of it that no spot has.

    A small frame says little of it: there the noise is at least that of all frames together.
    """
    rough = np.abs(np.diff(np.diff(values, 2, axis=1), 2, axis=2))
    noise: Floats = np.median(rough, axis=(1, 2))
    if rough[0].size < ENOUGH:
        noise = np.maximum(noise, np.median(rough))
    return NORMAL_MAD * noise / SECOND


def _gain(height: int, width: int, sigma_px: float) -> Floats:
    """Standard deviation of each pixel of the filtered frame (H, W) for white noise of 1.

    Both filters are products of one along y and one along x, and so are the sums over pixels of their squares and of
    their product.
    """
    down, across = (_overlaps(side, sigma_px) for side in (height, width))
    narrow, wide, both = (np.outer(*parts) for parts in zip(down, across, strict=True))
    gain: Floats = np.sqrt(np.maximum(narrow + wide - 2 * both, 0))
    return gain


def _overlaps(side: int, sigma_px: float) -> Floats:
    """Along one axis (3, side): sums of squares of the weights of narrow and wide filter, and of their products."""
    reach = math.ceil(4 * WIDE * sigma_px)
    points = np.eye(min(side, 2 * reach + 1))
    narrow, wide = (ndimage.gaussian_filter1d(points, by * sigma_px, axis=0, mode="nearest") for by in (1, WIDE))
    sums = np.stack([(one * other).sum(axis=1) for one, other in ((narrow, narrow), (wide, wide), (narrow, wide))])
    inside = np.repeat(sums[:, [len(points) // 2]], side - len(points), axis=1)  # far from both ends
    return np.concatenate([sums[:, : len(points) // 2], inside, sums[:, len(points) // 2 :]], axis=1)


def _plausible(fits: Fits, away_x_px: Floats, away_y_px: Floats, plan: Plan) -> NDArray[np.bool_]:
    """Fits that settled near their maximum with light and a width not far from the start."""
    low, high = (factor * plan.sigma_px for factor in SIGMA_RANGE)
    near = np.hypot(away_x_px, away_y_px) <= max(1.5, 1.5 * plan.sigma_px)
    return fits.settled & near & (fits.photons > 0) & (fits.sigma_px >= low) & (fits.sigma_px <= high)


def _precision_px(fits: Fits) -> Floats:
    """Standard deviation per axis that the least-squares formula promises (Poisson noise)."""
    photons = np.maximum(fits.photons, 1e-6)
    width = fits.sigma_px**2 + 1 / 12
    background = np.maximum(fits.background, 0)
    return np.sqrt(width / photons * (16 / 9 + 8 * np.pi * width * background / photons))
