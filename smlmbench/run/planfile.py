"""`plan.json`: every row of a study with what the report needs to know about tasks, columns and conditions."""

from typing import Any

from smlmbench.registry import Catalog, MetricCard
from smlmbench.run.session import command_line, host, versions
from smlmbench.study.cells import Cell, DataPlan, Plan, Reference
from smlmbench.study.plan import plan_hash
from smlmbench.study.schema import Study
from smlmbench.study.sources import MovieSource, Source


def plan_document(study: Study, plan: Plan, catalog: Catalog) -> dict[str, Any]:
    """The plan as plain JSON values."""
    task = catalog.card("tasks", study.task)
    data = {cell.data.name: cell.data for cell in plan.cells} | {row.data.name: row.data for row in plan.references}
    return {
        "plan_hash": plan_hash(plan),
        "study": plan.study,
        "seed": study.seed,
        "repeats": study.repeats,
        "command": command_line(),
        "versions": versions(),
        "host": host(),
        "task": study.task,
        "protocol": study.scoring.protocol,
        "scoring": study.scoring.model_dump(),
        "primary": {"name": task.facts["primary"], "direction": task.facts["direction"]},
        "headline": task.facts["headline"],
        "columns": columns(catalog, study.task),
        "conditions": {
            name: {condition: _condition(source) for condition, source in entry.tests.items()}
            for name, entry in data.items()
        },
        "data": {name: _data(entry) for name, entry in data.items()},
        "cells": [_cell(cell) for cell in plan.cells],
        "references": [_reference(row, catalog) for row in plan.references],
        "skipped": [row.model_dump(mode="json") for row in plan.skipped],
        "warnings": list(plan.warnings),
    }


def columns(catalog: Catalog, task: str) -> dict[str, dict[str, Any]]:
    """Unit, direction and help of every number that the task's metrics give."""
    found: dict[str, dict[str, Any]] = {}
    for name in catalog.names("metrics"):
        card = catalog.card("metrics", name)
        if isinstance(card, MetricCard) and task in card.tasks:
            found |= {key: facts.model_dump() for key, facts in card.gives.items()}
    return found


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "cell_id": cell.cell_id,
        "eval_id": cell.eval_id,
        "labels": cell.labels,
        "settings": dict(cell.model.settings),
        "loss_settings": dict(cell.loss.settings),
        "training": cell.training.model_dump(mode="json"),
        "output": dict(cell.output.settings),
        "knows": _knows(cell),
        "model_version": cell.model.version,
        "plugin": cell.model.plugin,
    }


def _knows(cell: Cell) -> list[str]:
    simulated = not isinstance(cell.data.train, MovieSource)
    return ["psf", "photon prior", "density", "background", "camera"] if simulated else ["training movie"]


def _reference(row: Reference, catalog: Catalog) -> dict[str, Any]:
    facts = catalog.card("references", row.reference.name).facts
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


def _condition(source: Source) -> dict[str, Any]:
    if isinstance(source, MovieSource):
        return {
            "kind": "movie",
            "truth_kind": source.truth_kind if source.truth is not None else "none",
            "shared_structure": source.part is not None and source.track != "iid",
            "pixel_size_nm": source.pixel_size_nm,
        }
    density = source.density_per_um2
    return {
        "kind": "simulate",
        "truth_kind": "simulated",
        "frames": source.frames,
        "density_per_um2": density if isinstance(density, int | float) else density.mean,
        "field_px": source.field_px,
        "pixel_size_nm": source.pixel_size_nm,
    }


def _data(entry: DataPlan) -> dict[str, Any]:
    return {
        "train": dict(entry.train_identity),
        "kind": entry.train.kind,
    }
