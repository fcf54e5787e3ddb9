"""A study to its plan: every training, every reference, every combination that makes no sense with its reason."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from smlmbench.errors import ConfigError, suggest
from smlmbench.study.cells import Cell, DataPlan, Picked, Plan, Reference, Skipped
from smlmbench.study.expand import losses_of, outputs, picks, refusal, trainings
from smlmbench.study.identity import cell_id, eval_id, reference_id, short_hash
from smlmbench.study.load import Loaded
from smlmbench.study.resolve import resolve
from smlmbench.study.schema import Choice, Training
from smlmbench.study.warn import warnings_of

LABELS = ("task", "data", "model", "loss", "lambda", "repeat", "method", "teacher")


@dataclass(frozen=True, slots=True)
class _Combination:
    """One model with its read-out, loss and training block; repeats and data come on top."""

    model: Picked
    output: Picked
    loss: Picked
    training: Training
    refusal: str | None


def make_plan(loaded: Loaded, *, only: Sequence[str] = (), repeats: int | None = None) -> Plan:
    """Expand a study.

    Rows are in the order data x model x output x loss (lambda) x training x repeat, each as written.

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
    combined = [item for choice in study.models for item in _combinations(loaded, choice)]
    cells: dict[str, Cell] = {}
    skipped: list[Skipped] = []
    notes: list[str] = []
    for plan, item in itertools.product(data, combined):
        for repeat in range(repeats if repeats is not None else study.repeats):
            cell = _cell(loaded, plan, item, repeat, scored[plan.name])
            if not _matches(cell.labels, wanted):
                continue
            if item.refusal is not None:
                skipped.append(_skipped(cell, item.refusal))
            elif cell.cell_id in cells:
                notes.append(_twice(cells[cell.cell_id], cell))
            else:
                cells[cell.cell_id] = cell
    if not cells and not skipped:
        raise ConfigError(_nothing(data, combined, only))
    references = [
        row for plan in data if _kept(plan, study.task, wanted) for row in _references(loaded, plan, scored[plan.name])
    ]
    notes = [*dict.fromkeys(notes), *warnings_of(catalog, list(cells.values()))]
    return Plan(study=study.study, cells=list(cells.values()), references=references, skipped=skipped, warnings=notes)


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


def _combinations(loaded: Loaded, choice: Choice) -> Iterator[_Combination]:
    study, catalog = loaded.study, loaded.catalog
    card = catalog.card("models", choice["name"])
    kind = str(getattr(card, "output", ""))
    losses = losses_of(catalog, study, choice)
    refused = {loss.name: refusal(catalog, choice["name"], loss.name) for loss in losses}
    blocks = trainings(card, choice["name"], study.training)
    models = picks(catalog, "models", choice)
    for model, output, loss, training in itertools.product(
        models, outputs(catalog, kind, study.output), losses, blocks
    ):
        yield _Combination(model, output, loss, training, refused[loss.name])


def _cell(loaded: Loaded, plan: DataPlan, item: _Combination, repeat: int, scored: str) -> Cell:
    """One row; every part is already valid, so nothing is validated ten thousand times."""
    study = loaded.study
    content: dict[str, Any] = {
        "task": study.task,
        "root_seed": study.seed,
        "repeat": repeat,
        "model": item.model,
        "output": item.output,
        "loss": item.loss,
        "training": item.training,
    }
    return Cell.model_construct(
        study=study.study,
        data=plan,
        scoring=study.scoring,
        plugins=study.plugins,
        cell_id="" if item.refusal is not None else cell_id(data=plan.train_identity, **content),
        eval_id=scored,
        **content,
    )


def _skipped(cell: Cell, reason: str) -> Skipped:
    settings = {
        "model": cell.model.settings,
        "output": cell.output.settings,
        "loss": cell.loss.settings,
        "training": cell.training.model_dump(mode="json"),
    }
    return Skipped(labels=cell.labels, settings=settings, reason=reason)


def _eval_id(loaded: Loaded, plan: DataPlan) -> str:
    version = loaded.catalog.card("tasks", loaded.study.task).version
    return eval_id(
        root_seed=loaded.study.seed, tests=plan.test_identity, scoring=loaded.study.scoring, task_version=version
    )


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
    choices = study.references
    if choices is None:
        choices = [{"name": name} for name in catalog.names("references") if _default(loaded, name)]
    kind = _gridded(loaded)
    for choice in choices:
        for picked, output in itertools.product(_reference(loaded, choice), outputs(catalog, kind, study.output)):
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


def _nothing(data: Sequence[DataPlan], combined: Sequence[_Combination], only: Sequence[str]) -> str:
    models = ", ".join(dict.fromkeys(item.model.name for item in combined))
    losses = ", ".join(dict.fromkeys(item.loss.name for item in combined))
    sets = ", ".join(plan.name for plan in data)
    return f"--only {' '.join(only)}: keeps no row; data: {sets}; model: {models}; loss: {losses}"
