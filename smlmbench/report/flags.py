"""Warnings in words: rows below a reference, rows above a bound, lost repeats, unfinished boards."""

from smlmbench.report.model import Board, Entry

UNFINISHED = ("planned", "running", "interrupted")


def is_ceiling(entry: Entry) -> bool:
    """Whether a reference was told the truth: a bound that no trained row should pass."""
    return entry.is_reference and entry.rows[0].ceiling


def against_references(board: Board, entry: Entry) -> list[str]:
    """Say which references a trained line does not reach, and which bound it passes."""
    said = []
    for reference in board.references:
        metric = next((name for name in (board.primary, board.section.against) if _both(entry, reference, name)), None)
        if metric is None:
            continue
        ours, theirs = entry.get(None, metric).value or 0.0, reference.get(None, metric).value or 0.0
        better, down = board.better(ours, theirs, metric), board.asked.falls(metric)
        numbers = f"{board.asked.spoken(metric)} {ours:.3g} against {theirs:.3g}"
        if is_ceiling(reference) and better:
            over = "better than" if down else "above"
            said.append(f"{over} {reference.label}, which was told the truth ({numbers}): look for a leak")
        elif not is_ceiling(reference) and not better and ours != theirs:
            said.append(f"{'worse than' if down else 'below'} {reference.label}, which needs no training ({numbers})")
    return said


def _both(entry: Entry, reference: Entry, metric: str) -> bool:
    return entry.get(None, metric).value is not None and reference.get(None, metric).value is not None


def incomplete(entry: Entry) -> list[str]:
    """Say which repeats are missing from a mean."""
    lost = [row for row in entry.rows if not row.scored]
    if not lost or not entry.scored_rows:
        return []
    states = ", ".join(f"repeat {row.repeat} {row.status if row.current else 'scored otherwise'}" for row in lost)
    return [f"{len(entry.scored_rows)} of {len(entry.rows)} repeats count ({states})"]


def board_notes(board: Board) -> list[str]:
    """Sentences on what is missing from a board."""
    notes = []
    shown = {entry.name for entry in board.entries}
    missing = dict.fromkeys(entry.name for entry in board.others if not entry.scored_rows and entry.name not in shown)
    if missing:
        notes.append(f"No finished row: {', '.join(missing)} (reasons in the table of all rows).")
    return [*notes, *board.section.notes, *_absent(board)]


def _absent(board: Board) -> list[str]:
    """Why numbers of the board are n/a, one sentence for each reason."""
    why: dict[str, dict[str, None]] = {}
    for entry in board.entries:
        for row in entry.scored_rows:
            for condition in board.conditions:
                for metric in (board.primary, *board.columns):
                    reason = row.why_absent(condition, metric)
                    if reason and row.value(condition, metric) is None:
                        why.setdefault(reason, {})[f"{entry.label} {metric}"] = None
    return [f"n/a: {reason} ({', '.join(where)})." for reason, where in why.items()]
