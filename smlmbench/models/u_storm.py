"""U-STORM: a small U-Net on the fine grid."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from smlmbench.data.contracts import Given, Settings
from smlmbench.models.blocks import FineNetwork, block, field_px, refuse_ignored, seed_block, widths

CARD = {
    "version": 1,
    "summary": "Small U-Net with a thin decoder on the nearest-upsampled frame (U-STORM).",
    "output": "raster",
    "upsamples": "before",
    "settings": {
        "variant": {
            "default": "published",
            "choices": ["published", "seed"],
            "help": "seed: wired as in the DL4SMLM package",
        },
        "width": {"default": 1.0, "min": 0.0625, "max": 4.0, "help": "multiplies the channels 32, 64, 128, 32, 16"},
        "normalisation": {
            "default": "train_zscore",
            "choices": ["photon_scale", "train_zscore", "frame_minmax", "frame_minmax_zscore", "noise_scaled"],
            "help": "how photons are scaled",
        },
        "zero_last": {"default": True, "help": "start from an all-zero output; not with seed"},
    },
    "search": {"width": {"low": 0.25, "high": 2.0, "log": True}},
    "tiny": {"width": 0.25},
    "training": {"optimiser": "adam", "lr": 1e-3, "batch_size": 16},
    "parameters": {
        "upsampling=2": 143728,
        "upsampling=4": 143728,
        "upsampling=8": 143728,
        "upsampling=8,variant=seed": 144003,
    },
    "receptive_field_px": 5.0,
    "paper": "Yao W. et al. 2018 (a U-Net for pansharpening). Neurocomputing 312:364-371",
    "fidelity": "reconstruction",
    "deviations": [
        "the paper gives the idea of a U-Net for regression; its layers were not reachable and it is not about SMLM",
        "layers of the DL4SMLM package: the skips are the first maps and the pooled second ones, as there",
        "a linear output without batch normalisation and ReLU, which can die; no biases",
        "orthogonal start and batch normalisation as in Deep-STORM; the output layer starts at zero (zero_last)",
        "the frame is upsampled by nearest neighbours inside the network, not beforehand",
        "maximum pooling comes before the ReLU: the same numbers with less memory traffic",
    ],
    "facts": {
        "translation": True,
        "multiple_fine_px": 4,
        "hint_layers": [
            {"layer": "bottleneck", "fine_px": 4},
            {"layer": "decoder", "fine_px": 2},
            {"layer": "first", "fine_px": 1},
        ],
    },
    "variants": {
        "variant=seed": {
            "fidelity": "seed",
            "ignores": ["zero_last"],
            "receptive_field_px": 5.0,
            "facts": {"idle": ["*.0.bias"]},
            "deviations": [
                "wired as the DL4SMLM package: its output ends in batch normalisation and ReLU, and can die",
                "a bias in every convolution, which batch normalisation cancels",
                "frames are brought to the fine grid inside the network by nearest neighbours, there beforehand",
                "normalisation, loss, optimiser and schedule are those of the study, there the user's",
                "width, which that package does not have",
            ],
        },
    },
}

CHANNELS = (32, 64, 128, 32, 16)


class UStorm(FineNetwork):
    """Two poolings, two upsamplings with skips, a linear 1 x 1 output.

    Variant seed has biases, poolings after the skips, and an output of batch normalisation and ReLU: nowhere negative.

    Source:
        The DL4SMLM package, after the idea of Yao W. et al. 2018, Neurocomputing 312:364-371.
    """

    def __init__(self, settings: Settings, given: Given) -> None:
        super().__init__(settings, given)
        part: Callable[..., nn.Sequential] = seed_block if self.seed else block
        first, second, third, deep, last = widths(CHANNELS, settings)
        self.first = part(given.channels, first)
        self.second = part(first, second, pool=True)
        self.third = part(second, third, pool=True)
        self.bottleneck = part(third, deep)
        self.decoder = part(second + deep, last)
        self._end(first + last, 1, settings, seed_relu=True)

    def _answer(self, fine: Tensor) -> Tensor:
        full = self.first(fine)
        half = self.second(full)
        deep = self.bottleneck(self.third(half))
        thin = self.decoder(_joined(half, deep))
        raw: Tensor = self.head(_joined(full, thin))
        return raw


def _joined(skip: Tensor, coarse: Tensor) -> Tensor:
    return torch.cat((skip, functional.interpolate(coarse, size=skip.shape[-2:], mode="nearest")), dim=1)


def build(settings: Settings, given: Given) -> nn.Module:
    """Make a U-STORM network from all settings of the card; ConfigError: one without meaning with variant seed."""
    refuse_ignored(CARD, settings)
    return UStorm(settings, given)


def receptive_field_px(settings: Settings, upsampling: int) -> float:  # noqa: ARG001
    """Camera pixels across that the output within one camera pixel can see, the same in both variants."""
    return field_px("ccpcpcucu", upsampling)
