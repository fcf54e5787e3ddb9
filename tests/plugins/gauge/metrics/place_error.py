"""Root mean squared error of places, and how many were told."""

import numpy as np

CARD = {
    "version": 1,
    "summary": "Error of the place of a line",
    "tasks": ["gauge"],
    "gives": {
        "place_rmse": {"title": "RMSE of the place", "direction": "down", "low": 0.0, "help": "0 is best"},
        "told": {"direction": "up", "low": 0.0, "high": 1.0, "help": "Share of spectra that are answered."},
        "dark_told": {"direction": "down", "low": 0.0, "high": 1.0, "help": "The same of spectra without a line."},
    },
}


def measure(evidence):
    """Both numbers."""
    place, true, kept, dark = evidence
    if true is None:
        return dict.fromkeys(CARD["gives"], "there is no truth")
    error = "nothing was told" if not kept.any() else float(np.sqrt(np.mean((place - true)[kept] ** 2)))
    return {
        "place_rmse": error,
        "told": float(kept.mean()),
        "dark_told": "no dark spectra" if dark is None else float(dark.mean()),
    }
