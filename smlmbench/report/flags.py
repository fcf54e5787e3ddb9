"""Warnings in words: rows below a reference, rows above a bound, lost repeats, unfinished boards."""

from collections import Counter
from itertools import product

from smlmbench.report.boards.intervals import gap
from smlmbench.report.model import Board, Entry
from smlmbench.report.row import read_json

SEVERAL = 2  # repeats, from which there is an interval between them
APPLIED = "applied"  # folder of a run's movies without truth
UNFINISHED = ("planned", "running", "interrupted")


def against_references(board: Board, entry: Entry) -> list[str]:
    """Say which references a trained line does not reach, and which bound it passes."""
    said, compared = [], (board.primary, board.section.against)
    for reference in board.references:
        both = (name for name in compared if None not in (line.get(None, name).value for line in (entry, reference)))
        metric = next(both, None)
        if metric is None:
            continue
        ours, theirs = (line.get(None, metric).value or 0.0 for line in (entry, reference))
        better, down = board.better(ours, theirs, metric), board.asked.falls(metric)
        numbers = f"{board.asked.spoken(metric)} {ours:.3g} against {theirs:.3g}"
        if reference.is_ceiling and better:
            over = "better than" if down else "above"
            said.append(f"{over} {reference.label}, which was told the truth ({numbers}): look for a leak")
        elif not reference.is_ceiling and not better and ours != theirs:
            said.append(f"{'worse than' if down else 'below'} {reference.label}, which needs no training ({numbers})")
    return said


def not_surely(board: Board, entry: Entry) -> list[str]:
    """Say where a pick with repeats is better than every row without training, but not by the interval."""
    value = entry.get(None, board.primary).value
    known = [one for one in board.references if not one.is_ceiling and one.get(None, board.primary).value is not None]
    if value is None or not known or not entry.picked or len(entry.scored_rows) < SEVERAL:
        return []
    sign = -1.0 if board.asked.falls(board.primary) else 1.0
    best = max(known, key=lambda one: sign * (one.get(None, board.primary).value or 0.0))
    if not board.better(value, best.get(None, board.primary).value or 0.0, board.primary):
        return []
    found = gap(entry, best, board, board.primary, board.conditions)
    if found.verdict == "win" or found.low is None or found.high is None or found.value is None:
        return []
    over = "better than" if sign < 0 else "above"
    ends = f"{found.value:+.3g} [{found.low:+.3g}, {found.high:+.3g}]"
    return [f"not surely {over} {best.label}, the best row without training (difference {ends})"]


def incomplete(entry: Entry) -> list[str]:
    """Say which repeats are missing from a mean."""
    lost = [row for row in entry.rows if not row.scored]
    if not lost or not entry.scored_rows:
        return []
    states = ", ".join(f"repeat {row.repeat} {row.status if row.current else 'scored otherwise'}" for row in lost)
    return [f"{len(entry.scored_rows)} of {len(entry.rows)} repeats count ({states})"]


def halved(entry: Entry) -> list[str]:
    """Say which repeats did not see their batches whole."""
    parts = [row.run is not None and "batch_parts" in row.run.params for row in entry.scored_rows]
    if not any(parts):
        return []
    return [f"{sum(parts)} of {len(parts)} repeats saw each batch in halves, for want of memory on their device"]


def unlike(entry: Entry) -> list[str]:
    """Say which movies without truth are unlike what a line was trained on, and in what; as its task said it."""
    said: dict[str, None] = {}
    for run in [row.run for row in entry.scored_rows if row.run is not None]:
        for file in filter(lambda name: name.endswith(".json"), run.artifacts(APPLIED)):
            lines = read_json(run.artifact(file)).get("fit", {}).get("lines", [])
            said |= dict.fromkeys(f"{file.removeprefix(f'{APPLIED}/').removesuffix('.json')}: {line}" for line in lines)
    return list(said)


def mixed_formats(entry: Entry) -> list[str]:
    """Say which number formats the repeats of a mean were trained in, where that is not one."""
    formats = _trained_in(entry)
    if len(formats) < 2:
        return []
    counts = ", ".join(f"{count} in {name}" for name, count in sorted(formats.items()))
    return [f"its {formats.total()} repeats were not trained in one number format: {counts}"]


def _trained_in(entry: Entry) -> Counter[str]:
    params = [row.run.params for row in entry.scored_rows if row.run is not None and not entry.is_reference]
    return Counter(said["number_format"] for said in params if "number_format" in said)


def board_notes(board: Board) -> list[str]:
    """Sentences on what is missing from a board."""
    notes = []
    shown = {entry.name for entry in board.entries}
    missing = dict.fromkeys(entry.name for entry in board.others if not entry.scored_rows and entry.name not in shown)
    if missing:
        notes.append(f"No finished row: {', '.join(missing)} (reasons in the table of all rows).")
    return [*notes, *_formats(board), *board.section.notes, *_absent(board)]


def _formats(board: Board) -> list[str]:
    """That rows were trained in several number formats, as where `auto` was measured on two computers."""
    who: dict[str, dict[str, None]] = {}
    for entry in board.everything:
        for name in _trained_in(entry):
            who.setdefault(name, {})[entry.label] = None
    if len(who) < 2:
        return []
    told = "; ".join(f"in {name}: {', '.join(labels)}" for name, labels in sorted(who.items()))
    return [f"Trained {told}. Left to itself (auto), each training takes what was faster for its network there."]


def _absent(board: Board) -> list[str]:
    """Why numbers of the board are n/a, one sentence for each reason."""
    why: dict[str, dict[str, None]] = {}
    rows = ((entry.label, row) for entry in board.entries for row in entry.scored_rows)
    for (label, row), condition, metric in product(rows, board.conditions, (board.primary, *board.columns)):
        reason = row.why_absent(condition, metric)
        if reason and row.value(condition, metric) is None:
            why.setdefault(reason, {})[f"{label} {metric}"] = None
    return [f"n/a: {reason} ({', '.join(where)})." for reason, where in why.items()]
