"""DeepSTORM3D: dilated convolutions on the camera grid, then the fine grid with one map for each plane of depth."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from smlmbench.data.contracts import Given, Settings
from smlmbench.errors import ConfigError
from smlmbench.models.doubled import Doubled
from smlmbench.models.normalisation import Normalisation
from smlmbench.outputs.voxel_grid import depth_of

CARD = {
    "version": 1,
    "summary": "Dilated residual layers that see a wide field and answer with a voxel grid (DeepSTORM3D), 2D and 3D.",
    "output": "voxel_grid",
    "upsamples": "inside",
    "settings": {
        "width": {"default": 64, "min": 4, "max": 256, "help": "maps of all layers before those of the planes"},
        "dilations": {
            "default": [1, 2, 4, 8, 16],
            "help": "of the residual layers; [1, 2, 4, 1, 1] is the authors' narrower network",
        },
        "normalisation": {
            "default": "photon_scale",
            "choices": ["photon_scale", "train_zscore", "frame_minmax", "frame_minmax_zscore", "noise_scaled"],
            "help": "before that of a batch; frame_minmax, the authors' for telomeres, is blind to photons",
        },
        "leak": {
            "default": 0.0,
            "min": 0.0,
            "max": 1.0,
            "later": True,
            "help": "gradient that passes where an answer is cut off; with the authors' 0 it may never begin",
        },
    },
    "search": {"width": {"low": 16, "high": 64, "log": True}},
    "tiny": {"width": 6, "dilations": [1, 2]},
    "training": {"optimiser": "adam", "lr": 5e-4, "batch_size": 4},
    "parameters": {
        "planes=121,upsampling=4": 612703,
        "planes=81,upsampling=4": 435743,
    },
    "losses": [{"name": "kde_overlap"}],
    "receptive_field_px": 69.0,
    "paper": (
        "Nehme et al. 2020, DeepSTORM3D: dense 3D localization microscopy and PSF design by deep learning. Nature"
        " Methods 17:734"
    ),
    "doi": "10.1038/s41592-020-0853-5",
    "fidelity": "verified",
    "deviations": [
        "normalisation: photons over a percentile of the training pixels; the authors' is 1 / 250, or frame_minmax",
        "upsampling 1 and 2: doublings left out, so that layer 7 follows the trunk; without depth: one plane",
        "training: one cycle, clipped gradients; the authors' rate falls tenfold where validation stands still",
        "samples are drawn anew, not 9,000 images for 50 epochs, and emitters lie in the whole field, not 20 px inside",
        "read-out: mass of the window, threshold tuned on validation; the authors': peak above 40 to 80 of 800",
        "several channels (detectors, frames) are joined where the authors have one image",
    ],
    "facts": {
        "review": {
            "row": 12,
            "input": "one camera frame through an engineered PSF",
            "output": "3-D localizations by way of a voxel grid",
            "training_data": "simulated frames of the pupil model",
            "architecture": "dilated residual convolutions, two upsamplings, volumes as channels",
        },
        "translation": True,
        "hint_layers": [
            {"layer": "trunk", "camera_px": 1},
            {"layer": "up.0", "camera_px": 0.5},
            {"layer": "up.1", "camera_px": 0.25},
        ],
    },
}

SLOPE = 0.2


class Trunk(nn.Module):
    """A first layer and residual ones of growing dilation, each of which sees the frame again.

    Maps (B, C, H, W) to (B, width, H, W).
    """

    def __init__(self, channels: int, width: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.first = _layer(channels, width)
        self.layers = nn.ModuleList([_layer(width + channels, width, dilation) for dilation in dilations])

    def forward(self, frames: Tensor) -> Tensor:
        """Features of the size of the frames."""
        maps: Tensor = self.first(frames)
        for layer in self.layers:
            maps = maps + layer(torch.cat((maps, frames), dim=1))
        return maps


class DeepStorm3d(nn.Module):
    """Trunk on the camera grid, log2(U) doublings, and three layers of as many maps as there are planes.

    Source:
        Layers of the authors' cnn_utils.py; Nehme et al. 2020, doi:10.1038/s41592-020-0853-5.
    """

    def __init__(self, settings: Settings, given: Given) -> None:
        super().__init__()
        width, channels, planes = settings["width"], given.channels, depth_of(given.output).planes
        self.normalisation = Normalisation(settings["normalisation"], given.statistics)
        self.frame_norm = nn.BatchNorm2d(channels)
        self.trunk = Trunk(channels, width, settings["dilations"])
        self.up = nn.ModuleList()
        for stage in range(given.upsampling.bit_length() - 1):
            self.up.append(_layer(width + channels if stage == 0 else width, width, kind=Doubled))
        self.planes = _layer(width, planes)
        self.refine = nn.ModuleList([_layer(planes, planes) for _ in range(2)])
        self.last = nn.Conv2d(planes, planes, 1)
        self.amplitude, self.leak = float(given.output["amplitude"]), float(settings["leak"])

    def forward(self, frames: Tensor, frame_range: Tensor | None = None) -> Tensor:
        """Map photons (B, C, H, W) to volumes (B, D, U*H, U*W) in label units; `frame_range` as in `Normalisation`."""
        frames = self.frame_norm(self.normalisation(frames, frame_range))
        maps: Tensor = self.trunk(frames)
        for stage, up in enumerate(self.up):
            maps = up(torch.cat((maps, frames), dim=1) if stage == 0 else maps)
        maps = self.planes(maps)
        for layer in self.refine:
            maps = maps + layer(maps)
        raw: Tensor = self.last(maps)
        answer = raw.clamp(0.0, self.amplitude)  # as the authors' HardTanh: no gradient where it answers 0
        if not (self.training and self.leak):
            return answer
        cut = raw - answer
        return answer + self.leak * (cut - cut.detach())


def _layer(inside: int, outside: int, dilation: int = 1, kind: type[nn.Sequential] = nn.Sequential) -> nn.Sequential:
    """3 x 3 convolution, LeakyReLU, and only then batch normalisation."""
    convolution = nn.Conv2d(inside, outside, 3, padding=dilation, dilation=dilation)
    return kind(convolution, nn.LeakyReLU(SLOPE, inplace=True), nn.BatchNorm2d(outside))


def build(settings: Settings, given: Given) -> nn.Module:
    """Make a DeepSTORM3D network from all settings of the card.

    Raises:
        ConfigError: Dilations that are no whole numbers from 1 on.
    """
    dilations = settings["dilations"]
    if not dilations or not all(
        isinstance(each, int) and not isinstance(each, bool) and each > 0 for each in dilations
    ):
        raise ConfigError(f"dilations: {dilations!r} is not accepted; give whole numbers from 1 on, such as [1, 2, 4]")
    return DeepStorm3d(settings, given)


def receptive_field_px(settings: Settings, upsampling: int) -> float:
    """Camera pixels across that the output within one camera pixel can see."""
    low, high = 0, upsampling - 1
    low, high = low - 3, high + 3  # the layers of the planes
    for _ in range(upsampling.bit_length() - 1):
        low, high = (low - 1) // 2, (high + 1) // 2
    return 2.0 * (max(-low, high) + 1 + sum(settings["dilations"])) + 1
