"""Efficiency: detection and precision in one number."""

from smlmbench.metrics.evidence import Evidence
from smlmbench.metrics.reasons import pooled

CARD = {
    "version": 1,
    "summary": "100 - sqrt((100 - JAC)^2 + RMSE^2), in 3-D the mean of the lateral and the axial part (0.5 per nm).",
    "paper": "Sage et al. 2019, Super-resolution fight club. Nature Methods",
    "doi": "10.1038/s41592-019-0364-4",
    "tasks": ["localization"],
    "gives": {
        "efficiency": {
            "title": "Efficiency",
            "direction": "up",
            "high": 100.0,
            "help": "Detection and precision in one number; 100 is perfect, no detection is 0, may be negative.",
        }
    },
}


def measure(evidence: Evidence) -> dict[str, float | str]:
    """Efficiency under the headline protocol."""
    return pooled(evidence, "efficiency")
