"""L1L2: squared difference of blurred maps plus the absolute value of the raw one."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor, nn

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
    "paper": "Nehme, Weiss, Michaeli, Shechtman 2018, Deep-STORM: super-resolution single-molecule microscopy by "
    "deep learning",
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


class L1L2(nn.Module):
    """(lambda / A) / 2 * mean((g * (k p - t))^2) + mean |p| for raw p and spikes t in label units.

    g is a 7 x 7 Gaussian of sigma 1 fine pixel and unit sum, zero-padded; k is 1 (kernel unit) or 2 (official).
    Dividing by the amplitude A makes lambda mean the same as for targets of unit mass. The best mass of an isolated
    emitter, in units of its true one, is 1 - 12.55 / lambda (unit) or 1/2 - 3.14 / lambda (official), and 0 where that
    is negative; official with lambda = 200 and A = 100 is the authors' loss.

    Args:
        weight: Lambda, >= 0, for targets of unit mass.
        amplitude: Mass A of one emitter in the targets.
        gain: k.

    Source:
        Nehme et al. 2018, doi:10.1364/OPTICA.5.000458, and the authors' CNN_Model.py.
    """

    def __init__(self, weight: float, amplitude: float, gain: float) -> None:
        super().__init__()
        self.weight = weight
        self.amplitude = amplitude
        self.gain = gain

    def forward(self, raw: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Score raw maps (B, 1, UH, UW) against targets["spikes"] of the same shape.

        Returns:
            `loss`, and its detached parts `fidelity` (the squared term with its weight) and `sparsity`; always float32.
        """
        with torch.autocast(raw.device.type, enabled=False):
            given = raw.float()
            difference = blurred(self.gain * given - targets["spikes"].float())
            fidelity = 0.5 * self.weight / self.amplitude * difference.square().mean()
            sparsity = given.abs().mean()
            return {"loss": fidelity + sparsity, "fidelity": fidelity.detach(), "sparsity": sparsity.detach()}


class SeedL1L2(nn.Module):
    """(lambda / A) / 2 * mean((k * p - k * t)^2) + mean |k * p| for raw p and spikes t in label units.

    k is the 3 x 3 kernel of the DL4SMLM package, of unit sum and with its peak in a corner; nothing is padded. It moves
    prediction and target alike, so that positions stay. The best mass of an isolated emitter, in units of its true one,
    is 1 - 3.96 / lambda, and 0 where that is negative.

    Args:
        weight: Lambda, >= 0, for targets of unit mass.
        amplitude: Mass A of one emitter in the targets.

    Source:
        The DL4SMLM package; its blur of the target presumes spikes.
    """

    def __init__(self, weight: float, amplitude: float) -> None:
        super().__init__()
        self.weight = weight
        self.amplitude = amplitude

    def forward(self, raw: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Score raw maps (B, 1, UH, UW), 3 pixels or more each way, against targets["spikes"] of the same shape.

        Returns:
            As those of `L1L2`.
        """
        with torch.autocast(raw.device.type, enabled=False):
            seen, wanted = corner_blurred(raw.float()), corner_blurred(targets["spikes"].float())
            fidelity = 0.5 * self.weight / self.amplitude * (seen - wanted).square().mean()
            sparsity = seen.abs().mean()
            return {"loss": fidelity + sparsity, "fidelity": fidelity.detach(), "sparsity": sparsity.detach()}


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


def _band(size: int, device: torch.device) -> Tensor:
    index = torch.arange(size, device=device)
    distance = (index[:, None] - index[None, :]).abs()
    values = profile().to(device)[(distance.clamp(max=RADIUS) + RADIUS)]
    return torch.where(distance <= RADIUS, values, torch.zeros((), device=device))


def build(settings: Mapping[str, Any], output_settings: Mapping[str, Any]) -> nn.Module:
    """Make the loss.

    Args:
        settings: `weight` (lambda for targets of unit mass) and `kernel`.
        output_settings: Of which `amplitude` is used.

    Returns:
        A module called as loss(raw, targets) with targets["spikes"]; see `L1L2`, and for kernel seed `SeedL1L2`.
    """
    if settings["kernel"] == "seed":
        return SeedL1L2(settings["weight"], output_settings["amplitude"])
    return L1L2(settings["weight"], output_settings["amplitude"], _gain(settings))


def _gain(settings: Mapping[str, Any]) -> float:
    return 2.0 if settings.get("kernel") == "official" else 1.0
