"""The true colours of scenes: the self-test of every score of a design for colours."""

from smlmbench.data.contracts import Condition, Settings
from smlmbench.predictions import ClassScores
from smlmbench.references import true_class

CARD = {
    "version": 1,
    "summary": "The true colours of scenes, as a self-test of the scores",
    "facts": {"tasks": {"optics_colors": {"gives": "classes", "knows": ["classes"]}}, "ceiling": True},
}


def predict(condition: Condition, settings: Settings, output_settings: Settings, seed: int) -> ClassScores:
    """As `true_class` of classification."""
    return true_class.predict(condition, settings, output_settings, seed)
