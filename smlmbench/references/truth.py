"""The truth itself: the self-test of every score."""

from dataclasses import replace

import numpy as np

from smlmbench.data.contracts import Condition, Settings
from smlmbench.errors import ConfigError
from smlmbench.predictions import Prediction
from smlmbench.references.canvas import raster_of, upsampling_of
from smlmbench.truths.emitters import Emitters
from smlmbench.truths.target_images import TargetImages

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


def predict(condition: Condition, settings: Settings, output_settings: Settings, seed: int) -> Prediction:
    """Give back the truth: its table with probability 1, or its image; nothing where the condition has none.

    Raises:
        ConfigError: A truth that this row cannot give back.
    """
    del settings, seed
    truth = condition.truth
    if truth is None:
        return Prediction()
    if isinstance(truth, Emitters):
        return Prediction(replace(truth.table, probability=np.ones(len(truth))))
    if isinstance(truth, TargetImages):
        return Prediction(image=raster_of(truth[0], condition, upsampling_of(output_settings)))
    raise ConfigError(f"reference 'truth' gives back emitters or target images, not {truth.kind}; leave it out")
