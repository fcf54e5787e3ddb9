"""Join the newest plan with the runs: one row for every planned cell, reference and skipped combination."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from smlmbench.report.boards.planned import Planned
from smlmbench.report.model import BLOCKS, Record, Row, Run
from smlmbench.report.row import Kind
from smlmbench.tracking import tags

# The best thing a run can say about a cell that was tried more than once.
BETTER_STATUS = ("done", "running", "interrupted", "pruned", "collapsed", "failed")

# Marks of a run that stands for nothing: a later attempt does, or another process had the cell.
ASIDE = frozenset({tags.SUPERSEDED_BY, tags.WITHDRAWN})


def join(record: Record, further: Sequence[Mapping[str, Any]] = ()) -> list[Row]:
    """Every planned row with its run, and of cells beside the plan's (`further`, such as the picks of searches)."""
    cells, references = _by_id(record.runs, "cell"), _by_id(record.runs, "reference")
    plan, known = record.plan, Planned(record.plan)
    named = {item.get("cell_id") for item in plan.get("cells", [])}
    planned = [*plan.get("cells", []), *(item for item in further if item.get("cell_id") not in named)]
    rows = [_row("cell", item, cells.get(str(item.get("cell_id", "")))) for item in planned]
    for item in plan.get("references", []):
        labels = {"data": str(item.get("data", "")), "model": str(item.get("reference", "")), "method": "reference"}
        facts = {"labels": labels, "ceiling": bool(known.reference(item, "ceiling"))}
        rows.append(_row("reference", {**item, **facts}, references.get(str(item.get("reference_id", "")))))
    return _without_teachers(rows) + [_row("skipped", item, None) for item in plan.get("skipped", [])]


def _without_teachers(rows: list[Row]) -> list[Row]:
    """Students that were not begun since their teacher ended badly are skipped, with the reason."""
    ended = {row.row_id: row for row in rows if row.status in ("failed", "collapsed")}
    for place, row in enumerate(rows):
        bad = next((ended[need] for need in row.needs if need in ended), None)
        if row.status == "planned" and bad is not None:
            reason = f"its teacher {bad.labels.get('model', '')} ({bad.row_id}) ended as {bad.status}"
            rows[place] = replace(row, status="skipped", reason=reason)
    return rows


def outside_plan(record: Record, known: Collection[str] = ()) -> int:
    """Number of cells and references of earlier plans that neither the newest plan names nor `known`."""
    planned = {str(item.get("cell_id", "")) for item in record.plan.get("cells", [])}
    planned |= {str(item.get("reference_id", "")) for item in record.plan.get("references", [])}
    found = {*_by_id(record.runs, "cell"), *_by_id(record.runs, "reference")}
    return len(found - planned - set(known))


def canonical(value: object) -> str:
    """JSON with sorted keys, to compare and to print settings."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def combination(row: Row) -> str:
    """What the repeats of one combination have in common."""
    labels = {key: value for key, value in row.labels.items() if key != "repeat"}
    return canonical([row.kind, labels, row.settings, row.training, row.output, row.loss, row.method, row.control])


def _by_id(runs: Sequence[Run], role: str) -> dict[str, Run]:
    """The run that stands for each row: no other stands for it, the best status, of equals the newest."""
    worth = {status: place for place, status in enumerate(reversed(BETTER_STATUS))}
    mine = [run for run in reversed(runs) if run.role == role and ASIDE.isdisjoint(run.tags)]
    best_last = sorted(mine, key=lambda run: worth.get(run.status, -1))
    return {row_id: run for run in best_last if (row_id := str(run.tags.get(tags.CELL_ID, "")))}


def _row(kind: Kind, item: Mapping[str, Any], run: Run | None) -> Row:
    """A planned item with its run."""
    eval_id = str(item.get("eval_id", ""))
    scored_as = "" if run is None else str(run.tags.get(tags.EVAL_ID, ""))
    current = not eval_id or not scored_as or scored_as == eval_id
    status = run.status if run is not None else "skipped" if kind == "skipped" else "planned"
    reason = str(item.get("reason", "")) if run is None else run.reason or ""
    if status == "done" and not current:
        reason = "scored under an earlier evaluation; run the study again to score it anew"
    parts: dict[str, Any] = {attribute: item.get(name) or {} for name, attribute in BLOCKS.items()}
    parts |= {name: str(item.get(name) or "") for name in ("control", "gives", "fidelity")}
    parts |= {name: tuple(item.get(name) or ()) for name in ("needs", "knows")}
    return Row(
        kind=kind,
        row_id=str(item.get("cell_id") or item.get("reference_id") or ""),
        labels={key: str(value) for key, value in item.get("labels", {}).items()},
        status=status,
        reason=reason,
        run=run,
        controls=item.get("controls") or {},
        ceiling=bool(item.get("ceiling")),
        context_frames=int(item.get("context_frames") or 1),
        current=current,
        **parts,
    )
