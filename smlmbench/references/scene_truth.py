"""The true emitters of scenes: the self-test of every score of a design."""

from smlmbench.data.contracts import Condition, Settings
from smlmbench.predictions import Prediction
from smlmbench.references import truth

CARD = {
    "version": 1,
    "summary": "The true emitters of scenes, as a self-test of the scores",
    "facts": {
        "tasks": {"optics": {"gives": "table", "knows": ["positions", "photons", "background"]}},
        "ceiling": True,
    },
}


def predict(condition: Condition, settings: Settings, output_settings: Settings, seed: int) -> Prediction:
    """As `truth` of localization."""
    return truth.predict(condition, settings, output_settings, seed)
