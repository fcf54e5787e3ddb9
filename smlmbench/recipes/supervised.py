"""Supervised training: one network, one loss."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from smlmbench.data.contracts import Batch
from smlmbench.recipes.answering import ranged
from smlmbench.recipes.contracts import Answer, Move

CARD = {"version": 1, "summary": "One network learns the targets of its output kind under one loss"}

Loss = Callable[[torch.Tensor, Mapping[str, torch.Tensor]], Mapping[str, torch.Tensor]]
Targets = Callable[[Batch], Mapping[str, torch.Tensor]]


class Supervised:
    """Answer the frames, compare with the targets."""

    def __init__(self, network: nn.Module, loss: Loss, targets: Targets, device: torch.device, answer: Answer) -> None:
        self.network = network
        self.answers_from = 0  # the answer is trained from the first step
        self.modules: dict[str, nn.Module] = {"network": network}
        self._answer = ranged(network, answer)
        self._loss, self._targets, self._device = loss, targets, device
        self._parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]

    def players(self) -> dict[str, list[nn.Parameter]]:
        """Parameters of the one player."""
        return {"network": self._parameters}

    def prepare(self) -> None:
        """Nothing is needed."""

    def step(self, batch: Batch) -> list[Move]:
        """One move: the loss of this batch."""
        frames = batch.inputs.to(self._device, non_blocking=True)
        targets = {name: value.to(self._device, non_blocking=True) for name, value in self._targets(batch).items()}
        scored = dict(self._loss(self._answer(frames, batch.frame_range), targets))
        loss = scored.pop("loss")
        return [Move("network", loss, self._parameters, scored)]


def build(
    network: nn.Module,
    loss: Loss,
    targets: Targets,
    device: torch.device,
    settings: Mapping[str, Any],
    answer: Answer | None = None,
) -> Supervised:
    """Build the recipe; it has no settings.

    The network, on the device, is run by `answer` where it must be given frames in another way than as they come
    (padded); `loss` compares its raw output with what `targets` makes of a batch.
    """
    del settings
    return Supervised(network, loss, targets, device, answer or network)
