"""MS-SSIM without smaller scales and a Gaussian-weighted L1, as ANNA-PALM mixes them."""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

CARD = {
    "version": 1,
    "summary": "0.84 (1 - MS-SSIM of five blurs) + 0.16 Gaussian-weighted L1 of images in [0, 1]",
    "settings": {
        "share": {"default": 0.84, "min": 0.0, "max": 1.0, "help": "of the MS-SSIM; the rest is the weighted L1"},
    },
    "search": {"share": {"low": 0.0, "high": 1.0}},
    "accepts": ["dense_image"],
    "paper": (
        "Ouyang et al. 2018, Deep learning massively accelerates super-resolution localization microscopy. Nature"
        " Biotechnology 36:460"
    ),
    "doi": "10.1038/nbt.4106",
    "fidelity": "verified",
    "deviations": [
        "targets are divided by one typical brightest pixel of the training and cut at 1; the authors bring the lowest "
        "and highest value of each batch to 0 and 1",
        "not found: what lies outside of an image; the windows are cut at its edges and keep their unit sum",
    ],
}

SIGMAS_PX = (0.5, 1.0, 2.0, 4.0, 8.0)
C1, C2 = 0.01**2, 0.03**2
LEAST_TAPS = 11


class MsssimL1(nn.Module):
    """share (1 - MS-SSIM) + (1 - share) mean of the blurred |p - t|, for raw p and targets t cut to [0, 1].

    Source:
        Ouyang et al. 2018, doi:10.1038/nbt.4106, and the authors' repository.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, raw: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Score raw maps (B, K, H, W) against targets["dense"] of the same shape; `loss` is float32."""
        with torch.autocast(raw.device.type, enabled=False):
            image, wanted = raw.float(), targets["dense"].float().clamp(0, 1)
            alike = msssim(image, wanted).mean()
            away = blurred((image - wanted).abs(), SIGMAS_PX[-1]).mean()
        parts = {"msssim": alike.detach(), "weighted_l1": away.detach()}
        return {"loss": self.share * (1 - alike) + (1 - self.share) * away, **parts}


def msssim(image: Tensor, wanted: Tensor) -> Tensor:
    """Similarity of each map (B, K) of float32 images (B, K, H, W) in [0, 1].

    At each pixel the contrast and structure of five blurs (sigma 0.5 ... 8 px) and the luminance of the widest are
    multiplied, cut to [0, 1], and the mean is taken.
    """
    product = torch.ones_like(image)
    for sigma_px in SIGMAS_PX:
        moments = blurred(torch.stack((image, wanted, image**2, wanted**2, image * wanted)), sigma_px)
        mean, other, square, square_other, both = moments
        variances = square - mean**2 + square_other - other**2
        product = product * (2 * (both - mean * other) + C2) / (variances + C2)
    product = product * (2 * mean * other + C1) / (mean**2 + other**2 + C1)
    mean_of: Tensor = product.clamp(0, 1).mean(dim=(-2, -1))
    return mean_of


def blurred(maps: Tensor, sigma_px: float) -> Tensor:
    """Blur float32 maps (..., H, W) by a Gaussian of max(4 sigma + 1, 11) taps, cut at the edges, of unit sum there."""
    down, across = (_band(maps.shape[axis], sigma_px, maps.device) for axis in (-2, -1))
    return down @ maps @ across.T


@lru_cache(maxsize=32)
@torch.inference_mode(mode=False)
def _band(size: int, sigma_px: float, device: torch.device) -> Tensor:
    reach = max(math.ceil(4 * sigma_px + 1), LEAST_TAPS) // 2
    index = torch.arange(size, device=device)
    away = (index[:, None] - index[None, :]).abs()
    weights = torch.where(away <= reach, torch.exp(-((away / sigma_px) ** 2) / 2), 0.0)
    return weights / weights.sum(dim=1, keepdim=True)


def build(settings: Mapping[str, Any], output_settings: Mapping[str, Any]) -> nn.Module:  # noqa: ARG001
    """Make the loss, called as loss(raw, targets) with targets["dense"]."""
    return MsssimL1(settings["share"])
