"""Skip-STORM: Deep-STORM whose output layer also sees the upsampled frame."""

import torch
from torch import Tensor, nn

from smlmbench.data.contracts import Given, Settings
from smlmbench.models.blocks import FineNetwork, Hourglass, field_px, refuse_ignored, widths

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
            "choices": ["photon_scale", "train_zscore", "frame_minmax", "frame_minmax_zscore", "noise_scaled"],
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


class SkipStorm(FineNetwork):
    """The trunk of Deep-STORM, joined with the upsampled frame before a linear 3 x 3 output (seed: a normalised one).

    Source:
        The DL4SMLM package; there is no publication.
    """

    def __init__(self, settings: Settings, given: Given) -> None:
        super().__init__(settings, given)
        first, second, third, deep = widths(CHANNELS, settings)
        self.trunk = Hourglass(
            (given.channels, first, second, third), (deep, third, second, first), seed=self.seed, early=self.seed
        )
        self._end(first + given.channels, 3, settings)

    def _answer(self, fine: Tensor) -> Tensor:
        raw: Tensor = self.head(torch.cat((self.trunk(fine), fine), dim=1))
        return raw


def build(settings: Settings, given: Given) -> nn.Module:
    """Make a Skip-STORM network from all settings of the card; ConfigError: one without meaning with variant seed."""
    refuse_ignored(CARD, settings)
    return SkipStorm(settings, given)


def receptive_field_px(settings: Settings, upsampling: int) -> float:
    """Camera pixels across that the output within one camera pixel can see; as published like Deep-STORM's for U > 1.

    The fine pixel that the 3 x 3 output adds each way only completes a pair that the last upsampling made of one.
    """
    return field_px("cpcpcpucucuccc" if settings["variant"] == "seed" else "cpcpcpcucucucc", upsampling)
