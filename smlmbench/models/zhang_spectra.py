"""The network of Zhang et al. for spectra: dense layers on a spectrum without its background, divided by its sum."""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from smlmbench.data.contracts import Given, Settings
from smlmbench.errors import SizeError
from smlmbench.outputs.classes import classes_of

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Dense layers that tell the class of a spectrum (Zhang et al. 2019).",
    "output": "classes",
    "upsamples": "none",
    "settings": {
        "widths": {"default": [128, 64], "help": "of the hidden layers"},
        "dropout": {"default": 0.2, "min": 0.0, "max": 0.9, "help": "share of hidden values that are left out"},
        "edge_bins": {"default": 8, "min": 0, "max": 256, "help": "bins at each end whose mean is the background"},
    },
    "search": {
        "dropout": {"low": 0.0, "high": 0.5},
        "edge_bins": {"choices": [0, 4, 8, 12]},
    },
    "tiny": {"widths": [16, 8]},
    "training": {"optimiser": "adam", "lr": 1e-3, "batch_size": 256},
    "losses": [{"name": "cross_entropy"}],
    "parameters": {"widths=[128, 64]": 16706},
    "receptive_field_px": 64.0,
    "paper": (
        "Zhang et al. 2019, Machine-learning based spectral classification for spectroscopic single-molecule "
        "localization microscopy. Optics Letters 44:5864"
    ),
    "doi": "10.1364/OL.44.005864",
    "fidelity": "reconstruction",
    "deviations": [
        "not found: length and window of spectra, hidden layers, loss, optimiser, photons, accuracies; the layers "
        "64-128-64-C, dropout 0.2, Adam 1e-3 and batches of 256 are a reconstruction",
        "trained on simulated spectra; the authors' were measured on microtubules and mitochondria",
        "the background is the mean of the outer bins; how the authors took it away was not found",
    ],
    "facts": {
        "hint_layers": [{"layer": "layers.2", "camera_px": 64.0}],
        "review": {
            "row": 11,
            "input": "one-dimensional emission spectrum of one molecule",
            "output": "dye class",
            "training_data": "measured spectra of microtubules and mitochondria, one label each",
            "architecture": "fully connected",
        },
    },
}


class ZhangSpectra(nn.Module):
    """64-128-64-C with ReLU and dropout, on whatever number of bins the data have."""

    def __init__(self, settings: Settings, given: Given) -> None:
        super().__init__()
        self.edge_bins = settings["edge_bins"]
        if len(given.unit_sides) != 1 or 2 * self.edge_bins > given.unit_sides[0]:
            sides = " x ".join(map(str, given.unit_sides)) or "any size"
            raise SizeError(
                f"inputs of {sides} are no spectra with {self.edge_bins} bins at the ends; give longer ones"
            )
        self.bins = given.unit_sides[0]
        widths = [given.channels * self.bins, *settings["widths"]]
        layers: list[nn.Module] = [nn.Flatten()]
        for inside, outside in pairwise(widths):
            layers += [nn.Linear(inside, outside), nn.ReLU(), nn.Dropout(settings["dropout"])]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], len(classes_of(given.output))))

    def forward(self, spectra: Tensor) -> Tensor:
        """Map photons (B, C, L) to raw scores (B, classes)."""
        if self.edge_bins:
            ends = torch.cat([spectra[..., : self.edge_bins], spectra[..., -self.edge_bins :]], dim=-1)
            spectra = spectra - ends.mean(dim=-1, keepdim=True)
        whole = spectra.sum(dim=(-2, -1), keepdim=True).clamp_min(1)
        answer: Tensor = self.layers(spectra / whole * self.bins)
        return answer


def build(settings: Settings, given: Given) -> nn.Module:
    """Make the network from all settings of the card."""
    return ZhangSpectra(settings, given)
