"""The dense network of Kim, Moon and Xu that tells the colour of a molecule from its image on a plain microscope."""

from torch import Tensor, nn

from smlmbench.data.contracts import Given, Settings
from smlmbench.models.cropped import check_sides, middle_of
from smlmbench.models.dense import CropScale, DenseLayers
from smlmbench.outputs.classes import classes_of

CARD = {
    "version": 1,
    "summary": "Four dense layers on a 13 x 13 crop of one molecule that tell its class (Kim, Moon and Xu)",
    "output": "classes",
    "upsamples": "none",
    "settings": {
        "side_px": {"default": 13, "min": 5, "max": 64, "help": "side of what is seen; the middle of larger crops"},
        "width": {"default": 4096, "min": 16, "max": 8192, "help": "of the first layer; the next have 1/2 and 1/4"},
        "dropout": {"default": 0.5, "min": 0.0, "max": 0.9, "help": "share of the third layer left out in training"},
        "scaling": {
            "default": "sum",
            "choices": ["sum", "max", "none"],
            "help": "by what a crop less its edge is divided; none takes photons as they are",
        },
    },
    "search": {
        "width": {"choices": [256, 512, 1024]},
        "dropout": {"low": 0.0, "high": 0.6},
        "scaling": {"choices": ["sum", "max"]},
    },
    "tiny": {"width": 64},
    "training": {"optimiser": "adam", "lr": 1e-3, "batch_size": 64},
    "losses": [{"name": "cross_entropy"}],
    "parameters": {"side_px=13": 11187202},
    "receptive_field_px": 13.0,
    "paper": (
        "Kim, Moon, Xu 2019, Information-rich localization microscopy through machine learning. Nature "
        "Communications 10:1996"
    ),
    "doi": "10.1038/s41467-019-10036-z",
    "fidelity": "verified",
    "deviations": [
        "not found: what the authors did to crops before they stored them; here the mean of the edge is taken off and "
        "the rest divided by its sum",
        "trained on simulated crops by default; the authors on 20,000 measured ones of AF647 and CF568, seen 9 times",
        "learning rate: one cycle, clipped gradients; the authors' is 1e-3 throughout, for 3,000 batches of 64",
        "more than two classes: a wider last layer",
    ],
    "facts": {
        "review": {
            "row": 9,
            "input": "13 x 13 px crops of single molecules from an unmodified microscope",
            "output": "dye class, and axial position by a network for each dye",
            "training_data": "measured crops of AF647 and CF568, the stage telling z",
            "architecture": "fully connected, three hidden layers of 4096, 2048 and 1024",
        },
        "review_says": {"training_data": "simulated images"},
    },
}


class KimColor(nn.Module):
    """Crops in photons to one number for each class.

    Source:
        Kim, Moon, Xu 2019, doi:10.1038/s41467-019-10036-z; layers and start of the authors' scripts.
    """

    def __init__(self, settings: Settings, given: Given) -> None:
        super().__init__()
        check_sides(given, settings["side_px"], "kim_color")
        self.side, width = settings["side_px"], settings["width"]
        self.scaling = CropScale(settings["scaling"])
        self.dense = DenseLayers(
            given.channels * self.side**2,
            (width, width // 2, width // 4),
            len(classes_of(given.output)),
            dropped=settings["dropout"],
            start="xavier",
        )

    def forward(self, crops: Tensor) -> Tensor:
        """Photons (B, C, H, W) to (B, classes)."""
        classes: Tensor = self.dense(self.scaling(middle_of(crops, self.side)))
        return classes


def build(settings: Settings, given: Given) -> nn.Module:
    """Make the network from all settings of the card."""
    return KimColor(settings, given)
