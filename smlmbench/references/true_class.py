"""The truth itself: the self-test of every score of classes."""

import numpy as np

from smlmbench.data.contracts import Condition, Settings
from smlmbench.errors import ConfigError
from smlmbench.predictions import ClassScores
from smlmbench.truths.labels import Labels

CARD = {
    "version": 1,
    "summary": "The true classes, as a self-test of the scores",
    "facts": {"tasks": {"classification": {"gives": "classes", "knows": ["classes"]}}, "ceiling": True},
}


def predict(condition: Condition, settings: Settings, output_settings: Settings, seed: int) -> ClassScores:
    """Score 1 for the true class; strangers have the same score in every class.

    Raises:
        ConfigError: A truth that is no labels.
    """
    del settings, output_settings, seed
    truth = condition.truth
    if not isinstance(truth, Labels):
        raise ConfigError("reference 'true_class' gives back true classes, which the data do not have; leave it out")
    scores = (truth.index[:, None] == np.arange(len(truth.classes))).astype(np.float32)
    scores[~truth.known] = 1 / len(truth.classes)
    return ClassScores(scores, truth.classes)
