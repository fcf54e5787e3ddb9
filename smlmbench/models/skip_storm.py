"""Skip-STORM: Deep-STORM whose output layer also sees the upsampled frame."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from smlmbench.data.contracts import Given
from smlmbench.models.blocks import Hourglass, initialise, on_fine_grid
from smlmbench.models.normalisation import Normalisation
from smlmbench.models.seed_wiring import SeedNetwork, Trunk, field_px, refuse_ignored, seed_block, widths

CARD = {
    "version": 1,
    "summary": "Deep-STORM with a skip connection from its upsampled input to its output layer.",
    "output": "raster",
    "upsamples": "before",
    "settings": {
        "variant": {
            "default": "published",
            "choices": ["published", "seed"],
            "help": "seed: wired as in the DL4SMLM package",
        },
        "width": {"default": 1.0, "min": 0.03125, "max": 4.0, "help": "multiplies the channels 32, 64, 128, 512"},
        "normalisation": {
            "default": "train_zscore",
            "choices": ["photon_scale", "train_zscore", "frame_minmax", "frame_minmax_zscore"],
            "help": "how photons are scaled; the skip carries the scaled frame",
        },
        "zero_last": {"default": True, "help": "start from an all-zero output; not with seed"},
    },
    "search": {"width": {"low": 0.25, "high": 1.0, "log": True}},
    "tiny": {"width": 0.125},
    "training": {"optimiser": "adam", "lr": 1e-3, "batch_size": 16},
    "parameters": {
        "upsampling=2": 1366473,
        "upsampling=4": 1366473,
        "upsampling=8": 1366473,
        "upsampling=8,variant=seed": 1367436,
    },
    "receptive_field_px": 7.0,
    "fidelity": "reconstruction",
    "deviations": [
        "there is no publication; the layers are those of the DL4SMLM package around the trunk of Deep-STORM",
        "the trunk is the authors' Deep-STORM: its first decoder block works at 1/8, not at 1/4 of the fine grid",
        "no biases, and a linear 3 x 3 output without batch normalisation",
        "orthogonal start and batch normalisation as in Deep-STORM; the output layer starts at zero (zero_last)",
        "the frame is upsampled by nearest neighbours inside the network, not beforehand",
        "maximum pooling comes before the ReLU: the same numbers with less memory traffic",
    ],
    "facts": {
        "translation": True,
        "multiple_fine_px": 8,
        "hint_layers": [
            {"layer": "trunk.bottleneck", "fine_px": 8},
            {"layer": "trunk.decoder.0", "fine_px": 4},
            {"layer": "trunk.decoder.1", "fine_px": 2},
            {"layer": "trunk.decoder.2", "fine_px": 1},
        ],
    },
    "variants": {
        "variant=seed": {
            "fidelity": "seed",
            "ignores": ["zero_last"],
            "receptive_field_px": 7.0,
            "facts": {
                "idle": ["*.0.bias"],
                "hint_layers": [
                    {"layer": "trunk.bottleneck", "fine_px": 4},
                    {"layer": "trunk.decoder.0", "fine_px": 2},
                    {"layer": "trunk.decoder.1", "fine_px": 1},
                    {"layer": "trunk.decoder.2", "fine_px": 1},
                ],
            },
            "deviations": [
                "wired as the DL4SMLM package, whose decoder works at twice the resolution of Deep-STORM's",
                "a bias in every convolution, which batch normalisation cancels; batch normalisation of the output",
                "frames are brought to the fine grid inside the network by nearest neighbours, there beforehand",
                "normalisation, loss, optimiser and schedule are those of the study, there the user's",
                "width, which that package does not have",
            ],
        },
    },
}

CHANNELS = (32, 64, 128, 512)


class SkipStorm(nn.Module):
    """The trunk of Deep-STORM, joined with the upsampled frame before a linear 3 x 3 output.

    Args:
        settings: As on the card.
        given: Channels, upsampling and training statistics.

    Source:
        The DL4SMLM package; there is no publication.
    """

    def __init__(self, settings: Mapping[str, Any], given: Given) -> None:
        super().__init__()
        first, second, third, deep = (max(1, round(channels * settings["width"])) for channels in CHANNELS)
        self.upsampling = given.upsampling
        self.normalisation = Normalisation(settings["normalisation"], given.statistics)
        self.trunk = Hourglass((given.channels, first, second, third), (deep, third, second, first))
        self.head = nn.Conv2d(first + given.channels, 1, 3, padding=1, bias=False)
        initialise(self, [self.head], zero_last=settings["zero_last"])

    def forward(self, frames: Tensor, frame_range: Tensor | None = None) -> Tensor:
        """Map photons (B, C, H, W) to spikes (B, 1, U*H, U*W) in label units; `frame_range` as in `Normalisation`."""
        fine = on_fine_grid(self.normalisation(frames, frame_range), self.upsampling)
        raw: Tensor = self.head(torch.cat((self.trunk(fine), fine), dim=1))
        return raw


class SeedSkipStorm(SeedNetwork):
    """Skip-STORM as the DL4SMLM package wires it: see `seed_wiring.Trunk`, and a normalised 3 x 3 output."""

    def __init__(self, settings: Mapping[str, Any], given: Given) -> None:
        super().__init__(settings, given)
        channels = widths(CHANNELS, settings)
        self.trunk = Trunk(given.channels, channels)
        self.head = seed_block(channels[0] + given.channels, 1, relu=False)

    def forward(self, frames: Tensor, frame_range: Tensor | None = None) -> Tensor:
        """Photons (B, C, H, W) to spikes (B, 1, U*H, U*W); `frame_range` as in `Normalisation`."""
        fine = self.on_fine(frames, frame_range)
        raw: Tensor = self.head(torch.cat((self.trunk(fine), fine), dim=1))
        return raw


def build(settings: Mapping[str, Any], given: Given) -> nn.Module:
    """Make a Skip-STORM network.

    Args:
        settings: All settings of the card.
        given: Channels, upsampling (1, 2, 4 or 8), pixel size and statistics of the training pixels.

    Raises:
        ConfigError: Variant seed with a setting that has no meaning there.
    """
    if settings["variant"] == "seed":
        refuse_ignored(CARD, settings)
        return SeedSkipStorm(settings, given)
    return SkipStorm(settings, given)


def receptive_field_px(settings: Mapping[str, Any], upsampling: int) -> float:
    """Camera pixels across that the output within one camera pixel can see; as published like Deep-STORM's for U > 1.

    The fine pixel that the 3 x 3 output adds each way only completes a pair that the last upsampling made of one.
    """
    return field_px("cpcpcpucucuccc" if settings["variant"] == "seed" else "cpcpcpcucucucc", upsampling)
