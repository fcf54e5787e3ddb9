"""DRL-STORM: two encoder-decoder stages; the second sees the frame without what the first one found."""

from collections.abc import Sequence
from math import ceil

import torch
from torch import Tensor, nn
from torch.nn import functional

from smlmbench.data.contracts import Given, Settings
from smlmbench.errors import ConfigError
from smlmbench.losses.l1l2 import corner_profile
from smlmbench.models.blocks import (
    FineNetwork,
    Hourglass,
    block,
    field_px,
    initialise,
    refuse_ignored,
    seed_block,
    widths,
)

CARD = {
    "version": 1,
    "summary": "Two encoder-decoder stages with a residual between them (in the style of DRL-STORM), the heaviest.",
    "output": "raster",
    "upsamples": "before",
    "settings": {
        "variant": {
            "default": "published",
            "choices": ["published", "seed"],
            "help": "seed: wired as in the DL4SMLM package, whose residual is defective",
        },
        "width": {"default": 1.0, "min": 0.03125, "max": 2.0, "help": "multiplies the channels 32, 64, 128, 592"},
        "sigma_px": {
            "default": 1.3,
            "min": 0.3,
            "max": 3.0,
            "help": "standard deviation of the spots that the residual takes away, in camera pixels; not with seed",
        },
        "normalisation": {
            "default": "train_zscore",
            "choices": ["photon_scale", "train_zscore", "frame_minmax", "frame_minmax_zscore", "noise_scaled"],
            "help": "how photons are scaled",
        },
        "zero_last": {"default": True, "help": "start from all-zero outputs of both stages; not with seed"},
    },
    "refuses": {
        "colours=2": "has one map, whose spots are taken away from the frame; take deep_storm",
        "colours=3": "has one map, whose spots are taken away from the frame; take deep_storm",
        "colours=4": "has one map, whose spots are taken away from the frame; take deep_storm",
    },
    "search": {"width": {"low": 0.125, "high": 0.5, "log": True}},
    "tiny": {"width": 0.0625},
    "training": {"optimiser": "adam", "lr": 1e-3, "batch_size": 16},
    "parameters": {
        "upsampling=2": 9412353,
        "upsampling=4": 9412353,
        "upsampling=8": 9412353,
        "upsampling=8,variant=seed": 9415203,
    },
    "receptive_field_px": 21.0,
    "paper": "Yao B. et al. 2020. Optics Express 28(10):15432-15446",
    "fidelity": "reconstruction",
    "deviations": [
        "in the style of DRL-STORM, not a reproduction: of the paper only the idea of a residual layer was reachable",
        "layers of the DL4SMLM package, but for the residual, which there is the same in all of its 32 channels",
        "residual: the frame minus a learned gain times the first stage's map blurred to the width of a spot",
        "the second stage begins with a convolution of its own; the answer is the sum of both stages",
        "linear outputs without batch normalisation, 1 x 1 of the first stage and 3 x 3 of the second; no biases",
        "orthogonal start and batch normalisation as in Deep-STORM; the output layers start at zero (zero_last)",
        "the frame is upsampled by nearest neighbours inside the network, not beforehand",
        "maximum pooling comes before the ReLU: the same numbers with less memory traffic",
    ],
    "facts": {
        "translation": True,
        "multiple_fine_px": 8,
        "hint_layers": [
            {"layer": "finder.trunk.bottleneck", "fine_px": 8},
            {"layer": "finder.trunk.decoder.0", "fine_px": 4},
            {"layer": "finder.trunk.decoder.1", "fine_px": 2},
            {"layer": "finder.trunk.decoder.2", "fine_px": 1},
        ],
    },
    "variants": {
        "variant=seed": {
            "fidelity": "seed",
            "ignores": ["sigma_px", "zero_last"],
            "receptive_field_px": 13.0,
            "facts": {
                "idle": ["*.0.bias"],
                "hint_layers": [
                    {"layer": "finder.bottleneck", "fine_px": 8},
                    {"layer": "finder.decoder.0", "fine_px": 4},
                    {"layer": "finder.decoder.1", "fine_px": 2},
                    {"layer": "finder.decoder.2", "fine_px": 1},
                ],
            },
            "deviations": [
                "wired as the DL4SMLM package, not as the paper, whose layers were not reachable",
                "residual: the frame minus the blurred and moved sum of all maps, the same in every channel",
                "a bias in every convolution, which batch normalisation cancels; the output ends in it and ReLU",
                "one frame only: the residual is of a single image",
                "frames are brought to the fine grid inside the network by nearest neighbours, there beforehand",
                "normalisation, loss, optimiser and schedule are those of the study, there the user's",
                "width, which that package does not have",
            ],
        },
    },
}

CHANNELS = (32, 64, 128, 592)
SIGMAS = 3  # the spots of the residual end here


class Stage(nn.Module):
    """A block, an encoder and decoder, and a linear output of side `kernel`; (B, C, H, W) to (B, 1, H, W)."""

    def __init__(self, inside: int, channels: Sequence[int], kernel: int) -> None:
        super().__init__()
        self.first = block(inside, channels[0])
        self.trunk = Hourglass(channels, channels[::-1], last_relu=False)
        self.head = nn.Conv2d(channels[0], 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """The map of this stage."""
        raw: Tensor = self.head(self.trunk(self.first(maps)))
        return raw


class Spots(nn.Module):
    """Draw a map of spikes as a camera would: a Gaussian per spike, zero beyond the edges and beyond 3 sigma.

    Values are per camera pixel, so that they compare with those of a frame: the kernel sums to the square of the
    upsampling. Its standard deviation `sigma_px` is in camera pixels.
    """

    profile: Tensor

    def __init__(self, sigma_px: float, upsampling: int) -> None:
        super().__init__()
        self.radius = _radius(sigma_px, upsampling)
        at = torch.arange(-self.radius, self.radius + 1) / (sigma_px * upsampling)
        values = torch.exp(-0.5 * at**2)
        self.register_buffer("profile", upsampling * values / values.sum(), persistent=False)

    def forward(self, spikes: Tensor) -> Tensor:
        """(B, 1, H, W) to the same shape."""
        profile = self.profile.to(spikes.dtype)
        down = functional.conv2d(spikes, profile[None, None, :, None], padding=(self.radius, 0))
        return functional.conv2d(down, profile[None, None, None, :], padding=(0, self.radius))


class DrlStorm(FineNetwork):
    """s1 + s2, where s1 is the first stage's map of the frame and s2 the second's of the frame - gain * spots(s1).

    Source:
        The DL4SMLM package, after the idea of Yao B. et al. 2020, Optics Express 28(10):15432-15446.
    """

    def __init__(self, settings: Settings, given: Given) -> None:
        super().__init__(settings, given)
        channels = widths(CHANNELS, settings)
        self.finder = Stage(given.channels, channels, 1)
        self.spots = Spots(settings["sigma_px"], given.upsampling)
        self.gain = nn.Parameter(torch.ones(given.channels, 1, 1))
        self.corrector = Stage(given.channels, channels, 3)
        initialise(self, [self.finder.head, self.corrector.head], zero_last=settings["zero_last"])

    def _answer(self, fine: Tensor) -> Tensor:
        found: Tensor = self.finder(fine)
        corrected: Tensor = self.corrector(fine - self.gain * self.spots(found))
        return found + corrected


class SeedResidual(nn.Module):
    """The frame minus the blurred sum of all maps, once per map: all channels are alike, and the gain is their number.

    The kernel is that of the seed's loss (`losses.l1l2.corner_profile`), which moves what it blurs.
    """

    profile: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("profile", corner_profile(), persistent=False)

    def forward(self, fine: Tensor, maps: Tensor) -> Tensor:
        """(B, 1, H, W) and (B, K, H, W) to (B, K, H, W)."""
        profile = self.profile.to(maps.dtype)
        kernel = torch.outer(profile, profile).expand(maps.shape[1], maps.shape[1], -1, -1)
        return fine - functional.conv2d(maps, kernel, padding=1)


class SeedDrlStorm(FineNetwork):
    """DRL-STORM as the DL4SMLM package wires it, with its defective residual (`SeedResidual`); nowhere negative."""

    def __init__(self, settings: Settings, given: Given) -> None:
        super().__init__(settings, given)
        if given.channels != 1:
            raise ConfigError(f"drl_storm: variant seed takes one frame, not {given.channels}; take variant published")
        channels = widths(CHANNELS, settings)
        self.first = seed_block(1, channels[0])
        self.finder = Hourglass(channels, channels[::-1], last_relu=False, seed=True)
        self.residual = SeedResidual()
        self.corrector = Hourglass(channels, channels[::-1], last_relu=False, seed=True)
        self.head = seed_block(channels[0], 1)

    def _answer(self, fine: Tensor) -> Tensor:
        raw: Tensor = self.head(self.corrector(self.residual(fine, self.finder(self.first(fine)))))
        return raw


def build(settings: Settings, given: Given) -> nn.Module:
    """Make a DRL-STORM network from all settings of the card.

    Raises:
        ConfigError: Variant seed with a setting without meaning there, or with more than one channel.
    """
    refuse_ignored(CARD, settings)
    return (SeedDrlStorm if settings["variant"] == "seed" else DrlStorm)(settings, given)


def receptive_field_px(settings: Settings, upsampling: int) -> float:
    """Camera pixels across that the output within one camera pixel can see: two stages and the spots between them."""
    if settings["variant"] == "seed":
        return field_px("ccpcpcpcucucuc" + "c" + "cpcpcpcucucuc" + "c", upsampling)
    radius = _radius(settings["sigma_px"], upsampling)
    reach = 0
    for low in range(0, max(8, upsampling), upsampling):
        outermost = _leftmost(_leftmost(low - 1) - radius) // upsampling
        reach = max(reach, low // upsampling - outermost)
    return 2.0 * reach + 1


def _radius(sigma_px: float, upsampling: int) -> int:
    return ceil(SIGMAS * sigma_px * upsampling)


def _leftmost(at: int) -> int:
    """The leftmost fine pixel that a stage's features at one pixel see, traced from its end to its beginning."""
    for _ in range(3):
        at = (at - 1) // 2
    at -= 1
    for _ in range(3):
        at = 2 * at - 1
    return at - 1
