"""F1: harmonic mean of precision and recall."""

from smlmbench.metrics.evidence import Evidence
from smlmbench.metrics.reasons import pooled

CARD = {
    "version": 1,
    "summary": "2 TP / (2 TP + FP + FN), pooled over all frames.",
    "tasks": ["localization"],
    "gives": {
        "f1": {
            "title": "F1",
            "direction": "up",
            "low": 0.0,
            "high": 1.0,
            "help": "Harmonic mean of precision and recall.",
        }
    },
}


def measure(evidence: Evidence) -> dict[str, float | str]:
    """F1 under the headline protocol, 0 .. 1."""
    return pooled(evidence, "f1")
