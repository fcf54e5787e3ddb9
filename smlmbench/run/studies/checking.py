"""`plan --check`: build every distinct network without memory, lay hints side by side, and probe hours and GB."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from smlmbench.data.contracts import Given, Statistics
from smlmbench.errors import SmlmBenchError
from smlmbench.inference.checkpoint import build_network
from smlmbench.inference.devices import resolve_device
from smlmbench.recipes.hints import adapter, chosen_pair, maps_of
from smlmbench.registry import Catalog, ModelCard
from smlmbench.run.materials import Materials
from smlmbench.run.studies.longer import step_seconds
from smlmbench.study.cells import Cell, Picked, Plan
from smlmbench.study.identity import picked_identity, short_hash
from smlmbench.study.planning.rows import skipped_of

META = torch.device("meta")
STATISTICS = Statistics(mean=10.0, std=3.0, low=1.0, high=30.0)  # any: nothing is computed


@dataclass(frozen=True, slots=True)
class Built:
    """One distinct network of a plan.

    Attributes:
        model: Its name and settings.
        upsampling: What it was built for.
        cells: How many trainings it is in.
        n_params: Trainable parameters, None where it cannot be built.
        problem: Why not, or empty.
        hours: Of all its trainings, from a few steps on this machine; None where that was not probed.
    """

    model: Picked
    upsampling: int
    cells: int
    n_params: int | None
    problem: str = ""
    hours: float | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found.

    Attributes:
        plan: With the trainings that cannot be, as skipped rows.
        built: Every distinct network.
        hours: Of all trainings one after the other, scoring not counted.
        peak_gb: Most memory that this process has held.
    """

    plan: Plan
    built: list[Built]
    hours: float
    peak_gb: float | None

    def as_json(self) -> dict[str, Any]:
        """What was built, as plain JSON values."""
        networks = [
            {
                "model": one.model.name,
                "settings": one.model.settings,
                "upsampling": one.upsampling,
                "cells": one.cells,
                "n_params": one.n_params,
                "hours": one.hours,
                "problem": one.problem,
            }
            for one in self.built
        ]
        return {"networks": networks, "hours": self.hours, "peak_gb": self.peak_gb}


def check_plan(plan: Plan, catalog: Catalog, device_name: str = "auto", *, probes: bool = True) -> Checked:
    """Check a plan before anything is trained.

    Args:
        plan: From `make_plan`.
        catalog: Registered things.
        device_name: Where steps are timed.
        probes: Time a few steps of every distinct training.
    """
    materials, device = Materials(catalog), resolve_device(device_name)
    groups: dict[str, list[Cell]] = {}
    for cell in plan.cells:
        groups.setdefault(short_hash([picked_identity(cell.model), _upsampling(cell)]), []).append(cell)
    built: list[Built] = []
    reasons: dict[str, str] = {}
    for members in groups.values():
        n_params, problem = _built(members[0], materials)
        reasons |= {cell.cell_id: problem for cell in members if problem}
        hours = None if problem or not probes else _hours(members, materials, device)
        built.append(Built(members[0].model, _upsampling(members[0]), len(members), n_params, problem, hours))
    misfits: dict[str, str] = {}
    for cell in plan.cells:
        if cell.teaching is not None and cell.teaching.model is not None and cell.cell_id not in reasons:
            key = short_hash([picked_identity(one) for one in (cell.model, cell.method, cell.teaching.model)])
            key += str(_upsampling(cell))
            if key not in misfits:
                misfits[key] = hint_problem(cell, materials)
            if misfits[key]:
                reasons[cell.cell_id] = misfits[key]
    total = sum(one.hours or 0.0 for one in built)
    return Checked(_without(plan, reasons), built, total, _peak_gb())


def _built(cell: Cell, materials: Materials) -> tuple[int | None, str]:
    try:
        frames = _frames(cell, materials)
        network = _on_meta(cell.model, _upsampling(cell), materials.catalog, frames.shape[1])
        with torch.no_grad():
            network.eval()(frames)
    except Exception as error:  # whatever a network raises when it is built is what this check is for
        said = str(error) if isinstance(error, SmlmBenchError) else f"{type(error).__name__}: {error}"
        return None, f"{cell.model.name} cannot be built: {' '.join(said.split())}"
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad), ""


def hint_problem(cell: Cell, materials: Materials) -> str:
    """Why the hint of a student cannot be laid beside its teacher's, with both shapes; empty where it can."""
    settings = cell.method.settings
    if "teacher_layer" not in settings or cell.teaching is None or cell.teaching.model is None:
        return ""
    catalog, sides = materials.catalog, (cell.teaching.model, cell.model)
    cards = [catalog.card("models", side.name).under(side.settings) for side in sides]
    layers = tuple(card.facts.get("hint_layers", ()) for card in cards)
    try:
        pair = chosen_pair(settings, (layers[0], layers[1]), _upsampling(cell))
        frames = _frames(cell, materials)
        shapes = [
            _shape(_on_meta(side, _upsampling(cell), catalog, frames.shape[1]), layer, frames)
            for side, layer in zip(sides, pair, strict=True)
        ]
        adapter(shapes[1], shapes[0], str(settings["resize"]))
    except SmlmBenchError as error:
        return str(error)
    return ""


def _shape(network: nn.Module, layer: str, frames: torch.Tensor) -> torch.Size:
    with torch.no_grad():
        return maps_of(network.eval(), layer, _running(network, frames)).shape


def _running(network: nn.Module, frames: torch.Tensor) -> Callable[[], Any]:
    return lambda: network(frames)


def _on_meta(model: Picked, upsampling: int, catalog: Catalog, channels: int) -> nn.Module:
    given = Given(channels, upsampling, 100.0, STATISTICS, _context(model, catalog))
    with META:
        return build_network(catalog, model.name, model.settings, given)


def _context(model: Picked, catalog: Catalog) -> int:
    card = catalog.card("models", model.name)
    return card.frames_at_once(model.settings) if isinstance(card, ModelCard) else 1


def _frames(cell: Cell, materials: Materials) -> torch.Tensor:
    """One input of the cell's network, its sides rounded up to what no pooling cuts."""
    channels, *sides = materials.training(cell).sample_shape
    channels *= _context(cell.model, materials.catalog)
    return torch.zeros(1, channels, *(-(-side // 8) * 8 for side in sides), device=META)


def _upsampling(cell: Cell) -> int:
    return int(cell.output.settings.get("upsampling", 1))


def _hours(cells: Sequence[Cell], materials: Materials, device: torch.device) -> float:
    """Hours of all trainings of one network: seconds of a step for each loss and batch size, times their steps."""
    seconds: dict[str, float] = {}
    total = 0.0
    for cell in cells:
        key = short_hash([picked_identity(cell.loss), cell.training.batch_size, cell.data.train_identity])
        if key not in seconds:
            seconds[key] = step_seconds(cell, materials, device)[0]
        total += seconds[key] * cell.training.steps
    return total / 3600


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
