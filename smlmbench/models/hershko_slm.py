"""Hershko's optics design: a voltage map of a liquid crystal learned with the network that tells colours behind it."""

from torch import nn

from smlmbench.data.contracts import Given, Settings
from smlmbench.models.designed import Designed
from smlmbench.models.hershko_color import HershkoColor
from smlmbench.models.masks import VoltageMap

CARD = {
    "version": 1,
    "summary": "A voltage map of a liquid crystal in the pupil learned with a small network that tells colours.",
    "task": "optics_colors",
    "output": "classes",
    "upsamples": "none",
    "settings": {
        "mask": {
            "default": "learned",
            "choices": ["learned", "flat", "astigmatic", "tetrapod"],
            "help": "learned with the network, or one that stays as it is",
        },
        "start": {"default": "flat", "choices": ["flat", "astigmatic", "tetrapod"], "help": "of the learned one"},
        "strength": {
            "default": 0.0,
            "min": -10.0,
            "max": 10.0,
            "help": "factor of astigmatic (1 rad rms) or tetrapod; 0: that with the least bounds over the depths",
        },
        "basis": {
            "default": "cells",
            "choices": ["cells", "zernike"],
            "help": "what is learned: the voltage of every cell, or 63 smooth modes",
        },
        "gain": {"default": 10.0, "min": 0.01, "max": 1000.0, "help": "how far a weight of 1 goes along the voltages"},
        "stroke_nm": {"default": 2000.0, "min": 100.0, "max": 20000.0, "help": "path between 0 and 5 V"},
        "cauchy_nm2": {
            "default": 20000.0,
            "min": 0.0,
            "max": 200000.0,
            "help": "B of the dispersion 1 + B / wavelength²",
        },
        "pupil_px": {"default": 32, "min": 8, "max": 1024, "help": "cells over the diameter of the pupil"},
        "side_px": {"default": 16, "min": 8, "max": 64, "help": "side of what is seen; the middle of larger scenes"},
        "width": {"default": 32, "min": 4, "max": 128, "help": "maps of the first two layers; the next have twice"},
        "scaling": {
            "default": "sum",
            "choices": ["sum", "max", "none"],
            "help": "by what a crop less its edge is divided; none takes photons as they are",
        },
    },
    "search": {"width": {"low": 8, "high": 48, "log": True}, "gain": {"low": 2.0, "high": 50.0, "log": True}},
    "tiny": {"width": 8, "pupil_px": 24},
    "training": {"optimiser": "adam", "lr": 1e-3, "batch_size": 64},
    "parameters": {"side_px=16": 196708},  # of four colours
    "losses": [{"name": "cross_entropy"}],
    "receptive_field_px": 16.0,
    "paper": (
        "Hershko, Weiss, Michaeli, Shechtman 2019, Multicolor localization microscopy and point-spread-function "
        "engineering by deep learning. Optics Express 27:6158"
    ),
    "doi": "10.1364/OE.27.006158",
    "fidelity": "reconstruction",
    "deviations": [
        "not found: layers, loss, optimiser, photons, pupil and response of the liquid crystal, accuracies",
        "path of a voltage: a raised cosine between 0 and 5 V; dispersion: Cauchy's, of one coefficient",
        "the number of parameters is that of the network; a learned map adds one for each cell (or mode)",
        "the network is that of hershko_color",
    ],
    "variants": {
        "mask=flat": {"ignores": ["start", "strength", "basis", "gain", "stroke_nm"]},
        "mask=astigmatic": {"ignores": ["start", "basis", "gain", "stroke_nm"]},
        "mask=tetrapod": {"ignores": ["start", "basis", "gain", "stroke_nm"]},
    },
    "facts": {
        "review": {
            "row": 10,
            "input": "simulated emitters of four colours, drawn through the voltage map",
            "output": "voltage map, and the colour class",
            "training_data": "simulated emitters",
            "architecture": "not found in the sources that could be read",
        },
        "apart": ["mask"],
    },
}


def build(settings: Settings, given: Given) -> nn.Module:
    """Make map, microscopes and network from all settings of the card; the optics come with the data.

    Raises:
        ConfigError: Optics without a pupil, or scenes smaller than what is seen.
    """
    return Designed(settings, given, HershkoColor(settings, given), VoltageMap)
