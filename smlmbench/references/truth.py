"""The truth itself: the self-test of every score."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from smlmbench.data.contracts import Condition
from smlmbench.predictions import Prediction

CARD = {
    "version": 1,
    "summary": "The true emitters, as a self-test of the scores",
    "facts": {"task": "localization", "gives": "table", "knows": ["positions", "photons", "background"]},
}


def predict(
    condition: Condition, settings: Mapping[str, Any], output_settings: Mapping[str, Any], seed: int
) -> Prediction:
    """Give back the truth with probability 1; nothing where the condition has none."""
    del settings, output_settings, seed
    if condition.truth is None:
        return Prediction()
    return Prediction(replace(condition.truth, probability=np.ones(len(condition.truth))))
