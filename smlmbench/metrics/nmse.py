"""Normalised squared error of the fine image: raw, at equal sums, and free of scale (the image headline)."""

from typing import Any

import numpy as np

from smlmbench.metrics.evidence import Evidence
from smlmbench.metrics.images import ImagePair, image_pair

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "|y - x|^2 / |x|^2 of the image y and the true image x; blank = 1. `star`: at the best gain.",
    "deviations": ["The best gain is not allowed to be negative: an inverted image scores 1, as a blank one does."],
    "tasks": ["localization", "image_pairs"],
    "gives": {
        "nmse_star": {
            "title": "NMSE*",
            "spoken": "NMSE*",
            "direction": "down",
            "low": 0.0,
            "high": 1.0,
            "help": "At the best gain of the image; blank is 1.",
        },
        "nmse_sum": {"direction": "down", "low": 0.0, "help": "With the image scaled to the sum of the truth."},
        "nmse": {"direction": "down", "low": 0.0, "help": "As the image comes."},
        "nmse_gain": {"direction": "none", "low": 0.0, "help": "The gain that nmse_star uses."},
        "nmse_star_blur1": {
            "direction": "down",
            "low": 0.0,
            "high": 1.0,
            "help": "nmse_star after both images are blurred with sigma = 1 fine pixel.",
        },
        "nmse_sum_blur1": {"direction": "down", "low": 0.0, "help": "nmse_sum of the blurred images."},
        "nmse_blur1": {"direction": "down", "low": 0.0, "help": "nmse of the blurred images."},
    },
}

ROUNDING = 1e-9  # of the summed brightness: a smaller sum is none


def measure(evidence: Evidence) -> dict[str, float | str]:
    """All variants on the images as given and on the blurred ones (zero outside the field)."""
    pair = image_pair(evidence)
    if isinstance(pair, str):
        return dict.fromkeys(CARD["gives"], pair)
    blurred = {f"{name}_blur1": value for name, value in _variants(pair.blurred()).items()}
    return _variants(pair) | {"nmse_gain": pair.gain} | blurred


def _variants(pair: ImagePair) -> dict[str, float | str]:
    mass = float(pair.image.sum())
    at_sum: float | str = "the image sums to 0 or less"
    if mass > ROUNDING * float(np.abs(pair.image).sum()):
        at_sum = pair.scaled(float(pair.truth.sum()) / mass).error
    elif not pair.image.any():
        at_sum = 1.0
    return {"nmse_star": pair.scaled(pair.gain).error, "nmse_sum": at_sum, "nmse": pair.error}
