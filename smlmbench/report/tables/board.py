"""The leaderboard of one data entry, and all its numbers, as pivots of the tidy frame."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any

import pandas as pd

from smlmbench.report.boards.frame import of
from smlmbench.report.model import LATENCY, Board, Entry, Estimate
from smlmbench.report.row import finite
from smlmbench.report.tables import COST, Cell, Column, Table, changed, look_of, sortable, tabulate
from smlmbench.report.words import decimals, interval, milliseconds, number
from smlmbench.tasks.contracts.sections import Listing

# With more conditions than this (a sweep) the board shows only the primary metric of each.
MANY_CONDITIONS = 4
GIVES = {"both": "table and image"}


class Numbers:
    """The numbers of a board by line, condition (empty: mean) and metric."""

    def __init__(self, board: Board) -> None:
        frame = of(board)
        self._entries = board.entries
        self._shown = frame[frame["line"] < len(board.entries)]
        kept = self._shown[["line", "condition", "metric", "value", "low", "high", "reason"]]
        self._held = kept.set_index(["line", "condition", "metric"]).to_dict("index")

    def known(self, metric: str, *conditions: str) -> "pd.Series[float]":
        """The values of a number on some conditions."""
        found = self._shown[(self._shown["metric"] == metric) & self._shown["condition"].isin(conditions)]
        return found["value"].dropna()

    def get(self, entry: Entry, metric: str, condition: str = "") -> Estimate:
        """A number of a line with its interval."""
        held = self._held.get((self._entries.index(entry), condition, metric), {})
        value, low, high = (finite(held.get(end)) for end in ("value", "low", "high"))
        return Estimate(value, low, high)

    def cell(self, entry: Entry, condition: str, metric: str, places: int, **more: Any) -> Cell:
        """A number as written, or why there is none."""
        value = self.get(entry, metric, condition).value
        if value is None:
            held = self._held.get((self._entries.index(entry), condition, metric), {})
            return Cell("n/a", hint=f"n/a: {held.get('reason') or 'not measured'}", look="absent")
        return Cell(number(value, places), sort=f"{value}", **more)


def board_table(board: Board, place: int = 0) -> Table:
    """The ranked table: picks and references in one order, a group of columns for each condition."""
    numbers = Numbers(board)
    places = decimals(numbers.known(board.primary, ""))
    first = f"paired difference in {board.primary} with its interval; verdicts count all pairs of rows (Holm)"
    every = "combinations of loss, λ and settings from which this one was picked on validation"

    def cost(title: str, name: str, hint: str = "") -> Column:
        def read(entry: Entry) -> Cell:
            value = None if entry.is_reference else numbers.get(entry, name).value
            return sortable(number(value, 0), value)

        return Column(title, read, hint, group=COST)

    def latency(entry: Entry) -> Cell:
        ms = numbers.get(entry, LATENCY).value
        return sortable(milliseconds(ms) + (" ●" if entry.on_front else ""), ms)

    several = any(entry.rows[0].context_frames > 1 for entry in board.entries)
    columns = [
        Column("Rank", _rank, "1= marks a tie with the first place; references are not ranked"),
        Column("Row", _name, "pick of each model, chosen on validation; references need no training", numeric=False,
               choose="Model"),
        Column("Loss and λ", _loss, numeric=False, choose="Loss"),
        Column("Against the first", lambda entry: _gap(entry, places), first),
        Column("Latency (ms)", latency, "median per frame, batch 1; ● marks the Pareto front of the picks"),
        *(_metric(board, numbers, (group, where), name) for group, where, names in _layout(board) for name in names),
        *(_worded(title, by_label) for title, by_label in board.section.words.items()),
        cost("Parameters", "n_params"),
        Column("Trials", lambda entry: str(entry.trials or "–"), every, group=COST),
        cost("Samples", "samples_seen", "training samples seen by one repeat"),
        cost("Device (s)", "train_s", "seconds of training of one repeat"),
        *([Column("Frames seen", _frames_seen, "at once; the middle one is answered")] if several else []),
        Column("Knows", _knows, "what the row was told beyond the images", numeric=False, wraps=True),
    ]  # fmt: skip
    table = tabulate(f"Leaderboard of {board.data}", columns, board.entries, look_of)
    for at, (_, cells) in enumerate(table.rows):
        cells[1] = replace(cells[1], row=f"row-{place}-{at}")
    return table


def _layout(board: Board) -> list[tuple[str, str, list[str]]]:
    """Column groups: title, condition (empty: mean) and metrics. One condition shows all, a sweep little."""
    section = board.section
    titles = {name: " · ".join(filter(None, (name, section.beside.get(name)))) for name in board.conditions}
    if len(titles) == 1:
        return [(title, name, [board.primary, *board.columns]) for name, title in titles.items()]
    few = [name for name in board.columns if name in section.on_each] or board.columns[:2]
    on_mean = [board.primary, *(name for name in board.columns if name in section.on_mean)]
    groups = [("Mean of conditions", "", on_mean)]
    for condition, title in titles.items():
        paired = condition in section.second_on and section.second in board.columns
        names = [board.primary, *([section.second] if paired else [])]
        shown = names if len(titles) > MANY_CONDITIONS else names + [name for name in few if name not in names]
        groups.append((title, condition, shown))
    return groups


def _metric(board: Board, numbers: Numbers, place: tuple[str, str], name: str) -> Column:
    group, where = place
    primary = name == board.primary
    headline = primary or (name == board.section.second and where in board.section.second_on)
    places = decimals(numbers.known(name, where))

    def read(entry: Entry) -> Cell:
        repeats = entry.get(where or None, name).by_repeat.values()
        hint = f"repeats: {', '.join(number(value, places) for value in repeats)}" if len(repeats) > 1 else ""
        small = interval(numbers.get(entry, name, where), places) if primary else ""
        return numbers.cell(entry, where, name, places, small=small, hint=hint, look="headline" if headline else "")

    return Column(board.title(name), read, board.asked.help(name), group=group)


def _worded(title: str, by_label: Mapping[str, str]) -> Column:
    return Column(title, lambda entry: by_label.get(entry.label, ""), numeric=False, wraps=True)


def listing_table(listing: Listing) -> Table:
    """A table that a task made itself."""
    columns = [Column(title, itemgetter(k), numeric=False, wraps=True) for k, title in enumerate(listing.titles)]
    return tabulate(listing.caption, columns, listing.rows)


def _rank(entry: Entry) -> Cell:
    return Cell("–", "ref") if entry.is_reference else Cell(entry.rank or "–", sort=entry.rank.rstrip("="))


def _name(entry: Entry) -> Cell:
    run, repeats = entry.scored_rows[0].run, len(entry.scored_rows)
    run_id = run.run_id if run else ""
    if entry.is_reference:
        gives = entry.rows[0].gives
        return Cell(entry.label, f"reference, gives {GIVES.get(gives, gives or 'its prediction')}", run_id=run_id)
    without = f"{entry.unadjusted} if pairs are not counted" if entry.unadjusted != entry.verdict else ""
    said = [f"{repeats} repeat{'s' if repeats != 1 else ''}", entry.verdict, without, entry.rows[0].fidelity]
    return Cell(entry.label, " · ".join(filter(None, said)), run_id=run_id, flags=tuple(entry.flags))


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


def _frames_seen(entry: Entry) -> Cell:
    return sortable(str(entry.rows[0].context_frames), entry.rows[0].context_frames)


def _knows(entry: Entry) -> str:
    return ", ".join(entry.rows[0].knows) or ("–" if entry.is_reference else "its training data")


def numbers_table(board: Board) -> Table:
    """Every measured number of the picks and references, one line per row and condition."""
    numbers = Numbers(board)

    def column(name: str) -> Column:
        places = decimals(numbers.known(name, *board.facts))
        return Column(
            board.title(name), lambda item: numbers.cell(item[0], item[1], name, places), board.asked.help(name)
        )

    columns = [
        Column("Row", lambda item: item[0].label, numeric=False),
        Column("Condition", lambda item: item[1], numeric=False),
        *(column(name) for name in board.asked.measured if len(numbers.known(name, *board.facts))),
    ]
    items: Sequence[tuple[Entry, str]] = [(entry, where) for entry in board.entries for where in board.facts]
    caption = f"All measured numbers on {board.data}, mean over repeats"
    return tabulate(caption, columns, items, lambda item: look_of(item[0]).replace("best", "pick"))
