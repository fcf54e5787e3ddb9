"""One cell from its description to a trained network."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from smlmbench import tasks
from smlmbench.data.contracts import Given
from smlmbench.inference.allocator import keep_buffers, place
from smlmbench.inference.answering import Answering
from smlmbench.inference.checkpoint import Trained, build_network
from smlmbench.inference.devices import resolve_device, resolve_number_format
from smlmbench.inference.engine import frame_multiple, padded
from smlmbench.recipes.contracts import Recipe
from smlmbench.run.cells.evaluation import example_picture
from smlmbench.run.cells.teachers import Teacher, lesson_of
from smlmbench.run.materials import Materials, first_units
from smlmbench.seeds import derive_seed
from smlmbench.study.cells import Cell
from smlmbench.study.identity import short_hash
from smlmbench.tasks.values import Watch
from smlmbench.training import Progress, Validation, fit


@dataclass(frozen=True, slots=True)
class Events:
    """What a cell tells while it trains.

    Attributes:
        on_step: step, steps, loss.
        on_validation: step, numbers (`train/...`, `val/...`).
        on_picture: step, uint8 panel (H, W, 3) of the example frame.
    """

    on_step: Callable[[int, int, float], None]
    on_validation: Callable[[int, Mapping[str, float]], None]
    on_picture: Callable[[int, NDArray[np.uint8]], None]


@dataclass(slots=True)
class Trainee:
    """A trained cell before it is scored."""

    trained: Trained
    given: Given
    progress: Progress
    n_params: int
    number_format: str
    device: str


def output_settings(cell: Cell, materials: Materials) -> dict[str, object]:
    """Settings of the output kind with what the data add, such as the camera pixel."""
    return {**cell.output.settings, **materials.training(cell).output_settings}


def build_recipe(
    cell: Cell, materials: Materials, device: torch.device, teacher: Teacher | None = None
) -> tuple[Recipe, Given]:
    """Network, loss and targets of a cell on a device; weights depend on root seed, model and repeat alone."""
    catalog = materials.catalog
    given = materials.given(cell)
    scope = (cell.model.name, short_hash(cell.model.settings), str(cell.repeat))
    torch.manual_seed(derive_seed(cell.root_seed, "init", *scope) % 2**63)
    network = build_network(catalog, cell.model.name, cell.model.settings, given)
    network = place(network, device)
    settings = output_settings(cell, materials)
    loss = catalog.module("losses", cell.loss.name).build(cell.loss.settings, settings)
    if isinstance(loss, nn.Module):
        loss = loss.to(device)
    output = catalog.module("outputs", cell.output.name)
    card = catalog.card("models", cell.model.name).under(cell.model.settings)
    multiple_px = frame_multiple(card.facts, given.upsampling)
    recipe: Recipe = catalog.module("recipes", cell.method.name).build(
        network,
        loss,
        lambda batch: output.targets(batch, settings),
        device,
        cell.method.settings,
        padded(network, multiple_px, given.upsampling),
        **({} if teacher is None else {"lesson": lesson_of(cell, materials, given, teacher)}),
    )
    return recipe, given


def train_cell(
    cell: Cell,
    materials: Materials,
    folder: Path,
    events: Events,
    device_name: str = "auto",
    teacher: Teacher | None = None,
) -> Trainee:
    """Train a cell, continuing from `folder` where it holds a state.

    Args:
        cell: What to train.
        materials: Data sets.
        folder: Working folder of this cell's run.
        events: Who is told.
        device_name: auto, cpu, cuda or mps.
        teacher: Of a student.

    Raises:
        TrainingError: Diverged or collapsed.
    """
    keep_buffers()
    device = resolve_device(device_name)
    recipe, given = build_recipe(cell, materials, device, teacher)
    # Counted before training: a recipe may freeze a part on the way.
    parameters = sum(parameter.numel() for parameter in recipe.network.parameters() if parameter.requires_grad)
    trained = _untrained(cell, materials, recipe.network, given)
    trial = Trial(cell, materials, trained, device)
    progress = fit(
        recipe,
        materials.training(cell),
        cell.training,
        trial.validate,
        lambda step, numbers: trial.tell(step, numbers, events),
        folder=folder,
        device=device,
        on_step=events.on_step,
    )
    number_format = resolve_number_format(cell.training.number_format, device)
    return Trainee(trained, given, progress, parameters, number_format, str(device))


def _untrained(cell: Cell, materials: Materials, network: nn.Module, given: Given) -> Trained:
    card = materials.catalog.card("models", cell.model.name).under(cell.model.settings)
    return Trained(
        network=network,
        output=materials.catalog.module("outputs", cell.output.name),
        output_settings=output_settings(cell, materials),
        tuned={},
        facts={},
        channels=given.channels,
        context=given.context,
        keep_table=bool(materials.catalog.card("tasks", cell.task).facts.get("keeps_table", True)),
        multiple_px=frame_multiple(card.facts, given.upsampling),
    )


class Trial:
    """A network that is judged while it trains, on the first units of validation."""

    def __init__(self, cell: Cell, materials: Materials, trained: Trained, device: torch.device) -> None:
        self._task, self._scoring = tasks.load(cell.task, materials.catalog), cell.scoring
        self._quick = first_units(materials.splits(cell).validation, cell.training.validation_frames)
        self._model = Answering(trained.network, trained.read_out(), device)
        self._watch: Watch | None = None

    def validate(self) -> Validation:
        """What the task says of the network now."""
        answer = self._task.answer(self._model, self._quick)
        self._watch = self._task.watch(answer, self._quick, self._scoring)
        return Validation(self._watch.score, self._watch.mass, self._watch.numbers)

    def tell(self, step: int, numbers: Mapping[str, float], events: Events) -> None:
        """Pass the numbers of a validation on, with a picture where there is one."""
        events.on_validation(step, numbers)
        tuned = {} if self._watch is None else self._watch.tuned
        example = example_picture(self._task, self._model, self._quick, tuned)
        if example is not None:
            events.on_picture(step, example)
