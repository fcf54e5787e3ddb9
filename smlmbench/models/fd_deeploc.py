"""FD-DeepLoc: DECODE's two U-Nets with normalised features between them, which may be told where a pixel lies."""

import torch
from torch import Tensor, nn

from smlmbench.data.contracts import Given, Settings
from smlmbench.models.mixture import MixtureHeads, PhotonScaling, of_each_frame, start
from smlmbench.models.unet import UNet, reach_across_px

CARD = {
    "version": 1,
    "summary": "Two stacked U-Nets that may see where in the field a pixel lies (FD-DeepLoc).",
    "output": "gaussian_mixture",
    "upsamples": "inside",
    "settings": {
        "context": {"default": 3, "choices": [1, 3, 5], "help": "frames seen at once, the middle one is answered"},
        "features": {"default": 48, "min": 2, "max": 256, "help": "channels of the first level, doubled at each other"},
        "depth": {"default": 2, "choices": [1, 2], "help": "levels below the first, each of half the resolution"},
        "coordinates": {
            "default": False,
            "choices": [False, True],
            "help": "add a 1 x 1 convolution of x and y (-1 .. 1 across the frame): only where frames are whole fields",
        },
        "p_bias": {"default": -6.0, "min": -10.0, "max": 0.0, "help": "logit of p before training"},
        "head_start": {"default": 0.1, "min": 0.001, "max": 1.0, "help": "as in decode"},
    },
    "search": {"features": {"low": 16, "high": 64, "log": True}},
    "tiny": {"features": 4, "depth": 1},
    "training": {"optimiser": "adamw", "lr": 6e-4, "clip": 0.03, "batch_size": 16},
    "parameters": {"context=3": 2199706, "coordinates=true": 2200282},
    "receptive_field_px": 89.0,
    "losses": [{"name": "fd_deeploc_nll"}],
    "paper": (
        "Fu et al. 2023, Field-dependent deep learning enables high-throughput whole-cell 3D super-resolution "
        "imaging. Nature Methods"
    ),
    "doi": "10.1038/s41592-023-01775-5",
    "fidelity": "reconstruction",
    "deviations": [
        "widths and heads are DECODE's; learning rate, its schedule and clip are ours",
        "features are normalised over the channels of each pixel, so that an answer stays local",
        "coordinates are off by default, and join the first maps of both U-Nets' work, not its convolutions",
        "coordinates are those of the frame that is given; the authors' are those of the whole field for any crop",
        "the PSF is that of the study, the same in the whole field",
        "heads start at a tenth (head_start)",
    ],
    "facts": {
        "multiple_fine_px": 4,
        "shift_px": 4,
        "translation": True,
        "hint_layers": [{"layer": "context_net", "camera_px": 1}],
    },
    "variants": {"coordinates=true": {"facts": {"translation": False}, "receptive_field_px": 65535.0}},
}

WHOLE_PX = 65535.0  # of a network that knows where a pixel lies: frames are never cut into tiles


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of each pixel of (B, C, H, W), with a scale and an offset of each."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, maps: Tensor) -> Tensor:
        """Maps of mean 0 and variance 1 in each pixel, scaled."""
        variance, mean = torch.var_mean(maps, dim=1, keepdim=True, correction=0)
        return (maps - mean) * (variance + 1e-5).rsqrt() * self.weight + self.bias


class Where(nn.Module):
    """Adds a 1 x 1 convolution of the place of a pixel, -1 .. 1 across the frame along x and y (CoordConv)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(2, channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        height, width = maps.shape[-2:]
        x, y = ((2 * torch.arange(size, device=maps.device) + 1) / size - 1 for size in (width, height))
        place = torch.stack((x.expand(height, width), y[:, None].expand(height, width)))
        added: Tensor = maps + self.mix(place[None].to(maps.dtype))
        return added


class FdDeepLoc(nn.Module):
    """Frames of a window in photons (B, context * C, H, W) to raw (B, 10, H, W); sides multiples of 2^depth.

    Source:
        Fu et al. 2023, doi:10.1038/s41592-023-01775-5, as far as its parts are described.
    """

    def __init__(self, settings: Settings, given: Given) -> None:
        super().__init__()
        features, depth, self.context = settings["features"], settings["depth"], given.context
        self.scaling = PhotonScaling(given)
        self.frame_net = UNet(given.channels // given.context, features, features, depth)
        self.norm = ChannelNorm(given.context * features)
        self.context_net = UNet(given.context * features, features, features, depth)
        self.heads = MixtureHeads(features, span=1.0)
        known = settings["coordinates"]
        self.first_where = Where(given.context * features) if known else nn.Identity()
        self.last_where = Where(features) if known else nn.Identity()
        start(self, self.heads, settings["p_bias"], settings["head_start"])

    def forward(self, frames: Tensor) -> Tensor:
        """Photons to the ten maps of `gaussian_mixture`."""
        seen = self.norm(of_each_frame(self.scaling(frames), self.context, self.frame_net))
        raw: Tensor = self.heads(self.last_where(self.context_net(self.first_where(seen))))
        return raw


def build(settings: Settings, given: Given) -> nn.Module:
    """Make an FD-DeepLoc network from all settings of the card."""
    return FdDeepLoc(settings, given)


def receptive_field_px(settings: Settings, upsampling: int) -> float:
    """Camera pixels across that the answer in one of them can see; all of them where it knows where it lies."""
    del upsampling
    return WHOLE_PX if settings["coordinates"] else reach_across_px(2, settings["depth"])
