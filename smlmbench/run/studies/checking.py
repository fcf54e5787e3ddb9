"""`plan --check`: build every distinct network without memory, lay hints side by side, and probe hours and GB."""

import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from smlmbench.data.contracts import Given, Statistics
from smlmbench.errors import SmlmBenchError
from smlmbench.inference.checkpoint import build_network
from smlmbench.inference.devices import resolve_device
from smlmbench.recipes.hints import adapter, chosen_pair, maps_of
from smlmbench.registry import Catalog
from smlmbench.run.cells.training import n_trainable
from smlmbench.run.materials import Materials, upsampling_of
from smlmbench.run.studies.longer import step_seconds
from smlmbench.study.cells import Cell, Picked, Plan, context_of
from smlmbench.study.identity import picked_identity, short_hash
from smlmbench.study.planning.rows import skipped_of

META = torch.device("meta")
STATISTICS = Statistics(mean=10.0, std=3.0, low=1.0, high=30.0)  # any: nothing is computed


@dataclass(frozen=True, slots=True)
class Built:
    """One distinct network of a plan."""

    model: Picked
    upsampling: int
    cells: int  # how many trainings it is in
    n_params: int | None  # trainable, None where it cannot be built
    hours: float | None  # of all its trainings, from a few steps on this machine; None where that was not probed
    problem: str = ""  # why it cannot be built


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found."""

    plan: Plan  # with the trainings that cannot be, as skipped rows
    built: list[Built]
    hours: float  # of all trainings one after the other, scoring not counted
    peak_gb: float | None  # most memory that this process has held

    def as_json(self) -> dict[str, Any]:
        """What was built, as plain JSON values."""
        networks = [{**asdict(one), "model": one.model.name, "settings": one.model.settings} for one in self.built]
        return {"networks": networks, "hours": self.hours, "peak_gb": self.peak_gb}


def check_plan(plan: Plan, catalog: Catalog, device_name: str = "auto", *, probes: bool = True) -> Checked:
    """Check a plan before anything is trained; `probes` times a few steps of every distinct training on a device."""
    materials, device = Materials(catalog), resolve_device(device_name)
    built: list[Built] = []
    reasons: dict[str, str] = {}
    for members in _alike(plan.cells, lambda cell: [cell.model, upsampling_of(cell)]):
        n_params, problem = _built(members[0], materials)
        reasons |= {cell.cell_id: problem for cell in members if problem}
        hours = None if problem or not probes else _hours(members, materials, device)
        built.append(Built(members[0].model, upsampling_of(members[0]), len(members), n_params, hours, problem))
    taught = [cell for cell in plan.cells if cell.teaching is not None and cell.cell_id not in reasons]
    for members in _alike(taught, lambda cell: [cell.model, cell.method, _teacher(cell), upsampling_of(cell)]):
        problem = hint_problem(members[0], materials)
        reasons |= {cell.cell_id: problem for cell in members if problem}
    total = sum(one.hours or 0.0 for one in built)
    return Checked(_without(plan, reasons), built, total, _peak_gb())


def _alike(cells: Sequence[Cell], content: Callable[[Cell], list[Any]]) -> list[list[Cell]]:
    """Cells in groups of equal content."""
    groups: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        plain = [picked_identity(one) if isinstance(one, Picked) else one for one in content(cell)]
        groups[short_hash(plain)].append(cell)
    return list(groups.values())


def _built(cell: Cell, materials: Materials) -> tuple[int | None, str]:
    try:
        frames = _frames(cell, materials)
        network = _on_meta(cell.model, cell, materials, frames.shape[1])
        with torch.no_grad():
            network.eval()(frames)
    except Exception as error:  # whatever a network raises when it is built is what this check is for
        said = str(error) if isinstance(error, SmlmBenchError) else f"{type(error).__name__}: {error}"
        return None, f"{cell.model.name} cannot be built: {' '.join(said.split())}"
    return n_trainable(network), ""


def hint_problem(cell: Cell, materials: Materials) -> str:
    """Why the hint of a student cannot be laid beside its teacher's, with both shapes; empty where it can."""
    settings, teacher = cell.method.settings, _teacher(cell)
    if "teacher_layer" not in settings or teacher is None:
        return ""
    catalog, upsampling, sides = materials.catalog, upsampling_of(cell), (teacher, cell.model)
    cards = [catalog.card("models", side.name).under(side.settings) for side in sides]
    theirs, ours = (card.facts.get("hint_layers", ()) for card in cards)
    try:
        pair, frames = chosen_pair(settings, (theirs, ours), upsampling), _frames(cell, materials)
        networks = [_on_meta(side, cell, materials, frames.shape[1]).eval() for side in sides]
        shapes = [_shape(network, layer, frames) for network, layer in zip(networks, pair, strict=True)]
        adapter(shapes[1], shapes[0], str(settings["resize"]))
    except SmlmBenchError as error:
        return str(error)
    return ""


def _teacher(cell: Cell) -> Picked | None:
    return cell.teaching.model if cell.teaching is not None else None


def _shape(network: nn.Module, layer: str, frames: torch.Tensor) -> torch.Size:
    with torch.no_grad():
        return maps_of(network, layer, lambda: network(frames)).shape


def _on_meta(model: Picked, cell: Cell, materials: Materials, channels: int) -> nn.Module:
    context = context_of(model, materials.catalog)
    output = {**cell.output.settings, **materials.training(cell).output_settings}
    sides = materials.unit_sides(cell)
    given = Given(channels, upsampling_of(cell), 100.0, STATISTICS, context, output, sides)
    with META:
        return build_network(materials.catalog, model.name, model.settings, given)


def _frames(cell: Cell, materials: Materials) -> torch.Tensor:
    """One input of the cell's network, its sides rounded up to what no pooling cuts."""
    channels, *sides = materials.training(cell).sample_shape
    channels *= context_of(cell.model, materials.catalog)
    step = 1 if materials.unit_sides(cell) else 8
    return torch.zeros(1, channels, *(-(-side // step) * step for side in sides), device=META)


def _hours(cells: Sequence[Cell], materials: Materials, device: torch.device) -> float:
    """Hours of all trainings of one network: seconds of a step for each loss and batch size, times their steps."""
    total_s = 0.0
    for members in _alike(cells, lambda cell: [cell.loss, cell.training.batch_size, cell.data.train_identity]):
        steps = sum(cell.training.steps for cell in members)
        total_s += steps * step_seconds(members[0], materials, device)[0]
    return total_s / 3600


def _peak_gb() -> float | None:
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def _without(plan: Plan, reasons: dict[str, str]) -> Plan:
    kept = [cell for cell in plan.cells if cell.cell_id not in reasons]
    lost = [skipped_of(cell, reasons[cell.cell_id]) for cell in plan.cells if cell.cell_id in reasons]
    return plan.model_copy(update={"cells": kept, "skipped": [*plan.skipped, *lost]})
