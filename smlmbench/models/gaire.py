"""Gaire: a residual network from sparse images of two or three colours, some of them mistaken, to dense clean ones."""

import torch
from torch import Tensor, nn

from smlmbench.data.contracts import Given, Settings
from smlmbench.data.rendered import BESIDE

CARD = {
    "version": 1,
    "summary": "Residual convolutions from sparse images of all colours to dense ones without cross-talk (Gaire 2020).",
    "output": "dense_image",
    "upsamples": "none",
    "settings": {
        "width": {"default": 64, "min": 4, "max": 256, "help": "maps of all layers but the last two"},
        "blocks": {"default": 8, "min": 1, "max": 32, "help": "residual blocks of two layers"},
        "last": {"default": 32, "min": 2, "max": 256, "help": "maps before the last layer"},
        "zero_last": {"default": True, "help": "start from the sparse images as they are, blocks as nothing"},
    },
    "search": {"width": {"low": 16, "high": 64, "log": True}, "blocks": {"low": 2, "high": 8}},
    "tiny": {"width": 8, "blocks": 1, "last": 4},
    "training": {"optimiser": "adam", "lr": 1e-4, "batch_size": 16},
    "losses": [{"name": "dense_error"}],
    "parameters": {"blocks=8,width=64": 622368},
    "receptive_field_px": 47.0,
    "paper": (
        "Gaire, Zhang Y., Li, Yu, Zhang H.F., Ying 2020, Accelerating multicolor spectroscopic single-molecule "
        "localization microscopy using deep learning. Biomedical Optics Express 11(5):2705-2721"
    ),
    "doi": "10.1364/BOE.391806",
    "fidelity": "reconstruction",
    "deviations": [
        "not found: the layers; 9 x 9, residual blocks of 3 x 3 with batch normalisation, 3 x 3, 5 x 5, and a skip",
        "not found: patch, render pixel, loss, optimiser, epochs, metrics; those of the study",
        "one network sees all colours at once, so that it can tell them apart; how the paper joins them was not found",
        "trained on simulated structures with localizations of a wrong colour; the paper's are experimental alone",
        "the last layer starts at zero, so that the first answer is the sparse image (zero_last); so do the blocks",
        "sparse images are over their own 99.9 percentile, dense ones over a typical brightest pixel of theirs, so "
        "that the skip begins at the right brightness",
        "the widefield and the code of the structure's kind are not looked at",
    ],
    "facts": {
        "translation": True,
        "multiple_fine_px": 1,
        "hint_layers": [{"layer": "first", "camera_px": 1}, {"layer": "trunk", "camera_px": 1}],
        "review": {
            "row": 6,
            "input": "low-density rendered images of several colours, contaminated by cross-talk",
            "output": "dense clean images of each colour",
            "training_data": "experimental images",
            "architecture": "deep convolutional networks; layers not found",
        },
        "review_says": {"input": "images of individual PSFs"},
    },
}


class Block(nn.Module):
    """Two 3 x 3 convolutions, each followed by batch normalisation, and what they were given (zero: at first that)."""

    def __init__(self, width: int, *, zero: bool) -> None:
        super().__init__()
        last = nn.BatchNorm2d(width)
        if zero:
            nn.init.zeros_(last.weight)
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            last,
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Maps of the same shape."""
        added: Tensor = maps + self.layers(maps)
        return added


class Gaire(nn.Module):
    """First layer, residual blocks, two layers, and the sparse images added to what they say.

    Source:
        Gaire et al. 2020, Biomed. Opt. Express 11(5):2705; the layers are a reconstruction.
    """

    scale: Tensor

    def __init__(self, settings: Settings, given: Given) -> None:
        super().__init__()
        width, last = settings["width"], settings["last"]
        self.colors = int(given.output.get("colors", max(1, given.channels - BESIDE)))
        self.register_buffer("scale", torch.tensor(float(given.statistics.high)))
        self.first = nn.Sequential(nn.Conv2d(self.colors, width, 9, padding=4), nn.ReLU(inplace=True))
        zero = bool(settings["zero_last"])
        self.trunk = nn.Sequential(*(Block(width, zero=zero) for _ in range(settings["blocks"])))
        self.mixed = nn.Sequential(nn.Conv2d(width, last, 3, padding=1), nn.ReLU(inplace=True))
        self.head = nn.Conv2d(last, self.colors, 5, padding=2, bias=False)
        if zero:
            nn.init.zeros_(self.head.weight)

    def forward(self, given: Tensor) -> Tensor:
        """Map sparse images, a widefield and a code (B, K + 2, H, W) to dense images (B, K, H, W), 1 being bright."""
        sparse = given[:, : self.colors] / self.scale
        answer: Tensor = sparse + self.head(self.mixed(self.trunk(self.first(sparse))))
        return answer


def build(settings: Settings, given: Given) -> nn.Module:
    """Make the network from all settings of the card."""
    return Gaire(settings, given)


def receptive_field_px(settings: Settings, upsampling: int) -> float:
    """Pixels across that one pixel of the answer can see."""
    del upsampling
    return 2.0 * (4 + 2 * int(settings["blocks"]) + 1 + 2) + 1
