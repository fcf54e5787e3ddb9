"""SRCNN: three convolutions on the interpolated frame; a deliberately small baseline."""

from math import floor
from typing import cast

from torch import Tensor, nn

from smlmbench.data.contracts import Given, Settings
from smlmbench.models.blocks import FineNetwork, field_px, refuse_ignored, seed_block, widths

CARD = {
    "version": 1,
    "summary": "Three convolutions on the interpolated frame (SRCNN), the smallest baseline.",
    "output": "raster",
    "upsamples": "before",
    "settings": {
        "variant": {
            "default": "published",
            "choices": ["published", "seed"],
            "help": "seed: wired as in the DL4SMLM package: kernels 3-1-3, normalised",
        },
        "kernels": {
            "default": "9-1-5",
            "choices": ["9-1-5", "9-5-5", "3-1-3"],
            "help": "sizes of the three layers; 3-1-3 sees less than a camera pixel at upsampling 8; not with seed",
        },
        "interpolation": {
            "default": "bicubic",
            "choices": ["bicubic", "nearest"],
            "help": "how the frame is brought to the fine grid, inside the network; not with seed (nearest)",
        },
        "width": {"default": 1.0, "min": 0.03125, "max": 4.0, "help": "multiplies the channels 64, 32"},
        "normalisation": {
            "default": "train_zscore",
            "choices": ["photon_scale", "train_zscore", "frame_minmax", "frame_minmax_zscore", "noise_scaled"],
            "help": "how photons are scaled",
        },
        "zero_last": {"default": True, "help": "start from an all-zero output; not with seed"},
    },
    "search": {
        "kernels": {"choices": ["9-1-5", "9-5-5"]},
        "width": {"low": 0.25, "high": 1.0, "log": True},
    },
    "tiny": {"kernels": "3-1-3", "width": 0.25},
    "training": {"optimiser": "adam", "lr": 1e-3, "batch_size": 16},
    "parameters": {
        "upsampling=2": 8129,
        "upsampling=4": 8129,
        "upsampling=8": 8129,
        "kernels=9-5-5,upsampling=8": 57281,
        "kernels=3-1-3,upsampling=8": 3009,
        "upsampling=8,variant=seed": 3203,
    },
    "receptive_field_px": 7.0,
    "paper": (
        "Dong, Loy, He, Tang 2016, Image super-resolution using deep convolutional networks. IEEE Transactions on"
        " Pattern Analysis and Machine Intelligence"
    ),
    "doi": "10.1109/TPAMI.2015.2439281",
    "fidelity": "reconstruction",
    "deviations": [
        "layers as several re-implementations agree; the paper's optimiser, rates and start were not reachable",
        "He start with zero biases, the output layer at zero (zero_last: false starts it at random too)",
        "zero padding keeps the size; the original shrinks its training patches",
        "trained for spikes with the study's loss instead of MSE on natural images",
        "normalisation: z-score with training statistics",
        "kernels 3-1-3 have no batch normalisation",
    ],
    "facts": {
        "translation": True,
        "hint_layers": [
            {"layer": "mapping", "fine_px": 1},
            {"layer": "extraction", "fine_px": 1},
        ],
    },
    "variants": {
        "variant=seed": {
            "fidelity": "seed",
            "ignores": ["kernels", "interpolation", "zero_last"],
            "receptive_field_px": 3.0,
            "facts": {"idle": ["*.0.bias"]},
            "deviations": [
                "wired as the DL4SMLM package: kernels 3-1-3, batch normalisation after each, also the last",
                "a bias in every convolution, which batch normalisation cancels",
                "frames are brought to the fine grid inside the network by nearest neighbours, there beforehand",
                "normalisation, loss, optimiser and schedule are those of the study, there the user's",
                "width, which that package does not have",
            ],
        },
    },
}

CHANNELS = (64, 32)


class Srcnn(FineNetwork):
    """Interpolation, patch extraction, non-linear map, reconstruction; seed: kernels 3, 1, 3, each normalised.

    Source:
        Dong et al. 2016, doi:10.1109/TPAMI.2015.2439281, as described by its re-implementations.
    """

    def __init__(self, settings: Settings, given: Given) -> None:
        super().__init__(settings, given)
        first, second = widths(CHANNELS, settings)
        if self.seed:
            self.extraction = seed_block(given.channels, first)
            self.mapping = seed_block(first, second, 1)
            self.head: nn.Module = seed_block(second, self.colours, relu=False)
            return
        kernels = _kernels(settings)
        self.interpolation = settings["interpolation"]
        self.extraction = nn.Sequential(_conv(given.channels, first, kernels[0]), nn.ReLU(inplace=True))
        self.mapping = nn.Sequential(_conv(first, second, kernels[1]), nn.ReLU(inplace=True))
        self.head = head = _conv(second, self.colours, kernels[2])
        if settings["zero_last"]:
            nn.init.zeros_(head.weight)

    def _answer(self, fine: Tensor) -> Tensor:
        raw: Tensor = self.head(self.mapping(self.extraction(fine)))
        return raw


def _kernels(settings: Settings) -> list[int]:
    return [int(side) for side in settings["kernels"].split("-")]


def _conv(inside: int, outside: int, kernel: int) -> nn.Conv2d:
    convolution = nn.Conv2d(inside, outside, kernel, padding=kernel // 2)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    nn.init.zeros_(cast("Tensor", convolution.bias))
    return convolution


def build(settings: Settings, given: Given) -> nn.Module:
    """Make an SRCNN network from all settings of the card; ConfigError: one without meaning with variant seed."""
    refuse_ignored(CARD, settings)
    return Srcnn(settings, given)


def receptive_field_px(settings: Settings, upsampling: int) -> float:
    """Camera pixels across that the output within one camera pixel can see, interpolation included."""
    if settings["variant"] == "seed":
        return field_px("cc", upsampling)
    reach = sum(kernel // 2 for kernel in _kernels(settings))
    if settings["interpolation"] == "nearest" or upsampling == 1:
        return 2.0 * -floor(-reach / upsampling) + 1
    outermost = floor((0.5 - reach) / upsampling - 0.5) - 1
    return -2.0 * outermost + 1
