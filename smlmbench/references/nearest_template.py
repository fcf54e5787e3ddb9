"""The class whose expected light, in any amount over any flat background, is nearest to a crop or spectrum."""

import numpy as np
from numpy.typing import NDArray

from smlmbench.data.contracts import Condition, Settings
from smlmbench.errors import ConfigError
from smlmbench.movies import blocks
from smlmbench.predictions import ClassScores, Floats
from smlmbench.truths.labels import Labels

CARD = {
    "version": 1,
    "summary": "Least squares of every class's expected light over a flat background; the nearest class",
    "facts": {"tasks": {"classification": {"gives": "classes", "knows": ["templates"]}}, "default": False},
}

BLOCK = 1024


def templates_of(condition: Condition, name: str) -> tuple[tuple[str, ...], Floats]:
    """Classes of a condition and their templates (classes, variants, values).

    Raises:
        ConfigError: The data state none.
    """
    truth = condition.truth
    if not isinstance(truth, Labels) or truth.templates is None:
        raise ConfigError(f"reference '{name}' needs the expected light of each class, which the data do not state")
    classes, variants = truth.templates.shape[:2]
    return truth.classes, truth.templates.reshape(classes, variants, -1)


def predict(condition: Condition, settings: Settings, output_settings: Settings, seed: int) -> ClassScores:
    """Scores (n, classes): the likelihood of each class's nearest variant, with the variance of the mean pixel.

    Raises:
        ConfigError: The data state no templates.
    """
    del settings, output_settings, seed
    classes, templates = templates_of(condition, "nearest_template")
    shapes = templates - templates.mean(axis=-1, keepdims=True)
    shapes = shapes / np.maximum(np.linalg.norm(shapes, axis=-1, keepdims=True), 1e-12)
    found = []
    for _, block in blocks(condition.frames, BLOCK):
        values = block.reshape(len(block), -1).astype(np.float64)
        light = np.einsum("np,cvp->ncv", values - values.mean(axis=1, keepdims=True), shapes).clip(0).max(axis=2)
        worth = light**2 / (2 * np.maximum(values.mean(axis=1, keepdims=True), 1e-3))
        found.append(scores_of(worth))
    return ClassScores(np.concatenate(found), classes)


def scores_of(worth: Floats) -> NDArray[np.float32]:
    """Scores (n, classes) from logarithms of likelihoods."""
    chance = np.exp(worth - worth.max(axis=1, keepdims=True))
    return np.asarray(chance / chance.sum(axis=1, keepdims=True), dtype=np.float32)
