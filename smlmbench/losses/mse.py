"""MSE: plain squared difference of each fine pixel."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from smlmbench.losses.l1l2 import blurred

CARD = {
    "version": 1,
    "summary": "Plain mean squared error of each fine pixel, without a sparsity term.",
    "settings": {
        "blur": {
            "default": "none",
            "choices": ["none", "unit"],
            "help": "unit: the target, not the prediction, is blurred by the 7 x 7 Gaussian of l1l2",
        },
    },
    "tiny": {},
    "accepts": ["raster"],
}


class Mse(nn.Module):
    """mean((p - t)^2) for raw p and targets t in label units; the best answer is t itself.

    Its value grows with the square of the amplitude of the targets: never compare it between amplitudes. With `blur`
    the spikes are blurred first.
    """

    def __init__(self, *, blur: bool) -> None:
        super().__init__()
        self.blur = blur

    def forward(self, raw: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Score raw maps (B, 1, UH, UW) against targets["spikes"] of the same shape; `loss` is float32."""
        with torch.autocast(raw.device.type, enabled=False):
            wanted = targets["spikes"].float()
            if self.blur:
                wanted = blurred(wanted)
            return {"loss": (raw.float() - wanted).square().mean()}


def build(settings: Mapping[str, Any], output_settings: Mapping[str, Any]) -> nn.Module:  # noqa: ARG001
    """Make the loss, called as loss(raw, targets) with targets["spikes"]."""
    return Mse(blur=settings["blur"] == "unit")
