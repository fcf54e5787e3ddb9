"""How much the choice of lambda matters: validation score against lambda, for each network and loss of a board."""

import math
from collections.abc import Sequence

from smlmbench.figures.sensitivity import Answer, sensitivity
from smlmbench.report.model import Board, Entry
from smlmbench.report.words import title

LOST = {"collapsed": "collapsed", "failed": "failed"}


def lambda_answers(board: Board) -> list[Answer]:
    """One answer per trained combination of a network and a loss that was tried at two lambdas or more.

    Settings that differ besides lambda make a line, or a panel, of their own.
    """
    trained = [entry for entry in board.everything if not entry.is_reference]
    answers = [answer for entry in trained if (answer := _answer(entry)) is not None]
    tried: dict[tuple[str, str], set[float]] = {}
    for answer in answers:
        tried.setdefault((answer.panel, answer.line), set()).add(answer.x)
    return [answer for answer in answers if len(tried[answer.panel, answer.line]) > 1]


def _answer(entry: Entry) -> Answer | None:
    row = entry.rows[0]
    try:
        x = float(row.labels.get("lambda", ""))
    except ValueError:
        return None
    if x <= 0:
        return None
    statuses = {member.status for member in entry.rows}
    note = next((LOST[status] for status in LOST if status in statuses), "")
    y = math.nan if entry.validation is None else entry.validation
    if math.isnan(y) and not note:
        return None
    return Answer(entry.label, row.labels.get("loss", ""), x, y, entry.picked, note)


def sensitivity_chart(board: Board) -> tuple[str, str, bytes] | None:
    """Caption, words and SVG of the figure; None where no loss was tried at two lambdas."""
    answers = lambda_answers(board)
    if not answers:
        return None
    what = f"{title(board.primary)} on validation against λ on {board.data}"
    image = sensitivity(
        answers, x_label="λ (unit mass)", y_label=f"{title(board.primary)} (validation)", down=board.direction == "down"
    )
    caption = f"{what}, one line per loss. Ringed: the pick of each model; crosses: trainings that gave no score."
    return caption, f"Lines of {what}: {_spoken(answers)}", image


def _spoken(answers: Sequence[Answer]) -> str:
    return "; ".join(
        f"{a.panel} {a.line} λ {a.x:g} {a.note if math.isnan(a.y) else format(a.y, '.3g')}" for a in answers
    )
