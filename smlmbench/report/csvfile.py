"""leaderboard.csv: every number of every planned row, for machines."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from smlmbench.report.model import LABELS, Board, Row
from smlmbench.report.rows import canonical

FIRST = (
    "kind",
    "status",
    "reason",
    "row_id",
    "run_id",
    "eval_current",
    "protocol",
    "picked",
    "rank",
    "verdict",
    "flags",
)
# Column of the file by block of a row; `loss` itself is a label.
BLOCKS = {
    "settings": "settings",
    "loss_settings": "loss",
    "method_settings": "method",
    "training": "training",
    "output": "output",
}
# A spreadsheet runs text that begins with one of these as a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_text(rows: Sequence[Row], boards: Sequence[Board], conditions: Mapping[str, Mapping[str, Any]]) -> str:
    """One line per cell, reference and skipped combination; columns carry the names of the store.

    Numbers of another protocol than the first board's have its id in the name of their column, so that two protocols
    never share one. Intervals are `<name>_low` and `<name>_high`; why a number is absent is `<name>_reason`.
    """
    entries = {id(row): entry for board in boards for entry in board.everything for row in entry.rows}
    main = boards[0].protocol if boards else ""
    lines: list[dict[str, str]] = []
    for row in rows:
        entry = entries.get(id(row))
        line = {
            "kind": row.kind,
            "status": row.status,
            "reason": _text(row.reason),
            "row_id": row.row_id,
            "run_id": row.run.run_id if row.run else "",
            "eval_current": "yes" if row.current else "no",
            "protocol": _text(row.protocol),
            "picked": "yes" if entry and entry.picked and row.scored else "no",
            "rank": entry.rank if entry else "",
            "verdict": _text(entry.verdict) if entry else "",
            "flags": _text("; ".join(entry.flags)) if entry else "",
        }
        line |= {key: _text(row.labels.get(key, "")) for key in LABELS}
        line |= {"control": row.control}
        line |= {"knows": _text(", ".join(row.knows)), "gives": row.gives, "fidelity": row.fidelity}
        line |= {column: canonical(getattr(row, block)) for column, block in BLOCKS.items()}
        line |= _numbers(row, list(conditions.get(row.data, {})), main)
        lines.append(line)
    return _written(lines)


def _numbers(row: Row, conditions: Sequence[str], main: str) -> dict[str, str]:
    if row.run is None:
        return {}
    suffix = "" if not row.protocol or row.protocol == main else f" [{row.protocol}]"
    line = {f"param.{name}": _text(value) for name, value in row.run.params.items() if name not in LABELS}
    line |= {f"{name}{suffix}": f"{value!r}" for name, value in row.run.metrics.items()}
    tests = row.scores.get("test")
    for condition in conditions:
        block = tests.get(condition, {}) if isinstance(tests, Mapping) else {}
        for metric in block.get("values", {}) or {}:
            value = row.value(condition, metric)
            if value is not None:
                line[f"test.{condition}/{metric}{suffix}"] = f"{value!r}"
        for metric in block.get("intervals", {}) or {}:
            ends = row.interval(condition, metric)
            if ends is not None:
                line[f"test.{condition}/{metric}_low{suffix}"] = f"{ends[0]!r}"
                line[f"test.{condition}/{metric}_high{suffix}"] = f"{ends[1]!r}"
        for metric, reason in (block.get("reasons", {}) or {}).items():
            line[f"test.{condition}/{metric}_reason{suffix}"] = _text(str(reason))
    return line


def _text(value: str) -> str:
    """Text that no spreadsheet runs; plain numbers stay as they are."""
    if not value.startswith(FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def _written(lines: Sequence[Mapping[str, str]]) -> str:
    fixed = [*FIRST, *LABELS, "knows", "gives", *BLOCKS]
    names = [*fixed, *sorted({name for line in lines for name in line} - set(fixed))]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return buffer.getvalue()
