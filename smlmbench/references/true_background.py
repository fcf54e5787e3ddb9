"""The true background: what the fixed fit reaches at best, and the self-test of every score."""

import numpy as np

from smlmbench.data.contracts import Condition, Settings
from smlmbench.predictions import Raster
from smlmbench.truths.background_maps import BackgroundMaps

CARD = {
    "version": 1,
    "summary": "The true background of every crop",
    "facts": {"tasks": {"background": {"gives": "background", "knows": ["background"]}}, "ceiling": True},
}


def predict(condition: Condition, settings: Settings, output_settings: Settings, seed: int) -> Raster:
    """The truth; zeros where the condition has none."""
    del settings, output_settings, seed
    frames, truth = condition.frames, condition.truth
    shape = (frames.n_frames, frames.height, frames.width)
    maps = truth.maps if isinstance(truth, BackgroundMaps) else np.zeros(shape, dtype=np.float32)
    return Raster(maps, condition.pixel_size_nm)
