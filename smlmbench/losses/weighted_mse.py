"""Weighted MSE: squared difference of each fine pixel plus the absolute value of the map."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from smlmbench.losses.l1l2 import blurred

CARD = {
    "version": 1,
    "summary": "Squared error of each fine pixel plus L1 sparsity; near misses earn nothing without blur.",
    "settings": {
        "weight": {"default": 200.0, "min": 0.0, "help": "lambda for unit mass; higher keeps more emitters"},
        "blur": {
            "default": "none",
            "choices": ["none", "unit"],
            "help": "unit: the target, not the prediction, is blurred by the 7 x 7 Gaussian of l1l2",
        },
    },
    "search": {"weight": {"low": 20.0, "high": 2000.0, "log": True}},
    "tiny": {},
    "accepts": ["raster"],
    "fidelity": "seed",
    "deviations": [
        "lambda is divided by the amplitude of the targets, so that it means the same as for unit mass",
        "blur unit: a target blurred once, which the network is to draw, is an addition",
    ],
    "facts": {"collapse_lambda": 1.0},
    "variants": {
        "blur=unit": {"facts": {"collapse_lambda": 6.28, "truth_is_not_best": "the best answer is the blurred truth"}},
    },
}


class WeightedMse(nn.Module):
    """(lambda / A) / 2 * mean((p - t)^2) + mean |p| for raw p and targets t in label units.

    All fine pixels weigh alike. The best answer is max(t - A / lambda, 0) in each of them: an emitter alone in its fine
    pixel keeps the part 1 - 1 / lambda of its mass, and nothing from lambda = 1 down. With blur unit t is 0.15924 A at
    most, so that nothing is left from lambda = 6.28 down.

    Args:
        weight: Lambda, >= 0, for targets of unit mass.
        amplitude: Mass A of one emitter in the targets.
        blur: Whether the spikes are blurred first.

    Source:
        The formula of the DL4SMLM package; blur is an addition.
    """

    def __init__(self, weight: float, amplitude: float, *, blur: bool) -> None:
        super().__init__()
        self.weight = weight
        self.amplitude = amplitude
        self.blur = blur

    def forward(self, raw: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Score raw maps (B, 1, UH, UW) against targets["spikes"] of the same shape.

        Returns:
            `loss`, and its detached parts `fidelity` (the squared term with its weight) and `sparsity`; always float32.
        """
        with torch.autocast(raw.device.type, enabled=False):
            given, wanted = raw.float(), targets["spikes"].float()
            if self.blur:
                wanted = blurred(wanted)
            fidelity = 0.5 * self.weight / self.amplitude * (given - wanted).square().mean()
            sparsity = given.abs().mean()
            return {"loss": fidelity + sparsity, "fidelity": fidelity.detach(), "sparsity": sparsity.detach()}


def build(settings: Mapping[str, Any], output_settings: Mapping[str, Any]) -> nn.Module:
    """Make the loss.

    Args:
        settings: `weight` (lambda for targets of unit mass) and `blur`.
        output_settings: Of which `amplitude` is used.

    Returns:
        A module called as loss(raw, targets) with targets["spikes"]; see `WeightedMse`.
    """
    return WeightedMse(settings["weight"], output_settings["amplitude"], blur=settings["blur"] == "unit")
