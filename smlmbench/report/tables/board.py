"""The leaderboard of one data entry, and all its numbers, as pivots of the tidy frame."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from smlmbench.report.boards.frame import lines
from smlmbench.report.model import LATENCY, Board, Entry, Estimate
from smlmbench.report.tables import COST, Cell, Column, Table, changed, look_of, sortable, tabulate
from smlmbench.report.words import decimals, interval, milliseconds, number

# With more conditions than this (a sweep) the board shows only the primary metric of each.
MANY_CONDITIONS = 4
GIVES = {"both": "table and image"}


class Numbers:
    """The numbers of a board by line, condition (None: mean) and metric."""

    def __init__(self, board: Board) -> None:
        self._at = {id(entry): line for line, entry in enumerate(board.everything)}
        frame = lines([board])
        self._shown = frame[frame["line"] < len(board.entries)]
        self._held = self._shown.set_index(["line", "condition", "metric"]).to_dict("index")

    def places(self, metric: str, condition: str | None = "") -> int:
        """Decimals that suit a column; an empty condition takes all."""
        return decimals(self._values(metric, condition))

    def measured(self, metric: str) -> bool:
        """Whether a line has a number on a condition."""
        return bool(len(self._values(metric, "")))

    def _values(self, metric: str, condition: str | None) -> "pd.Series[float]":
        of = self._shown[self._shown["metric"] == metric]
        chosen = of["condition"] != "" if condition == "" else of["condition"] == (condition or "")
        return of["value"][chosen].dropna()

    def cell(self, entry: Entry, condition: str | None, metric: str, places: int, **more: Any) -> Cell:
        """A number as written, or why there is none."""
        held = self._held.get((self._at[id(entry)], condition or "", metric), {})
        if pd.isna(held.get("value")):
            return Cell("n/a", hint=f"n/a: {held.get('reason') or 'not measured'}", look="absent")
        if more.pop("with_interval", False):
            low, high = (None if pd.isna(held[end]) else held[end] for end in ("low", "high"))
            more["small"] = interval(Estimate(held["value"], low, high), places)
        return Cell(number(held["value"], places), sort=f"{held['value']}", **more)


def board_table(board: Board) -> Table:
    """The ranked table: picks and references in one order, a group of columns for each condition."""
    numbers = Numbers(board)
    first = f"paired difference in {board.primary} with its interval; verdicts count all pairs of rows (Holm)"
    every = "combinations of loss, λ and settings from which this one was picked on validation"
    columns = [
        Column("Rank", _rank, "1= marks a tie with the first place; references are not ranked"),
        Column("Row", _name, "pick of each model, chosen on validation; references need no training", numeric=False),
        Column("Loss and λ", _loss, numeric=False),
        Column("Against the first", lambda entry: _gap(entry, numbers.places(board.primary, None)), first),
        Column("Latency (ms)", _latency, "median per frame, batch 1; ● marks the Pareto front of the picks"),
        *(_metric(board, numbers, (group, where), name) for group, where, names in _layout(board) for name in names),
        Column("Parameters", lambda entry: _cost(entry, "n_params"), group=COST),
        Column("Trials", lambda entry: str(entry.trials or "–"), every, group=COST),
        Column(
            "Samples", lambda entry: _cost(entry, "samples_seen"), "training samples seen by one repeat", group=COST
        ),
        Column("Device (s)", lambda entry: _cost(entry, "train_s"), "seconds of training of one repeat", group=COST),
        Column("Knows", _knows, "what the row was told beyond the images", numeric=False, wraps=True),
    ]
    return tabulate(f"Leaderboard of {board.data}", columns, board.entries, look_of)


def _layout(board: Board) -> list[tuple[str, str | None, list[str]]]:
    """Column groups: title, condition (None: mean) and metrics. One condition shows all, a sweep little."""
    if len(board.conditions) == 1:
        return [(_condition_title(board, board.conditions[0]), board.conditions[0], [board.primary, *board.columns])]
    section = board.section
    few = [name for name in board.columns if name in section.on_each] or board.columns[:2]
    on_mean = [board.primary, *(name for name in board.columns if name in section.on_mean)]
    groups: list[tuple[str, str | None, list[str]]] = [("Mean of conditions", None, on_mean)]
    for condition in board.conditions:
        paired = condition in section.second_on and section.second in board.columns
        names = [board.primary, *([section.second] if paired else [])]
        shown = names if len(board.conditions) > MANY_CONDITIONS else names + [n for n in few if n not in names]
        groups.append((_condition_title(board, condition), condition, shown))
    return groups


def _condition_title(board: Board, condition: str) -> str:
    density = board.facts.get(condition, {}).get("density_per_um2")
    return f"{condition} · {density:g}/µm²" if isinstance(density, int | float) else condition


def _metric(board: Board, numbers: Numbers, place: tuple[str, str | None], name: str) -> Column:
    group, where = place
    primary = name == board.primary
    headline = primary or (name == board.section.second and where in board.section.second_on)
    places = numbers.places(name, where)

    def read(entry: Entry) -> Cell:
        repeats = list(entry.get(where, name).by_repeat.values())
        hint = f"repeats: {', '.join(number(value, places) for value in repeats)}" if len(repeats) > 1 else ""
        look = "headline" if headline else ""
        return numbers.cell(entry, where, name, places, with_interval=primary, hint=hint, look=look)

    return Column(board.title(name), read, str(board.asked.measured.get(name, {}).get("help", "")), group=group)


def _rank(entry: Entry) -> Cell:
    return Cell("–", "ref") if entry.is_reference else Cell(entry.rank or "–", sort=entry.rank.rstrip("="))


def _name(entry: Entry) -> Cell:
    run, repeats = entry.scored_rows[0].run, len(entry.scored_rows)
    gives, without = entry.rows[0].gives, ""
    if entry.unadjusted != entry.verdict:
        without = f"{entry.unadjusted} if pairs are not counted"
    said = [f"{repeats} repeat{'s' if repeats != 1 else ''}", entry.verdict, without, entry.rows[0].fidelity]
    small = " · ".join(text for text in said if text)
    if entry.is_reference:
        small = f"reference, gives {GIVES.get(gives, gives or 'its prediction')}"
    flags = () if entry.is_reference else tuple(entry.flags)
    return Cell(entry.label, small, run_id=run.run_id if run else "", flags=flags)


def _loss(entry: Entry) -> Cell:
    labels = entry.rows[0].labels
    return Cell("") if entry.is_reference else Cell(labels.get("loss", ""), f"λ = {labels.get('lambda', '')}")


def _gap(entry: Entry, places: int) -> Cell:
    gap = entry.gap
    if gap is None or gap.value is None:
        return Cell("first" if entry.rank.startswith("1") else "")
    word = {"win": "behind", "tie": "tie", "unknown": "not compared"}[gap.verdict]
    if gap.verdict == "tie" and gap.unadjusted == "win":
        word = "tie (this pair alone: behind)"
    return changed(gap.turned, places, word)


def _latency(entry: Entry) -> Cell:
    ms = entry.mean_of(LATENCY)
    return sortable(milliseconds(ms) + (" ●" if entry.on_front else ""), ms)


def _cost(entry: Entry, param: str) -> Cell:
    value = None if entry.is_reference else entry.mean_param(param)
    return sortable(number(value, 0), value)


def _knows(entry: Entry) -> str:
    return ", ".join(entry.knows) or ("–" if entry.is_reference else "its training data")


def numbers_table(board: Board) -> Table:
    """Every measured number of the picks and references, one line per row and condition."""
    numbers = Numbers(board)

    def column(name: str) -> Column:
        places = numbers.places(name)
        hint = str(board.asked.measured.get(name, {}).get("help", ""))
        return Column(board.title(name), lambda item: numbers.cell(item[0], item[1], name, places), hint)

    columns = [
        Column("Row", lambda item: item[0].label, numeric=False),
        Column("Condition", lambda item: item[1], numeric=False),
        *(column(name) for name in board.asked.measured if numbers.measured(name)),
    ]
    items: Sequence[tuple[Entry, str]] = [(entry, where) for entry in board.entries for where in board.conditions]
    caption = f"All measured numbers on {board.data}, mean over repeats"
    return tabulate(caption, columns, items, lambda item: look_of(item[0]).replace("best", "pick"))
