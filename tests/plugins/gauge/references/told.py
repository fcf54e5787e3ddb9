"""The truth itself."""

import numpy as np

CARD = {
    "version": 1,
    "summary": "The true places",
    "facts": {"tasks": {"gauge": {"gives": "place", "knows": ["places"]}}, "ceiling": True},
}


def predict(condition, settings, output_settings, seed):
    """The places that are known."""
    if condition.truth is None:
        n = condition.frames.n_frames
        return np.full(n, 0.5), np.zeros(n)
    return condition.truth.place, np.ones(len(condition.truth))
