"""`plan.json`: every row of a study with what the report needs to know about tasks, columns and conditions."""

from typing import Any

from smlmbench.registry import Card, Catalog
from smlmbench.run.session import command_line, host, versions
from smlmbench.study.cells import Cell, DataPlan, Plan, Reference, context_of
from smlmbench.study.planning.plan import plan_hash
from smlmbench.study.planning.references import serving
from smlmbench.study.schema import Study


def plan_document(study: Study, plan: Plan, catalog: Catalog) -> dict[str, Any]:
    """The plan as plain JSON values."""
    cards = {name: catalog.card("models", name) for name in {cell.model.name for cell in plan.cells}}
    rows: list[Cell | Reference] = [*plan.cells, *plan.references]
    data = {row.data.name: (row.task, row.data) for row in rows}
    return {
        "plan_hash": plan_hash(plan),
        "study": plan.study,
        "seed": study.seed,
        "repeats": study.repeats,
        "command": command_line(),
        "versions": versions(),
        "host": host(),
        "protocol": study.scoring.protocol,
        "scoring": study.scoring.model_dump(),
        "tasks": {name: _task(name, catalog) for name in dict.fromkeys(row.task for row in rows)},
        "conditions": {
            name: {
                condition: source.condition_facts() | source.seen_in(entry.train) | placed(entry, condition)
                for condition, source in entry.tests.items()
            }
            for name, (_, entry) in data.items()
        },
        "data": {
            name: {
                "task": task,
                "train": dict(entry.train_identity),
                "kind": entry.train.kind,
                "arm": entry.arm,
                "apply": [path.name for path in entry.apply],
            }
            for name, (task, entry) in data.items()
        },
        "plugins": [str(path) for path in study.plugins],
        "cells": [_cell(cell, cards[cell.model.name], catalog) for cell in plan.cells],
        "references": [_reference(row, catalog) for row in plan.references],
        "skipped": [row.model_dump(mode="json") for row in plan.skipped],
        "warnings": list(plan.warnings),
        "longer": {key: found.model_dump() for key, found in plan.longer.items()},
    }


def placed(entry: DataPlan, condition: str) -> dict[str, Any]:
    """Where a condition stands on a robustness sheet."""
    return {} if entry.sheet is None else entry.sheet.facts(condition)


def _task(name: str, catalog: Catalog) -> dict[str, Any]:
    """What ranks the rows of a task, and the numbers that it gives."""
    card = catalog.card("tasks", name)
    return {
        "version": card.version,
        "summary": card.summary,
        "primary": {"name": card.facts["primary"], "direction": card.facts.get("direction", "up")},
        "headline": list(card.facts.get("headline", [])),
        "columns": _columns(catalog, name),
    }


def _columns(catalog: Catalog, task: str) -> dict[str, dict[str, Any]]:
    """Unit, direction and help of every number that the task's metrics give."""
    given = (card.gives for card in catalog.metrics_of(task).values())
    return {key: facts.model_dump() for gives in given for key, facts in gives.items()}


def _cell(cell: Cell, card: Card, catalog: Catalog) -> dict[str, Any]:
    return {
        "cell_id": cell.cell_id,
        "eval_id": cell.eval_id,
        "labels": cell.labels,
        "settings": dict(cell.model.settings),
        "loss_settings": dict(cell.loss.settings),
        "training": cell.training.model_dump(mode="json"),
        "output": dict(cell.output.settings),
        "knows": list(cell.data.train.knows),
        "context_frames": context_of(cell.model, catalog),
        "model_version": cell.model.version,
        "fidelity": card.under(cell.model.settings).fidelity,
        "plugin": cell.model.plugin,
        **_taught(cell),
    }


def _taught(cell: Cell) -> dict[str, Any]:
    """What a student adds: method, teacher and what it is compared with."""
    said: dict[str, Any] = {"control": cell.control} if cell.control else {}
    if (teaching := cell.teaching) is None:
        return said
    teacher: dict[str, Any] = {"untrained": True} if teaching.untrained else {}
    if teaching.model is not None:
        teacher["settings"] = dict(teaching.model.settings)
    if teaching.loss is not None:
        teacher["loss"] = {"name": teaching.loss.name, **teaching.loss.settings}
    block = {**cell.method.settings, **({"teacher": teacher} if teacher else {})}
    return {**said, "method_settings": block, "needs": cell.needs, "controls": dict(cell.controls)}


def _reference(row: Reference, catalog: Catalog) -> dict[str, Any]:
    card = catalog.card("references", row.reference.name)
    serves, settings = serving(card, row.task) or {}, dict(row.reference.settings)
    if settings.get("path"):
        settings["path"] = str(settings["path"]).replace("\\", "/").rsplit("/", 1)[-1]  # without its folder
    return {
        "reference_id": row.reference_id,
        "eval_id": row.eval_id,
        "task": row.task,
        "data": row.data.name,
        "reference": row.reference.name,
        "settings": settings,
        "knows": list(serves.get("knows", [])),
        "gives": serves.get("gives", ""),
        "ceiling": bool(card.facts.get("ceiling")),
    }
