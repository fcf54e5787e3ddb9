"""L1L2: squared difference of blurred maps plus the absolute value of the raw one."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor, nn

from smlmbench.losses.sparse import SparseLoss

CARD = {
    "version": 1,
    "summary": "Blurred squared error plus L1 sparsity, the loss of Deep-STORM.",
    "settings": {
        "weight": {"default": 200.0, "min": 0.0, "help": "lambda for unit mass; higher keeps more emitters"},
        "kernel": {
            "default": "unit",
            "choices": ["unit", "official", "seed"],
            "help": "unit: both sides blurred alike; official: the authors' code, which doubles the prediction; seed: "
            "the 3 x 3 kernel of the DL4SMLM package, off centre, and L1 of the blurred prediction",
        },
    },
    "search": {"weight": {"low": 20.0, "high": 2000.0, "log": True}},
    "tiny": {},
    "accepts": ["raster"],
    "paper": (
        "Nehme, Weiss, Michaeli, Shechtman 2018, Deep-STORM: super-resolution single-molecule microscopy by deep "
        "learning. Optica 5(4):458"
    ),
    "doi": "10.1364/OPTICA.5.000458",
    "fidelity": "verified",
    "deviations": [
        "kernel unit, so an isolated emitter keeps its mass; the authors double it (kernel: official)",
        "lambda / 2 times the squared error; the authors' loss at label scale A is official with lambda = 2 A",
    ],
    "facts": {"collapse_lambda": 12.55},
    "variants": {
        "kernel=official": {
            "facts": {"collapse_lambda": 6.28, "truth_is_not_best": "the best answer has half of the true mass"},
            "deviations": ["lambda / 2 times the squared error; the authors' loss at label scale A is lambda = 2 A"],
        },
        "kernel=seed": {
            "fidelity": "seed",
            "facts": {"collapse_lambda": 3.96},
            "deviations": [
                "as the DL4SMLM package: a 3 x 3 kernel with its peak in a corner, which moves maps by 0.58 pixels",
                "no padding: a fine pixel is lost on each side; L1 of the blurred prediction",
                "lambda is divided by the amplitude of the targets, so that it means the same as for unit mass",
            ],
        },
    },
}

RADIUS = 3
SIGMA_PX = 1.0


class L1L2(SparseLoss):
    """(lambda / A) / 2 * mean((g * (k p - t))^2) + mean |p| for raw p and spikes t in label units.

    g is a 7 x 7 Gaussian of sigma 1 fine pixel and unit sum, zero-padded; k is 1 (kernel unit) or 2 (official).
    Dividing by the amplitude A makes lambda mean the same as for targets of unit mass. The best mass of an isolated
    emitter, in units of its true one, is 1 - 12.55 / lambda (unit) or 1/2 - 3.14 / lambda (official), and 0 where that
    is negative; official with lambda = 200 and A = 100 is the authors' loss.

    With kernel seed (lambda / A) / 2 * mean((c * p - c * t)^2) + mean |c * p|. c is the 3 x 3 kernel of the DL4SMLM
    package, of unit sum and with its peak in a corner; nothing is padded, so maps have 3 pixels or more each way. It
    moves prediction and target alike, so that positions stay. The best mass is 1 - 3.96 / lambda.

    Source:
        Nehme et al. 2018, doi:10.1364/OPTICA.5.000458, and the authors' CNN_Model.py; seed: the DL4SMLM package, whose
        blur of the target presumes spikes.
    """

    def __init__(self, weight: float, amplitude: float, kernel: str) -> None:
        super().__init__(weight, amplitude)
        self.kernel = kernel

    def _compared(self, given: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        if self.kernel == "seed":
            seen = corner_blurred(given)
            return (seen - corner_blurred(wanted)).square().mean(), seen
        gain = 2.0 if self.kernel == "official" else 1.0
        return blurred(gain * given - wanted).square().mean(), given


def corner_profile() -> Tensor:
    """The seed's kernel along one axis: 3 values of unit sum; an impulse in the last, blurred with reflecting edges."""
    impulse = np.array([0.0, 0.0, 1.0])
    return torch.from_numpy(gaussian_filter1d(impulse, SIGMA_PX, mode="reflect")).float()


def corner_blurred(maps: Tensor) -> Tensor:
    """Correlate float32 maps (..., H, W) with the seed's kernel, unpadded: (..., H - 2, W - 2)."""
    for axis in (-2, -1):
        size = maps.shape[axis] - 2
        near, middle, far = (maps.narrow(axis, start, size) for start in range(3))
        first, second, third = corner_profile().tolist()
        maps = first * near + second * middle + third * far
    return maps


def profile() -> Tensor:
    """The kernel along one axis: 7 values of unit sum; the 2D kernel is its outer product (peak 0.15924)."""
    values = torch.exp(-0.5 * (torch.arange(-RADIUS, RADIUS + 1) / SIGMA_PX) ** 2)
    return values / values.sum()


def blurred(maps: Tensor) -> Tensor:
    """Convolve float32 maps (..., H, W) with the kernel, zero-padded to the same size.

    Written as a banded matrix on each side: on a processor ten times as fast as a convolution with a single channel.
    """
    down, across = (_band(maps.shape[axis], maps.device) for axis in (-2, -1))
    return down @ maps @ across


@lru_cache(maxsize=8)  # to make it anew at every step, a card would wait for the kernel from the processor
@torch.inference_mode(mode=False)
def _band(size: int, device: torch.device) -> Tensor:
    index = torch.arange(size, device=device)
    distance = (index[:, None] - index[None, :]).abs()
    values = profile().to(device)[(distance.clamp(max=RADIUS) + RADIUS)]
    return torch.where(distance <= RADIUS, values, torch.zeros((), device=device))


def build(settings: Mapping[str, Any], output_settings: Mapping[str, Any]) -> nn.Module:
    """Make the loss, called as loss(raw, targets) with targets["spikes"]; `amplitude` of the output is used."""
    return L1L2(settings["weight"], output_settings["amplitude"], settings["kernel"])
