"""BGnet: a small U-Net from a crop with one emitter to the background beneath it."""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from smlmbench.data.contracts import Given, Settings
from smlmbench.models.blocks import field_px
from smlmbench.outputs.background_map import brightest

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "U-Net of two or three poolings from a crop to its background (BGnet).",
    "output": "background_map",
    "upsamples": "inside",
    "settings": {
        "levels": {
            "default": 0,
            "choices": [0, 3, 4],
            "help": "encoder levels; 0: 4 for crops of 40 px and more, else 3",
        },
        "width": {"default": 1.0, "min": 0.05, "max": 4.0, "help": "factor of all channel numbers"},
    },
    "search": {"width": {"low": 0.25, "high": 1.5, "log": True}, "levels": {"choices": [3, 4]}},
    "tiny": {"width": 0.1},
    "training": {"optimiser": "adam", "lr": 1e-3, "batch_size": 128},
    "parameters": {"levels=3": 266593, "levels=4": 1743457},
    "receptive_field_px": 49.0,
    "losses": [{"name": "background_mse"}],
    "paper": (
        "Moeckl, Roy, Petrov, Moerner 2020, Accurate and rapid background estimation in single-molecule "
        "localization microscopy using the deep neural network BGnet. Proceedings of the National Academy of "
        "Sciences 117(1):60-67"
    ),
    "doi": "10.1073/pnas.1916219117",
    "fidelity": "reconstruction",
    "deviations": [
        "order of layers and numbers of filters are the paper's (caption of its Fig. 1); batch normalisation and ReLU "
        "are stated there for the first level alone, here they follow every convolution but the last",
        "not found: kernel size; 3 x 3 with zero padding, also in the last layer",
        "not found: convolutions of a decoder level; two, with the filters of the encoder level beside it",
        "not found: scaling of the input; each crop is divided by its maximum, the answer multiplied by it",
        "not found: loss, optimiser, batch and number of epochs; squared error over the crop's maximum, Adam at 1e-3, "
        "batches of 128",
        "not found: training data beyond 'structured backgrounds of many spatial frequencies'; see background_crops",
        "crops of other sides than 12, 20 and 40 px are taken too, halves rounded up at every pooling",
    ],
    "facts": {
        "idle": ["*.0.bias", "*.3.bias"],
        "hint_layers": [{"layer": "bottom", "fine_px": 4}, {"layer": "last", "fine_px": 1}],
        "review": {
            "row": 7,
            "input": "crop of one PSF with structured background, 12, 20 or 40 px",
            "output": "background image of the same size in photons per pixel; the PSF is the input minus it",
            "training_data": "simulated PSFs (open aperture, double helix, arbitrary, tetrapod), structured background",
            "architecture": "U-Net of 2 or 3 poolings, 16 to 256 filters",
        },
        "review_says": {"output": "intensity"},
    },
}

FILTERS = (16, 32, 128, 256)
DEEP_FROM_PX = 40


class Bgnet(nn.Module):
    """Encoder of pooled pairs of convolutions, decoder with the encoder's maps beside, a linear 3 x 3 output.

    Source:
        Moeckl et al. 2020, doi:10.1073/pnas.1916219117.
    """

    per_frame = True  # the scale is that of the whole crop

    def __init__(self, settings: Settings, given: Given) -> None:
        super().__init__()
        levels = settings["levels"] or (4 if max(given.unit_sides, default=0) >= DEEP_FROM_PX else 3)
        filters = [max(1, round(count * settings["width"])) for count in FILTERS[:levels]]
        self.encoder = nn.ModuleList(
            [_pair(before, after) for before, after in zip((given.channels, *filters), filters[:-1], strict=False)]
        )
        self.bottom = _pair(filters[-2], filters[-1])
        self.decoder = nn.ModuleList([_pair(below + own, own) for own, below in pairwise(filters)])
        self.last = nn.Conv2d(filters[0], 1, 3, padding=1)

    def forward(self, crops: Tensor, frame_range: Tensor | None = None) -> Tensor:
        """Background (B, 1, H, W) in photons of crops (B, C, H, W) in photons.

        `frame_range` (B, 2), lowest and highest value of the whole crop, where `crops` are parts of larger ones.
        """
        scale = brightest(crops if frame_range is None else frame_range[:, 1].reshape(-1, 1, 1, 1))
        maps, kept = crops / scale, []
        for level in self.encoder:
            maps = level(maps)
            kept.append(maps)
            maps = functional.max_pool2d(maps, 2, ceil_mode=True)
        maps = self.bottom(maps)
        for level, beside in zip(reversed(self.decoder), reversed(kept), strict=True):
            above = functional.interpolate(maps, size=beside.shape[-2:], mode="nearest")
            maps = level(torch.cat((beside, above), dim=1))
        background: Tensor = self.last(maps) * scale
        return background


def _pair(inside: int, outside: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, padding=1),
        nn.BatchNorm2d(outside),
        nn.ReLU(inplace=True),
        nn.Conv2d(outside, outside, 3, padding=1),
        nn.BatchNorm2d(outside),
        nn.ReLU(inplace=True),
    )


def build(settings: Settings, given: Given) -> nn.Module:
    """Make the network from all settings of the card."""
    return Bgnet(settings, given)


def receptive_field_px(settings: Settings, upsampling: int) -> float:
    """Pixels across that the background of one can see, beside the maximum of the crop."""
    poolings = (settings["levels"] or 3) - 1
    return field_px("ccp" * poolings + "cc" + "ucc" * poolings + "c", upsampling)
