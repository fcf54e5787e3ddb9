"""Maximum mean discrepancy: how far found and true points lie apart, seen at several distances at once."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

CARD = {
    "version": 1,
    "summary": "Maximum mean discrepancy of weighted points under Laplace kernels of several widths (DeepLOCO).",
    "settings": {
        "scales_nm": {"default": [64.0, 320.0, 640.0, 1920.0], "help": "widths of the kernels; each counts alike"},
        "z_scale": {"default": 0.2, "min": 0.0, "max": 10.0, "help": "how much a distance in depth counts"},
    },
    "search": {"z_scale": {"low": 0.1, "high": 2.0, "log": True}},
    "tiny": {},
    "paper": (
        "Boyd, Jonas, Babcock, Recht 2018, DeepLOCO: Fast 3D localization microscopy using neural networks. "
        "bioRxiv 267096"
    ),
    "doi": "10.1101/267096",
    "accepts": ["point_set"],
}


class Mmd(nn.Module):
    """sum over s of v' K_s v, mean over the batch, with K_s = exp(-L1 distance / s) of all pairs of points.

    The points are those found and the true ones together, v their weights, those of the true ones negative.

    Args:
        scales_nm: Widths s of the kernels.
        pixel_size_nm: Camera pixel, the unit of x and y.
        z_scale: What a distance along z is multiplied with.
    """

    unit: Tensor

    def __init__(self, scales_nm: list[float], pixel_size_nm: float, z_scale: float) -> None:
        super().__init__()
        self.scales_nm = scales_nm
        self.register_buffer("unit", torch.tensor([pixel_size_nm, pixel_size_nm, z_scale]))

    def forward(self, raw: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Score raw points (B, 1 + M, 1 + D) against targets["points"] (B, T, 3) of targets["weights"] (B, T).

        Returns:
            `loss`, and detached the found weight of a frame less the true one, `surplus`; always float32.
        """
        with torch.autocast(raw.device.type, enabled=False):
            found, axes = raw[:, 1:].float(), raw.shape[2] - 1
            points = torch.cat([found[..., 1:], targets["points"][..., :axes].float()], dim=1) * self.unit[:axes]
            weights = torch.cat([found[..., 0], -targets["weights"].float()], dim=1)
            apart = torch.cdist(points, points, p=1.0)
            kernel = torch.stack([(apart / -scale).exp() for scale in self.scales_nm]).sum(0)
            loss = (weights[:, :, None] * kernel * weights[:, None, :]).sum((1, 2)).mean()
            return {"loss": loss, "surplus": weights.sum(1).mean().detach()}


def build(settings: Mapping[str, Any], output_settings: Mapping[str, Any]) -> nn.Module:
    """Make the loss, called as loss(raw, targets) with the targets of point_set."""
    return Mmd(settings["scales_nm"], float(output_settings["pixel_size_nm"]), settings["z_scale"])
