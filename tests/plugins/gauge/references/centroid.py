"""The centroid of a spectrum: what needs no training."""

import numpy as np

CARD = {"version": 1, "summary": "Centroid of each spectrum", "facts": {"tasks": {"gauge": {"gives": "place"}}}}


def predict(condition, settings, output_settings, seed):
    """Places, all of them sure."""
    spectra = condition.frames.read(0, condition.frames.n_frames)[:, 0]
    at = (np.arange(spectra.shape[1]) + 0.5) / spectra.shape[1]
    return spectra @ at / np.maximum(spectra.sum(axis=1), 1), np.ones(len(spectra))
