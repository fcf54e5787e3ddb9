"""Dense error: squared or absolute difference of dense images."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

CARD = {
    "version": 1,
    "summary": "Mean squared, or mean absolute, difference from the dense images.",
    "settings": {
        "power": {
            "default": 2,
            "choices": [1, 2],
            "help": "2: squares, 1: absolute values, less moved by bright spots",
        },
    },
    "search": {"power": {"choices": [1, 2]}},
    "tiny": {},
    "accepts": ["dense_image"],
}


class DenseError(nn.Module):
    """mean |p - t| ^ power for raw p and dense t, 1 being a typical brightest pixel."""

    def __init__(self, power: int) -> None:
        super().__init__()
        self.power = power

    def forward(self, raw: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Score raw images (B, K, H, W) against targets["dense"] of the same shape; `loss` is float32."""
        with torch.autocast(raw.device.type, enabled=False):
            away = raw.float() - targets["dense"].float()
            return {"loss": away.abs().mean() if self.power == 1 else away.square().mean()}


def build(settings: Mapping[str, Any], output_settings: Mapping[str, Any]) -> nn.Module:  # noqa: ARG001
    """Make the loss, called as loss(raw, targets) with targets["dense"]."""
    return DenseError(int(settings["power"]))
