"""Peak signal-to-noise ratio of the fine image; secondary, read it beside the blank row."""

import numpy as np

from smlmbench.metrics.evidence import Evidence
from smlmbench.metrics.images import compared

CARD = {
    "version": 1,
    "summary": "10 log10(L^2 / MSE), both images blurred with sigma = 1 fine px, image at its least-squares gain.",
    "tasks": ["localization", "image_pairs", "densification"],
    "gives": {
        "psnr": {
            "unit": "dB",
            "direction": "up",
            "help": "Range L = maximum of the blurred true image. A blank image scores high on sparse truth.",
        }
    },
}

ROUNDING = 1e-12  # of the range: what blur and gain leave of two equal images


def measure(evidence: Evidence) -> dict[str, float | str]:
    """By torchmetrics, with the range of the truth."""
    pair = compared(evidence, 1)
    if isinstance(pair, str):
        return {"psnr": pair}
    if np.abs(pair.image - pair.truth).max() <= ROUNDING * pair.peak:
        return {"psnr": "both images are equal: no error to divide by"}
    import torch
    from torchmetrics.functional.image import peak_signal_noise_ratio

    image, truth = (torch.from_numpy(each) for each in (pair.image, pair.truth))
    return {"psnr": float(peak_signal_noise_ratio(image, truth, data_range=pair.peak))}
