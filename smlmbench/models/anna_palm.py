"""ANNA-PALM: a U-Net of strided convolutions that is told the kind of structure on every level."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from smlmbench.data.contracts import Given, Settings
from smlmbench.losses.anna_palm import seen, started

CARD = {
    "version": 1,
    "summary": "Conditional adversarial U-Net from a sparse image and a widefield to a dense image (ANNA-PALM)",
    "output": "dense_image",
    "upsamples": "none",
    "settings": {
        "levels": {"default": 8, "choices": [3, 4, 5, 6, 7, 8], "help": "halvings of the sides"},
        "width": {"default": 64, "min": 4, "max": 256, "help": "maps of the first level; doubled thrice"},
        "dropout": {"default": 0.5, "min": 0.0, "max": 0.9, "help": "after the three deepest of the decoder"},
    },
    "search": {"levels": {"choices": [4, 5, 6]}, "width": {"low": 8, "high": 64, "log": True}},
    "tiny": {"levels": 3, "width": 4},
    "training": {
        "optimiser": "adam_half", "lr": 2e-4, "batch_size": 1, "schedule": "constant", "clip": None, "samples": 200000,
    },
    "parameters": {"levels=8": 39158464, "levels=6,width=16": 1335216},
    "receptive_field_px": 1277.0,
    "losses": [{"name": "anna_palm"}],
    "paper": (
        "Ouyang et al. 2018, Deep learning massively accelerates super-resolution localization microscopy. Nature"
        " Biotechnology 36:460"
    ),
    "doi": "10.1038/nbt.4106",
    "fidelity": "verified",
    "deviations": [
        "dropout is off when it answers, so that answers repeat; in the authors' graph it stays on",
        "each image is normalised by its own statistics, in training too: batch normalisation without averages, in "
        "the authors' batches of one",
        "frames are padded to multiples of 2^(levels + 1), so that the deepest maps have 2 x 2 pixels, one having no "
        "spread",
        "sides of 128 px and other settings of the studies here; the authors crop 512 px, turned and bent elastically",
        "not found: whether the control joins before or behind the normalisation, which would take it away; behind it",
    ],
    "facts": {
        "multiple_fine_px": 512,
        "idle": [],
        "review": {
            "row": 5,
            "input": "sparse rendered localization histogram (optional widefield, kind of structure)",
            "output": "dense super-resolution image",
            "training_data": "experimental and simulated pairs of sparse and dense images",
            "architecture": "conditional GAN with a U-Net generator",
        },
        "review_says": {"input": "image sequences"},
    },
    "variants": {
        "levels=3": {"facts": {"multiple_fine_px": 16}},
        "levels=4": {"facts": {"multiple_fine_px": 32}},
        "levels=5": {"facts": {"multiple_fine_px": 64}},
        "levels=6": {"facts": {"multiple_fine_px": 128}},
        "levels=7": {"facts": {"multiple_fine_px": 256}},
    },
}  # fmt: skip

DROPPED = 3  # of the decoder's levels


class Down(nn.Module):
    """Halves the sides; the control joins behind the normalisation."""

    def __init__(self, inside: int, outside: int, *, first: bool) -> None:
        super().__init__()
        self.first = first
        self.conv = nn.Conv2d(inside, outside, 4, 2, 1, bias=False)
        self.norm = None if first else nn.InstanceNorm2d(outside, affine=True)
        self.control = nn.Conv2d(1, outside, 1, bias=False)

    def forward(self, maps: Tensor, code: Tensor) -> Tensor:
        """Maps (B, F, H, W) with the code (B, 1, 1, 1)."""
        maps = self.conv(maps if self.first else functional.leaky_relu(maps, 0.2))
        maps = maps if self.norm is None else self.norm(maps)
        told: Tensor = maps + self.control(code)
        return told


class Up(nn.Module):
    """Doubles the sides by repetition and a convolution."""

    def __init__(self, inside: int, outside: int, dropout: float, *, last: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, 3, padding=1, bias=False)
        self.norm = None if last else nn.InstanceNorm2d(outside, affine=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, F, H, W)."""
        maps = self.conv(functional.interpolate(functional.relu(maps), scale_factor=2.0, mode="nearest"))
        dropped: Tensor = maps if self.norm is None else self.dropout(self.norm(maps))
        return dropped


class AnnaPalm(nn.Module):
    """Inputs (B, K + 2, H, W) of sparse images, widefield and code to dense images (B, K, H, W) in 0 .. 1.

    Source:
        Layers of the authors' repository; Ouyang et al. 2018, doi:10.1038/nbt.4106.
    """

    def __init__(self, settings: Settings, given: Given) -> None:
        super().__init__()
        levels, width = settings["levels"], settings["width"]
        wide = [width * min(2**level, 8) for level in range(levels)]
        inside = [given.channels - 1, *wide]
        self.down = nn.ModuleList([Down(*pair, first=not at) for at, pair in enumerate(pairwise(inside))])
        self.up = nn.ModuleList()
        for at, level in enumerate(reversed(range(levels))):
            outside = wide[level - 1] if level else given.channels - 2
            dropout = settings["dropout"] if at < DROPPED else 0.0
            self.up.append(Up(wide[level] * (2 if at else 1), outside, dropout, last=level == 0))
        started(self)

    def forward(self, given: Tensor) -> Tensor:
        """Dense images, 1 being a typical brightest pixel of training."""
        shown = seen(given)
        maps, code = shown[:, :-1], shown[:, -1:].amax(dim=(2, 3), keepdim=True)
        kept: list[Tensor] = []
        for down in self.down:
            maps = down(maps, code)
            kept.append(maps)
        maps = kept.pop()
        for at, up in enumerate(self.up):
            maps = up(torch.cat((maps, kept.pop()), dim=1) if at else maps)
        return (torch.tanh(maps) + 1) / 2


def build(settings: Settings, given: Given) -> nn.Module:
    """Make the generator from all settings of the card."""
    return AnnaPalm(settings, given)
