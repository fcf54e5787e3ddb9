"""Weighted MAE: absolute difference of each fine pixel plus the absolute value of the map."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

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


class WeightedMae(nn.Module):
    """lambda / 2 * mean |p - t| + mean |p| for raw p and spikes t in label units.

    The best answer is t in each fine pixel for lambda > 2 and 0 for lambda < 2, whatever the amplitude of the targets;
    at 2 everything in between is as good. A network that is not sure of the fine pixel answers with a median: a spike
    where its probability is above 1/2 + 1 / lambda, else nothing. So where emitters are not known to a fine pixel the
    all-zero map may be the best answer at any lambda.

    Args:
        weight: Lambda, >= 0; the same for every amplitude.

    Source:
        The formula of the DL4SMLM package.
    """

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, raw: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Score raw maps (B, 1, UH, UW) against targets["spikes"] of the same shape.

        Returns:
            `loss`, and its detached parts `fidelity` (the difference with its weight) and `sparsity`; always float32.
        """
        with torch.autocast(raw.device.type, enabled=False):
            given = raw.float()
            fidelity = 0.5 * self.weight * (given - targets["spikes"].float()).abs().mean()
            sparsity = given.abs().mean()
            return {"loss": fidelity + sparsity, "fidelity": fidelity.detach(), "sparsity": sparsity.detach()}


def build(settings: Mapping[str, Any], output_settings: Mapping[str, Any]) -> nn.Module:  # noqa: ARG001
    """Make the loss.

    Args:
        settings: `weight` (lambda).
        output_settings: Ignored: lambda does not depend on the amplitude.

    Returns:
        A module called as loss(raw, targets) with targets["spikes"]; see `WeightedMae`.
    """
    return WeightedMae(settings["weight"])
