"""Jaccard index of detections and true emitters."""

from smlmbench.metrics.evidence import Evidence
from smlmbench.metrics.reasons import pooled

CARD = {
    "version": 1,
    "summary": "TP / (TP + FP + FN), pooled over all frames.",
    "tasks": ["localization"],
    "gives": {
        "jaccard": {
            "title": "Jaccard",
            "direction": "up",
            "low": 0.0,
            "high": 1.0,
            "help": "Share of emitters found among all that are true or claimed.",
        }
    },
}


def measure(evidence: Evidence) -> dict[str, float | str]:
    """Jaccard index under the headline protocol, 0 .. 1."""
    return pooled(evidence, "jaccard")
