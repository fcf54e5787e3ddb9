"""Squared errors of parameters, each over the square of its own bound: 1 is what an efficient estimate reaches.

Source: Zhang et al. 2018, doi:10.1038/s41592-018-0153-5.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from smlmbench.errors import ConfigError

CARD = {
    "version": 1,
    "summary": "Mean of ((prediction - truth) / bound)^2 over crops and parameters, or of squares alone",
    "settings": {
        "weighting": {"default": "crlb", "choices": ["crlb", "none"], "help": "none: plain squared errors"},
    },
    "search": {"weighting": {"choices": ["crlb", "none"]}},
    "tiny": {},
    "accepts": ["parameters"],
    "paper": (
        "Zhang et al. 2018, Analyzing complex single-molecule emission patterns with deep learning. Nature "
        "Methods 15:913"
    ),
    "doi": "10.1038/s41592-018-0153-5",
    "facts": {},
}


class CrlbMse(nn.Module):
    """See the file's first line; parameters are standardised, so the plain square counts all of them alike."""

    def __init__(self, *, weighted: bool) -> None:
        super().__init__()
        self.weighted = weighted

    def forward(self, raw: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Score raw (B, C) against targets["values"] with targets["weights"], both (B, C); `loss` is float32.

        Raises:
            ConfigError: The data state no bound.
        """
        with torch.autocast(raw.device.type, enabled=False):
            square = (raw.float() - targets["values"].float()).square()
            if not self.weighted:
                return {"loss": square.mean()}
            weights = targets["weights"].float()
            if bool(weights.isnan().any()):
                raise ConfigError(
                    "crlb_mse: these data state no bound for their crops; give them a psf and a camera, or weighting: "
                    "none"
                )
            return {"loss": (square * weights.square()).mean(), "square": square.mean().detach()}


def build(settings: Mapping[str, Any], output_settings: Mapping[str, Any]) -> nn.Module:  # noqa: ARG001
    """Make the loss."""
    return CrlbMse(weighted=settings["weighting"] == "crlb")
