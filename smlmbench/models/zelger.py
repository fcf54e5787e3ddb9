"""Zelger et al. 2018: a small convolutional network that tells position, depth, photons, background and aberrations.

Of the paper only task, outputs and headline are known; the layers are those of our specification.
"""

import torch
from torch import Tensor, nn

from smlmbench.data.contracts import Given, Settings, Statistics
from smlmbench.errors import ConfigError
from smlmbench.outputs.parameters import columns

CARD = {
    "version": 1,
    "summary": "Convolutions and two dense layers: position, photons, background, aberrations of a crop (Zelger 2018).",
    "output": "parameters",
    "upsamples": "none",
    "settings": {
        "width": {
            "default": 32,
            "min": 2,
            "max": 256,
            "help": "maps of the first level; twice and 4 times at the next",
        },
        "hidden": {"default": 256, "min": 2, "max": 4096, "help": "units of the dense layer before the last"},
        "scaling": {
            "default": "signal",
            "choices": ["signal", "root"],
            "help": "signal: less the darkest pixels, over the root of the mean; root: 2 sqrt(x + 3/8), of noise 1",
        },
    },
    "search": {
        "width": {"low": 8, "high": 64, "log": True},
        "hidden": {"choices": [64, 128, 256, 512]},
        "scaling": {"choices": ["signal", "root"]},
    },
    "tiny": {"width": 4, "hidden": 16},
    "training": {"optimiser": "adam", "lr": 1e-3, "batch_size": 128},
    "losses": [{"name": "crlb_mse", "weighting": "none"}],
    "parameters": {"side_px=16": 664997},
    "receptive_field_px": 65535.0,
    "paper": (
        "Zelger et al. 2018, Three-dimensional localization microscopy using deep learning. Optics Express 26(25):33166"
    ),
    "doi": "10.1364/OE.26.033166",
    "fidelity": "reconstruction",
    "deviations": [
        "not found: size of a crop; here that of the data, 16 px by default",
        "not found: PSF model; here that of the study",
        "not found: layers; here convolutions of 3 x 3 with 32, 32, 64, 64 and 128 maps, each with batch normalisation "
        "and ReLU, two poolings by 2, a dense layer of 256 with ReLU",
        "not found: loss; here the mean squared error of standardised parameters, all alike",
        "not found: optimiser; here Adam, rate 1e-3, one cycle, batches of 128",
        "not found: photons, depths and background of the training images; here those of the study",
        "not found: scaling of the images; here less the darkest training pixels, over the root of their mean signal",
        "not found: which Zernike modes are told; here those that vary in the training data and are asked",
        "not found: hardware of the 22,000 localizations/s",
        "the training images are simulated; of experimental beads only tests are known",
    ],
    "facts": {
        "hint_layers": [{"layer": "features.4", "camera_px": 2}, {"layer": "features.6", "camera_px": 4}],
        "review": {
            "row": 3,
            "input": "images of single PSFs",
            "output": "x, y, z, signal and background, on wish magnitudes of Zernike modes",
            "training_data": "simulated images; tested on fluorescent beads",
            "architecture": "convolutional network (its layers were not found)",
        },
        "review_says": {"training_data": "simulated and experimental bead images"},
    },
}

LEVELS = (1, 1, 0, 2, 2, 0, 4)  # maps of convolutions in units of the width; 0: pooling by 2
ANSCOMBE = 3 / 8
LEAST_SIDE_PX = 4


class CropScaling(nn.Module):
    """Photons as the first layer takes them; statistics of training pixels are kept as buffers."""

    offset: Tensor
    scale: Tensor

    def __init__(self, kind: str, statistics: Statistics) -> None:
        super().__init__()
        self.root = kind == "root"
        signal = max(statistics.mean - statistics.low, 1.0)
        self.register_buffer("offset", torch.tensor(float(statistics.low)))
        self.register_buffer("scale", torch.tensor(signal**-0.5))

    def forward(self, crops: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        if self.root:
            return 2 * (crops.clamp_min(0.0) + ANSCOMBE).sqrt()
        return (crops - self.offset) * self.scale


class Zelger(nn.Module):
    """Crops in photons (B, C, side, side) to raw parameters (B, P): those that the data ask, in their order.

    Source:
        Zelger et al. 2018, doi:10.1364/OE.26.033166, as far as it is known; see the card.
    """

    def __init__(self, settings: Settings, given: Given) -> None:
        super().__init__()
        rows, across = given.unit_sides or (16, 16)
        if min(rows, across) < LEAST_SIDE_PX:
            said = f"crops of {across} x {rows} px vanish in two poolings"
            raise ConfigError(f"zelger: {said}; give crops of {LEAST_SIDE_PX} x {LEAST_SIDE_PX} px or more")
        self.scaling = CropScaling(settings["scaling"], given.statistics)
        inside, layers = given.channels, list[nn.Module]()
        for level in LEVELS:
            outside = level * settings["width"] or inside
            layers.append(_convolved(inside, outside) if level else nn.MaxPool2d(2))
            inside = outside
        self.features = nn.Sequential(*layers)
        self.dense = nn.Sequential(
            nn.Flatten(),
            nn.Linear(inside * (rows // 4) * (across // 4), settings["hidden"]),
            nn.ReLU(inplace=True),
        )
        self.last = nn.Linear(settings["hidden"], len(columns(given.output)))

    def forward(self, crops: Tensor) -> Tensor:
        """Standardised parameters."""
        raw: Tensor = self.last(self.dense(self.features(self.scaling(crops))))
        return raw


def _convolved(inside: int, outside: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)
    )


def build(settings: Settings, given: Given) -> nn.Module:
    """Make the network from all settings of the card."""
    return Zelger(settings, given)
