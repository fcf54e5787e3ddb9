"""Squared error of a background, each crop in the unit of its brightest pixel."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

CARD = {
    "version": 1,
    "summary": "Mean squared error of a background over the crop's maximum, so that bright crops count like dim ones",
    "accepts": ["background_map"],
}


def build(settings: Mapping[str, Any], output_settings: Mapping[str, Any]) -> Any:
    """Make the loss, called as loss(raw, targets) with targets["background"] and targets["scale"]."""
    del settings, output_settings

    def loss(raw: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Score raw maps (B, 1, H, W) in photons against backgrounds of the same shape; float32."""
        with torch.autocast(raw.device.type, enabled=False):
            return {"loss": ((raw.float() - targets["background"]) / targets["scale"]).square().mean()}

    return loss
