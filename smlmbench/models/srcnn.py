"""SRCNN: three convolutions on the interpolated frame; a deliberately small baseline."""

from collections.abc import Mapping
from math import floor
from typing import Any, cast

from torch import Tensor, nn
from torch.nn import functional

from smlmbench.data.contracts import Given
from smlmbench.models.normalisation import Normalisation

CARD = {
    "version": 1,
    "summary": "Three convolutions on the interpolated frame (SRCNN), the smallest baseline.",
    "task": "localization",
    "output": "raster",
    "upsamples": "before",
    "settings": {
        "variant": {
            "default": "9-1-5",
            "choices": ["9-1-5", "9-5-5", "3-1-3"],
            "help": "kernel sizes of the three layers; 3-1-3 sees less than one camera pixel at upsampling 8",
        },
        "interpolation": {
            "default": "bicubic",
            "choices": ["bicubic", "nearest"],
            "help": "how the frame is brought to the fine grid, inside the network",
        },
        "width": {"default": 1.0, "min": 0.03125, "max": 4.0, "help": "multiplies the channels 64, 32"},
        "normalisation": {
            "default": "train_zscore",
            "choices": ["photon_scale", "train_zscore", "frame_minmax", "frame_minmax_zscore"],
            "help": "how photons are scaled",
        },
        "zero_last": {"default": True, "help": "start from an all-zero output instead of a random one"},
    },
    "search": {
        "variant": {"choices": ["9-1-5", "9-5-5"]},
        "width": {"low": 0.25, "high": 1.0, "log": True},
    },
    "tiny": {"variant": "3-1-3", "width": 0.25},
    "training": {"optimiser": "adam", "lr": 1e-3, "batch_size": 16},
    "parameters": {
        "upsampling=2": 8129,
        "upsampling=4": 8129,
        "upsampling=8": 8129,
        "upsampling=8,variant=9-5-5": 57281,
        "upsampling=8,variant=3-1-3": 3009,
    },
    "receptive_field_px": 7.0,
    "paper": "Dong, Loy, He, Tang 2016, Image super-resolution using deep convolutional networks",
    "doi": "10.1109/TPAMI.2015.2439281",
    "fidelity": "reconstruction",
    "deviations": [
        "layers as several re-implementations agree; the paper's optimiser, rates and start were not reachable",
        "He start with zero biases, the output layer at zero (zero_last: false starts it at random too)",
        "zero padding keeps the size; the original shrinks its training patches",
        "trained for spikes with the study's loss instead of MSE on natural images",
        "normalisation: z-score with training statistics",
        "variant 3-1-3 has no batch normalisation",
    ],
    "facts": {"translation": True},
}

CHANNELS = (64, 32)


class Srcnn(nn.Module):
    """Interpolation, patch extraction, non-linear map, reconstruction.

    Args:
        settings: As on the card.
        given: Channels, upsampling and training statistics.

    Source:
        Dong et al. 2016, doi:10.1109/TPAMI.2015.2439281, as described by its re-implementations.
    """

    def __init__(self, settings: Mapping[str, Any], given: Given) -> None:
        super().__init__()
        first, second = (max(1, round(channels * settings["width"])) for channels in CHANNELS)
        kernels = _kernels(settings)
        self.upsampling = given.upsampling
        self.interpolation: str = settings["interpolation"]
        self.normalisation = Normalisation(settings["normalisation"], given.statistics)
        self.extraction = nn.Sequential(_conv(given.channels, first, kernels[0]), nn.ReLU(inplace=True))
        self.mapping = nn.Sequential(_conv(first, second, kernels[1]), nn.ReLU(inplace=True))
        self.head = _conv(second, 1, kernels[2])
        if settings["zero_last"]:
            nn.init.zeros_(self.head.weight)

    def forward(self, frames: Tensor, frame_range: Tensor | None = None) -> Tensor:
        """Map photons (B, C, H, W) to spikes (B, 1, U*H, U*W) in label units; `frame_range` as in `Normalisation`."""
        size = (frames.shape[-2] * self.upsampling, frames.shape[-1] * self.upsampling)
        # Without align_corners both modes keep pixel edges in place, so fine pixel j stays centred at (j + 0.5) / U.
        fine: Tensor = functional.interpolate(
            self.normalisation(frames, frame_range), size=size, mode=self.interpolation
        )
        raw: Tensor = self.head(self.mapping(self.extraction(fine)))
        return raw


def _kernels(settings: Mapping[str, Any]) -> list[int]:
    return [int(side) for side in settings["variant"].split("-")]


def _conv(inside: int, outside: int, kernel: int) -> nn.Conv2d:
    convolution = nn.Conv2d(inside, outside, kernel, padding=kernel // 2)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    nn.init.zeros_(cast("Tensor", convolution.bias))
    return convolution


def build(settings: Mapping[str, Any], given: Given) -> nn.Module:
    """Make an SRCNN network.

    Args:
        settings: All settings of the card.
        given: Channels, upsampling (2, 4 or 8), pixel size and statistics of the training pixels.
    """
    return Srcnn(settings, given)


def receptive_field_px(settings: Mapping[str, Any], upsampling: int) -> float:
    """Camera pixels across that the output within one camera pixel can see, interpolation included."""
    reach = sum(kernel // 2 for kernel in _kernels(settings))
    if settings["interpolation"] == "nearest":
        return 2.0 * -floor(-reach / upsampling) + 1
    outermost = floor((0.5 - reach) / upsampling - 0.5) - 1
    return -2.0 * outermost + 1
