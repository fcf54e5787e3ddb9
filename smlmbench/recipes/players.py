"""A game: networks of the loss learn beside the one that is wanted, each by its own number, in the order of the loss.

The network answers once for each batch. What a player has learned counts for those after it, as every move is applied
before the next one is made.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import nn

from smlmbench.data.contracts import Batch
from smlmbench.errors import ConfigError
from smlmbench.recipes.answering import ranged
from smlmbench.recipes.contracts import Answer, Move

CARD = {"version": 1, "summary": "Several networks in turn: those of the loss, and the one that is wanted"}

NETWORK = "network"
Targets = Callable[[Batch], Mapping[str, torch.Tensor]]
Turn = tuple[str, torch.Tensor, Mapping[str, torch.Tensor]]


class Game(Protocol):
    """A loss with networks of its own."""

    players: nn.ModuleDict  # by name, none of which is `network`

    def turns(self, raw: torch.Tensor, targets: Mapping[str, torch.Tensor]) -> Iterator[Turn]:
        """Player, its loss and logged parts in order, each made when it is asked for; the wanted one is `network`."""
        ...


class Players:
    """See the file's first line."""

    def __init__(self, network: nn.Module, loss: Game, targets: Targets, device: torch.device, answer: Answer) -> None:
        self.network = network
        self.answers_from = 0
        self.modules: dict[str, nn.Module] = {NETWORK: network, **dict(loss.players.items())}
        self._loss, self._targets, self._device = loss, targets, device
        self._answer = ranged(network, answer)
        self._parameters = {
            name: [one for one in module.parameters() if one.requires_grad] for name, module in self.modules.items()
        }

    def players(self) -> dict[str, list[nn.Parameter]]:
        """Parameters of each, those of the wanted network first."""
        return dict(self._parameters)

    def prepare(self) -> None:
        """Nothing is needed."""

    def step(self, batch: Batch) -> Iterator[Move]:
        """The moves of one batch, as the loss orders them."""
        frames = batch.inputs.to(self._device, non_blocking=True)
        targets = {name: value.to(self._device, non_blocking=True) for name, value in self._targets(batch).items()}
        raw = self._answer(frames, batch.frame_range)
        for player, loss, parts in self._loss.turns(raw, targets):
            yield Move(player, loss, self._parameters[player], parts)


def build(
    network: nn.Module,
    loss: Any,
    targets: Targets,
    device: torch.device,
    settings: Mapping[str, Any],
    answer: Answer | None = None,
) -> Players:
    """Build the recipe; it has no settings. See `smlmbench/recipes/supervised.py` for the rest.

    Raises:
        ConfigError: The loss has no players.
    """
    del settings
    if not hasattr(loss, "turns"):
        raise ConfigError("recipe players needs a loss with players of its own; take supervised for this one")
    return Players(network, loss, targets, device, answer or network)
