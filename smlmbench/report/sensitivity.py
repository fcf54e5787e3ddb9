"""How much the choice of lambda matters: validation score against lambda, for each network and loss of a board."""

from typing import Any

from smlmbench.report.model import Board, Entry

LOST = ("collapsed", "failed")


def lambda_rows(board: Board) -> list[dict[str, Any]]:
    """One row (panel, label, x, y, picked, note) per network and loss that was trained at two lambdas or more.

    Settings that differ besides lambda make a line, or a panel, of their own.
    """
    rows = [row for entry in board.everything if not entry.is_reference and (row := _row(entry))]
    tried: dict[tuple[str, str], set[float]] = {}
    for row in rows:
        tried.setdefault((row["panel"], row["label"]), set()).add(row["x"])
    return [row for row in rows if len(tried[row["panel"], row["label"]]) > 1]


def _row(entry: Entry) -> dict[str, Any] | None:
    labels = entry.rows[0].labels
    try:
        x = float(labels.get("lambda", ""))
    except ValueError:
        return None
    statuses = {member.status for member in entry.rows}
    note = next((status for status in LOST if status in statuses), "")
    if not x > 0 or (entry.validation is None and not note):
        return None
    where = {"panel": entry.label, "label": labels.get("loss", ""), "x": x, "y": entry.validation}
    return {**where, "picked": entry.picked, "note": note}
