"""What the loop asks of a recipe, and what a recipe with a teacher is given."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import nn

from smlmbench.data.contracts import Batch

Answer = Callable[..., torch.Tensor]


class Move(NamedTuple):
    """One backward pass: which player's optimiser, the scalar loss, its parameters (for clipping), logged parts."""

    player: str
    loss: torch.Tensor
    parameters: list[nn.Parameter]
    parts: Mapping[str, torch.Tensor]


class Recipe(Protocol):
    """How one training step is made; one player, except in games of several."""

    network: nn.Module  # what is taken away after training
    modules: dict[str, nn.Module]  # everything whose state a checkpoint must hold
    answers_from: int  # step from which the network's answer itself is trained; the collapse guard begins there

    def players(self) -> dict[str, list[nn.Parameter]]:
        """Trainable parameters by player; one optimiser each."""
        ...

    def prepare(self) -> None:
        """Measure what the steps need, where no checkpoint held it; called once, before the first step."""
        ...

    def step(self, batch: Batch) -> Iterable[Move]:
        """The moves of one batch, in order; each is applied before the next one is asked for."""
        ...


class Samples(Protocol):
    """Training samples by global number."""

    def batch(self, first: int, count: int) -> Batch:
        """Samples first .. first + count - 1."""
        ...


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a recipe with a teacher is given beside the student.

    Its `history` is the mean training loss of the teacher between its validations, in order; empty where it is unknown.
    """

    teacher: nn.Module  # on the student's device; the recipe freezes it
    answer: Answer  # runs it (padded), as (frames, frame_range) -> raw
    stream: Samples  # for training the student
    samples: int  # how many of them the student sees
    batch_size: int
    upsampling: int  # fine pixels per camera pixel of the student
    layers: tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]] = ((), ())  # `hint_layers` of both cards
    target: str = ""  # name of the target that a perfect answer is equal to, where the output kind has one
    multiple_px: int = 1  # frame sides that both networks accept are multiples of this
    seed: int = 0  # for what the recipe draws itself
    history: Sequence[float] = ()

    @property
    def steps(self) -> int:
        """Steps of the training."""
        return -(-self.samples // self.batch_size)
