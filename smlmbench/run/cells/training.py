"""One cell from its description to a trained network."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from smlmbench import tasks
from smlmbench.data.ahead import ahead
from smlmbench.data.contracts import Given
from smlmbench.inference.allocator import KEPT_IN_TRAINING_BYTES, keep_buffers, place
from smlmbench.inference.answering import Answering
from smlmbench.inference.checkpoint import Trained, build_network
from smlmbench.inference.devices import resolve_device
from smlmbench.inference.engine import padded
from smlmbench.recipes.contracts import Recipe
from smlmbench.run.cells.evaluation import Picture, example_picture
from smlmbench.run.cells.teachers import Teacher, lesson_of, seed_of
from smlmbench.run.materials import Materials, first_units
from smlmbench.study.cells import Cell
from smlmbench.tasks.contracts import Watch
from smlmbench.training import Progress, Validation, fit


@dataclass(frozen=True, slots=True)
class Events:
    """What a cell tells while it trains."""

    on_step: Callable[[int, int, float], None]  # step, steps, loss
    on_validation: Callable[[int, Mapping[str, float]], None]  # step, numbers (`train/...`, `val/...`)
    on_picture: Callable[[int, Picture], None]  # step, panel (H, W, 3) of the example frame


@dataclass(slots=True)
class Trainee:
    """A trained cell before it is scored."""

    trained: Trained
    given: Given
    params: dict[str, Any]  # of its run: what it cost, on what, and how far it went


def build_recipe(
    cell: Cell, materials: Materials, device: torch.device, teacher: Teacher | None = None
) -> tuple[Recipe, Given]:
    """Network, loss and targets of a cell on a device; weights depend on root seed, model and repeat alone."""
    catalog, given, settings = materials.catalog, materials.given(cell), materials.output_settings(cell)
    torch.manual_seed(seed_of("init", cell, cell.model))
    network = place(build_network(catalog, cell.model.name, cell.model.settings, given), device)
    loss = catalog.module("losses", cell.loss.name).build(cell.loss.settings, settings)
    if isinstance(loss, nn.Module):
        loss = loss.to(device)
    output = catalog.module("outputs", cell.output.name)
    recipe: Recipe = catalog.module("recipes", cell.method.name).build(
        network,
        loss,
        lambda batch: output.targets(batch, settings),
        device,
        cell.method.settings,
        padded(network, materials.multiple_px(cell), given.upsampling),
        **({} if teacher is None else {"lesson": lesson_of(cell, materials, given, teacher)}),
    )
    return recipe, given


def train_cell(
    cell: Cell, materials: Materials, folder: Path, events: Events, device_name: str, teacher: Teacher | None = None
) -> Trainee:
    """Train a cell, continuing from the working `folder` of its run where that holds a state.

    Raises:
        TrainingError: Diverged or collapsed.
        NoMemoryError: The device has no memory for half a batch.
    """
    keep_buffers(KEPT_IN_TRAINING_BYTES)
    device, training = resolve_device(device_name), cell.training
    recipe, given = build_recipe(cell, materials, device, teacher)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    count = n_trainable(recipe.network)  # before training: a recipe may freeze a part on the way
    trained = _untrained(cell, materials, recipe.network, given)
    trial = Trial(cell, materials, trained, device, events)
    moves = bool(materials.catalog.card("outputs", cell.output.name).facts.get("any_device"))
    with ahead(materials.training(cell), device, training.steps * training.batch_size, moves=moves) as stream:
        progress = fit(
            recipe, stream, training, trial.validate, trial.tell, folder=folder, device=device, on_step=events.on_step
        )
    params = {
        "n_params": count,
        **_format(progress),
        "device": str(device),
        "threads": torch.get_num_threads(),
        "samples_seen": progress.step * training.batch_size,
        "train_s": round(progress.train_s, 2),
        "best_step": progress.best_step,
        **({"batch_parts": progress.parts} if progress.parts > 1 else {}),
        **_card(device),
    }
    return Trainee(trained, given, params)


def _format(progress: Progress) -> dict[str, Any]:
    """What the steps were computed in; where `auto` chose it why, and the milliseconds that it saw."""
    why = {"number_format_why": progress.format_why} if progress.format_why else {}
    timed = {f"step_{name}_ms": ms for name, ms in progress.step_ms.items()}
    return {"number_format": progress.number_format, **why, **timed}


def _card(device: torch.device) -> dict[str, Any]:
    """Name of a card, and the most memory that the training held there; nothing of a processor."""
    if device.type != "cuda":
        return {}
    peak_gb = round(torch.cuda.max_memory_allocated(device) / 1e9, 3)
    return {"card": torch.cuda.get_device_name(device), "card_peak_gb": peak_gb}


def n_trainable(network: nn.Module) -> int:
    """Number of parameters that a training may change."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def _untrained(cell: Cell, materials: Materials, network: nn.Module, given: Given) -> Trained:
    return Trained(
        network=network,
        output=materials.catalog.module("outputs", cell.output.name),
        output_settings=materials.output_settings(cell),
        tuned={},
        facts={},
        channels=given.channels,
        context=given.context,
        keep_table=bool(materials.catalog.card("tasks", cell.task).facts.get("keeps_table", True)),
        multiple_px=materials.multiple_px(cell),
    )


class Trial:
    """A network that is judged while it trains, on the first units of validation."""

    def __init__(
        self, cell: Cell, materials: Materials, trained: Trained, device: torch.device, events: Events
    ) -> None:
        self._task, self._scoring, self._events = tasks.load(cell.task, materials.catalog), cell.scoring, events
        self._quick = first_units(materials.splits(cell).validation, cell.training.validation_frames)
        self._model = Answering(trained.network, trained.read_out(), device)
        self._watch: Watch | None = None

    def validate(self) -> Validation:
        """What the task says of the network now."""
        answer = self._task.answer(self._model, self._quick)
        self._watch = self._task.watch(answer, self._quick, self._scoring)
        return Validation(self._watch.score, self._watch.mass, self._watch.numbers)

    def tell(self, step: int, numbers: Mapping[str, float]) -> None:
        """Pass the numbers of a validation on, with a picture where there is one."""
        self._events.on_validation(step, numbers)
        tuned = {} if self._watch is None else self._watch.tuned
        example = example_picture(self._task, self._model, self._quick, tuned)
        if example is not None:
            self._events.on_picture(step, example)
