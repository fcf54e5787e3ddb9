"""A constant background: the median of the pixels along the border of each crop."""

import numpy as np

from smlmbench.data.contracts import Condition, Settings
from smlmbench.movies import blocks
from smlmbench.predictions import Raster

CARD = {
    "version": 1,
    "summary": "The median of the border of each crop, as a constant background",
    "settings": {"border_px": {"default": 1, "min": 1, "max": 8, "help": "width of the border"}},
    "facts": {"tasks": {"background": {"gives": "background"}}},
}

BLOCK_FRAMES = 1024


def predict(condition: Condition, settings: Settings, output_settings: Settings, seed: int) -> Raster:
    """One level for each crop; crops that are all border are their own median."""
    del output_settings, seed
    frames, wide = condition.frames, int(settings["border_px"])
    border = np.ones((frames.height, frames.width), dtype=bool)
    border[wide : frames.height - wide, wide : frames.width - wide] = False
    levels = np.concatenate([np.median(block[:, border], axis=1) for _, block in blocks(frames, BLOCK_FRAMES)])
    maps = np.broadcast_to(levels.astype(np.float32)[:, None, None], (len(levels), *border.shape))
    return Raster(np.ascontiguousarray(maps), condition.pixel_size_nm)
