"""Chance on scenes: uniform positions, as many in each as there are true emitters."""

from smlmbench.data.contracts import Condition, Settings
from smlmbench.predictions import Prediction
from smlmbench.references import random

CARD = {
    "version": 1,
    "summary": "Uniform positions with the true number of emitters of each scene",
    "facts": {"tasks": {"optics": {"gives": "table", "knows": ["density"]}}},
}


def predict(condition: Condition, settings: Settings, output_settings: Settings, seed: int) -> Prediction:
    """As `random` of localization."""
    return random.predict(condition, settings, output_settings, seed)
