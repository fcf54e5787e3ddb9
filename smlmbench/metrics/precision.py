"""Precision: how many detections are true."""

from smlmbench.metrics.evidence import Evidence
from smlmbench.metrics.reasons import pooled

CARD = {
    "version": 1,
    "summary": "TP / (TP + FP), pooled over all frames.",
    "tasks": ["localization"],
    "gives": {
        "precision": {
            "title": "Precision",
            "direction": "up",
            "low": 0.0,
            "high": 1.0,
            "help": "Share of detections that are true.",
        }
    },
}


def measure(evidence: Evidence) -> dict[str, float | str]:
    """Precision under the headline protocol, 0 .. 1."""
    return pooled(evidence, "precision")
