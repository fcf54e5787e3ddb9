"""One cell from its description to a trained network."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from smlmbench.data.contracts import Condition, Given
from smlmbench.inference.allocator import keep_buffers, place
from smlmbench.inference.checkpoint import Trained, build_network
from smlmbench.inference.devices import resolve_device, resolve_number_format
from smlmbench.inference.engine import frame_multiple, padded, predict
from smlmbench.recipes.contracts import Recipe
from smlmbench.run.cells.pictures import frame_picture, pair_images
from smlmbench.run.cells.teachers import Teacher, lesson_of
from smlmbench.run.materials import Materials, first_frames
from smlmbench.seeds import derive_seed
from smlmbench.study.cells import Cell
from smlmbench.study.identity import short_hash
from smlmbench.tasks.contracts import Task
from smlmbench.training import Progress, Validation, fit

QUICK_THRESHOLDS = 16


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
    """Settings of the output kind with the camera pixel of the data and, for image pairs, the unit of the targets."""
    stream = materials.training(cell)
    settings: dict[str, object] = {**cell.output.settings, "pixel_size_nm": stream.pixel_size_nm}
    return settings if cell.data.train.brings == "emitters" else settings | {"image_scale": stream.target_scale}


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
    quick = first_frames(materials.splits(cell.data, cell.root_seed).validation, cell.training.validation_frames)
    progress = fit(
        recipe,
        materials.training(cell),
        cell.training,
        _validator(cell, materials, trained, quick, device),
        _picturing(trained, quick, events, device),
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
        threshold=float("nan"),
        facts={},
        multiple_px=frame_multiple(card.facts, given.upsampling),
    )


def _validator(
    cell: Cell, materials: Materials, trained: Trained, quick: Condition, device: torch.device
) -> Callable[[], Validation]:
    task = materials.catalog.module("tasks", cell.task)
    read_out = trained.read_out(task.candidates_threshold())
    asked = Task(cell.task, materials.catalog)

    def validate_images() -> Validation:
        numbers = task.validate_pairs(pair_images(quick, trained, device), quick)
        return Validation(score=asked.sign * numbers[asked.primary], mass=numbers["mass"], metrics=numbers)

    def validate() -> Validation:
        prediction = predict(quick.frames, trained.network, read_out, device=device)
        chosen = task.choose_threshold(prediction.table, quick, cell.scoring, QUICK_THRESHOLDS)
        mass = 1.0
        if prediction.image is not None:
            mass = task.mass_ratio(float(prediction.image.values.sum()), quick)
        numbers = {asked.primary: chosen.reached, "threshold": chosen.value, "mass": mass}
        return Validation(score=chosen.reached, mass=mass, metrics=numbers)

    return validate if cell.data.train.brings == "emitters" else validate_images


def _picturing(
    trained: Trained, quick: Condition, events: Events, device: torch.device
) -> Callable[[int, Mapping[str, float]], None]:
    def on_validation(step: int, numbers: Mapping[str, float]) -> None:
        events.on_validation(step, numbers)
        read_out = trained.read_out(float(numbers.get("val/threshold", "nan")))
        example = frame_picture(quick, trained.network, read_out, device)
        if example is not None:
            events.on_picture(step, example)

    return on_validation
