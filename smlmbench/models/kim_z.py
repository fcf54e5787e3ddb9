"""Kim, Moon and Xu 2019: dense layers tell the depth of a molecule of one dye from its crop, one network per dye."""

import math

from torch import Tensor, nn

from smlmbench.data.contracts import Given, Settings
from smlmbench.models.dense import CropScale, DenseLayers
from smlmbench.outputs.parameters import columns

CARD = {
    "version": 1,
    "summary": "Dense layers on the pixels of a crop tell its depth, one network for each dye (Kim, Moon, Xu 2019).",
    "output": "parameters",
    "upsamples": "none",
    "settings": {
        "first": {"default": 4096, "min": 2, "max": 8192, "help": "units of the first dense layer"},
        "second": {"default": 2048, "min": 2, "max": 8192, "help": "units of the second dense layer"},
        "third": {"default": 1024, "min": 2, "max": 8192, "help": "units of the third dense layer"},
        "scale": {
            "default": "sum",
            "choices": ["sum", "max", "none"],
            "help": "light above the mean of the edge over its sum or its highest pixel; none: photons as they are",
        },
    },
    "search": {
        "first": {"low": 256, "high": 4096, "log": True},
        "second": {"low": 128, "high": 2048, "log": True},
        "third": {"low": 64, "high": 1024, "log": True},
        "scale": {"choices": ["sum", "max"]},
    },
    "tiny": {"first": 32, "second": 16, "third": 8},
    "training": {"optimiser": "adam", "lr": 1e-3, "batch_size": 32},
    "losses": [{"name": "crlb_mse", "weighting": "none"}],
    "parameters": {"side_px=13": 11186177},
    "receptive_field_px": 65535.0,
    "paper": (
        "Kim, Moon, Xu 2019, Information-rich localization microscopy through machine learning. Nature "
        "Communications 10:1996"
    ),
    "doi": "10.1038/s41467-019-10036-z",
    "fidelity": "verified",
    "deviations": [
        "not found: how crops were prepared; here less the mean of their edge, over their sum",
        "targets are standardised, and so is the loss: nm^2 divided by the variance of the depths",
        "rate 1e-3 in one cycle with clipped gradients; the authors' stays at 1e-3",
        "training, validation and test are apart; the authors' script evaluates on its training file",
        "depths are drawn anew and need not be those of a grid of 25 nm",
        "a network tells every parameter that the data ask; the authors' tells z alone: ask `parameters: z_nm`",
    ],
    "facts": {
        "invariant": ["background", "brightness"],
        "review": {
            "row": 9,
            "input": "images of single PSFs, 13 x 13 px",
            "output": "dye and axial position",
            "training_data": "experimental images of single molecules of two dyes",
            "architecture": "dense layers of 4096, 2048 and 1024",
        },
        "review_says": {"training_data": "simulated images"},
    },
    "variants": {"scale=none": {"facts": {"invariant": []}}},
}


class KimDepth(nn.Module):
    """Crops in photons (B, C, side, side) to raw parameters (B, P): those that the data ask, as published z alone.

    Source:
        Kim, Moon, Xu 2019, doi:10.1038/s41467-019-10036-z, and the authors' sr_learn_storm_zstack.py.
    """

    def __init__(self, settings: Settings, given: Given) -> None:
        super().__init__()
        pixels = given.channels * math.prod(given.unit_sides or (13, 13))
        widths = [settings[name] for name in ("first", "second", "third")]
        self.scale = CropScale(settings["scale"])
        self.layers = DenseLayers(pixels, widths, len(columns(given.output)), dropped=0.0, start="truncated")

    def forward(self, crops: Tensor) -> Tensor:
        """Standardised parameters."""
        raw: Tensor = self.layers(self.scale(crops))
        return raw


def build(settings: Settings, given: Given) -> nn.Module:
    """Make the network from all settings of the card."""
    return KimDepth(settings, given)
