"""KDE and overlap: squared difference of blurred volumes, and how much of the emitters' voxels is filled."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from smlmbench.errors import ConfigError

CARD = {
    "version": 1,
    "summary": "Squared difference of volumes blurred by a Gaussian, plus the overlap with the emitters (DeepSTORM3D).",
    "settings": {
        "padding": {
            "default": "valid",
            "choices": ["valid", "same"],
            "help": "across the field; valid, the paper's, hardly looks at the 3 voxels along its edges",
        },
        "overlap": {"default": 1.0, "min": 0.0, "help": "weight of the overlap term; the paper's 1 is all but nothing"},
    },
    "search": {"padding": {"choices": ["valid", "same"]}},
    "tiny": {},
    "accepts": ["voxel_grid"],
    "paper": (
        "Nehme et al. 2020, DeepSTORM3D: dense 3D localization microscopy and PSF design by deep learning. Nature"
        " Methods 17:734"
    ),
    "doi": "10.1038/s41592-020-0853-5",
    "fidelity": "verified",
}

RADIUS = 3
SIGMA = 1.0  # voxels


class KdeOverlap(nn.Module):
    """mean((G * (p - t))^2) + w (1 - (2 I + 1) / (I + T + 1)) for raw p and spikes t in label units.

    G is a 7 x 7 x 7 Gaussian of sigma 1 voxel with a peak of 1, zero-padded in depth; across the field the maps of
    `valid` are 6 voxels shorter. With volumes divided by the amplitude A, I = sum(p t) and T = sum(t^2) over the batch:
    not the usual Dice, since no p^2 counts, so that wrong mass is paid for by the first term alone.

    Source:
        Nehme et al. 2020, doi:10.1038/s41592-020-0853-5.
    """

    def __init__(self, amplitude: float, padding: str, overlap: float) -> None:
        super().__init__()
        self.amplitude, self.padding, self.overlap = amplitude, padding, overlap

    def forward(self, raw: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Score raw volumes (B, D, UH, UW) against targets["spikes"] of the same shape.

        Returns:
            `loss`, and its detached parts `kde` and `overlap`; always float32.
        """
        with torch.autocast(raw.device.type, enabled=False):
            given, wanted = raw.float(), targets["spikes"].float()
            kde = blurred(given - wanted, self.padding).square().mean()
            unit = self.amplitude**2
            shared, all_of_it = (given * wanted).sum() / unit, wanted.square().sum() / unit
            missed = self.overlap * (1 - (2 * shared + 1) / (shared + all_of_it + 1))
            return {"loss": kde + missed, "kde": kde.detach(), "overlap": missed.detach()}


def blurred(volumes: Tensor, padding: str) -> Tensor:
    """Convolve float32 volumes (B, D, H, W) with G: (B, D, H - 6, W - 6) of valid, else of the same shape.

    Axis by axis as banded matrices, which is what a convolution with this kernel is: the same numbers at a small part
    of the time. A field of fewer than 7 voxels raises ConfigError.
    """
    batch, planes, height, width = volumes.shape
    if padding == "valid" and min(height, width) <= 2 * RADIUS:
        raise ConfigError(
            f"kde_overlap compares fields of at least 7 voxels, this one has {height} x {width}; "
            "give larger crops, more upsampling or padding: same"
        )
    across, down = (_band(size, padding, volumes.device) for size in (width, height))
    lateral = down @ (volumes @ across.T)
    deep = _band(planes, "same", volumes.device) @ lateral.flatten(2)
    return deep.view(batch, planes, *lateral.shape[2:])


@lru_cache(maxsize=16)  # to make it anew at every step, a card would wait for the kernel from the processor
@torch.inference_mode(mode=False)
def _band(size: int, padding: str, device: torch.device) -> Tensor:
    """The matrix (made, size) that convolves an axis; of valid only its whole rows."""
    index = torch.arange(size, device=device)
    distance = (index[:, None] - index[None, :]).abs()
    band = torch.exp(-0.5 * (distance / SIGMA) ** 2) * (distance <= RADIUS)
    return band[RADIUS : size - RADIUS] if padding == "valid" else band


def build(settings: Mapping[str, Any], output_settings: Mapping[str, Any]) -> nn.Module:
    """Make the loss, called as loss(raw, targets) with targets["spikes"]; `amplitude` of the output is used."""
    return KdeOverlap(output_settings["amplitude"], settings["padding"], settings["overlap"])
