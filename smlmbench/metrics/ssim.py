"""Structural similarity of the fine image; secondary, read it beside the blank row."""

from smlmbench.metrics.evidence import Evidence
from smlmbench.metrics.images import compared

CARD = {
    "version": 1,
    "summary": "SSIM (Gaussian window, sigma 1.5, 11 taps), images blurred by 1 fine px, at the least-squares gain.",
    "paper": "Wang et al. 2004, Image quality assessment. IEEE Transactions on Image Processing",
    "doi": "10.1109/TIP.2003.819861",
    "tasks": ["localization", "image_pairs", "densification"],
    "gives": {
        "ssim": {
            "direction": "up",
            "low": -1.0,
            "high": 1.0,
            "help": "Range L = maximum of the blurred true image. A blank image scores high on sparse truth.",
        }
    },
}

WINDOW_PX = 11


def measure(evidence: Evidence) -> dict[str, float | str]:
    """By torchmetrics, with the range of the truth; K1 = 0.01, K2 = 0.03."""
    pair = compared(evidence, WINDOW_PX)
    if isinstance(pair, str):
        return {"ssim": pair}
    from smlmbench.metrics.structure import similarity, tensors

    return {"ssim": similarity(*tensors(pair))}
