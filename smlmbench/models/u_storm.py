"""U-STORM: a small U-Net on the fine grid."""

from collections.abc import Mapping
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from smlmbench.data.contracts import Given
from smlmbench.models.blocks import block, initialise, on_fine_grid
from smlmbench.models.normalisation import Normalisation

CARD = {
    "version": 1,
    "summary": "Small U-Net with a thin decoder on the nearest-upsampled frame (U-STORM).",
    "task": "localization",
    "output": "raster",
    "upsamples": "before",
    "settings": {
        "width": {"default": 1.0, "min": 0.0625, "max": 4.0, "help": "multiplies the channels 32, 64, 128, 32, 16"},
        "normalisation": {
            "default": "train_zscore",
            "choices": ["photon_scale", "train_zscore", "frame_minmax", "frame_minmax_zscore"],
            "help": "how photons are scaled",
        },
        "zero_last": {"default": True, "help": "start from an all-zero output instead of a random one"},
    },
    "search": {"width": {"low": 0.25, "high": 2.0, "log": True}},
    "tiny": {"width": 0.25},
    "training": {"optimiser": "adam", "lr": 1e-3, "batch_size": 16},
    "parameters": {"upsampling=2": 143728, "upsampling=4": 143728, "upsampling=8": 143728},
    "receptive_field_px": 5.0,
    "paper": "Yao W. et al. 2018, U-Net for pansharpening, Neurocomputing 312:364-371",
    "fidelity": "reconstruction",
    "deviations": [
        "the paper gives the idea of a U-Net for regression; its layers were not reachable and it is not about SMLM",
        "layers of the DL4SMLM package: the skips are the first maps and the pooled second ones, as there",
        "a linear output without batch normalisation and ReLU, which can die; no biases",
        "orthogonal start and batch normalisation as in Deep-STORM; the output layer starts at zero (zero_last)",
        "the frame is upsampled by nearest neighbours inside the network, not beforehand",
        "maximum pooling comes before the ReLU: the same numbers with less memory traffic",
    ],
    "facts": {"translation": True, "multiple_fine_px": 4},
}

CHANNELS = (32, 64, 128, 32, 16)


class UStorm(nn.Module):
    """Two poolings, two upsamplings with skips, a linear 1 x 1 output.

    Args:
        settings: As on the card.
        given: Channels, upsampling and training statistics.

    Source:
        The DL4SMLM package, after the idea of Yao W. et al. 2018, Neurocomputing 312:364-371.
    """

    def __init__(self, settings: Mapping[str, Any], given: Given) -> None:
        super().__init__()
        first, second, third, deep, last = (max(1, round(channels * settings["width"])) for channels in CHANNELS)
        self.upsampling = given.upsampling
        self.normalisation = Normalisation(settings["normalisation"], given.statistics)
        self.first = block(given.channels, first)
        self.second = block(first, second, pool=True)
        self.third = block(second, third, pool=True)
        self.bottleneck = block(third, deep)
        self.decoder = block(second + deep, last)
        self.head = nn.Conv2d(first + last, 1, 1, bias=False)
        initialise(self, [self.head], zero_last=settings["zero_last"])

    def forward(self, frames: Tensor, frame_range: Tensor | None = None) -> Tensor:
        """Map photons (B, C, H, W) to spikes (B, 1, U*H, U*W) in label units; `frame_range` as in `Normalisation`."""
        full = self.first(on_fine_grid(self.normalisation(frames, frame_range), self.upsampling))
        half = self.second(full)
        deep = self.bottleneck(self.third(half))
        thin = self.decoder(_joined(half, deep))
        raw: Tensor = self.head(_joined(full, thin))
        return raw


def _joined(skip: Tensor, coarse: Tensor) -> Tensor:
    return torch.cat((skip, functional.interpolate(coarse, size=skip.shape[-2:], mode="nearest")), dim=1)


def build(settings: Mapping[str, Any], given: Given) -> nn.Module:
    """Make a U-STORM network.

    Args:
        settings: All settings of the card.
        given: Channels, upsampling (2, 4 or 8), pixel size and statistics of the training pixels.
    """
    return UStorm(settings, given)


def receptive_field_px(settings: Mapping[str, Any], upsampling: int) -> float:  # noqa: ARG001
    """Camera pixels across that the output within one camera pixel can see; larger at smaller upsampling.

    The poolings work on blocks of 4 fine pixels; the output sees at most 12 fine pixels beyond its own on either side.
    """
    return 2.0 * ceil(12 / upsampling) + 1
