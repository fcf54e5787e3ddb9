"""The classical rule for spectra: the dye whose expected centroid is nearest, so thresholds half-way between dyes."""

import numpy as np

from smlmbench.data.contracts import Condition, Settings
from smlmbench.errors import ConfigError
from smlmbench.movies import blocks
from smlmbench.predictions import ClassScores, Floats
from smlmbench.references.nearest_template import scores_of, templates_of

CARD = {
    "version": 1,
    "summary": "Centroid of each spectrum, between thresholds half-way from one dye's expected centroid to the next",
    "settings": {
        "edge_bins": {"default": 8, "min": 0, "max": 256, "help": "bins at each end whose mean is the background"},
    },
    "facts": {"tasks": {"classification": {"gives": "classes", "knows": ["spectra"]}}, "default": False},
}

BLOCK = 4096


def predict(condition: Condition, settings: Settings, output_settings: Settings, seed: int) -> ClassScores:
    """Scores (n, classes): how likely a dye's centroid is where that of a spectrum is, given its photons alone.

    Raises:
        ConfigError: No spectra, or none whose dyes are known.
    """
    del output_settings, seed
    classes, templates = templates_of(condition, "spectral_centroid")
    edge, length = int(settings["edge_bins"]), condition.frames.width
    if condition.frames.height != 1 or 2 * edge >= length:
        sides = f"{condition.frames.height} x {length}"
        raise ConfigError(f"reference 'spectral_centroid' needs spectra of more than {2 * edge} bins, got {sides}")
    expected = _centroids(templates[:, 0], edge)[0]
    found = []
    for _, block in blocks(condition.frames, BLOCK):
        middle, variance = _centroids(block.reshape(len(block), -1, length).sum(axis=1).astype(np.float64), edge)
        found.append(scores_of(-((middle[:, None] - expected) ** 2) / (2 * variance[:, None])))
    return ClassScores(np.concatenate(found), classes)


def _centroids(spectra: Floats, edge: int) -> tuple[Floats, Floats]:
    """Centroid of spectra (n, L) without their background, in bins, and its variance by their photons."""
    at = np.arange(spectra.shape[1]) + 0.5
    ends = np.concatenate([spectra[:, :edge], spectra[:, spectra.shape[1] - edge :]], axis=1)
    light = spectra - (ends.mean(axis=1, keepdims=True) if edge else 0.0)
    whole = np.maximum(light.sum(axis=1), 1e-9)
    middle = light @ at / whole
    variance = (spectra * (at - middle[:, None]) ** 2).sum(axis=1) / whole**2
    return middle, np.maximum(variance, 1e-9)
