"""The widefield image: the mean of all frames."""

import numpy as np

from smlmbench.data.contracts import Condition, Settings
from smlmbench.movies import blocks
from smlmbench.predictions import Prediction
from smlmbench.references.canvas import BLOCK_FRAMES, raster_of, upsampling_of

CARD = {
    "version": 1,
    "summary": "Mean of all frames, each camera pixel spread evenly over its fine pixels",
    "facts": {"tasks": {"localization": {"gives": "image"}, "image_pairs": {"gives": "image"}}},
}


def predict(condition: Condition, settings: Settings, output_settings: Settings, seed: int) -> Prediction:
    """Average the frames; the fine pixels of a camera pixel share its value, so that the sum is kept."""
    del settings, seed
    up = upsampling_of(output_settings)
    frames = condition.frames
    total = np.zeros((frames.height, frames.width))
    for _, block in blocks(frames, BLOCK_FRAMES):
        total += block.sum(axis=0, dtype=np.float64)
    mean = (total / max(frames.n_frames, 1) / up**2).astype(np.float32)
    return Prediction(image=raster_of(mean.repeat(up, axis=0).repeat(up, axis=1), condition, up))
