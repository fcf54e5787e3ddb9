"""The teacher of a student: found in the store or in a file, or built untrained as a control."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import lcm
from pathlib import Path
from typing import Any

import torch
from torch import nn

from smlmbench.data.contracts import Given
from smlmbench.errors import FormatError
from smlmbench.inference.allocator import place
from smlmbench.inference.checkpoint import build_network, load_trained
from smlmbench.inference.devices import resolve_device
from smlmbench.inference.engine import frame_multiple, padded
from smlmbench.recipes.contracts import Lesson
from smlmbench.registry import Catalog
from smlmbench.run.materials import Materials
from smlmbench.run.session import Session
from smlmbench.seeds import derive_seed
from smlmbench.study.cells import Cell, Picked, Teaching
from smlmbench.study.identity import short_hash
from smlmbench.tracking.claims import decide
from smlmbench.tracking.records import RunRecord, cell_runs, find_run, metric_history

CHECKPOINT = "best.pt"
UNUSABLE = ("failed", "collapsed", "pruned")


@dataclass(frozen=True, slots=True)
class Teacher:
    """A network that teaches.

    Attributes:
        network: On the student's device.
        upsampling: It answers with so many fine pixels per camera pixel.
        multiple_px: Frame sides that it wants are multiples of this.
        layers: `hint_layers` of its card.
        costs: What it took, for the student's row: teacher_n_params, teacher_run and teacher_train_s where known.
        history: Mean training losses between its validations, empty where unknown.
    """

    network: nn.Module
    upsampling: int
    multiple_px: int
    layers: Sequence[Mapping[str, Any]]
    costs: Mapping[str, Any]
    history: Sequence[float] = ()


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
    """
    teaching = cell.teaching
    if teaching is None:
        return None
    device = resolve_device(session.device)
    if teaching.untrained:
        return untrained_teacher(cell, session.materials, device, _checkpoint_model(teaching, session))
    if teaching.path is not None:
        return _from_file(_unchanged(teaching), session.catalog, device, {}, ())
    record = _record(cell, teaching, session)
    path = record.artifact(CHECKPOINT)
    if path is None:
        raise FormatError(f"run {record.run_id} has no {CHECKPOINT}, so it cannot teach; name another teacher")
    costs = {"teacher_run": record.run_id}
    if "train_s" in record.params:
        costs["teacher_train_s"] = record.params["train_s"]
    history = tuple(point.value for point in metric_history(session.store, record.run_id, "train/loss"))
    return _from_file(path, session.catalog, device, costs, history)


def _record(cell: Cell, teaching: Teaching, session: Session) -> RunRecord:
    if teaching.run:
        return find_run(session.store, teaching.run)
    runs = cell_runs(session.store, session.experiment_id, str(cell.teacher))
    usable = [run for run in runs if not run.superseded and _teaches(run)]
    if not usable:
        raise FormatError(f"teacher {teaching.label} ({cell.teacher}) is not trained; run the study again")
    return usable[0]


def _unchanged(teaching: Teaching) -> Path:
    assert teaching.path is not None  # noqa: S101 (asked by the caller)
    if hashlib.sha256(teaching.path.read_bytes()).hexdigest() != teaching.sha256:
        raise FormatError(f"'{teaching.path}' has changed since the study was planned; run the command again")
    return teaching.path


def _checkpoint_model(teaching: Teaching, session: Session) -> Picked:
    """The network of an untrained teacher: as named, else as in the checkpoint that it stands beside."""
    if teaching.model is not None:
        return teaching.model
    path = teaching.path or find_run(session.store, teaching.run).artifact(CHECKPOINT)
    if path is None:
        raise FormatError(f"run {teaching.run} has no {CHECKPOINT}, so it cannot teach; name another teacher")
    model = load_trained(path, session.catalog).facts["model"]
    return Picked(name=model["name"], version=model["version"], settings=model["settings"])


def _from_file(
    path: Path, catalog: Catalog, device: torch.device, costs: Mapping[str, Any], history: Sequence[float]
) -> Teacher:
    trained = load_trained(path, catalog, device)
    model = trained.facts["model"]
    made = _teacher(trained.network, Picked.model_validate(model), catalog, int(trained.output_settings["upsampling"]))
    return Teacher(made.network, made.upsampling, trained.multiple_px, made.layers, {**made.costs, **costs}, history)


def untrained_teacher(cell: Cell, materials: Materials, device: torch.device, model: Picked) -> Teacher:
    """A teacher at its random start; weights depend on root seed, model and repeat alone."""
    given = materials.given(cell)
    scope = (model.name, short_hash(model.settings), str(cell.repeat))
    torch.manual_seed(derive_seed(cell.root_seed, "untrained teacher", *scope) % 2**63)
    network = place(build_network(materials.catalog, model.name, model.settings, given), device)
    return _teacher(network, model, materials.catalog, given.upsampling)


def _teacher(network: nn.Module, model: Picked, catalog: Catalog, upsampling: int) -> Teacher:
    facts = catalog.card("models", model.name).under(model.settings).facts
    count = sum(parameter.numel() for parameter in network.parameters())
    return Teacher(
        network.eval().requires_grad_(False),
        upsampling,
        frame_multiple(facts, upsampling),
        facts.get("hint_layers", ()),
        {"teacher_n_params": count},
    )


def lesson_of(cell: Cell, materials: Materials, given: Given, teacher: Teacher) -> Lesson:
    """What the recipe of a student is given."""
    catalog = materials.catalog
    facts = catalog.card("models", cell.model.name).under(cell.model.settings).facts
    scope = (cell.model.name, short_hash(cell.model.settings), str(cell.repeat))
    return Lesson(
        teacher=teacher.network,
        answer=padded(teacher.network, teacher.multiple_px, teacher.upsampling),
        stream=materials.training(cell),
        samples=cell.training.samples,
        batch_size=cell.training.batch_size,
        upsampling=given.upsampling,
        layers=(teacher.layers, facts.get("hint_layers", ())),
        target=str(catalog.card("outputs", cell.output.name).facts.get("perfect_raw", "")),
        multiple_px=lcm(teacher.multiple_px, frame_multiple(facts, given.upsampling)),
        seed=derive_seed(cell.root_seed, "adapter", *scope),
        history=teacher.history,
    )
