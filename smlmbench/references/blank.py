"""Nothing at all: what a score says about a row that finds nothing."""

import numpy as np

from smlmbench.data.contracts import Condition, Settings
from smlmbench.predictions import Localizations, Prediction
from smlmbench.references.canvas import raster_of, upsampling_of

CARD = {
    "version": 1,
    "summary": "An empty table and an image of zeros",
    "facts": {"tasks": {"localization": {"gives": "both"}, "image_pairs": {"gives": "image"}}},
}


def predict(condition: Condition, settings: Settings, output_settings: Settings, seed: int) -> Prediction:
    """Predict nothing."""
    del settings, seed
    up = upsampling_of(output_settings)
    fine = np.zeros((condition.frames.height * up, condition.frames.width * up), dtype=np.float32)
    table = Localizations.empty(n_frames=condition.frames.n_frames, field_nm=condition.field_nm)
    return Prediction(table, raster_of(fine, condition, up))
