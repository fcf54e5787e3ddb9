"""Numbers and findings as text: decimals, the answer at the top of the page."""

import math
from collections.abc import Iterable

from smlmbench.report.flags import UNFINISHED
from smlmbench.report.model import LATENCY, Board, Entry, Estimate, Gap


def decimals(values: Iterable[float | None]) -> int:
    """Decimals that suit a whole column: three for numbers around 1, one above 10, none above 1000."""
    largest = max((abs(value) for value in values if value is not None), default=0.0)
    if largest <= 2:
        return 3
    if largest <= 10:
        return 2
    return 1 if largest <= 1000 else 0


def number(value: float | None, places: int) -> str:
    """A number with a true minus sign and grouped thousands, a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:z,.{places}f}".replace("-", "−")


def signed(value: float | None, places: int) -> str:
    """The same with a plus sign where it is above 0."""
    return f"{'+' if (value or 0.0) > 0 else ''}{number(value, places)}"


def interval(found: Estimate | Gap, places: int) -> str:
    """An interval in square brackets, or empty."""
    ends = found.low, found.high
    return "" if None in ends else f"[{', '.join(number(end, places) for end in ends)}]"


def with_interval(found: Estimate, places: int | None = None) -> str:
    """A value and its interval."""
    places = decimals([found.value]) if places is None else places
    return f"{number(found.value, places)} {interval(found, places)}".strip()


def milliseconds(value: float | None) -> str:
    """A latency with three significant digits."""
    return "–" if value is None else f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def listed(names: Iterable[str]) -> str:
    """Names as an enumeration: a, b and c."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def recipe(entry: Entry) -> str:
    """A line's label with its loss and λ."""
    labels = entry.rows[0].labels
    return f"{entry.label} ({labels.get('loss', '')}, λ = {labels.get('lambda', '')})"


def answer(board: Board) -> list[str]:
    """The finding of one board in a few sentences, the first one the most important."""
    picks = board.competitors
    if not picks:
        planned = sum(len(entry.rows) for entry in board.everything if not entry.is_reference)
        return [f"Nothing to compare on {board.data} yet: none of {planned} planned trainings is finished and scored."]
    best = [entry for entry in picks if entry.best]
    said = _ranked(board, picks, best) if not board.not_ranked else _unranked(board, picks)
    unfinished = sum(row.status in UNFINISHED for entry in board.everything for row in entry.rows)
    caution = [f"Provisional: {unfinished} planned rows are not finished."] if unfinished else []
    return [*said, *_speed(board, best or picks[:1]), *_floor(board, picks), *caution]


def _conditions(board: Board) -> str:
    n = len(board.conditions)
    return f"mean of {n} conditions" if n > 1 else "".join(f"condition {name}" for name in board.conditions)


def _headline(board: Board, entry: Entry) -> str:
    text = f"{board.asked.spoken(board.primary)} {with_interval(entry.get(None, board.primary))}"
    if board.direction == "down":
        text += " (lower is better)"
    section = board.section
    if section.second_on and entry.second.value is not None:
        text += f" and {section.second} {with_interval(entry.second)} {section.second_said}".rstrip()
    return text


def _unranked(board: Board, picks: list[Entry]) -> list[str]:
    reason, _, detail = board.not_ranked.partition(": ")
    return [
        f"{reason[:1].upper()}{reason[1:]}: {board.data} is not ranked, no row is declared best.",
        f"Why: {detail}.",
        f"First by measured value is {recipe(picks[0])}, {_headline(board, picks[0])}.",
    ]


def _ranked(board: Board, picks: list[Entry], best: list[Entry]) -> list[str]:
    lead = best[0] if best else picks[0]
    scope = f"({len(lead.scored_rows)} repeats, {_conditions(board)})"
    if not best:
        other = board.section.second
        lacks = f"but {other} is not stored" if lead.second.value is None else f"but not in {other}"
        second = f"{recipe(lead)} leads in {board.primary}, {lacks}."
        return [f"No single best on {board.data}.", second, f"It has {_headline(board, lead)} {scope}."]
    tie = f", tied with {listed(entry.label for entry in best[1:])}" if len(best) > 1 else ""
    said = [f"Best on {board.data}: {recipe(lead)}{tie}.", f"It has {_headline(board, lead)} {scope}."]
    behind = [(e, e.gap) for e in picks if e not in best and e.gap is not None and e.gap.value is not None]
    if behind and lead is picks[0]:
        entry, found = behind[0]
        places = decimals([board.score(lead)])
        said.append(f"The next, {entry.label}, is behind by {with_interval(distance(found), places)}.")
    return said


def distance(found: Gap) -> Estimate:
    """A difference whose sign is dropped: its ends are turned where the better side is the smaller one."""
    if found.high is not None and found.high < 0:
        found = found.turned
    return Estimate(abs(found.value or 0.0), found.low, found.high)


def _speed(board: Board, best: list[Entry]) -> list[str]:
    timed = [(ms, entry.label) for entry in best if (ms := entry.mean_of(LATENCY)) is not None]
    if not timed:
        return [f"No latency is measured on {board.data}."]
    ms, label = min(timed, key=lambda one: one[0])
    text = f"{milliseconds(ms)} ms per frame"
    return [f"It takes {text}." if len(best) == 1 else f"Fastest within the interval of the best: {label}, {text}."]


def _floor(board: Board, picks: list[Entry]) -> list[str]:
    first = next((e for e in board.references if not e.is_ceiling and board.score(e) is not None), None)
    if first is None:
        return ["No reference without training has this number; read the rows with care."]
    value = first.get(None, board.primary)
    below = [e for e in picks if not board.better(board.score(e) or 0.0, value.value or 0.0)]
    places = decimals(board.score(e) for e in [first, *picks])
    text = f"The best reference without training is {first.label} with {with_interval(value, places)}"
    over = "above" if board.direction == "up" else "better than"
    if below:
        return [f"{text}; not {over} it: {listed(entry.label for entry in below)}."]
    return [f"{text}; every pick is {over} it."]
