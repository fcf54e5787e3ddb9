"""The teacher of a student: found in the store or in a file, or built untrained as a control."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import lcm
from pathlib import Path
from typing import Any

import torch
from torch import nn

from smlmbench.data.contracts import Given
from smlmbench.errors import ConfigError, FormatError
from smlmbench.inference.allocator import place
from smlmbench.inference.checkpoint import build_network, load_trained
from smlmbench.inference.devices import resolve_device
from smlmbench.inference.engine import frame_multiple, padded
from smlmbench.recipes.contracts import Lesson
from smlmbench.registry import Catalog
from smlmbench.run.materials import Materials
from smlmbench.run.session import Session
from smlmbench.seeds import derive_seed
from smlmbench.study.cells import Cell, Picked, Teaching, context_of
from smlmbench.study.identity import short_hash
from smlmbench.tracking.claims import decide
from smlmbench.tracking.records import RunRecord, cell_runs, find_run, metric_history

CHECKPOINT = "best.pt"
UNUSABLE = ("failed", "collapsed", "pruned")


@dataclass(frozen=True, slots=True)
class Teacher:
    """A network that teaches, on the student's device."""

    network: nn.Module
    upsampling: int  # fine pixels per camera pixel of its answers
    multiple_px: int  # of which the sides of its frames are a multiple
    layers: Sequence[Mapping[str, Any]]  # `hint_layers` of its card
    costs: Mapping[str, Any]  # for the student's row: teacher_n_params; teacher_run and teacher_train_s where known
    history: Sequence[float] = ()  # mean training losses between its validations, empty where unknown


def why_no_teacher(cell: Cell, session: Session) -> str | None:
    """Why a student cannot be trained now, or None; one that is trained already needs no teacher."""
    if cell.teaching is None or cell.teacher is None:
        return None
    runs = [run for run in cell_runs(session.store, session.experiment_id, cell.teacher) if not run.superseded]
    if any(_teaches(run) for run in runs):
        return None
    own = cell_runs(session.store, session.experiment_id, cell.cell_id)
    if decide(own, cell.eval_id, retry_failed=session.retry_failed).kind not in ("new", "continue"):
        return None
    name = f"its teacher {cell.teaching.label} ({cell.teacher})"
    if not runs:
        return f"{name} is not trained"
    ended = runs[0].status
    return f"{name} ended as {ended}" if ended in UNUSABLE else f"{name} is {ended}"


def _teaches(run: RunRecord) -> bool:
    trained = run.status == "done" or (run.trained and run.status not in UNUSABLE)
    return trained and run.artifact(CHECKPOINT) is not None


def find_teacher(cell: Cell, session: Session) -> Teacher | None:
    """The teacher of a cell on the training device; None for supervised training.

    Raises:
        FormatError: No checkpoint where one should be, or a file that has changed since the study was planned.
        ConfigError: It sees another number of frames at once than its student.
    """
    teaching = cell.teaching
    if teaching is None:
        return None
    device, catalog = resolve_device(session.device), session.catalog
    if teaching.untrained:
        return untrained_teacher(cell, session.materials, device, _checkpoint_model(teaching, session))
    costs: dict[str, Any] = {}
    history: Sequence[float] = ()
    if (path := teaching.path) is None:
        record = _record(cell, teaching, session)
        path, costs = _checkpoint(record), {"teacher_run": record.run_id}
        if "train_s" in record.params:
            costs["teacher_train_s"] = record.params["train_s"]
        history = tuple(point.value for point in metric_history(session.store, record.run_id, "train/loss"))
    elif hashlib.sha256(path.read_bytes()).hexdigest() != teaching.sha256:
        raise FormatError(f"'{path}' has changed since the study was planned; run the command again")
    trained = load_trained(path, catalog, device)
    model = Picked.model_validate(trained.facts["model"])
    if trained.context != (own := context_of(cell.model, catalog)):
        raise ConfigError(
            f"its teacher {teaching.label} has context {trained.context}, {cell.model.name} {own}; give both one"
        )
    made = _teacher(trained.network, model, catalog, int(trained.output_settings.get("upsampling", 1)))
    return replace(made, multiple_px=trained.multiple_px, costs={**made.costs, **costs}, history=history)


def _record(cell: Cell, teaching: Teaching, session: Session) -> RunRecord:
    if teaching.run:
        return find_run(session.store, teaching.run)
    runs = cell_runs(session.store, session.experiment_id, str(cell.teacher))
    usable = [run for run in runs if not run.superseded and _teaches(run)]
    if not usable:
        raise FormatError(f"teacher {teaching.label} ({cell.teacher}) is not trained; run the study again")
    return usable[0]


def _checkpoint(record: RunRecord) -> Path:
    path = record.artifact(CHECKPOINT)
    if path is None:
        raise FormatError(f"run {record.run_id} has no {CHECKPOINT}, so it cannot teach; name another teacher")
    return path


def _checkpoint_model(teaching: Teaching, session: Session) -> Picked:
    """The network of an untrained teacher: as named, else as in the checkpoint that it stands beside."""
    if teaching.model is not None:
        return teaching.model
    path = teaching.path or _checkpoint(find_run(session.store, teaching.run))
    return Picked.model_validate(load_trained(path, session.catalog).facts["model"])


def untrained_teacher(cell: Cell, materials: Materials, device: torch.device, model: Picked) -> Teacher:
    """A teacher at its random start; weights depend on root seed, model and repeat alone."""
    given = materials.given(cell)
    torch.manual_seed(seed_of("untrained teacher", cell, model))
    network = place(build_network(materials.catalog, model.name, model.settings, given), device)
    return _teacher(network, model, materials.catalog, given.upsampling)


def seed_of(role: str, cell: Cell, model: Picked) -> int:
    """Seed of what is drawn for a model of a cell; depends on root seed, model and repeat alone."""
    return derive_seed(cell.root_seed, role, model.name, short_hash(model.named_by), str(cell.repeat))


def _teacher(network: nn.Module, model: Picked, catalog: Catalog, upsampling: int) -> Teacher:
    facts = catalog.card("models", model.name).under(model.settings).facts
    costs = {"teacher_n_params": sum(parameter.numel() for parameter in network.parameters())}
    multiple_px, frozen = frame_multiple(facts, upsampling), network.eval().requires_grad_(False)
    return Teacher(frozen, upsampling, multiple_px, facts.get("hint_layers", ()), costs)


def lesson_of(cell: Cell, materials: Materials, given: Given, teacher: Teacher) -> Lesson:
    """What the recipe of a student is given."""
    catalog = materials.catalog
    facts = catalog.card("models", cell.model.name).under(cell.model.settings).facts
    return Lesson(
        teacher=teacher.network,
        answer=padded(teacher.network, teacher.multiple_px, teacher.upsampling),
        stream=materials.training(cell),
        samples=cell.training.samples,
        batch_size=cell.training.batch_size,
        upsampling=given.upsampling,
        layers=(teacher.layers, facts.get("hint_layers", ())),
        target=str(catalog.card("outputs", cell.output.name).facts.get("perfect_raw", "")),
        multiple_px=lcm(teacher.multiple_px, materials.multiple_px(cell)),
        seed=seed_of("adapter", cell, cell.model),
        history=teacher.history,
    )
