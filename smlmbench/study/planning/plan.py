"""A study to its plan: every training, every reference, every combination that makes no sense with its reason."""

import itertools
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from smlmbench.errors import ConfigError, suggest
from smlmbench.study.cells import Cell, DataPlan, Pending, Picked, Plan, Reference, Skipped
from smlmbench.study.identity import eval_id, reference_id, short_hash
from smlmbench.study.load import Loaded
from smlmbench.study.planning.expand import outputs
from smlmbench.study.planning.resolve import resolve
from smlmbench.study.planning.rows import Combination, cell_of, combinations_of, skipped_of
from smlmbench.study.planning.students import taught_rows
from smlmbench.study.planning.warn import warnings_of
from smlmbench.study.schema import Choice
from smlmbench.study.sources.pairs import fitting_output

LABELS = ("task", "data", "model", "loss", "lambda", "repeat", "method", "teacher")


def make_plan(loaded: Loaded, *, only: Sequence[str] = (), repeats: int | None = None) -> Plan:
    """Expand a study.

    Rows are in the order data x model x output x loss (lambda) x training x repeat, each as written; then students,
    each behind its teacher. A student that is kept keeps its teacher.

    Args:
        loaded: From `load_study`.
        only: Filters such as `model=fid*`: filters of one label are alternatives, different labels must all match.
        repeats: Repeats of every training, instead of the study's.

    Raises:
        ConfigError: No loss for a model, two data sets that cannot be told apart, or a filter that keeps nothing.
    """
    study, catalog = loaded.study, loaded.catalog
    wanted = _filters(only)
    data = [resolve(entry, catalog) for entry in study.data]
    scored = {plan.name: _eval_id(loaded, plan) for plan in data}
    on_grid = {
        ratio: [item for choice in study.models for item in combinations_of(loaded, choice, ratio)]
        for ratio in dict.fromkeys(plan.ratio for plan in data)
    }
    combined = [item for items in on_grid.values() for item in items]
    cells: dict[str, Cell] = {}
    skipped: list[Skipped] = []
    notes: list[str] = []
    for plan, item in ((entry, item) for entry in data for item in on_grid[entry.ratio]):
        for repeat in range(repeats if repeats is not None else study.repeats):
            cell = cell_of(loaded, plan, item, repeat, scored[plan.name])
            if not _matches(cell.labels, wanted):
                continue
            if item.refusal is not None:
                skipped.append(skipped_of(cell, item.refusal))
            elif cell.cell_id in cells:
                notes.append(_twice(cells[cell.cell_id], cell))
            else:
                cells[cell.cell_id] = cell
    pending: list[Pending] = []
    for plan in data:
        rows = taught_rows(loaded, plan, repeats if repeats is not None else study.repeats, scored[plan.name])
        cells = _merged(cells, rows.cells, wanted)
        skipped += [row for row in rows.skipped if _matches(row.labels, wanted)]
        pending += [one for one in rows.pending if one.students[0] in cells]
    if not cells and not skipped:
        raise ConfigError(_nothing(data, combined, only))
    references = [
        row for plan in data if _kept(plan, study.task, wanted) for row in _references(loaded, plan, scored[plan.name])
    ]
    skipped += [row for plan in data if _kept(plan, study.task, wanted) for row in _lost_references(loaded, plan)]
    notes = [*dict.fromkeys(notes), *warnings_of(catalog, list(cells.values()))]
    return Plan(
        study=study.study,
        cells=list(cells.values()),
        references=references,
        skipped=skipped,
        warnings=notes,
        pending=pending,
    )


def plan_hash(plan: Plan) -> str:
    """Identity of a plan: its rows and how they are scored, whatever their order."""
    return short_hash(
        {
            "study": plan.study,
            "cells": sorted([cell.cell_id, cell.eval_id] for cell in plan.cells),
            "references": sorted([row.reference_id, row.eval_id] for row in plan.references),
            "skipped": sorted(short_hash(row.model_dump(mode="json")) for row in plan.skipped),
        }
    )


def _eval_id(loaded: Loaded, plan: DataPlan) -> str:
    version = loaded.catalog.card("tasks", loaded.study.task).version
    return eval_id(
        root_seed=loaded.study.seed, tests=plan.test_identity, scoring=loaded.study.scoring, task_version=version
    )


def _merged(cells: dict[str, Cell], added: Sequence[Cell], wanted: dict[str, list[str]]) -> dict[str, Cell]:
    """Cells with those of the block `distill` that are kept, and with the teachers of these."""
    kept = {cell.cell_id for cell in added if _matches(cell.labels, wanted)}
    kept |= {need for cell in added if cell.cell_id in kept for need in cell.needs}
    merged = dict(cells)
    for cell in added:
        if cell.cell_id in kept:
            merged.setdefault(cell.cell_id, cell)
    return merged


def _twice(first: Cell, again: Cell) -> str:
    """Say that a combination is named twice.

    Raises:
        ConfigError: The two are scored on different conditions, which one training cannot be.
    """
    one, other = first.data.name, again.data.name
    if first.eval_id != again.eval_id:
        raise ConfigError(f"data: '{other}' trains on what '{one}' trains on; put its test conditions under '{one}'")
    if one != other:
        return f"data '{other}' is the same as '{one}'; its rows are made once, under '{one}'"
    labels = again.labels
    named = f"model {labels['model']} with loss {labels['loss']}, lambda {labels['lambda']}"
    return f"{named} stands twice in the study; it is trained once"


def _references(loaded: Loaded, plan: DataPlan, scored: str) -> Iterator[Reference]:
    """Rows without training: those the study names, else all of the task, on every grid of the study."""
    study, catalog = loaded.study, loaded.catalog
    kind = _gridded(loaded)
    grids = outputs(catalog, kind, fitting_output(study.output, plan.ratio))
    for choice in _reference_choices(loaded):
        if _why_no_reference(loaded, plan, choice) is not None:
            continue
        for picked, output in itertools.product(_reference(loaded, choice), grids):
            identity = reference_id(
                task=study.task, data=plan.train_identity, output=output, reference=picked, scored=scored
            )
            yield Reference(
                study=study.study,
                task=study.task,
                root_seed=study.seed,
                data=plan,
                output=output,
                reference=picked,
                scoring=study.scoring,
                plugins=study.plugins,
                reference_id=identity,
                eval_id=scored,
            )


def _reference_choices(loaded: Loaded) -> list[Choice]:
    """The references that a study names, else all of the task."""
    if loaded.study.references is not None:
        return loaded.study.references
    return [{"name": name} for name in loaded.catalog.names("references") if _default(loaded, name)]


def _why_no_reference(loaded: Loaded, plan: DataPlan, choice: Choice) -> str | None:
    """Why a reference says nothing on a data set, or None; its card states `images: true` where it answers pairs."""
    facts = loaded.catalog.card("references", choice["name"]).facts
    if plan.has_positions or facts.get("images"):
        return None
    if facts.get("one_movie"):
        return f"{choice['name']} holds the answer to one movie, image pairs are many images"
    return f"{choice['name']} answers with positions, image pairs have none to compare with"


def _lost_references(loaded: Loaded, plan: DataPlan) -> Iterator[Skipped]:
    blank = {"loss": "none", "lambda": "none", "repeat": "0", "method": "reference", "teacher": "none"}
    for choice in _reference_choices(loaded):
        reason = _why_no_reference(loaded, plan, choice)
        if reason is not None:
            labels = {"task": loaded.study.task, "data": plan.name, "model": choice["name"], **blank}
            yield Skipped(labels=labels, settings={"reference": _reference(loaded, choice)[0].settings}, reason=reason)


def _gridded(loaded: Loaded) -> str:
    """The output kind whose settings references are drawn with: one with a fine grid, whatever the order of models."""
    catalog = loaded.catalog
    kinds = {str(getattr(catalog.card("models", choice["name"]), "output", "")) for choice in loaded.study.models}
    return min(kinds, key=lambda kind: ("upsampling" not in catalog.card("outputs", kind).settings, kind))


def _reference(loaded: Loaded, choice: Choice) -> list[Picked]:
    name = choice["name"]
    card = loaded.catalog.card("references", name)
    settings = card.fill(name, {key: value for key, value in choice.items() if key != "name"})
    return [
        Picked(
            name=name, version=card.version, settings=settings, plugin=loaded.catalog.plugin_hash("references", name)
        )
    ]


def _default(loaded: Loaded, name: str) -> bool:
    """True for a reference that is shown without being named: of this task, and not in need of a file or setting."""
    facts = loaded.catalog.card("references", name).facts
    return facts.get("task", loaded.study.task) == loaded.study.task and bool(facts.get("default", True))


def _filters(only: Sequence[str]) -> dict[str, list[str]]:
    wanted: dict[str, list[str]] = {}
    for text in only:
        label, equals, pattern = text.partition("=")
        if not equals or not pattern:
            raise ConfigError(f"--only {text}: not LABEL=PATTERN; write for example --only 'model=fid*'")
        if label not in LABELS:
            raise ConfigError(f"--only {text}: unknown label '{label}', {suggest(label, LABELS)}")
        wanted.setdefault(label, []).append(pattern)
    return wanted


def _matches(labels: dict[str, str], wanted: dict[str, list[str]]) -> bool:
    return all(any(fnmatchcase(labels[label], pattern) for pattern in patterns) for label, patterns in wanted.items())


def _kept(plan: DataPlan, task: str, wanted: dict[str, list[str]]) -> bool:
    """References follow the filters that they have a label for."""
    return _matches({"task": task, "data": plan.name}, {key: wanted[key] for key in ("task", "data") if key in wanted})


def _nothing(data: Sequence[DataPlan], combined: Sequence[Combination], only: Sequence[str]) -> str:
    models = ", ".join(dict.fromkeys(item.model.name for item in combined))
    losses = ", ".join(dict.fromkeys(item.loss.name for item in combined))
    sets = ", ".join(plan.name for plan in data)
    return f"--only {' '.join(only)}: keeps no row; data: {sets}; model: {models}; loss: {losses}"
