"""Students of a study with their teachers and controls (PROTOCOL section 4), as rows of its plan."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from smlmbench.errors import ConfigError
from smlmbench.registry import Catalog
from smlmbench.study.cells import Cell, DataPlan, Longer, Pending, Picked, Plan, Skipped, Teaching, context_of
from smlmbench.study.identity import cell_id, file_digest, known_as, picked_identity, short_hash, student_id
from smlmbench.study.load import Loaded
from smlmbench.study.planning.expand import losses_of, picks, trainings
from smlmbench.study.planning.rows import Combination, cell_of, combinations_of, skipped_of
from smlmbench.study.reading.choices import WEIGHT
from smlmbench.study.schema import Choice, Study
from smlmbench.study.schema.distill import Distillation, Side


@dataclass(slots=True)
class Taught:
    """Rows that the block `distill` adds, teachers before their students."""

    cells: list[Cell] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    pending: list[Pending] = field(default_factory=list)


def taught_rows(part: Loaded, plan: DataPlan, repeats: int, scored: str) -> Taught:
    """Teachers, plain twins, students and controls on one data set, every training repeated; `scored` is the `eval_id`.

    A ConfigError where a model has no loss, or a lambda stands for a loss that has none.
    """
    rows = Taught()
    for entry in part.study.distill:
        for student, teacher, method in _pairs(part, entry, plan.train.fixes):
            reason = _refusal(part.catalog, student, teacher, method)
            for repeat in range(repeats):
                plain = cell_of(part, plan, student, repeat, scored)
                taught_by = None if teacher is None else cell_of(part, plan, teacher, repeat, scored)
                _add(rows, entry, _Pair(plain, taught_by, method, reason))
    return rows


@dataclass(frozen=True, slots=True)
class _Pair:
    """A plain student, its teacher's training (None: a checkpoint), the method, and why it makes no sense."""

    plain: Cell
    teacher: Cell | None
    method: Picked
    refusal: str | None


def _pairs(
    part: Loaded, entry: Distillation, fixes: Mapping[str, Any]
) -> Iterator[tuple[Combination, Combination | None, Picked]]:
    study, catalog = part.study, part.catalog
    methods = picks(catalog, "recipes", {"name": entry.method, **entry.settings})
    for choice in _choices(study, entry.student):
        losses = _losses(catalog, entry.student, losses_of(catalog, study, choice) if not entry.student.loss else [])
        for student in combinations_of(part, choice, fixes, losses):
            for teacher in _teachers(part, entry.teacher, student, fixes):
                for method in methods:
                    yield student, teacher, method


def _teachers(part: Loaded, side: Side, student: Combination, fixes: Mapping[str, Any]) -> Iterator[Combination | None]:
    """Trainings of the teacher that go with one of the student: the same block of a swept `training`, one output."""
    if not side.name:
        yield None
        return
    study, catalog = part.study, part.catalog
    blocks = [trainings(catalog.card("models", name), name, study.training) for name in (student.model.name, side.name)]
    training = blocks[1][blocks[0].index(student.training)]
    for choice in _choices(study, side):
        losses = _losses(catalog, side, [student.loss])
        for teacher in combinations_of(part, choice, fixes, losses):
            fits = teacher.output == student.output or teacher.output.name != student.output.name
            if teacher.training == training and fits:
                yield teacher


def _choices(study: Study, side: Side) -> list[Choice]:
    """The model as written; one named without settings is that of the study, where it has one of the name."""
    named = [] if side.settings else [choice for choice in study.models if choice["name"] == side.name]
    return named or [{"name": side.name, **side.settings}]


def _losses(catalog: Catalog, side: Side, inherited: Sequence[Picked]) -> list[Picked]:
    """The side's own loss, else what it inherits; its own lambdas in their place."""
    losses = picks(catalog, "losses", side.loss) if side.loss is not None else list(inherited)
    if not side.weights:
        return losses
    weighted = []
    for loss in losses:
        if WEIGHT not in loss.settings:
            raise ConfigError(f"distill: loss '{loss.name}' of '{side.name}' has no lambda; leave lambda out")
        settings = [{**loss.settings, WEIGHT: weight} for weight in side.weights]
        weighted += [loss.model_copy(update={"settings": one}) for one in settings]
    return weighted


def _refusal(catalog: Catalog, student: Combination, teacher: Combination | None, method: Picked) -> str | None:
    if student.refusal is not None:
        return student.refusal
    if teacher is not None and teacher.refusal is not None:
        return f"its teacher cannot be trained: {teacher.refusal}"
    if teacher is not None and teacher.output.name != student.output.name:
        ours, theirs = student.output.name, teacher.output.name
        return f"its teacher {teacher.model.name} gives {theirs}, {student.model.name} gives {ours}"
    if teacher is not None:
        own, other = (context_of(side.model, catalog) for side in (student, teacher))
        if own != other:
            return f"its teacher {teacher.model.name} has context {other}, {student.model.name} {own}; give both one"
    players = getattr(catalog.card("losses", student.loss.name), "players", 1)
    if players > 1:
        return f"{student.loss.name} has {players} players; a student learns by a loss with one"
    facts = catalog.card("recipes", method.name).facts
    target = catalog.card("outputs", student.output.name).facts.get("perfect_raw")
    if not target and (facts.get("maps") or float(method.settings.get("alpha", 1)) < 1):
        return f"{method.name} compares answers pixel by pixel, {student.output.name} is not a map; hint takes it"
    for side, key in ((teacher, "teacher_layer"), (student, "student_layer")) if teacher is not None else ():
        card = catalog.card("models", side.model.name).under(side.model.settings)
        if method.settings.get(key) == "" and not card.facts.get("hint_layers"):
            return f"the card of {side.model.name} names no hint_layers; give {key}"
    return None


def _add(rows: Taught, entry: Distillation, pair: _Pair) -> None:
    """One student with its teacher and its controls."""
    plain, teacher, method = pair.plain, pair.teacher, pair.method
    who = _teaching(entry.teacher, teacher)
    student = plain.model_copy(update={"method": method, "teaching": who, "cell_id": ""})
    if pair.refusal is not None:
        rows.skipped.append(skipped_of(student, pair.refusal))
        return
    identity = next({key: value} for key in ("cell_id", "sha256", "run") if (value := getattr(who, key)))
    student = student.model_copy(update={"cell_id": student_id(plain.cell_id, method, identity)})
    rows.cells += [teacher] if teacher is not None else []
    controls: dict[str, str] = {}
    if "plain" in entry.controls:
        rows.cells.append(plain)
        controls["plain"] = plain.cell_id
    if "longer" in entry.controls:
        controls |= _longer(rows, entry, pair, student)
    beside = []
    if "random_teacher" in entry.controls:
        chance = who.model_copy(update={"untrained": True, "cell_id": "", "label": f"untrained {who.label}"})
        named = student_id(plain.cell_id, method, {**identity, "untrained": "yes"})
        update = {"teaching": chance, "cell_id": named, "control": "random_teacher"}
        beside = [student.model_copy(update=update)]
        controls["random_teacher"] = named
    rows.cells += [student.model_copy(update={"controls": controls}), *beside]


def _longer(rows: Taught, entry: Distillation, pair: _Pair, student: Cell) -> dict[str, str]:
    if entry.longer is not None:
        rows.cells.append(lengthened(pair.plain, entry.longer))
        return {"longer": rows.cells[-1].cell_id}
    if pair.teacher is None:
        control = pair.plain.model_copy(update={"control": "longer"})
        reason = "what the training of a checkpoint took is not known; give longer: FACTOR, or controls without longer"
        rows.skipped.append(skipped_of(control, reason))
        return {}
    judged = _judged(student)
    costs = [_cost(pair.teacher), _cost(pair.plain), pair.plain.data.train_identity]
    key = short_hash([*costs, judged] if judged else costs)
    cells: dict[str, Any] = {"teacher": pair.teacher, "student": pair.plain, "students": [student.cell_id]}
    rows.pending.append(Pending.model_construct(key=key, judged=judged, **cells))
    return {}


def _judged(student: Cell) -> int:
    """Samples on which the method measures its teacher first: those of attention by the sample."""
    settings, samples = student.method.settings, student.training.samples
    learns = "stages" in settings or float(settings.get("alpha", 1)) < 1
    if not learns or settings.get("phi", "seed") == "seed":
        return 0
    return min(int(settings["phi_samples"]) or samples, samples)


def _cost(cell: Cell) -> list[object]:
    picked = [picked_identity(one) for one in (cell.model, cell.output, cell.loss)]
    return [*picked, cell.training.model_dump(mode="json")]


def _teaching(side: Side, teacher: Cell | None) -> Teaching:
    if teacher is not None:
        return Teaching(label=teacher.model.name, cell_id=teacher.cell_id, model=teacher.model, loss=teacher.loss)
    if side.path is not None:
        return Teaching(label=side.path.name, path=side.path, sha256=file_digest(side.path))
    return Teaching(label=f"run {side.run[:8]}", run=side.run)


def lengthened(plain: Cell, factor: int) -> Cell:
    """The control `longer`: a plain student that sees more samples."""
    training = plain.training.model_copy(update={"samples": plain.training.samples * factor})
    content = {key: getattr(plain, key) for key in ("root_seed", "repeat", "data", "model", "output", "loss")}
    named = cell_id(task=known_as(Catalog(plain.plugins), plain.task), training=training, **content)
    return plain.model_copy(update={"training": training, "cell_id": named, "control": "longer"})


def with_longer(plan: Plan, measured: Mapping[str, Longer]) -> Plan:
    """The plan with its pending controls made cells, where their factor is known."""
    cells = {cell.cell_id: cell for cell in plan.cells}
    left: list[Pending] = []
    for pending in plan.pending:
        found = measured.get(pending.key)
        if found is None:
            left.append(pending)
            continue
        control = lengthened(pending.student, found.factor)
        cells.setdefault(control.cell_id, control)
        for number in pending.students:
            controls = {**cells[number].controls, "longer": control.cell_id}
            cells[number] = cells[number].model_copy(update={"controls": controls})
    longer = {**plan.longer, **measured}
    return plan.model_copy(update={"cells": list(cells.values()), "pending": left, "longer": longer})
