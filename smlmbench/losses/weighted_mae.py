"""Weighted MAE: absolute difference of each fine pixel plus the absolute value of the map."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from smlmbench.losses.sparse import SparseLoss

CARD = {
    "version": 1,
    "summary": "Absolute error of each fine pixel plus L1 sparsity; all or nothing around lambda 2.",
    "settings": {
        "weight": {"default": 5.0, "min": 0.0, "help": "lambda; emitters are kept above 2 and given up below"},
    },
    "search": {"weight": {"low": 2.1, "high": 20.0, "log": True}},
    "tiny": {},
    "accepts": ["raster"],
    "fidelity": "seed",
    "facts": {"collapse_lambda": 2.0},
}


class WeightedMae(SparseLoss):
    """lambda / 2 * mean |p - t| + mean |p| for raw p and spikes t in label units.

    The best answer is t in each fine pixel for lambda > 2 and 0 for lambda < 2, whatever the amplitude of the targets;
    at 2 everything in between is as good. A network that is not sure of the fine pixel answers with a median: a spike
    where its probability is above 1/2 + 1 / lambda, else nothing. So where emitters are not known to a fine pixel the
    all-zero map may be the best answer at any lambda.

    Source:
        The formula of the DL4SMLM package.
    """

    def _compared(self, given: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        return (given - wanted).abs().mean(), given


def build(settings: Mapping[str, Any], output_settings: Mapping[str, Any]) -> nn.Module:  # noqa: ARG001
    """Make the loss, called as loss(raw, targets) with targets["spikes"]; lambda is the same at every amplitude."""
    return WeightedMae(settings["weight"])
