"""smlmbench plan: what a study would do, without doing it."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from smlmbench.cli.options import AsJson, DataRoot, Only, Plugins, Repeats, Sets, StudyFile
from smlmbench.cli.output import emit, emit_json, note, table
from smlmbench.study.cells import DataPlan, Plan

SHOWN_ROWS = 200


def command(
    study: StudyFile,
    sets: Sets = None,
    only: Only = None,
    repeats: Repeats = None,
    data_root: DataRoot = None,
    plugins: Plugins = None,
    show_all: Annotated[bool, typer.Option("--all", help=f"Print every row, also beyond {SHOWN_ROWS}.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check a study file and print every training, reference and skipped row.

    Example: smlmbench plan experiments/example.yaml --only 'model=fid*' --set training.samples=500
    """
    from smlmbench.study.load import load_study
    from smlmbench.study.plan import make_plan

    loaded = load_study(study, sets=sets or (), data_root=data_root, plugins=plugins or ())
    plan = make_plan(loaded, only=only or (), repeats=repeats)
    if as_json:
        emit_json(_document(plan))
        return
    _print(plan, show_all=show_all)


def _document(plan: Plan) -> dict[str, Any]:
    from smlmbench.study.plan import plan_hash
    from smlmbench.study.table import plan_table

    return {
        "study": plan.study,
        "plan_hash": plan_hash(plan),
        "counts": _counts(plan),
        "rows": plan_table(plan),
        "data": {name: data.model_dump(mode="json") for name, data in _data(plan).items()},
        "warnings": plan.warnings,
    }


def _data(plan: Plan) -> dict[str, DataPlan]:
    found = {row.data.name: row.data for row in plan.references}
    return found | {cell.data.name: cell.data for cell in plan.cells}


def _counts(plan: Plan) -> dict[str, int]:
    return {"cells": len(plan.cells), "references": len(plan.references), "skipped": len(plan.skipped)}


def _print(plan: Plan, *, show_all: bool) -> None:
    from smlmbench.study.plan import plan_hash
    from smlmbench.study.table import plan_table

    rows = plan_table(plan)
    shown = rows if show_all else rows[:SHOWN_ROWS]
    columns = _used(shown)
    table(f"Plan of {plan.study}", columns, [[row[column] for column in columns] for row in shown])
    if len(shown) < len(rows):
        emit(f"... and {len(rows) - len(shown)} more rows (--all prints them)")
    said = ", ".join(f"{count} {what}" for what, count in _counts(plan).items())
    emit(f"{said}; plan {plan_hash(plan)}")
    for warning in plan.warnings:
        note(f"smlmbench: warning: {warning}")


def _used(rows: Sequence[dict[str, str]]) -> list[str]:
    """Columns that say something in some row."""
    from smlmbench.study.table import COLUMNS

    return [column for column in COLUMNS if any(row[column] for row in rows)]
