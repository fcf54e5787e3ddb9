"""Chance on scenes of several colours: a class drawn for each, all alike."""

from smlmbench.data.contracts import Condition, Settings
from smlmbench.predictions import ClassScores
from smlmbench.references import random_class

CARD = {
    "version": 1,
    "summary": "A colour drawn at random for each scene",
    "facts": {"tasks": {"optics_colors": {"gives": "classes"}}},
}


def predict(condition: Condition, settings: Settings, output_settings: Settings, seed: int) -> ClassScores:
    """As `random_class` of classification."""
    return random_class.predict(condition, settings, output_settings, seed)
