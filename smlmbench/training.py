"""The training loop: one file, no special cases; recipes decide what a step is.

It owns optimisers, schedules, number format, guards, checkpoints and resuming. Batches are addressed by number, so a
run that was interrupted continues bit for bit on the same machine and thread count.
"""

import math
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch
from torch import nn
from torch.optim import lr_scheduler as schedules

from smlmbench.data.contracts import Batch
from smlmbench.errors import CollapsedError, DivergedError, HalvedWarning, StoreLostError
from smlmbench.inference.devices import free_memory, lacks_memory, no_memory
from smlmbench.inference.probe import moves_of, training_format
from smlmbench.recipes.contracts import Move, Recipe
from smlmbench.study.schema import Training

COLLAPSE_MASS = 0.01
COLLAPSE_AFTER = 0.2
GUARD_EVERY = 10
SHORTEST_CYCLE = 10  # torch's one-cycle schedule divides by zero at five steps; shorter trainings see its beginning


class Stream(Protocol):
    """Samples by global number."""

    def batch(self, first: int, count: int) -> Batch:
        """Samples first .. first + count - 1."""


@dataclass(frozen=True, slots=True)
class Validation:
    """What one validation says."""

    score: float  # picks the best step; up is better
    mass: float  # output mass over true mass, for the collapse guard
    metrics: Mapping[str, float]  # to log


@dataclass(slots=True)
class Progress:
    """Where a training stands; saved in every checkpoint."""

    step: int = 0
    best_score: float = -math.inf
    best_step: int = -1
    stale: int = 0
    train_s: float = 0.0
    stopped_early: bool = False
    parts: int = 1  # of a batch; 2 where a device had no memory for the whole: their gradients are added up
    number_format: str = ""  # of all steps, from the first on
    format_why: str = ""  # as `Resolved`
    step_ms: dict[str, float] = field(default_factory=dict)
    history: list[tuple[int, dict[str, float]]] = field(default_factory=list)


def save_atomically(payload: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint so that a crash or a full disk leaves the old one whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    try:
        with part.open("wb") as stream:
            torch.save(payload, stream)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _unbroken() -> Iterator[None]:
    """Hold Ctrl-C (and SIGTERM, where it is handled) back until the block is over: no saved state is half a step's."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    held = {number: handler for number, handler in handlers.items() if callable(handler)}
    came: list[tuple[int, FrameType | None]] = []
    for number in held:
        signal.signal(number, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)
    if came:
        held[signal.Signals(came[-1][0])](*came[-1])


class _Loop:
    """The state of a training between two steps."""

    def __init__(self, recipe: Recipe, settings: Training, device: torch.device, folder: Path) -> None:
        self.recipe, self.settings, self.device, self.folder = recipe, settings, device, folder
        self.optimisers = {name: _optimiser(parameters, settings) for name, parameters in recipe.players().items()}
        self.schedules = {name: _schedule(optimiser, settings) for name, optimiser in self.optimisers.items()}
        self.progress = Progress()
        self.window: list[dict[str, torch.Tensor]] = []  # what the steps since the last validation said
        self._checkpoints = set(validation_steps(settings))

    def save(self) -> None:
        state = {
            "progress": asdict(self.progress),
            "window": self.window,
            **{kind: {name: one.state_dict() for name, one in held.items()} for kind, held in self._stateful().items()},
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }
        save_atomically(state, self.folder / "last.pt")

    def _stateful(self) -> dict[str, Mapping[str, Any]]:
        return {"modules": self.recipe.modules, "optimisers": self.optimisers, "schedules": self.schedules}

    def resume(self) -> None:
        """Take the saved state where there is one."""
        path = self.folder / "last.pt"
        if not path.is_file():
            return
        saved = torch.load(path, map_location="cpu", weights_only=True)  # a card may have saved it that is not here
        self.progress, self.window = Progress(**saved["progress"]), saved["window"]
        for kind, held in self._stateful().items():
            for name, one in held.items():
                one.load_state_dict(saved[kind][name])
        torch.set_rng_state(saved["rng"].cpu())
        if saved["cuda_rng"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(saved["cuda_rng"].cpu(), self.device)

    def prepare(self) -> None:
        """Let the recipe measure what it needs; its time counts."""
        began = time.perf_counter()
        self.recipe.prepare()
        self.progress.train_s += time.perf_counter() - began

    def is_due(self) -> bool:
        """Whether the network must be validated before its next step."""
        validated = self.progress.history[-1][0] if self.progress.history else 0
        return self.progress.step in self._checkpoints and self.progress.step > validated

    def advance(self, stream: Stream) -> None:
        """Make the next step, on its own samples; without memory for them at once, this one and all others in halves.

        Raises:
            NoMemoryError: Not even halves fit.
        """
        if self._fits(stream):
            return
        self.progress.parts, half = 2, -(-self.settings.batch_size // 2)
        free_memory(self.device)
        warnings.warn(
            f"{self.device} has no memory for a batch of {self.settings.batch_size}: every step adds up the gradients "
            f"of two of {half} (batch normalisation sees {half} samples at a time)",
            HalvedWarning,
            stacklevel=2,
        )
        self._fits(stream)

    def _fits(self, stream: Stream) -> bool:
        """Make a step; False, and nothing is done, where there is no memory for a batch that may still be halved."""
        began, size, parts = time.perf_counter(), self.settings.batch_size, self.progress.parts
        first, each = self.progress.step * size, -(-size // parts)
        try:
            batches = [stream.batch(first + start, min(each, size - start)) for start in range(0, size, each)]
            if not self.progress.number_format:
                self._take_format(stream, batches[0])
            with _unbroken():
                self._step(batches)
                self.progress.step += 1
                self.progress.train_s += time.perf_counter() - began
        except RuntimeError as error:
            if not lacks_memory(error):
                raise
            if parts > 1 or size == 1 or len(self.optimisers) > 1:
                advice = "take a smaller batch_size, smaller crops or a smaller network"
                raise no_memory(self.device, f"{each} samples at once", advice, error) from None
            return False
        return True

    def _take_format(self, stream: Stream, batch: Batch) -> None:
        """Settle what the steps are computed in; the first batch of the next one is at hand."""

        def draw(count: int) -> Batch:
            return batch if count == len(batch.inputs) else stream.batch(batch.first, count)

        asked = self.settings.model_copy(update={"batch_size": len(batch.inputs)})
        found = training_format(self.recipe, draw, asked, self.device)
        self.progress.number_format, self.progress.format_why = found.number_format, found.why
        self.progress.step_ms = dict(found.step_ms)

    def _step(self, batches: Sequence[Batch]) -> None:
        lr = float(next(iter(self.optimisers.values())).param_groups[0]["lr"])
        seen: dict[str, torch.Tensor] = {}
        for batch in batches:
            share = len(batch.inputs) / self.settings.batch_size
            for move in moves_of(self.recipe, batch, self.device, self.progress.number_format):
                if batch is batches[0]:
                    self.optimisers[move.player].zero_grad(set_to_none=True)
                (share * move.loss).backward()  # type: ignore[no-untyped-call]
                for name, value in {**move.parts, "loss": move.loss}.items():
                    seen[name] = seen.get(name, 0) + share * value.detach()
                if batch is batches[-1]:
                    self._update(move, seen)
        self.window.append({"lr": torch.tensor(lr, dtype=torch.float64), **seen})

    def _update(self, move: Move, seen: dict[str, torch.Tensor]) -> None:
        try:
            if self.settings.clip is not None:
                seen["gradient_norm"] = nn.utils.clip_grad_norm_(move.parameters, self.settings.clip).detach()
            self.optimisers[move.player].step()
        except RuntimeError as error:
            if not lacks_memory(error):
                raise
            raise no_memory(self.device, "what the optimiser keeps", "take a smaller network", error) from None
        schedule = self.schedules[move.player]
        if not isinstance(schedule, schedules.ReduceLROnPlateau):
            schedule.step()

    def guard(self) -> None:
        """Stop where a number of the last steps is not finite; a card has finished them then, so the wait counts."""
        began = time.perf_counter()
        for name in ("loss", "gradient_norm"):
            values = [seen[name] for seen in self.window[-GUARD_EVERY:] if name in seen]
            if values and not torch.isfinite(_stacked(values)).all():
                raise DivergedError(
                    f"the {name.replace('_', ' ')} is not finite at or before step {self.progress.step}; "
                    "a smaller lr or a clip may help"
                )
        self.progress.train_s += time.perf_counter() - began

    def numbers(self, validation: Validation) -> dict[str, float]:
        """What is logged of a validation and of the steps before it; `train/lr` is that of the last step."""
        values: dict[str, list[torch.Tensor]] = {}
        for seen in self.window:  # not every step says all of them
            for name, value in seen.items():
                values.setdefault(name, []).append(value)
        means = {name: float(_stacked(said).float().mean()) for name, said in values.items()}
        means |= {"lr": float(values["lr"][-1]), "seconds": self.progress.train_s}
        means["samples"] = float(self.progress.step * self.settings.batch_size)
        said = {"train": means, "val": validation.metrics}
        return {f"{when}/{name}": value for when, numbers in said.items() for name, value in numbers.items()}

    def judge(self, validation: Validation, numbers: dict[str, float]) -> None:
        """Take a validation in: guards, schedule, best weights, patience, checkpoint."""
        progress = self.progress
        if not math.isfinite(validation.mass):
            raise DivergedError(f"the network's answers are not finite after step {progress.step}; try a smaller lr")
        begun = self.recipe.answers_from
        answering = progress.step - begun >= COLLAPSE_AFTER * (self.settings.steps - begun)
        if answering and validation.mass < COLLAPSE_MASS:
            raise CollapsedError(
                f"the network answers {100 * validation.mass:.2g} % of the true mass after step {progress.step}; "
                "a larger lambda (of a loss that has one) or learning rate may help"
            )
        for schedule in self.schedules.values():
            if isinstance(schedule, schedules.ReduceLROnPlateau):
                schedule.step(validation.score)
        # A score from before the answer was trained is no one's best.
        first = progress.best_step < 0 or progress.best_step <= begun < progress.step
        if first or validation.score > progress.best_score:
            progress.best_score, progress.best_step, progress.stale = validation.score, progress.step, 0
            save_atomically({"network": self.recipe.network.state_dict()}, self.folder / "best_state.pt")
        else:
            progress.stale += 1
        progress.stopped_early = (
            self.settings.patience is not None and progress.stale >= self.settings.patience and progress.step > begun
        )
        progress.history.append((progress.step, numbers))
        self.window = []
        self.save()


def _stacked(values: Sequence[torch.Tensor]) -> torch.Tensor:
    """Numbers of several steps; those from a checkpoint lie on the processor."""
    return torch.stack([value.to(values[-1].device) for value in values])


def _optimiser(parameters: list[nn.Parameter], settings: Training) -> torch.optim.Optimizer:
    adam = torch.optim.Adam
    kinds = {"adam": adam, "adam_half": adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    more: dict[str, dict[str, Any]] = {"sgd": {"momentum": 0.9}, "adam_half": {"betas": (0.5, 0.999)}}
    extra = dict(more.get(settings.optimiser, {}))
    if all(each.is_floating_point() and each.device.type in ("cpu", "cuda") for each in parameters):
        extra["fused"] = True  # one pass over each parameter
    extra |= {"lr": settings.lr, "weight_decay": settings.weight_decay}
    made: torch.optim.Optimizer = kinds[settings.optimiser](parameters, **extra)
    return made


def _schedule(optimiser: torch.optim.Optimizer, settings: Training) -> Any:
    if settings.schedule == "one_cycle":
        steps = max(settings.steps, SHORTEST_CYCLE)
        return schedules.OneCycleLR(optimiser, max_lr=settings.lr, total_steps=steps, pct_start=0.2)
    if settings.schedule == "plateau":
        least = 0.05 * settings.lr
        return schedules.ReduceLROnPlateau(optimiser, mode="max", factor=0.1, patience=5, min_lr=least)
    return schedules.ConstantLR(optimiser, factor=1.0)


def validation_steps(settings: Training) -> list[int]:
    """Steps after which validation runs: evenly spaced, the last one at the end."""
    count = min(settings.validations, settings.steps)
    return sorted({round(settings.steps * (k + 1) / count) for k in range(count)})


def fit(
    recipe: Recipe,
    stream: Stream,
    settings: Training,
    validate: Callable[[], Validation],
    on_validation: Callable[[int, Mapping[str, float]], None],
    *,
    folder: Path,
    device: torch.device,
    on_step: Callable[[int, int, float], None] | None = None,
) -> Progress:
    """Train until the samples are seen or patience ends; continue from `folder/last.pt` where it exists.

    Args:
        recipe: What a step is; its modules are on `device` already.
        stream: Samples by global number, so every batch size sees the same stream.
        settings: Resolved training block.
        validate: Scores the network, called in eval mode without gradients.
        on_validation: Receives step and all numbers since the last validation (`train/...`, `val/...`), to be logged
            in one batch; called in eval mode, before the guards. After an interrupt in it, it is called once more.
        folder: Where `last.pt` and `best_state.pt` are written, atomically.
        device: Where the modules are.
        on_step: Progress callback (step, steps, loss), called about every ten steps.

    Returns:
        Progress; the best weights are loaded into the recipe's network.

    Raises:
        DivergedError: Loss, gradient or output no longer finite; NoMemoryError: none for half a batch.
        CollapsedError: Output mass below 1 % of the truth after 20 % of the steps.
    """
    loop = _Loop(recipe, settings, device, folder)
    loop.resume()
    progress, network = loop.progress, recipe.network.train()
    try:
        loop.prepare()
        while True:
            if loop.is_due():
                network.eval()
                with torch.no_grad():
                    validation = validate()
                numbers = loop.numbers(validation)
                on_validation(progress.step, numbers)
                with _unbroken():
                    loop.judge(validation, numbers)
                network.train()
            if progress.step >= settings.steps or progress.stopped_early:
                break
            loop.advance(stream)
            if progress.step % GUARD_EVERY == 0 or loop.is_due():
                loop.guard()
                if on_step is not None:
                    on_step(progress.step, settings.steps, float(loop.window[-1]["loss"]))
    except (KeyboardInterrupt, StoreLostError):
        loop.save()
        raise
    best = torch.load(folder / "best_state.pt", map_location="cpu", weights_only=True)
    network.load_state_dict(best["network"])
    network.eval()
    return progress
