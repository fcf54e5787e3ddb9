"""Mean signed position error: a shifted grid or a wrong centre of the PSF shows here."""

from smlmbench.metrics.evidence import Evidence
from smlmbench.metrics.reasons import pooled

CARD = {
    "version": 1,
    "summary": "Mean of found minus true position of matched pairs, per axis.",
    "tasks": ["localization"],
    "gives": {
        "bias_x_nm": {"unit": "nm", "direction": "none", "help": "Mean error along x (to the right); 0 is best."},
        "bias_y_nm": {"unit": "nm", "direction": "none", "help": "Mean error along y (down); 0 is best."},
        "bias_z_nm": {"unit": "nm", "direction": "none", "help": "Mean error along z (3-D only); 0 is best."},
    },
}


def measure(evidence: Evidence) -> dict[str, float | str]:
    """Mean signed errors of the pairs that count."""
    return pooled(evidence, "bias_x_nm", "bias_y_nm", "bias_z_nm")
