"""FD-DeepLoc's loss: DECODE's, and the cross-entropy of p in each pixel."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from smlmbench.losses.decode_nll import PROBABILITY, SURE, MixtureLikelihood, X, Y

CARD = {
    "version": 1,
    "summary": "DECODE's likelihood and the cross-entropy of p with the pixels that hold an emitter.",
    "settings": {
        "weight": {
            "default": 1.0,
            "min": 0.0,
            "help": "lambda of the cross-entropy, summed over the pixels of a frame",
        },
    },
    "search": {"weight": {"low": 0.1, "high": 10.0, "log": True}},
    "accepts": ["gaussian_mixture"],
    "paper": (
        "Fu et al. 2023, Field-dependent deep learning enables high-throughput whole-cell 3D super-resolution "
        "imaging. Nature Methods"
    ),
    "doi": "10.1038/s41592-023-01775-5",
    "fidelity": "reconstruction",
    "deviations": ["the weight of the cross-entropy is 1, as of the other parts; the authors' is not known here"],
}


class WithCrossEntropy(nn.Module):
    """The parts of DECODE's loss, and lambda times -sum over pixels t log p + (1 - t) log(1 - p), over the batch.

    t is 1 in pixels that hold a true emitter.
    """

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight
        self.likelihood = MixtureLikelihood("times_n")

    def forward(self, raw: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`loss` and its parts; raw (B, 10, H, W), targets of `gaussian_mixture`."""
        parts = self.likelihood(raw, targets)
        p = raw[:, PROBABILITY].float().clamp(SURE, 1 - SURE)
        held = pixels(targets["emitters"], targets["present"], p)
        entropy = -(held * p.log() + (1 - held) * (1 - p).log()).sum((1, 2)).mean()
        return {**parts, "loss": parts["loss"] + self.weight * entropy, "cross_entropy": entropy.detach()}


def pixels(emitters: Tensor, present: Tensor, like: Tensor) -> Tensor:
    """1 in each pixel (B, H, W) that holds an emitter of the lists, else 0."""
    count, height, width = like.shape
    column = emitters[:, :, X].floor().long().clamp(0, width - 1)
    row = emitters[:, :, Y].floor().long().clamp(0, height - 1)
    flat = torch.zeros(count, height * width, device=like.device)
    return flat.scatter_reduce(1, row * width + column, present, "amax").view(count, height, width)


def build(settings: Mapping[str, Any], output_settings: Mapping[str, Any]) -> nn.Module:
    """Make the loss, called as loss(raw, targets) with the lists of `gaussian_mixture`; its settings are not needed."""
    del output_settings
    return WithCrossEntropy(settings["weight"])
