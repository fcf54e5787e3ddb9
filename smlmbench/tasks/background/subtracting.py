"""The background of whole frames, by a network that knows crops: crops that overlap by half, blended.

Every pixel is seen by up to four crops, whose answers count by how far the pixel is from their border. Each crop is
scaled by its own brightest pixel, as in training. What is left after subtraction may be negative and stays so.
"""

import warnings
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smlmbench.data.contracts import ArrayFrames
from smlmbench.data.cutouts import crowded
from smlmbench.errors import ConfigError, DoubtWarning, UnlikeWarning
from smlmbench.formats import tiff
from smlmbench.movies import Extent, Frames
from smlmbench.predictions import Localizations, Raster
from smlmbench.tasks.contracts import Model, OnUnits
from smlmbench.tasks.contracts.predicting import Predicted

Images = NDArray[np.float32]

CROP_PIXELS = 1 << 22  # of crops held at a time
LEAST_EMPTY, MOST_CLOSE = 0.05, 0.05


def side_of(model: Model) -> int:
    """Side in pixels of the crops that a network learned.

    Raises:
        ConfigError: It does not say.
    """
    if "side_px" not in model.settings:
        raise ConfigError("the network does not say the side of its crops (side_px); train it on background_crops")
    return int(model.settings["side_px"])


def check_side(name: str, frames: Extent, side: int) -> None:
    """Refuse crops of another side than the network learned (ConfigError)."""
    if (frames.height, frames.width) != (side, side):
        said = f"condition '{name}' has crops of {frames.height} x {frames.width} px"
        raise ConfigError(f"{said}, the network learned {side} x {side}; give both the same side_px")


class Made:
    """Images of the size of some frames that are made when they are read; a `movies.Movie` that can be written."""

    path, dtype = Path("made"), np.dtype(np.float32)

    def __init__(self, frames: Extent, make: Callable[[int, int], Images]) -> None:
        self.n_frames, self.height, self.width = frames.n_frames, frames.height, frames.width
        self._make = make

    def read(self, start: int, stop: int) -> Images:
        """Images start .. stop - 1, (n, H, W)."""
        return self._make(start, stop)

    def close(self) -> None:
        """Nothing is open."""


def backgrounds(model: Model, frames: Frames, start: int, stop: int) -> Images:
    """Backgrounds (n, H, W) of frames start .. stop - 1; a frame smaller than a crop is continued by its border."""
    each = _block(frames, side_of(model))
    parts = [_beneath(model, frames.read(first, min(first + each, stop))) for first in range(start, stop, each)]
    return np.concatenate(parts)


def _block(frames: Extent, side: int) -> int:
    """Frames at a time, by the crops that are held for them."""
    crops = len(_starts(max(frames.height, side), side)) * len(_starts(max(frames.width, side), side))
    return max(1, CROP_PIXELS // (crops * side**2))


def _beneath(model: Model, block: Images) -> Images:
    side, (height, width) = side_of(model), block.shape[1:]
    wide = np.pad(block, ((0, 0), (0, max(0, side - height)), (0, max(0, side - width))), mode="edge")
    corners = [(y, x) for y in _starts(wide.shape[1], side) for x in _starts(wide.shape[2], side)]
    crops = np.stack([wide[:, y : y + side, x : x + side] for y, x in corners], axis=1)
    raw = model.raw(ArrayFrames(np.ascontiguousarray(crops.reshape(-1, side, side))))
    found = np.concatenate([model.decoded(part).values for part in raw]).reshape(crops.shape)
    near = np.minimum(np.arange(side) + 1.0, side - np.arange(side))
    weight = near[:, None] * near
    total, weights = np.zeros(wide.shape), np.zeros(wide.shape[1:])
    for number, (y, x) in enumerate(corners):
        total[:, y : y + side, x : x + side] += weight * found[:, number]
        weights[y : y + side, x : x + side] += weight
    return np.asarray((total / weights)[:, :height, :width], dtype=np.float32)


def subtract(model: Model, asked: Predicted) -> list[Path]:
    """Write `<movie>_background.tif` and `<movie>_less_background.tif`, float32 photons; both are streamed.

    The movie is read twice: what is subtracted is what was written.
    """
    frames, (whole, less) = asked.frames, (asked.path(name) for name in ("_background.tif", "_less_background.tif"))
    pixel_nm = asked.pixel_size_nm if np.isfinite(asked.pixel_size_nm) else None
    tell(model, asked)
    both = 2 * frames.n_frames
    beneath = Made(frames, partial(backgrounds, model, frames))
    tiff.write_movie(beneath, whole, pixel_nm, lambda done: asked.on_units(done, both))
    with closing(tiff.TiffMovie(whole)) as written:
        rest = Made(frames, lambda start, stop: frames.read(start, stop) - written.read(start, stop).astype(np.float32))
        tiff.write_movie(rest, less, pixel_nm, lambda done: asked.on_units(frames.n_frames + done, both))
    return [whole, less]


def mean_background(model: Model, frames: Frames, on_units: OnUnits = None) -> Raster:
    """Mean over all frames of their backgrounds, (1, H, W)."""
    total, each = np.zeros((frames.height, frames.width)), _block(frames, side_of(model))
    for start in range(0, frames.n_frames, each):
        stop = min(start + each, frames.n_frames)
        total += backgrounds(model, frames, start, stop).sum(axis=0, dtype=np.float64)
        if on_units is not None:
            on_units(stop)
    mean = (total / frames.n_frames)[None].astype(np.float32)
    return Raster(mean, float(model.settings.get("pixel_size_nm", float("nan"))))


def tell(model: Model, asked: Predicted) -> None:
    """Warn where the crops of a movie are not those that the network learned, with what is known of them."""
    settings, side = model.settings, side_of(model)
    if settings.get("empty", 0.0) < LEAST_EMPTY:
        warnings.warn(
            "the network learned crops with an emitter in their middle; those of a movie have it anywhere, or none, "
            "where its answer may be far off: train with empty: 0.5, neighbours: {min: 0, max: 3} in background_crops",
            UnlikeWarning,
            stacklevel=3,
        )
    if asked.places is None:
        if not settings.get("neighbours", 0.0):
            warnings.warn(
                f"the network learned one emitter in {side} x {side} px; --places TABLE counts those that are closer",
                DoubtWarning,
                stacklevel=3,
            )
        return
    close = share_close(asked.places, side * asked.pixel_size_nm)
    if close > MOST_CLOSE and not settings.get("neighbours", 0.0):
        warnings.warn(
            f"{close:.0%} of {len(asked.places)} emitters have another within half a crop ({side / 2:g} px); the "
            "network learned one in each, and its background beneath these is not to be trusted: train with neighbours",
            UnlikeWarning,
            stacklevel=3,
        )


def share_close(table: Localizations, crop_nm: float) -> float:
    """Share of emitters with another one of their frame within half a crop along both axes; 0 of an empty table."""
    return float(crowded(table, crop_nm / 2).mean()) if len(table) else 0.0


def _starts(size: int, side: int) -> list[int]:
    """Where crops begin along an axis: every half crop, and one at the far end."""
    last = size - side
    return sorted({*range(0, last, max(1, side // 2)), last})
