"""LiteLoc: dilated convolutions at half the resolution, frames joined late, and one small U-Net: made for speed."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from smlmbench.data.contracts import Given, Settings
from smlmbench.models.blocks import field_px
from smlmbench.models.mixture import MixtureHeads, PhotonScaling, of_each_frame, start

CARD = {
    "version": 1,
    "summary": "Dilated convolutions at half the resolution and a small U-Net, for speed (LiteLoc).",
    "output": "gaussian_mixture",
    "upsamples": "inside",
    "settings": {
        "context": {"default": 3, "choices": [1, 3, 5], "help": "frames seen at once, the middle one is answered"},
        "features": {"default": 64, "min": 2, "max": 256, "help": "channels"},
        "dilations": {"default": 4, "min": 1, "max": 4, "help": "dilated blocks, of 2, 4, 8 and 16"},
        "p_bias": {"default": -6.0, "min": -10.0, "max": 0.0, "help": "logit of p before training"},
        "head_start": {"default": 0.1, "min": 0.001, "max": 1.0, "help": "as in decode"},
    },
    "search": {"features": {"low": 16, "high": 96, "log": True}, "dilations": {"low": 2, "high": 4}},
    "tiny": {"features": 4, "dilations": 1},
    "training": {"optimiser": "adamw", "lr": 6e-4, "clip": 0.03, "batch_size": 16},
    "parameters": {"context=3": 1039628},
    "receptive_field_px": 185.0,
    "losses": [{"name": "decode_nll"}],
    "paper": (
        "2025, Scalable and lightweight deep learning for efficient high accuracy single-molecule localization "
        "microscopy. Nature Communications"
    ),
    "doi": "10.1038/s41467-025-62662-5",
    "fidelity": "reconstruction",
    "deviations": [
        "made from a description of its parts: the number of layers in each is ours, and so are the parameters "
        "(1.33 M there)",
        "a head for the background, as in DECODE; there is none there",
        "loss, its count term and the optimiser are DECODE's; learning rate, its schedule and clip are ours",
        "heads start at a tenth (head_start)",
    ],
    "facts": {
        "multiple_fine_px": 4,
        "shift_px": 4,
        "translation": True,
        "hint_layers": [{"layer": "fine", "camera_px": 2}],
    },
}

DILATIONS = (2, 4, 8, 16)


class Coarse(nn.Module):
    """A frame (B, C, H, W) to features at half its sides: convolution, pooling, dilated residual blocks.

    Every block sees the pooled frame once more.
    """

    def __init__(self, inside: int, features: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(inside)
        self.first = nn.Sequential(*_layer(inside, features), *_layer(features, features))
        self.blocks = nn.ModuleList()
        for each in dilations:
            self.blocks.append(nn.Sequential(*_layer(features + inside, features, each), *_layer(features, features)))

    def forward(self, frames: Tensor) -> Tensor:
        """Features (B, features, H / 2, W / 2)."""
        frames = self.norm(frames)
        pooled = functional.max_pool2d(frames, 2)
        maps = functional.max_pool2d(self.first(frames), 2)
        for block in self.blocks:
            maps = maps + block(torch.cat((maps, pooled), dim=1))
        return maps


class Fine(nn.Module):
    """Features of all frames (B, inside, H, W) to (B, features, H, W): joined, then a U-Net of one level."""

    def __init__(self, inside: int, features: int) -> None:
        super().__init__()
        self.join = nn.Sequential(*_layer(inside, features))
        self.encoder = nn.Sequential(*_layer(features, features), *_layer(features, features))
        self.bottom = nn.Sequential(*_layer(features, 2 * features), *_layer(2 * features, 2 * features))
        self.decoder = nn.Sequential(*_layer(3 * features, features), *_layer(features, features))

    def forward(self, maps: Tensor) -> Tensor:
        """Features of the same size."""
        kept = self.encoder(self.join(maps))
        deep = self.bottom(functional.max_pool2d(kept, 2))
        repeated = functional.interpolate(deep, size=kept.shape[-2:], mode="nearest")
        answer: Tensor = self.decoder(torch.cat((kept, repeated), dim=1))
        return answer


class LiteLoc(nn.Module):
    """Frames of a window in photons (B, context * C, H, W) to raw (B, 10, H, W); sides multiples of 4.

    Source:
        Nature Communications 2025, doi:10.1038/s41467-025-62662-5, as far as its parts are described.
    """

    def __init__(self, settings: Settings, given: Given) -> None:
        super().__init__()
        features, self.context = settings["features"], given.context
        self.scaling = PhotonScaling(given)
        self.coarse = Coarse(given.channels // given.context, features, DILATIONS[: settings["dilations"]])
        self.fine = Fine(given.context * features, features)
        self.heads = MixtureHeads(features)
        start(self, self.heads, settings["p_bias"], settings["head_start"])

    def forward(self, frames: Tensor) -> Tensor:
        """Photons to the ten maps of `gaussian_mixture`."""
        # In training a frame that is seen more often counts more often in the statistics of the batch.
        seen = of_each_frame(self.scaling(frames), self.context, self.coarse, once=not self.training)
        maps = functional.interpolate(self.fine(seen), size=frames.shape[-2:], mode="nearest")
        raw: Tensor = self.heads(maps)
        return raw


def _layer(inside: int, outside: int, dilation: int = 1) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(inside, outside, 3, padding=dilation, dilation=dilation)
    return convolution, nn.ReLU(), nn.BatchNorm2d(outside)


def build(settings: Settings, given: Given) -> nn.Module:
    """Make a LiteLoc network from all settings of the card."""
    return LiteLoc(settings, given)


def receptive_field_px(settings: Settings, upsampling: int) -> float:
    """Camera pixels across that the answer in one of them can see."""
    del upsampling
    dilated = "".join("c" * (each + 1) for each in DILATIONS[: settings["dilations"]])
    return field_px(f"ccp{dilated}cccpccuccuc", 1)
