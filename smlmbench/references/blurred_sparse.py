"""The sparse image, blurred: what needs no training."""

import numpy as np
from numpy.typing import NDArray

from smlmbench.data.contracts import Condition, Settings
from smlmbench.render import blur

CARD = {
    "version": 1,
    "summary": "The sparse image of each colour, blurred by a Gaussian",
    "settings": {
        "sigma_nm": {"default": 40.0, "min": 0.0, "max": 1000.0, "help": "of the blur; 0: the sparse image as it is"},
    },
    "facts": {"tasks": {"densification": {"gives": "image"}}},
}


def predict(condition: Condition, settings: Settings, output_settings: Settings, seed: int) -> NDArray[np.float32]:
    """Images (n, K, H, W) in localizations per pixel of the sparse image."""
    del output_settings, seed
    given = condition.frames.read(0, condition.frames.n_frames)[:, :-2]
    sigma_px = settings["sigma_nm"] / condition.pixel_size_nm
    return np.stack([blur(image, sigma_px) for image in given]).astype(np.float32)
