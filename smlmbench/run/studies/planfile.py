"""`plan.json`: every row of a study with what the report needs to know about tasks, columns and conditions."""

from collections.abc import Mapping
from typing import Any

from smlmbench.registry import Card, Catalog, MetricCard
from smlmbench.run.session import command_line, host, versions
from smlmbench.study.cells import Cell, DataPlan, Plan, Reference
from smlmbench.study.planning.plan import plan_hash
from smlmbench.study.planning.references import serving
from smlmbench.study.schema import Study


def plan_document(study: Study, plan: Plan, catalog: Catalog) -> dict[str, Any]:
    """The plan as plain JSON values."""
    by_data = {row.data.name: row.task for row in plan.references}
    by_data |= {cell.data.name: cell.task for cell in plan.cells}
    tasks = list(dict.fromkeys([*by_data.values(), *(row.labels["task"] for row in plan.skipped)]))
    facts = {name: catalog.card("tasks", name).facts for name in tasks}
    first = facts[tasks[0]]
    cards = {name: catalog.card("models", name) for name in {cell.model.name for cell in plan.cells}}
    data = {cell.data.name: cell.data for cell in plan.cells} | {row.data.name: row.data for row in plan.references}
    return {
        "plan_hash": plan_hash(plan),
        "study": plan.study,
        "seed": study.seed,
        "repeats": study.repeats,
        "command": command_line(),
        "versions": versions(),
        "host": host(),
        "task": tasks[0],
        "tasks": by_data,
        "protocol": study.scoring.protocol,
        "scoring": study.scoring.model_dump(),
        "primary": {"name": first["primary"], "direction": first["direction"]},
        "headline": first["headline"],
        "ranked_by": {name: _ranking(facts[by_data[name]], entry) for name, entry in data.items()},
        "columns": {key: facts for name in tasks for key, facts in columns(catalog, name).items()},
        "conditions": {
            name: {condition: source.condition_facts() for condition, source in entry.tests.items()}
            for name, entry in data.items()
        },
        "data": {name: _data(entry) for name, entry in data.items()},
        "cells": [_cell(cell, cards[cell.model.name]) for cell in plan.cells],
        "references": [_reference(row, catalog) for row in plan.references],
        "skipped": [row.model_dump(mode="json") for row in plan.skipped],
        "warnings": list(plan.warnings),
        "longer": {key: found.model_dump() for key, found in plan.longer.items()},
    }


def _ranking(facts: Mapping[str, Any], data: DataPlan) -> dict[str, Any]:
    """What ranks the rows of one data set."""
    return {
        "name": facts["primary"],
        "direction": facts["direction"],
        "headline": list(facts["headline"]),
        "positions": data.train.brings == "emitters",
    }


def columns(catalog: Catalog, task: str) -> dict[str, dict[str, Any]]:
    """Unit, direction and help of every number that the task's metrics give."""
    found: dict[str, dict[str, Any]] = {}
    for name in catalog.names("metrics"):
        card = catalog.card("metrics", name)
        if isinstance(card, MetricCard) and task in card.tasks:
            found |= {key: facts.model_dump() for key, facts in card.gives.items()}
    return found


def _cell(cell: Cell, card: Card) -> dict[str, Any]:
    return {
        "cell_id": cell.cell_id,
        "eval_id": cell.eval_id,
        "labels": cell.labels,
        "settings": dict(cell.model.settings),
        "loss_settings": dict(cell.loss.settings),
        "training": cell.training.model_dump(mode="json"),
        "output": dict(cell.output.settings),
        "knows": cell.data.train.knows,
        "model_version": cell.model.version,
        "fidelity": card.under(cell.model.settings).fidelity,
        "plugin": cell.model.plugin,
        **_taught(cell),
    }


def _taught(cell: Cell) -> dict[str, Any]:
    """What a student adds: method, teacher and what it is compared with."""
    said: dict[str, Any] = {"control": cell.control} if cell.control else {}
    if cell.teaching is None:
        return said
    teaching = cell.teaching
    teacher: dict[str, Any] = {"untrained": True} if teaching.untrained else {}
    if teaching.model is not None:
        teacher["settings"] = dict(teaching.model.settings)
    if teaching.loss is not None:
        teacher["loss"] = {"name": teaching.loss.name, **teaching.loss.settings}
    block = {**cell.method.settings, **({"teacher": teacher} if teacher else {})}
    return {**said, "method_settings": block, "needs": cell.needs, "controls": dict(cell.controls)}


def _reference(row: Reference, catalog: Catalog) -> dict[str, Any]:
    facts = serving(catalog.card("references", row.reference.name), row.task) or {}
    return {
        "reference_id": row.reference_id,
        "eval_id": row.eval_id,
        "data": row.data.name,
        "reference": row.reference.name,
        "settings": {key: _without_folder(key, value) for key, value in row.reference.settings.items()},
        "knows": list(facts.get("knows", [])),
        "gives": facts.get("gives", "table"),
    }


def _without_folder(key: str, value: Any) -> Any:
    return str(value).replace("\\", "/").rsplit("/", 1)[-1] if key == "path" and value else value


def _data(entry: DataPlan) -> dict[str, Any]:
    return {
        "train": dict(entry.train_identity),
        "kind": entry.train.kind,
    }
