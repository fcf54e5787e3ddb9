"""No correction: nothing is subtracted."""

import numpy as np

from smlmbench.data.contracts import Condition, Settings
from smlmbench.predictions import Raster

CARD = {
    "version": 1,
    "summary": "A background of zeros: what the fixed fit reaches without any correction",
    "facts": {"tasks": {"background": {"gives": "background"}}},
}


def predict(condition: Condition, settings: Settings, output_settings: Settings, seed: int) -> Raster:
    """Zeros."""
    del settings, output_settings, seed
    frames = condition.frames
    return Raster(np.zeros((frames.n_frames, frames.height, frames.width), np.float32), condition.pixel_size_nm)
