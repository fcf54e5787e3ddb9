"""The boards of a study, and their numbers as one pandas frame."""

from typing import Literal

import pandas as pd

from smlmbench.errors import StoreError
from smlmbench.report.boards import frame, make_boards
from smlmbench.report.boards.rows import join
from smlmbench.report.model import Board, Record, Row
from smlmbench.report.searches import count_trials, picked_cells, searches_of
from smlmbench.report.studies.choosing import Chosen, rename


def boards_of(record: Record) -> tuple[list[Row], list[Board]]:
    """Every planned row, and the boards made of them.

    Raises:
        StoreError: The study has no plan.
    """
    if not record.plan:
        raise StoreError(
            "the study has no plan.json in this store; run it once with `smlmbench run STUDY.yaml --store FOLDER`"
        )
    if isinstance(record, Chosen) and record.parts:
        renamed = [rename(part.study, *boards_of(part)) for part in record.parts]
        return [row for rows, _ in renamed for row in rows], [board for _, boards in renamed for board in boards]
    rows = join(record, picked_cells(record))
    boards = make_boards(record.plan, rows)
    count_trials(boards, searches_of(record))
    return rows, boards


def leaderboard_frame(record: Record, level: Literal["lines", "runs"] = "lines") -> pd.DataFrame:
    """A study's numbers as one tidy frame: a line for each row x condition x number; its columns say `boards.frame`.

    Args:
        record: The study, as `tracking.records.read_study` reads it from a store.
        level: `lines` of the boards, means over repeats with their intervals; or single `runs`.

    Raises:
        StoreError: The study has no plan.

    Example:
        The board as a table of its picks, a column for each number::

            frame = leaderboard_frame(read_study(open_store("mlruns"), "quickstart"))
            picks = frame[frame["picked"] & (frame["condition"] == "")]
            picks.pivot(index=["data", "rank", "label"], columns="metric", values="value")
    """
    rows, boards = boards_of(record)
    return frame.lines(boards, rows) if level == "lines" else frame.runs(boards, rows)
