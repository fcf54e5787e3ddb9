"""FID-STORM: all depth on the camera grid, upsampling only at the end."""

from collections.abc import Mapping
from itertools import pairwise
from math import sqrt
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from smlmbench.data.contracts import Given
from smlmbench.models.normalisation import Normalisation

CARD = {
    "version": 1,
    "summary": "Residual trunk on the camera grid and a light upsampling decoder (FID-STORM), made for speed.",
    "task": "localization",
    "output": "raster",
    "upsamples": "inside",
    "settings": {
        "blocks": {"default": 10, "min": 1, "max": 32, "help": "blocks of the trunk; the authors ship 5, 10 and 13"},
        "width": {"default": 1.0, "min": 0.03125, "max": 4.0, "help": "multiplies the channels 64, 32, 16"},
        "normalisation": {
            "default": "train_zscore",
            "choices": ["photon_scale", "train_zscore", "frame_minmax", "frame_minmax_zscore"],
            "help": "how photons are scaled; frame_minmax is the authors'",
        },
        "zero_last": {"default": False, "help": "start from an all-zero output; slower here, and it may stay there"},
        "linear_output": {"default": False, "help": "no activation on the output instead of the authors' LeakyReLU"},
    },
    "search": {"blocks": {"low": 3, "high": 16, "log": False}, "width": {"low": 0.25, "high": 1.0, "log": True}},
    "tiny": {"blocks": 1, "width": 0.25},
    "training": {"optimiser": "adam", "lr": 1e-3, "batch_size": 16},
    "parameters": {
        "blocks=5,upsampling=8": 208720,
        "upsampling=8": 393680,
        "blocks=13,upsampling=8": 504656,
        "upsampling=4": 389216,
        "upsampling=2": 371072,
    },
    "receptive_field_px": 25.0,
    "paper": "Zhou, Wu, Wang, Huang 2023, Deep learning using a residual deconvolutional network enables real-time "
    "high-density single-molecule localization microscopy",
    "doi": "10.1364/BOE.484540",
    "fidelity": "verified",
    "deviations": [
        "normalisation: z-score with training statistics instead of per-frame min-max (normalisation: frame_minmax)",
        "trained on spikes with a blurring loss, as in the authors' figure; their script uses MSE on heatmaps",
        "learning rate 1e-3, one cycle, clipped gradients; the authors lowered theirs to 1e-4, no schedule",
        "upsampling 2 and 4: one or two of the three decoder stages left out, the last ends in one channel",
    ],
    "facts": {"translation": True},
}

CHANNELS = (64, 32, 16)  # of the trunk and of all decoder stages but the last
SECOND_STAGE_STD = 0.001  # the authors' initialisation singles out the convolution with 32 input channels
SLOPE = 0.01


class Trunk(nn.Module):
    """Input convolution, plain blocks, and their sum over one global skip; (B, C, H, W) to (B, channels, H, W)."""

    def __init__(self, inside: int, channels: int, blocks: int) -> None:
        super().__init__()
        self.first = nn.Sequential(_conv(inside, channels), nn.LeakyReLU(SLOPE, inplace=True))
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(_conv(channels, channels), nn.BatchNorm2d(channels), nn.LeakyReLU(SLOPE, inplace=True))
                for _ in range(blocks)
            )
        )

    def forward(self, frames: Tensor) -> Tensor:
        """Features on the camera grid."""
        maps: Tensor = self.first(frames)
        deep: Tensor = self.blocks(maps)
        return maps + deep


class FidStorm(nn.Module):
    """A trunk on the camera grid, then log2(U) stages of nearest upsampling and convolution.

    Args:
        settings: As on the card.
        given: Channels, upsampling and training statistics.

    Source:
        Layers of the authors' myModel.py; Zhou et al. 2023, doi:10.1364/BOE.484540.
    """

    def __init__(self, settings: Mapping[str, Any], given: Given) -> None:
        super().__init__()
        trunk, *inner = (max(1, round(channels * settings["width"])) for channels in CHANNELS)
        stages = given.upsampling.bit_length() - 1
        widths = (trunk, *inner[: stages - 1], 1)
        self.normalisation = Normalisation(settings["normalisation"], given.statistics)
        self.trunk = Trunk(given.channels, trunk, settings["blocks"])
        self.decoder = nn.ModuleList(
            [
                _stage(inside, outside, linear=settings["linear_output"] and stage == stages)
                for stage, (inside, outside) in enumerate(pairwise(widths), start=1)
            ]
        )
        self._initialise(zero_last=settings["zero_last"])

    def _initialise(self, *, zero_last: bool) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=sqrt(2 / (9 * module.out_channels)))
        for weight in self.decoder[1:2].parameters():
            nn.init.normal_(weight, std=SECOND_STAGE_STD)
        if zero_last:
            for weight in self.decoder[-1].parameters():
                nn.init.zeros_(weight)

    def forward(self, frames: Tensor, frame_range: Tensor | None = None) -> Tensor:
        """Map photons (B, C, H, W) to spikes (B, 1, U*H, U*W) in label units; `frame_range` as in `Normalisation`."""
        maps: Tensor = self.trunk(self.normalisation(frames, frame_range))
        for stage in self.decoder:
            maps = stage(functional.interpolate(maps, scale_factor=2.0, mode="nearest"))
        return maps


def _stage(inside: int, outside: int, *, linear: bool) -> nn.Sequential:
    layers: list[nn.Module] = [_conv(inside, outside)]
    if not linear:
        layers.append(nn.LeakyReLU(SLOPE, inplace=True))
    return nn.Sequential(*layers)


def _conv(inside: int, outside: int) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, 3, padding=1, bias=False)


def build(settings: Mapping[str, Any], given: Given) -> nn.Module:
    """Make a FID-STORM network.

    Args:
        settings: All settings of the card.
        given: Channels, upsampling (2, 4 or 8), pixel size and statistics of the training pixels.
    """
    return FidStorm(settings, given)


def receptive_field_px(settings: Mapping[str, Any], upsampling: int) -> float:  # noqa: ARG001
    """Camera pixels across that the output within one camera pixel can see; the decoder adds one pixel each way."""
    return 2.0 * (int(settings["blocks"]) + 2) + 1
