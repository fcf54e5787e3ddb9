"""Classes: one score for each class of a crop or spectrum; scores are the softmax of raw output.

How many classes there are, and their names, come from the data (`classes`). Raw output is (B, classes), logits.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from smlmbench.errors import ConfigError, SizeError
from smlmbench.predictions import ClassScores
from smlmbench.truths.labels import Labelled

CARD = {
    "version": 1,
    "summary": "A score for each class of the data, the softmax of raw output.",
    "settings": {
        "reject": {
            "default": None,
            "min": 0.0,
            "max": 1.0,
            "help": "highest score below which a unit is rejected; without it, it is chosen on validation. For two "
            "classes, a difference s of their scores is (1 + s) / 2",
        }
    },
    "tiny": {},
    "facts": {"tasks": ["classification"], "any_device": True, "perfect_raw": "scores"},
}

LEAST_SHARE = 1e-3  # of a class that a unit does not have, in scores that are near enough to perfect


class Batch(Protocol):
    """What targets are made of: a batch of the data room."""

    @property
    def truth(self) -> Any:
        """Labels."""


def classes_of(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the classes that the data teach.

    Raises:
        ConfigError: The data name none.
    """
    names = tuple(str(name) for name in settings.get("classes", ()))
    if len(names) < 2:
        raise ConfigError(f"output 'classes' needs data that name at least two classes, got {len(names)}")
    return names


def targets(batch: Batch, settings: Mapping[str, Any]) -> dict[str, Tensor]:
    """`share` (B, classes) float32: 1 for the class of a unit; strangers are taught as equally likely of every class.

    `scores` are raw output whose softmax comes near to that, with a mean of 0; students are held to a teacher in them.

    Raises:
        ConfigError: The truth are no labels.
    """
    truth = batch.truth
    if not isinstance(truth, Labelled):
        raise ConfigError(f"output 'classes' learns labels, not {type(truth).__name__}; choose another output")
    names = classes_of(settings)
    numbers = torch.arange(len(names), device=truth.index.device)
    share = (truth.index[:, None] == numbers).to(torch.float32)
    share = torch.where(truth.index[:, None] < 0, 1 / len(names), share)
    scores = share.clamp_min(LEAST_SHARE).log()
    return {"share": share, "scores": scores - scores.mean(dim=1, keepdim=True)}


def decode(raw: Tensor, settings: Mapping[str, Any], threshold: float) -> ClassScores:
    """Scores (B, classes) of raw output, 0 .. 1 with sum 1; nothing is rejected here.

    Raises:
        SizeError: As many columns as there are no classes.
    """
    del threshold
    names = classes_of(settings)
    if raw.ndim != 2 or raw.shape[1] != len(names):
        raise SizeError(f"raw output of shape {tuple(raw.shape)} has no score for each of {len(names)} classes")
    return ClassScores(raw.detach().double().softmax(dim=1).float().cpu().numpy(), names)
