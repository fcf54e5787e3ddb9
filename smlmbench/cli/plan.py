"""smlmbench plan: what a study would do, without doing it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from smlmbench.cli.options import AsJson, Only, StudyAsked, from_fields
from smlmbench.cli.output import emit, emit_json, note, table
from smlmbench.study.cells import COLUMNS, DataPlan, Plan, plan_table
from smlmbench.study.load import Loaded

if TYPE_CHECKING:
    from smlmbench.run.studies.checking import Checked

SHOWN_ROWS = 200


@dataclass(frozen=True, slots=True)
class _Asked(StudyAsked):
    only: Only = None
    check: Annotated[
        bool, Option("--check", help="Build every distinct network, lay hints side by side, probe hours and GB.")
    ] = False
    show_all: Annotated[bool, Option("--all", help=f"Print every row, also beyond {SHOWN_ROWS}.")] = False
    as_json: AsJson = False


@from_fields(_Asked)
def command(asked: _Asked) -> None:
    """Check a study file and print every training, reference and skipped row.

    Example: smlmbench plan experiments/example.yaml --only 'model=fid*' --set training.samples=500
    """
    from smlmbench import api

    loaded = asked.loaded()
    plan = api.plan(loaded, only=asked.only or (), repeats=asked.repeats)
    checked = None
    if asked.check:
        from smlmbench.run.studies.checking import check_plan

        checked = check_plan(plan, loaded.catalog)
        plan = checked.plan
    if asked.as_json:
        found = {} if checked is None else {"check": checked.as_json()}
        emit_json(_document(plan) | _searches(loaded) | found)
        return
    _print(plan, show_all=asked.show_all)
    if checked is not None:
        _print_check(checked)
    for line in _searches(loaded).get("searches", []):
        emit(line)


def _searches(loaded: Loaded) -> dict[str, list[str]]:
    """What `smlmbench search` would do with the study, in lines; nothing without a block `search`."""
    if loaded.study.search is None:
        return {}
    from smlmbench.study.planning.spaces import describe_searches, spaces

    return {"searches": describe_searches(loaded, spaces(loaded))}


def _document(plan: Plan) -> dict[str, Any]:
    from smlmbench.study.planning.plan import plan_hash

    data: dict[str, DataPlan] = {row.data.name: row.data for row in plan.references}
    data |= {cell.data.name: cell.data for cell in plan.cells}
    return {
        "study": plan.study,
        "plan_hash": plan_hash(plan),
        "counts": _counts(plan),
        "rows": plan_table(plan),
        "data": {name: one.model_dump(mode="json") for name, one in data.items()},
        "warnings": plan.warnings,
    }


def _counts(plan: Plan) -> dict[str, int]:
    counts = {"cells": len(plan.cells), "references": len(plan.references), "skipped": len(plan.skipped)}
    return counts | ({"pending": len(plan.pending)} if plan.pending else {})


def _print(plan: Plan, *, show_all: bool) -> None:
    from smlmbench.study.planning.plan import plan_hash

    rows = plan_table(plan)
    shown = rows if show_all else rows[:SHOWN_ROWS]
    columns = [column for column in COLUMNS if any(row[column] for row in shown)]
    if len({row["task"] for row in rows}) == 1:
        columns.remove("task")
    table(f"Plan of {plan.study}", columns, [[row[column] for column in columns] for row in shown])
    if len(shown) < len(rows):
        emit(f"... and {len(rows) - len(shown)} more rows (--all prints them)")
    said = ", ".join(f"{count} {what}" for what, count in _counts(plan).items())
    emit(f"{said}; plan {plan_hash(plan)}")
    for warning in plan.warnings:
        note(f"smlmbench: warning: {warning}")


def _print_check(checked: "Checked") -> None:
    rows = []
    for one in checked.built:
        n_params = "" if one.n_params is None else f"{one.n_params:,}"
        hours = "" if one.hours is None else f"{one.hours:.2g}"
        rows.append([one.model.name, str(one.upsampling), str(one.cells), n_params, hours, one.problem])
    columns = ["model", "upsampling", "cells", "parameters", "hours", "problem"]
    table("Networks, built without memory; hours from a few steps on this machine", columns, rows)
    held = "" if checked.peak_gb is None else f", {checked.peak_gb:.2g} GB held at most while probing"
    emit(f"about {checked.hours:.2g} h of training steps, one cell after the other{held}; data and scoring come on top")
