"""FID-STORM: all depth on the camera grid, upsampling only at the end."""

from itertools import pairwise
from math import sqrt

import torch
from torch import Tensor, nn

from smlmbench.data.contracts import Given, Settings
from smlmbench.errors import ConfigError
from smlmbench.models.blocks import FineNetwork, field_px, refuse_ignored, widths
from smlmbench.models.doubled import Doubled
from smlmbench.models.normalisation import Normalisation

CARD = {
    "version": 1,
    "summary": "Residual trunk on the camera grid and a light upsampling decoder (FID-STORM), made for speed.",
    "output": "raster",
    "upsamples": "inside",
    "settings": {
        "variant": {
            "default": "published",
            "choices": ["published", "seed"],
            "help": "seed: wired as in the DL4SMLM package: on the fine grid",
        },
        "blocks": {
            "default": 10,
            "min": 1,
            "max": 32,
            "help": "blocks of the trunk; the authors ship 5, 10 and 13; seed has 5",
        },
        "width": {"default": 1.0, "min": 0.03125, "max": 4.0, "help": "multiplies the channels 64, 32, 16"},
        "normalisation": {
            "default": "train_zscore",
            "choices": ["photon_scale", "train_zscore", "frame_minmax", "frame_minmax_zscore", "noise_scaled"],
            "help": "how photons are scaled; frame_minmax is the authors'",
        },
        "zero_last": {
            "default": False,
            "help": "start from an all-zero output; slower here, it may stay there; not with seed",
        },
        "linear_output": {
            "default": False,
            "help": "no activation on the output instead of the authors' LeakyReLU; with seed there is none",
        },
        "context": {
            "default": 1,
            "choices": [1, 3],
            "later": True,
            "help": "frames seen at once: 3 adds those before and after the one that is answered",
        },
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
        "context=3,upsampling=8": 394832,
        "upsampling=8,variant=seed": 227585,
    },
    "receptive_field_px": 25.0,
    "paper": (
        "Zhou, Wu, Wang, Huang 2023, Deep learning using a residual deconvolutional network enables real-time "
        "high-density single-molecule localization microscopy. Biomedical Optics Express 14(4):1833-1847"
    ),
    "doi": "10.1364/BOE.484540",
    "fidelity": "verified",
    "deviations": [
        "normalisation: z-score with training statistics instead of per-frame min-max (normalisation: frame_minmax)",
        "trained on spikes with a blurring loss, as in the authors' figure; their script uses MSE on heatmaps",
        "learning rate 1e-3, one cycle, clipped gradients; the authors lowered theirs to 1e-4, no schedule",
        "blocks 13: the authors' file has ReLU in its blocks; here it is LeakyReLU at every number of blocks",
        "labels: floor(x / fine pixel), colliding emitters summed (output settings label_rule, collisions)",
        "crops of files are turned and mirrored in eight ways; the authors turn all frames, by 90, 180 or 270 degrees",
        "upsampling 2 and 4: one or two of the three decoder stages left out, the last ends in one channel",
        "context 3: the frames beside the one that is answered are further channels; the authors' sees one",
    ],
    "facts": {
        "translation": True,
        "hint_layers": [
            {"layer": "trunk", "camera_px": 1},
            {"layer": "decoder.0", "camera_px": 0.5},
            {"layer": "decoder.1", "camera_px": 0.25},
        ],
    },
    "refuses": {"upsampling=1": "has no upsampling stage; variant: seed runs there"},
    "variants": {
        "variant=seed": {
            "fidelity": "seed",
            "ignores": ["blocks", "zero_last", "linear_output"],
            "receptive_field_px": 5.0,
            "facts": {
                "idle": ["trunk.blocks.*.0.bias"],
                "hint_layers": [
                    {"layer": "trunk", "fine_px": 1},
                    {"layer": "decoder.0", "fine_px": 1},
                    {"layer": "decoder.1", "fine_px": 1},
                ],
            },
            "upsamples": "before",
            "refuses": {},
            "deviations": [
                "wired as the DL4SMLM package: all layers on the fine grid, 5 blocks, the first maps joined, not added",
                "a bias in every convolution, which batch normalisation cancels in the blocks",
                "no activation after the first and the last three convolutions; that of the blocks is the authors'",
                "frames are brought to the fine grid inside the network by nearest neighbours, there beforehand",
                "normalisation, loss, optimiser and schedule are those of the study, there the user's",
                "width, which that package does not have",
            ],
        },
        "context=3": {},
    },
}

CHANNELS = (64, 32, 16)  # of the trunk and of all decoder stages but the last
SECOND_STAGE_STD = 0.001  # the authors' initialisation singles out the convolution with 32 input channels
SLOPE = 0.01
SEED_BLOCKS = 5


class Trunk(nn.Module):
    """Input convolution, plain blocks, and their sum over one global skip; (B, C, H, W) to (B, channels, H, W).

    With seed biases, no activation after the first convolution, and both maps joined: (B, 2 channels, H, W).
    """

    def __init__(self, inside: int, channels: int, blocks: int, *, seed: bool = False) -> None:
        super().__init__()
        self.seed = seed
        first = _conv(inside, channels, bias=seed)
        self.first = first if seed else nn.Sequential(first, nn.LeakyReLU(SLOPE, inplace=True))
        self.blocks = nn.Sequential()
        for _ in range(blocks):
            convolution, active = _conv(channels, channels, bias=seed), nn.LeakyReLU(SLOPE, inplace=True)
            self.blocks.append(nn.Sequential(convolution, nn.BatchNorm2d(channels), active))

    def forward(self, frames: Tensor) -> Tensor:
        """Features of the size of the input."""
        maps: Tensor = self.first(frames)
        deep: Tensor = self.blocks(maps)
        return torch.cat((maps, deep), dim=1) if self.seed else maps + deep


class FidStorm(nn.Module):
    """A trunk on the camera grid, then log2(U) stages of nearest upsampling and convolution.

    Source:
        Layers of the authors' myModel.py; Zhou et al. 2023, doi:10.1364/BOE.484540.
    """

    def __init__(self, settings: Settings, given: Given) -> None:
        super().__init__()
        trunk, *inner = widths(CHANNELS, settings)
        stages = given.upsampling.bit_length() - 1
        pairs = enumerate(pairwise((trunk, *inner[: stages - 1], int(given.output.get("colours", 1)))), start=1)
        self.normalisation = Normalisation(settings["normalisation"], given.statistics)
        self.trunk = Trunk(given.channels, trunk, settings["blocks"])
        self.decoder = nn.ModuleList(
            [_stage(*pair, linear=settings["linear_output"] and stage == stages) for stage, pair in pairs]
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
        """Map photons (B, C, H, W) to spikes (B, K, U*H, U*W) in label units; `frame_range` as in `Normalisation`."""
        maps: Tensor = self.trunk(self.normalisation(frames, frame_range))
        for stage in self.decoder:
            maps = stage(maps)
        return maps


class SeedFidStorm(FineNetwork):
    """FID-STORM as the DL4SMLM package wires it: nothing is upsampled, and the last three convolutions are linear."""

    def __init__(self, settings: Settings, given: Given) -> None:
        super().__init__(settings, given)
        trunk, *inner = widths(CHANNELS, settings)
        self.trunk = Trunk(given.channels, trunk, SEED_BLOCKS, seed=True)
        self.decoder = nn.Sequential(*(_conv(*pair, bias=True) for pair in pairwise((2 * trunk, *inner, self.colours))))

    def _answer(self, fine: Tensor) -> Tensor:
        raw: Tensor = self.decoder(self.trunk(fine))
        return raw


def _stage(inside: int, outside: int, *, linear: bool) -> nn.Sequential:
    convolution = _conv(inside, outside)
    return Doubled(convolution) if linear else Doubled(convolution, nn.LeakyReLU(SLOPE, inplace=True))


def _conv(inside: int, outside: int, *, bias: bool = False) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, 3, padding=1, bias=bias)


def build(settings: Settings, given: Given) -> nn.Module:
    """Make a FID-STORM network from all settings of the card.

    Raises:
        ConfigError: Variant seed with a setting without meaning there, or variant published at upsampling 1.
    """
    refuse_ignored(CARD, settings)
    if settings["variant"] == "seed":
        return SeedFidStorm(settings, given)
    if given.upsampling == 1:
        raise ConfigError("fid_storm has no upsampling stage at upsampling 1; take variant: seed or upsampling 2, 4, 8")
    return FidStorm(settings, given)


def receptive_field_px(settings: Settings, upsampling: int) -> float:
    """Camera pixels across that the output within one camera pixel can see; the decoder adds one pixel each way."""
    if settings["variant"] == "seed":
        return field_px("c" * (1 + SEED_BLOCKS + len(CHANNELS)), upsampling)
    return 2.0 * (int(settings["blocks"]) + 2) + 1
