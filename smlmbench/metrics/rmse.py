"""Root mean squared position error of matched pairs."""

from smlmbench.metrics.evidence import Evidence
from smlmbench.metrics.reasons import pooled

CARD = {
    "version": 1,
    "summary": "Radial and axial position error of matched pairs, pooled over all frames.",
    "paper": "Sage et al. 2019, Super-resolution fight club. Nature Methods",
    "doi": "10.1038/s41592-019-0364-4",
    "tasks": ["localization"],
    "gives": {
        "rmse_nm": {
            "title": "RMSE (nm)",
            "unit": "nm",
            "direction": "down",
            "low": 0.0,
            "help": "Lateral error, both axes summed: sqrt(2) times the error per axis.",
        },
        "rmse_axial_nm": {
            "title": "Axial RMSE (nm)",
            "unit": "nm",
            "direction": "down",
            "low": 0.0,
            "help": "Axial error (3-D only).",
        },
    },
}


def measure(evidence: Evidence) -> dict[str, float | str]:
    """Errors of the pairs that count; a reason, not 0, where nothing was matched."""
    return pooled(evidence, "rmse_nm", "rmse_axial_nm")
