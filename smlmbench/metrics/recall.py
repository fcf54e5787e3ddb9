"""Recall: how many true emitters are found."""

from smlmbench.metrics.evidence import Evidence
from smlmbench.metrics.reasons import pooled

CARD = {
    "version": 1,
    "summary": "TP / (TP + FN), pooled over all frames.",
    "tasks": ["localization"],
    "gives": {
        "recall": {
            "title": "Recall",
            "direction": "up",
            "low": 0.0,
            "high": 1.0,
            "help": "Share of true emitters that are found.",
        }
    },
}


def measure(evidence: Evidence) -> dict[str, float | str]:
    """Recall under the headline protocol, 0 .. 1."""
    return pooled(evidence, "recall")
