"""A small convolutional network that tells the colour of one emitter from a gray crop (after Hershko et al.)."""

from torch import Tensor, nn

from smlmbench.data.contracts import Given, Settings
from smlmbench.models.cropped import check_sides, middle_of
from smlmbench.models.dense import CropScale
from smlmbench.outputs.classes import classes_of

CARD = {
    "version": 1,
    "summary": "Convolutions and dense layers on a 16 x 16 crop of one emitter that tell its class (Hershko et al.)",
    "output": "classes",
    "upsamples": "none",
    "settings": {
        "side_px": {"default": 16, "min": 8, "max": 64, "help": "side of what is seen; the middle of larger crops"},
        "width": {"default": 32, "min": 4, "max": 128, "help": "maps of the first two layers; the next have twice"},
        "scaling": {
            "default": "sum",
            "choices": ["sum", "max", "none"],
            "help": "by what a crop less its edge is divided; none takes photons as they are",
        },
    },
    "search": {"width": {"low": 8, "high": 48, "log": True}, "scaling": {"choices": ["sum", "max"]}},
    "tiny": {"width": 8},
    "training": {"optimiser": "adam", "lr": 1e-3, "batch_size": 64},
    "losses": [{"name": "cross_entropy"}],
    "parameters": {"side_px=16": 196450},
    "receptive_field_px": 16.0,
    "paper": (
        "Hershko, Weiss, Michaeli, Shechtman 2019, Multicolor localization microscopy and point-spread-function "
        "engineering by deep learning. Optics Express 27:6158"
    ),
    "doi": "10.1364/OE.27.006158",
    "fidelity": "reconstruction",
    "deviations": [
        "not found: layers, size of crops, scaling, loss, optimiser, photons and accuracies of the paper",
        "layers here: 3 x 3 convolutions of 32, 32, pooling, 64, 64, pooling, then dense layers of 128 and the classes",
    ],
    "facts": {
        "review": {
            "row": 10,
            "input": "gray images of single emitters of several colours",
            "output": "colour class; in further parts a multicolour image and a phase mask",
            "training_data": "simulated emitters",
            "architecture": "not found in the sources that could be read",
        },
    },
}

POOLED = 4  # both poolings together


class HershkoColor(nn.Module):
    """Crops in photons to one number for each class.

    Source:
        The task of Hershko et al. 2019, doi:10.1364/OE.27.006158; the layers are a reconstruction.
    """

    def __init__(self, settings: Settings, given: Given) -> None:
        super().__init__()
        check_sides(given, settings["side_px"], "hershko_color")
        self.side, width = settings["side_px"], settings["width"]
        self.scaling = CropScale(settings["scaling"])
        self.maps = nn.Sequential(
            *_stage(given.channels, width),
            *_stage(width, 2 * width),
            nn.Flatten(),
        )
        self.head = nn.Sequential(
            nn.Linear(2 * width * (self.side // POOLED) ** 2, 4 * width),
            nn.ReLU(inplace=True),
            nn.Linear(4 * width, len(classes_of(given.output))),
        )

    def forward(self, crops: Tensor) -> Tensor:
        """Photons (B, C, H, W) to (B, classes)."""
        classes: Tensor = self.head(self.maps(self.scaling(middle_of(crops, self.side))))
        return classes


def _stage(inside: int, outside: int) -> list[nn.Module]:
    return [
        nn.Conv2d(inside, outside, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(outside, outside, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
    ]


def build(settings: Settings, given: Given) -> nn.Module:
    """Make the network from all settings of the card."""
    return HershkoColor(settings, given)
