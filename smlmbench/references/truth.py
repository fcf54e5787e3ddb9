"""The truth itself: the self-test of every score."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from smlmbench.data.contracts import Condition
from smlmbench.predictions import Prediction
from smlmbench.references.canvas import raster_of, upsampling_of

CARD = {
    "version": 1,
    "summary": "The true emitters or images, as a self-test of the scores",
    "facts": {
        "tasks": {
            "localization": {"gives": "table", "knows": ["positions", "photons", "background"]},
            "image_pairs": {"gives": "image", "knows": ["truth"]},
        },
        "ceiling": True,
    },
}


def predict(
    condition: Condition, settings: Mapping[str, Any], output_settings: Mapping[str, Any], seed: int
) -> Prediction:
    """Give back the truth: its table with probability 1, else its image; nothing where the condition has none."""
    del settings, seed
    if condition.truth_image is not None:
        return Prediction(image=raster_of(condition.truth_image, condition, upsampling_of(output_settings)))
    if condition.truth is None:
        return Prediction()
    return Prediction(replace(condition.truth, probability=np.ones(len(condition.truth))))
