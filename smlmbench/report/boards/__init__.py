"""From rows to boards: repeats become lines, validation picks one line per model, the picks are ranked (PROTOCOL 5)."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from smlmbench.registry import Catalog
from smlmbench.report.boards.frame import lines, numbers
from smlmbench.report.boards.intervals import estimate
from smlmbench.report.boards.planned import Planned
from smlmbench.report.boards.ranking import mark_front, rank
from smlmbench.report.boards.rows import combination
from smlmbench.report.flags import (
    against_references,
    board_notes,
    halved,
    incomplete,
    mixed_formats,
    not_surely,
    unlike,
)
from smlmbench.report.model import Board, Entry, Row
from smlmbench.report.row import mean
from smlmbench.tasks.contracts.sections import Section

PUBLISHED = "published"


def make_boards(plan: Mapping[str, Any], rows: Sequence[Row]) -> list[Board]:
    """One board per data entry and protocol, in the order of the plan.

    Numbers of different protocols never share a column, so rows scored under another protocol get a board of their own.
    """
    planned = Planned(plan)
    names = [*plan.get("conditions", {}), *(row.data for row in rows)]
    boards = []
    for data in dict.fromkeys(name for name in names if name):
        mine = [row for row in rows if row.data == data and row.kind != "skipped"]
        unscored = [row for row in mine if not row.scored]
        protocols = [name for name, _ in Counter(row.protocol for row in mine if row.scored).most_common()]
        for protocol in protocols or [""]:
            facts: dict[str, Mapping[str, Any]] = dict(plan.get("conditions", {}).get(data, {}))
            board = Board(data, protocol, planned.asked(data), conditions_of(facts), facts)
            board.not_ranked = _why_not_ranked(facts.values())
            _fill(board, [*(row for row in mine if row.scored and row.protocol == protocol), *unscored])
            boards.append(board)
            unscored = []
    return boards


def conditions_of(facts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The test conditions of which a mean is taken: not the steps of a robustness sheet, where there are others."""
    return [name for name, fact in facts.items() if "axis" not in fact] or list(facts)


def _why_not_ranked(facts: Iterable[Mapping[str, Any]]) -> str:
    for fact in facts:
        if fact.get("truth_kind") == "pseudo":
            program = fact.get("truth_program") or "another program"
            return f"pseudo truth: the numbers are agreement with {program}, not accuracy"
        if fact.get("shared_structure") or "shared-structure" in (fact.get("tags") or ()):
            return "shared-structure: training and test show the same structure, so memory cannot be told from skill"
    return ""


def _fill(board: Board, rows: Sequence[Row]) -> None:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(combination(row), []).append(row)
    board.facts = _measured_facts(board, rows)
    entries = [_entry(board, members) for members in groups.values()]
    _label(entries)
    trained = [entry for entry in entries if not entry.is_reference]
    entrants = list(dict.fromkeys(entry.entrant for entry in trained))
    for entry in trained:
        entry.style = entrants.index(entry.entrant)
    _pick(board, [entry for entry in trained if not entry.rows[0].control])
    for entry in _sorted(board, entries):
        shown = entry.picked or (entry.is_reference and entry.scored_rows)
        (board.entries if shown else board.others).append(entry)
    _ask_task(board)
    rank(board)
    mark_front(board)
    for entry in trained:
        entry.flags += against_references(board, entry) + not_surely(board, entry) + incomplete(entry)
        entry.flags += halved(entry) + mixed_formats(entry) + unlike(entry)
    found = numbers(board)
    said = set(found["metric"][(found["line"] < len(board.entries)) & (found["condition"] != "")])
    board.columns = [name for name in board.columns if name in said]
    board.notes += board_notes(board)


def _ask_task(board: Board) -> None:
    """What the task says of the board's numbers: columns, the second headline number, notes."""
    asked = board.asked
    if asked.task is not None:
        board.section = asked.task.section(lines([board]).rename(columns={"label": "row"}), board.facts)
    else:
        board.section = Section(columns=asked.headline)
        board.notes.append(asked.missing)
    measured = [name for name in asked.measured if name != board.primary]
    board.columns = [name for name in board.section.columns if name in measured] or measured[:6]
    if board.section.second_on:
        for entry in board.everything:
            entry.second = estimate(entry.scored_rows, board.section.second, board.section.second_on)


def _measured_facts(board: Board, rows: Sequence[Row]) -> dict[str, Mapping[str, Any]]:
    """Facts of the conditions: of the plan, completed by what was measured on the data when a row was scored."""
    stored = next((found for row in rows if row.scored and (found := row.stored("facts"))), {})
    return {name: {**(stored.get(name) or {}), **facts} for name, facts in board.facts.items()}


def _entry(board: Board, rows: Sequence[Row]) -> Entry:
    """A line; what competes is a network, and apart from it each other setting `variant` (its wiring) or `context`.

    So does each value of the settings that its card names (fact `apart`), such as what it is held against.
    """
    members = sorted(rows, key=lambda row: row.repeat)
    labels, chosen = members[0].labels, members[0].settings
    variant, context = chosen.get("variant", PUBLISHED), members[0].context_frames if "context" in chosen else 1
    apart = ["" if variant == PUBLISHED else str(variant), f"{context} frames" if context > 1 else ""]
    apart += [str(chosen[name]) for name in _apart(board, labels.get("model", "")) if name in chosen]
    competitor = " ".join([labels.get("model", ""), *(f"({one})" for one in apart if one)])
    entry = Entry("", (competitor, labels.get("method", ""), labels.get("teacher", "none")), members)
    scored = entry.scored_rows
    told = _told(scored, board.facts)
    for metric in (name for name in {board.primary: None, **board.asked.measured} if name in told):
        entry.estimates[None, metric] = estimate(scored, metric, board.conditions)
        for condition in board.facts:
            entry.estimates[condition, metric] = estimate(scored, metric, [condition])
    entry.validation = mean(row.validation(board.primary) for row in scored)
    return entry


def _told(rows: Sequence[Row], conditions: Iterable[str]) -> set[str]:
    """Names of the numbers that rows have at any condition."""
    found = {name for row in rows for condition in conditions for name in row.stored("test", condition, "values")}
    logged = (name for row in rows if row.run is not None for name in row.run.metrics if name.startswith("test."))
    return found | {name.partition("/")[2] for name in logged}


def _apart(board: Board, model: str) -> Sequence[str]:
    """Settings of a model whose values compete; none where its file is not given."""
    catalog = Catalog() if board.asked.task is None else board.asked.task.catalog
    if model not in catalog.names("models"):
        return ()
    named: Sequence[str] = catalog.card("models", model).facts.get("apart", ())
    return named


def _label(entries: Sequence[Entry]) -> None:
    """Name each line; settings are written where two lines of one name differ in them."""
    seen: dict[Any, Any] = {}
    differ: set[Any] = set()
    for entry in entries:
        for at, value in _settings(entry).items():
            if seen.setdefault(at, value) != value:
                differ.add(at)
    for entry in entries:
        _, method, teacher = entry.entrant
        distilled = [] if teacher in ("", "none") else [f"← {teacher} ({method})"]
        different = [f"{at[-1]}={value}" for at, value in _settings(entry).items() if at in differ]
        entry.label = " ".join([entry.name, *distilled, *([f"[{', '.join(different)}]"] if different else [])])


def _settings(entry: Entry) -> dict[tuple[Any, ...], Any]:
    """Every setting of a line, by the lines that it is compared with and its name."""
    row = entry.rows[0]
    among = {
        "settings": None,
        "output": None,
        "training": None,
        "loss": row.labels.get("loss"),
        "method": entry.entrant,
    }
    return {
        (entry.name, block, whose, key): value
        for block, whose in among.items()
        for key, value in getattr(row, block).items()
        if key != "weight"
    }


def _pick(board: Board, trained: Sequence[Entry]) -> None:
    """Choose the line of each entrant by its validation score, among those with the most finished repeats."""
    entrants: dict[tuple[str, str, str], list[Entry]] = {}
    for entry in trained:
        entrants.setdefault(entry.entrant, []).append(entry)
    for alike in entrants.values():
        finished = [entry for entry in alike if entry.scored_rows]
        trials = sum(line.was_run for line in alike)
        for entry in alike:
            entry.trials = trials
        most = max((len(entry.scored_rows) for entry in finished), default=0)
        scored = [entry for entry in finished if entry.validation is not None]
        complete = [entry for entry in scored if len(entry.scored_rows) == most]
        if complete:
            picked = _first_on_validation(board, complete)
            picked.picked = True
            higher = _first_on_validation(board, scored)
            if higher is not picked:
                labels, n = higher.rows[0].labels, len(higher.scored_rows)
                first = f"{labels.get('loss', '')} λ = {labels.get('lambda', '')} with {n} repeat{'s' if n > 1 else ''}"
                picked.flags.append(f"picked among those with {most} finished repeats; first on validation: {first}")
        elif len(finished) == 1:
            finished[0].picked = True
        elif finished:
            board.notes.append(f"{alike[0].name}: no validation score is stored, so none of its rows competes.")


def _first_on_validation(board: Board, entries: Sequence[Entry]) -> Entry:
    return max(entries, key=lambda entry: board.sign * (entry.validation or 0.0))


def _sorted(board: Board, entries: Sequence[Entry]) -> list[Entry]:
    """Best first; those without the primary number come last."""
    scores = {entry: board.score(entry) for entry in entries}
    return sorted(entries, key=lambda entry: math.inf if (one := scores[entry]) is None else -board.sign * one)
