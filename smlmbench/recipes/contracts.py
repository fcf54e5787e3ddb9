"""What the loop asks of a recipe, and what a recipe with a teacher is given."""

from collections.abc import Callable, Mapping, Sequence
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
    """How one training step is made; one player, except adversarial training.

    Attributes:
        network: What is taken away after training.
        modules: Everything whose state a checkpoint must hold.
        answers_from: Step from which the network's answer itself is trained; the collapse guard begins there.
    """

    network: nn.Module
    modules: dict[str, nn.Module]
    answers_from: int

    def players(self) -> dict[str, list[nn.Parameter]]:
        """Trainable parameters by player; one optimiser each."""
        ...

    def prepare(self) -> None:
        """Measure what the steps need, where no checkpoint held it; called once, before the first step."""
        ...

    def step(self, batch: Batch) -> list[Move]:
        """The moves of one batch, in order."""
        ...


class Samples(Protocol):
    """Training samples by global number."""

    def batch(self, first: int, count: int) -> Batch:
        """Samples first .. first + count - 1."""
        ...


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a recipe with a teacher is given beside the student.

    Attributes:
        teacher: Its network, on the student's device; the recipe freezes it.
        answer: Runs it (padded), as (frames, frame_range) -> raw.
        stream: The student's training samples.
        samples: How many of them the student sees.
        batch_size: How many in a step.
        upsampling: Fine pixels per camera pixel of the student.
        layers: `hint_layers` of the cards of teacher and student.
        target: Name of the target that a perfect answer is equal to, "" where the output kind has none.
        multiple_px: Frame sides that both networks accept are multiples of this.
        seed: For what the recipe draws itself.
        history: Mean training loss of the teacher between its validations, in order; empty where it is unknown.
    """

    teacher: nn.Module
    answer: Answer
    stream: Samples
    samples: int
    batch_size: int
    upsampling: int
    layers: tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]] = ((), ())
    target: str = ""
    multiple_px: int = 1
    seed: int = 0
    history: Sequence[float] = ()

    @property
    def steps(self) -> int:
        """Steps of the training."""
        return -(-self.samples // self.batch_size)
