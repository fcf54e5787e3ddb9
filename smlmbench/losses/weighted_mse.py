"""Weighted MSE: squared difference of each fine pixel plus the absolute value of the map."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from smlmbench.losses.l1l2 import blurred
from smlmbench.losses.sparse import SparseLoss

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


class WeightedMse(SparseLoss):
    """(lambda / A) / 2 * mean((p - t)^2) + mean |p| for raw p and targets t in label units.

    All fine pixels weigh alike. The best answer is max(t - A / lambda, 0) in each of them: an emitter alone in its fine
    pixel keeps the part 1 - 1 / lambda of its mass, and nothing from lambda = 1 down. With blur unit t is 0.15924 A at
    most, so that nothing is left from lambda = 6.28 down.

    Source:
        The formula of the DL4SMLM package; blur is an addition.
    """

    def __init__(self, weight: float, amplitude: float, *, blur: bool) -> None:
        super().__init__(weight, amplitude)
        self.blur = blur

    def _compared(self, given: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        return (given - (blurred(wanted) if self.blur else wanted)).square().mean(), given


def build(settings: Mapping[str, Any], output_settings: Mapping[str, Any]) -> nn.Module:
    """Make the loss, called as loss(raw, targets) with targets["spikes"]; `amplitude` of the output is used."""
    return WeightedMse(settings["weight"], output_settings["amplitude"], blur=settings["blur"] == "unit")
