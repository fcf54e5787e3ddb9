"""Root mean square error of an image in units of the truth's root mean square, free of scale."""

import math

from smlmbench.metrics.evidence import Evidence
from smlmbench.metrics.images import image_pair

CARD = {
    "version": 1,
    "summary": "Root of the mean square error over the truth's root mean square, the image at its least-squares gain.",
    "tasks": ["densification"],
    "gives": {
        "nrmse": {
            "title": "NRMSE",
            "spoken": "NRMSE",
            "direction": "down",
            "low": 0.0,
            "high": 1.0,
            "help": "Of the images as they are, without blur; a blank image has 1.",
        }
    },
}


def measure(evidence: Evidence) -> dict[str, float | str]:
    """The root of NMSE*."""
    pair = image_pair(evidence)
    return {"nrmse": pair if isinstance(pair, str) else math.sqrt(pair.scaled(pair.gain).error)}
