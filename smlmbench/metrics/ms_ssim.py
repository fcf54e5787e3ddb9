"""Structural similarity over five scales; secondary, read it beside the blank row."""

from smlmbench.metrics.evidence import Evidence
from smlmbench.metrics.images import compared

CARD = {
    "version": 1,
    "summary": "Multi-scale SSIM (5 scales), images blurred by 1 fine px, at the least-squares gain.",
    "paper": "Wang et al. 2003, Multiscale structural similarity for image quality assessment. In Asilomar 2003",
    "doi": "10.1109/ACSSC.2003.1292216",
    "tasks": ["localization", "image_pairs", "densification"],
    "gives": {
        "ms_ssim": {
            "direction": "up",
            "low": 0.0,
            "high": 1.0,
            "help": "Range L = maximum of the blurred true image; needs sides of at least 176 fine pixels.",
        }
    },
}

# the 11 taps of the window must fit into the coarsest of five scales, 16 times smaller
SMALLEST_PX = 176


def measure(evidence: Evidence) -> dict[str, float | str]:
    """By torchmetrics, with the range of the truth; negative terms count as 0."""
    pair = compared(evidence, SMALLEST_PX)
    if isinstance(pair, str):
        return {"ms_ssim": pair}
    from smlmbench.metrics.structure import multiscale_similarity, tensors

    return {"ms_ssim": multiscale_similarity(*tensors(pair))}
