"""Cross-entropy of class scores."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

CARD = {
    "version": 1,
    "summary": "Cross-entropy of the softmax, with smoothed labels where that is asked for.",
    "settings": {
        "smoothing": {
            "default": 0.0,
            "min": 0.0,
            "max": 0.5,
            "help": "share of a label that is spread over all classes alike (Szegedy et al. 2016)",
        }
    },
    "search": {"smoothing": {"low": 0.0, "high": 0.2}},
    "tiny": {},
    "accepts": ["classes"],
}


def build(
    settings: Mapping[str, Any],
    output_settings: Mapping[str, Any],  # noqa: ARG001
) -> Callable[[Tensor, Mapping[str, Tensor]], dict[str, Tensor]]:
    """Make the loss, called as loss(raw, targets) with the targets of `classes`; always float32."""
    smoothing = float(settings["smoothing"])

    def loss(raw: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        with torch.autocast(raw.device.type, enabled=False):
            share = targets["share"].float()
            wanted = (1 - smoothing) * share + smoothing / share.shape[1]
            scores = raw.float().log_softmax(dim=1)
            hit = (raw.argmax(dim=1) == share.argmax(dim=1)).float().mean()
            return {"loss": -(wanted * scores).sum(dim=1).mean(), "hit": hit.detach()}

    return loss
