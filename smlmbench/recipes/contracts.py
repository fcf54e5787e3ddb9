"""What the loop asks of a recipe."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import torch
from torch import nn

from smlmbench.data.contracts import Batch


class Move(NamedTuple):
    """One backward pass: which player's optimiser, the scalar loss, its parameters (for clipping), logged parts."""

    player: str
    loss: torch.Tensor
    parameters: list[nn.Parameter]
    parts: Mapping[str, torch.Tensor]


class Recipe(Protocol):
    """How one training step is made; one player, except adversarial training."""

    network: nn.Module
    modules: dict[str, nn.Module]

    def players(self) -> dict[str, list[nn.Parameter]]:
        """Trainable parameters by player; one optimiser each."""
        ...

    def step(self, batch: Batch) -> list[Move]:
        """The moves of one batch, in order."""
        ...
