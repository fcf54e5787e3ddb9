"""DeepSTORM3D's optics design: a phase mask is learned together with the network that reads its frames."""

import torch
from torch import Tensor, nn

from smlmbench.data.contracts import Given, Settings
from smlmbench.models.deepstorm3d import Trunk
from smlmbench.models.designed import Designed
from smlmbench.models.normalisation import Normalisation
from smlmbench.outputs.voxel_grid import depth_of

CARD = {
    "version": 1,
    "summary": "A phase mask in the pupil learned with a small DeepSTORM3D that answers with a voxel grid.",
    "task": "optics",
    "output": "voxel_grid",
    "upsamples": "inside",
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
            "help": "what is learned: the phase of every cell, or 63 smooth modes",
        },
        "gain": {"default": 10.0, "min": 0.01, "max": 1000.0, "help": "radians that a weight of 1 stands for"},
        "pupil_px": {"default": 203, "min": 8, "max": 1024, "help": "cells over the diameter of the pupil"},
        "width": {"default": 64, "min": 4, "max": 256, "help": "maps of all layers but the last"},
        "blocks": {"default": 8, "min": 1, "max": 16, "help": "residual layers"},
        "normalisation": {
            "default": "photon_scale",
            "choices": ["photon_scale", "train_zscore", "noise_scaled"],
            "help": "before that of a batch",
        },
    },
    "search": {
        "width": {"low": 16, "high": 64, "log": True},
        "gain": {"low": 2.0, "high": 50.0, "log": True},
        "basis": {"choices": ["cells", "zernike"]},
    },
    "tiny": {"width": 6, "blocks": 2, "pupil_px": 24},
    "training": {"optimiser": "adam", "lr": 5e-4, "batch_size": 16},
    "parameters": {"planes=51,upsampling=1": 305141},
    "losses": [{"name": "kde_overlap"}],
    "receptive_field_px": 19.0,
    "paper": (
        "Nehme et al. 2020, DeepSTORM3D: dense 3D localization microscopy and PSF design by deep learning. Nature"
        " Methods 17:734"
    ),
    "doi": "10.1038/s41592-020-0853-5",
    "fidelity": "verified",
    "deviations": [
        "the number of parameters is that of the network; a learned mask adds one for each cell (or mode)",
        "normalisation: photons over a percentile of the training pixels before that of a batch",
        "pixels are integrated over their area and the blur is that of the psf; the authors sample points and blur "
        "each emitter by a Gaussian of 0.75 to 1.25 px",
        "basis zernike, gain and a start other than flat are ours; the authors learn the cells of a flat mask",
        "upsampling 2 and 4 are ours: as many maps more from the last layer, interleaved",
        "training: one cycle, clipped gradients; the authors' rate falls tenfold where validation stands still",
        "scenes are drawn anew, not 9,000 for 50 epochs, and emitters lie in the whole field, not 20 px inside",
        "not found: learning rate of the mask beside that of the network",
    ],
    "variants": {
        "mask=flat": {"ignores": ["start", "strength", "basis", "gain"]},
        "mask=astigmatic": {"ignores": ["start", "basis", "gain"]},
        "mask=tetrapod": {"ignores": ["start", "basis", "gain"]},
    },
    "facts": {
        "review": {
            "row": 12,
            "input": "simulated points, drawn through the mask as frames",
            "output": "phase mask, and 3-D positions through a voxel grid",
            "training_data": "simulated points and images",
            "architecture": "learnable mask in a Fourier-optics layer before a CNN of residual layers",
        },
        "apart": ["mask"],
    },
}


class Reader(nn.Module):
    """Batch normalisation, a trunk without dilation, and a 1 x 1 layer; (B, 1, H, W) to (B, D, U*H, U*W).

    Source:
        Layers of the authors' cnn_utils.py; Nehme et al. 2020, doi:10.1038/s41592-020-0853-5.
    """

    def __init__(self, settings: Settings, given: Given) -> None:
        super().__init__()
        width, planes = settings["width"], depth_of(given.output).planes
        self.normalisation = Normalisation(settings["normalisation"], given.statistics)
        self.frame_norm = nn.BatchNorm2d(1)
        self.trunk = Trunk(1, width, [1] * settings["blocks"])
        self.last = nn.Conv2d(width, planes * given.upsampling**2, 1)
        self.upsampling = given.upsampling
        self.amplitude = float(given.output["amplitude"])

    def forward(self, frames: Tensor) -> Tensor:
        """Volumes in label units."""
        frames = self.frame_norm(self.normalisation(frames))
        raw: Tensor = self.last(self.trunk(frames))
        if self.upsampling > 1:
            raw = torch.pixel_shuffle(raw, self.upsampling)
        return raw.clamp(0.0, self.amplitude)


def build(settings: Settings, given: Given) -> nn.Module:
    """Make mask, microscope and network from all settings of the card; the optics come with the data.

    Raises:
        ConfigError: Optics without a pupil.
    """
    return Designed(settings, given, Reader(settings, given))


def receptive_field_px(settings: Settings, upsampling: int) -> float:
    """Camera pixels across that the output within one camera pixel can see, of the network alone."""
    del upsampling
    return float(2 * (1 + settings["blocks"]) + 1)
