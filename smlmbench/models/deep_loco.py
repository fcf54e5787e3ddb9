"""DeepLOCO: a convolutional trunk and dense layers that name the points of a frame, without a grid."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from smlmbench.data.contracts import Given, Settings
from smlmbench.models.normalisation import Normalisation
from smlmbench.models.windowed import windows_of
from smlmbench.outputs.point_set import depths_nm, framed

CARD = {
    "version": 1,
    "summary": "Names the points of a frame by dense layers, in 2-D and 3-D (DeepLOCO); larger frames in windows.",
    "output": "point_set",
    "upsamples": "none",
    "settings": {
        "field_px": {
            "default": 64,
            "choices": [16, 32, 48, 64, 96, 128],
            "help": "side of what is seen at once, in camera pixels; larger frames are cut into windows of it",
        },
        "overlap": {"default": 0.25, "min": 0.0, "max": 0.75, "help": "of neighbouring windows, as a share of them"},
        "channels": {"default": 16, "min": 1, "max": 64, "help": "of the first maps; the others have 4 and 16 times"},
        "hidden": {"default": 1024, "min": 8, "max": 4096, "help": "width of the dense layers"},
        "points": {"default": 64, "min": 1, "max": 1024, "help": "most points in a window"},
        "depth": {"default": True, "help": "find z too, where the data have depths"},
        "normalisation": {
            "default": "train_zscore",
            "choices": ["photon_scale", "train_zscore", "noise_scaled"],
            "help": "how photons are scaled",
        },
    },
    "search": {
        "field_px": {"choices": [16, 32, 64]},
        "channels": {"low": 8, "high": 32, "log": True},
        "hidden": {"choices": [256, 512, 1024]},
        "points": {"choices": [16, 32, 64]},
    },
    "tiny": {"field_px": 16, "channels": 4, "hidden": 32, "points": 8},
    "training": {"optimiser": "adam", "lr": 1e-3, "batch_size": 16},
    "losses": [{"name": "mmd"}],
    "parameters": {
        "points=64": 11033712,
        "depth=false": 10968112,
        "field_px=32,channels=8,hidden=256,points=16": 1005752,
    },
    "receptive_field_px": 64.0,
    "paper": (
        "Boyd, Jonas, Babcock, Recht 2018, DeepLOCO: Fast 3D localization microscopy using neural networks. "
        "bioRxiv 267096"
    ),
    "doi": "10.1101/267096",
    "fidelity": "verified",
    "deviations": [
        "frames larger than the field are cut into overlapping windows; the authors' takes frames of one size",
        "pixels have their centres at (i + 0.5) of 100 nm; the authors' are 101.6 nm apart, which they correct later",
        "normalisation: z-score with training statistics instead of (counts - background) / gain",
        "depths: as far as those of the data go; 750 nm to both sides in the paper",
        "threshold of summed weights: chosen on validation; the authors' is 0.3",
        "learning rate 1e-3, one cycle, clipped gradients, batches of 16; the authors' falls from 1e-4 in 7 stages, "
        "Adam begun anew in each, batches of 128",
    ],
    "facts": {
        "review": {
            "row": 4,
            "input": "one camera frame of 64 x 64 pixels",
            "output": "weighted set of up to 64 points in 2-D or 3-D",
            "training_data": "simulated frames of the PSF of a measured bead stack",
            "architecture": "convolutions, then dense residual layers",
        },
    },
}

HALVINGS = 16  # from the frame to the last maps along each side
START = 1e-7  # residual layers begin as nothing


class Dense(nn.Module):
    """x + B relu(A x + a), of one width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, width, bias=False)
        for weight in self.parameters():
            nn.init.uniform_(weight, -START, START)

    def forward(self, features: Tensor) -> Tensor:
        """(B, width) to the same."""
        added: Tensor = self.outer(functional.relu(self.inner(features)))
        return features + added


class Points(nn.Module):
    """The published network: windows of one size to weighted points inside of them.

    Args:
        settings: As on the card.
        channels: Of the windows.
        depths: Lowest and highest z in nm; None for 2-D.
    """

    low: Tensor
    span: Tensor

    def __init__(self, settings: Settings, channels: int, depths: tuple[float, float] | None) -> None:
        super().__init__()
        side, first, hidden = settings["field_px"], settings["channels"], settings["hidden"]
        axes, last = (2 if depths is None else 3), 16 * first
        self.trunk = nn.Sequential(
            *_pair(channels, first, 5),
            nn.Conv2d(first, 4 * first, 2, stride=2),
            *_pair(4 * first, 4 * first, 3),
            nn.Conv2d(4 * first, last, 2, stride=2),
            *_pair(last, last, 3),
            nn.Conv2d(last, last, 4, stride=4),
            nn.Flatten(),
            nn.Linear(last * (side // HALVINGS) ** 2, hidden),
            Dense(hidden),
            Dense(hidden),
        )
        self.places = nn.Linear(hidden, settings["points"] * axes)
        self.weights = nn.Linear(hidden, settings["points"])
        low, high = (0.0, 0.0) if depths is None else depths
        self.register_buffer("low", torch.tensor([0.0, 0.0, low][:axes]))
        self.register_buffer("span", torch.tensor([side, side, high - low][:axes], dtype=torch.float32))

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Windows (B, C, side, side), scaled, to weights (B, M) >= 0 and places (B, M, D): x, y in px, z in nm."""
        features: Tensor = self.trunk(windows)
        weights = functional.relu(self.weights(features)).float()
        places = self.places(features).float().sigmoid().view(weights.shape[0], weights.shape[1], -1)
        return weights, self.low + self.span * places


class DeepLoco(nn.Module):
    """Points of a frame of any size: each window answers for its core.

    Source:
        Layers of the authors' nets.py; Boyd et al. 2018, doi:10.1101/267096.
    """

    def __init__(self, settings: Settings, given: Given) -> None:
        super().__init__()
        self.side = settings["field_px"]
        self.margin = max(1, round(self.side * settings["overlap"] / 2))
        self.normalisation = Normalisation(settings["normalisation"], given.statistics)
        self.points = Points(settings, given.channels, depths_nm(given.output) if settings["depth"] else None)

    def forward(self, frames: Tensor) -> Tensor:
        """Map photons (B, C, H, W) to raw points (B, 1 + n M, 1 + D) of `point_set`, n the number of windows."""
        batch, _, height, width = frames.shape
        windows = windows_of(frames, self.side, self.margin)
        weights, places = self.points(windows.cut(self.normalisation(frames), self.side))
        x, y = places[..., 0] + windows.columns.start[:, None], places[..., 1] + windows.rows.start[:, None]
        weights = weights * windows.columns.share(x) * windows.rows.share(y)
        found = torch.cat([torch.stack([weights, x, y], dim=2), places[..., 2:]], dim=2)
        return framed(found.flatten().view(batch, -1, found.shape[2]), height, width)


def _pair(inside: int, outside: int, kernel: int) -> list[nn.Module]:
    return [
        layer
        for given in (inside, outside)
        for layer in (nn.Conv2d(given, outside, kernel, padding=kernel // 2), nn.ReLU(inplace=True))
    ]


def build(settings: Settings, given: Given) -> nn.Module:
    """Make a DeepLOCO network from all settings of the card."""
    return DeepLoco(settings, given)
