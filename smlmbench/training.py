"""The training loop: one file, no special cases; recipes decide what a step is.

It owns optimisers, schedules, number format, guards, checkpoints and resuming. Batches are addressed by number, so a
run that was interrupted continues bit for bit on the same machine and thread count.
"""

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from smlmbench.data.contracts import Batch
from smlmbench.errors import CollapsedError, DivergedError
from smlmbench.recipes.contracts import Recipe
from smlmbench.study.schema import Training

COLLAPSE_MASS = 0.01
COLLAPSE_AFTER = 0.2
GUARD_EVERY = 10


class Stream(Protocol):
    """Samples by global number."""

    def batch(self, first: int, count: int) -> Batch:
        """Samples first .. first + count - 1."""
        ...


@dataclass(frozen=True, slots=True)
class Validation:
    """What one validation says.

    Attributes:
        score: Picks the best step; up is better.
        mass: Output mass over true mass, for the collapse guard.
        metrics: Numbers to log.
    """

    score: float
    mass: float
    metrics: Mapping[str, float]


@dataclass(slots=True)
class Progress:
    """Where a training stands; saved in every checkpoint."""

    step: int = 0
    best_score: float = -math.inf
    best_step: int = -1
    stale: int = 0
    train_s: float = 0.0
    stopped_early: bool = False
    history: list[tuple[int, dict[str, float]]] = field(default_factory=list)


def resolve_device(wanted: str = "auto") -> torch.device:
    """`auto` takes CUDA, then MPS, then the CPU."""
    if wanted != "auto":
        return torch.device(wanted)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def resolve_number_format(wanted: str, device: torch.device) -> str:
    """`auto`: bf16 where the processor multiplies it faster than fp32 (CUDA with bf16, CPU with AMX), else fp32.

    AVX512_BF16 alone does not count: its convolutions were measured slower than fp32 ones (benchmarks/step.py).
    """
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    has_amx = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    return "bf16" if device.type == "cpu" and has_amx() else "fp32"


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


class _Loop:
    def __init__(self, recipe: Recipe, settings: Training, device: torch.device, folder: Path) -> None:
        self.recipe, self.settings, self.device, self.folder = recipe, settings, device, folder
        self.number_format = resolve_number_format(settings.number_format, device)
        self.optimisers = {name: _optimiser(parameters, settings) for name, parameters in recipe.players().items()}
        self.schedules = {name: _schedule(optimiser, settings) for name, optimiser in self.optimisers.items()}
        self.progress = Progress()

    def save(self) -> None:
        save_atomically(
            {
                "progress": asdict(self.progress),
                "modules": {name: module.state_dict() for name, module in self.recipe.modules.items()},
                "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
                "schedules": {name: schedule.state_dict() for name, schedule in self.schedules.items()},
                "rng": torch.get_rng_state(),
            },
            self.folder / "last.pt",
        )

    def resume(self) -> bool:
        path = self.folder / "last.pt"
        if not path.is_file():
            return False
        saved = torch.load(path, map_location=self.device, weights_only=True)
        self.progress = Progress(**saved["progress"])
        for name, module in self.recipe.modules.items():
            module.load_state_dict(saved["modules"][name])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(saved["optimisers"][name])
            self.schedules[name].load_state_dict(saved["schedules"][name])
        torch.set_rng_state(saved["rng"].cpu())
        return True

    def step(self, batch: Batch) -> dict[str, torch.Tensor]:
        seen: dict[str, torch.Tensor] = {}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.number_format == "bf16"):
            moves = self.recipe.step(batch)
        for move in moves:
            optimiser = self.optimisers[move.player]
            optimiser.zero_grad(set_to_none=True)
            move.loss.backward()  # type: ignore[no-untyped-call]
            if self.settings.clip is not None:
                seen["gradient_norm"] = nn.utils.clip_grad_norm_(move.parameters, self.settings.clip).detach()
            optimiser.step()
            schedule = self.schedules[move.player]
            if not isinstance(schedule, torch.optim.lr_scheduler.ReduceLROnPlateau):
                schedule.step()
            seen.update({name: value.detach() for name, value in move.parts.items()})
            seen["loss"] = move.loss.detach()
        self.progress.step += 1
        return seen

    def lr(self) -> float:
        return float(next(iter(self.optimisers.values())).param_groups[0]["lr"])

    def judge(self, validation: Validation) -> bool:
        """Take a validation in; True where training should stop early."""
        progress = self.progress
        if progress.step >= COLLAPSE_AFTER * self.settings.steps and validation.mass < COLLAPSE_MASS:
            raise CollapsedError(
                f"the network answers {100 * validation.mass:.2g} % of the true mass after step {progress.step}; "
                "a larger lambda or learning rate may help"
            )
        for schedule in self.schedules.values():
            if isinstance(schedule, torch.optim.lr_scheduler.ReduceLROnPlateau):
                schedule.step(validation.score)
        if progress.best_step < 0 or validation.score > progress.best_score:
            progress.best_score, progress.best_step, progress.stale = validation.score, progress.step, 0
            save_atomically({"network": self.recipe.network.state_dict()}, self.folder / "best_state.pt")
        else:
            progress.stale += 1
        return self.settings.patience is not None and progress.stale >= self.settings.patience


def _optimiser(parameters: list[nn.Parameter], settings: Training) -> torch.optim.Optimizer:
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    extra = {"momentum": 0.9} if settings.optimiser == "sgd" else {}
    made: torch.optim.Optimizer = kinds[settings.optimiser](
        parameters, lr=settings.lr, weight_decay=settings.weight_decay, **extra
    )
    return made


def _schedule(optimiser: torch.optim.Optimizer, settings: Training) -> Any:
    if settings.schedule == "one_cycle":
        return torch.optim.lr_scheduler.OneCycleLR(
            optimiser, max_lr=settings.lr, total_steps=settings.steps, pct_start=0.2
        )
    if settings.schedule == "plateau":
        return torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimiser, mode="max", factor=0.1, patience=5, min_lr=0.05 * settings.lr
        )
    return torch.optim.lr_scheduler.ConstantLR(optimiser, factor=1.0)


def validation_steps(settings: Training) -> list[int]:
    """Steps after which validation runs: evenly spaced, the last one at the end."""
    count = min(settings.validations, settings.steps)
    return sorted({round(settings.steps * (k + 1) / count) for k in range(count)})


def _means(window: list[dict[str, torch.Tensor]]) -> dict[str, float]:
    return {name: float(torch.stack([seen[name] for seen in window]).float().mean()) for name in window[0]}


def _guard(window: list[dict[str, torch.Tensor]], step: int) -> None:
    losses = torch.stack([seen["loss"] for seen in window[-GUARD_EVERY:]])
    if not torch.isfinite(losses).all():
        raise DivergedError(f"the loss is not finite at or before step {step}; a smaller lr or a clip may help")


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
            in one batch.
        folder: Where `last.pt` and `best_state.pt` are written, atomically.
        device: Where the modules are.
        on_step: Progress callback (step, steps, loss), called about every ten steps.

    Returns:
        Progress; the best weights are loaded into the recipe's network.

    Raises:
        DivergedError: Loss no longer finite.
        CollapsedError: Output mass below 1 % of the truth after 20 % of the steps.
    """
    loop = _Loop(recipe, settings, device, folder)
    loop.resume()
    checkpoints = set(validation_steps(settings))
    window: list[dict[str, torch.Tensor]] = []
    network = recipe.network.train()
    try:
        while loop.progress.step < settings.steps and not loop.progress.stopped_early:
            began = time.perf_counter()
            batch = stream.batch(loop.progress.step * settings.batch_size, settings.batch_size)
            window.append(loop.step(batch))
            step = loop.progress.step
            if step % GUARD_EVERY == 0 or step in checkpoints:
                _guard(window, step)
                if on_step is not None:
                    on_step(step, settings.steps, float(window[-1]["loss"]))
            loop.progress.train_s += time.perf_counter() - began
            if step in checkpoints:
                network.eval()
                with torch.no_grad():
                    validation = validate()
                network.train()
                numbers = {f"train/{name}": value for name, value in _means(window).items()}
                numbers |= {f"val/{name}": value for name, value in validation.metrics.items()}
                numbers |= {"train/lr": loop.lr(), "train/seconds": loop.progress.train_s}
                numbers["train/samples"] = float(step * settings.batch_size)
                window.clear()
                loop.progress.stopped_early = loop.judge(validation)
                loop.progress.history.append((step, numbers))
                loop.save()
                on_validation(step, numbers)
    except KeyboardInterrupt:
        loop.save()
        raise
    best = torch.load(folder / "best_state.pt", map_location=device, weights_only=True)
    network.load_state_dict(best["network"])
    network.eval()
    return loop.progress
