"""How much the choice of lambda matters: validation score against lambda, for each network and loss of a board."""

import math
from typing import Any

from smlmbench.figures.sensitivity import sensitivity
from smlmbench.report.model import Board, Entry
from smlmbench.report.words import title

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
    y = math.nan if entry.validation is None else entry.validation
    if not x > 0 or (math.isnan(y) and not note):
        return None
    where = {"panel": entry.label, "label": labels.get("loss", ""), "x": x, "y": y}
    return {**where, "picked": entry.picked, "note": note}


def sensitivity_chart(board: Board) -> tuple[str, str, bytes, bool] | None:
    """Caption, words, SVG and whether it is wide; None where no loss was tried at two lambdas."""
    rows = lambda_rows(board)
    if not rows:
        return None
    what = f"{title(board.primary)} on validation against λ on {board.data}"
    score, down = f"{title(board.primary)} (validation)", board.direction == "down"
    image = sensitivity(rows, x_label="λ (unit mass)", y_label=score, down=down)
    caption = f"{what}, one line per loss. Ringed: the pick of each model; crosses: trainings that gave no score."
    spoken = "; ".join(
        f"{r['panel']} {r['label']} λ {r['x']:g} {r['note'] if math.isnan(r['y']) else format(r['y'], '.3g')}"
        for r in rows
    )
    return caption, f"Lines of {what}: {spoken}", image, len({row["panel"] for row in rows}) > 2
