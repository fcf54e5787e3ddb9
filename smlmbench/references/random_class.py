"""Chance: a class drawn for each unit, all alike."""

import numpy as np

from smlmbench.data.contracts import Condition, Settings
from smlmbench.errors import ConfigError
from smlmbench.predictions import ClassScores
from smlmbench.truths.labels import Labels

CARD = {
    "version": 1,
    "summary": "A class drawn at random for each unit",
    "facts": {"tasks": {"classification": {"gives": "classes"}}},
}


def predict(condition: Condition, settings: Settings, output_settings: Settings, seed: int) -> ClassScores:
    """Random scores, which sum to 1, of each unit.

    Raises:
        ConfigError: The data name no classes.
    """
    del settings, output_settings
    truth = condition.truth
    if not isinstance(truth, Labels):
        raise ConfigError("reference 'random_class' needs data that name classes; leave it out")
    scores = np.random.default_rng(seed).dirichlet(np.ones(len(truth.classes)), condition.frames.n_frames)
    return ClassScores(scores.astype(np.float32), truth.classes)
