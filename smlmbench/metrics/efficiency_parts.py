"""The lateral and the axial part of efficiency, each as a number."""

from smlmbench.metrics.evidence import Evidence
from smlmbench.metrics.reasons import pooled

CARD = {
    "version": 1,
    "summary": "Lateral part 100 - sqrt((100 - JAC)^2 + RMSE^2), and the axial part with 0.5 per nm (3-D only).",
    "paper": "Sage et al. 2019, Super-resolution fight club. Nature Methods",
    "doi": "10.1038/s41592-019-0364-4",
    "tasks": ["localization"],
    "gives": {
        "efficiency_lateral": {
            "title": "Efficiency, lateral",
            "direction": "up",
            "high": 100.0,
            "help": "Detection and lateral precision in one number; in 2-D the efficiency itself.",
        },
        "efficiency_axial": {
            "title": "Efficiency, axial",
            "direction": "up",
            "high": 100.0,
            "help": "Detection and axial precision in one number (3-D only); efficiency is the mean of both parts.",
        },
    },
}


def measure(evidence: Evidence) -> dict[str, float | str]:
    """Both parts under the headline protocol."""
    return pooled(evidence, "efficiency_lateral", "efficiency_axial")
