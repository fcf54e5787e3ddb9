"""Numbers and findings as text: titles of columns, decimals, the answer at the top of the page."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from smlmbench.report.flags import is_ceiling
from smlmbench.report.model import LATENCY, PAIR, Board, Entry, Estimate

TITLES = {
    "efficiency": "Efficiency",
    "jaccard": "Jaccard",
    "mjac_c": "mJac_c",
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
    "rmse_nm": "RMSE (nm)",
    "rmse_axial_nm": "Axial RMSE (nm)",
    "nmse_star": "NMSE*",
    "rho_med": "ρ (median)",
    "false_per_1000um2": "False / 1000 µm²",
}


def title(metric: str, facts: Mapping[str, Any] | None = None) -> str:
    """Heading of a metric: its usual name, or its own with the unit."""
    if metric in TITLES:
        return TITLES[metric]
    unit = str((facts or {}).get("unit") or "")
    return f"{metric} ({unit})" if unit and not metric.endswith(f"_{unit}") else metric


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
    text = f"{value:,.{places}f}"
    if text.lstrip("-0.,") == "":
        text = text.lstrip("-")
    return text.replace("-", "−")


def interval(found: Estimate, places: int) -> str:
    """An interval in square brackets, or empty."""
    if found.low is None or found.high is None:
        return ""
    return f"[{number(found.low, places)}, {number(found.high, places)}]"


def with_interval(found: Estimate) -> str:
    """A value and its interval."""
    places = decimals([found.value])
    return f"{number(found.value, places)} {interval(found, places)}".strip()


def recipe(entry: Entry) -> str:
    """A line's label with its loss and λ."""
    labels = entry.rows[0].labels
    return f"{entry.label} ({labels.get('loss', '')}, λ = {labels.get('lambda', '')})"


def answer(board: Board) -> list[str]:
    """The finding of one board in a few sentences, the first one the most important."""
    picks = board.competitors
    if not picks:
        planned = sum(len(entry.rows) for entry in [*board.entries, *board.others] if not entry.is_reference)
        return [f"Nothing to compare on {board.data} yet: none of {planned} planned trainings is finished and scored."]
    best = [entry for entry in picks if entry.best]
    said = _ranked(board, picks, best) if not board.not_ranked else _unranked(board, picks)
    return [*said, *_speed(board, best or picks[:1]), *_floor(board, picks)]


def _conditions(board: Board) -> str:
    n = len(board.conditions)
    return f"mean of {n} conditions" if n > 1 else "".join(f"condition {name}" for name in board.conditions)


def _headline(board: Board, entry: Entry) -> str:
    text = f"{board.primary} {with_interval(entry.get(None, board.primary))}"
    if board.paired and entry.second.value is not None:
        text += f" and {PAIR} {with_interval(entry.second)} above 1 emitter/µm²"
    return text


def _unranked(board: Board, picks: list[Entry]) -> list[str]:
    reason, _, detail = board.not_ranked.partition(": ")
    first = picks[0]
    said = [f"{reason[:1].upper()}{reason[1:]}: not ranked on {board.data} ({detail})."]
    return [*said, f"First by measured value: {recipe(first)}, {_headline(board, first)}; no row is declared best."]


def _ranked(board: Board, picks: list[Entry], best: list[Entry]) -> list[str]:
    repeats = len(picks[0].scored_rows)
    scope = f"({repeats} repeats, {_conditions(board)})"
    if not best:
        lead = f"{recipe(picks[0])} leads with {_headline(board, picks[0])} {scope}"
        return [f"No single best on {board.data}: {lead}, but not in {PAIR}."]
    first = best[0]
    if len(best) > 1:
        others = ", ".join(entry.label for entry in best[1:])
        said = [f"Best on {board.data}: {recipe(first)}, {_headline(board, first)} {scope}, tied with {others}."]
    else:
        said = [f"Best on {board.data}: {recipe(first)}, {_headline(board, first)} {scope}."]
    behind = [e for e in picks if e not in best and e.gap is not None and e.gap.value is not None]
    if behind and first is picks[0]:
        nearest = behind[0]
        gap = nearest.gap
        assert gap is not None  # noqa: S101 (narrowing for the type checker; filtered above)
        difference = Estimate(abs(gap.value or 0.0), *sorted_ends(gap.low, gap.high))
        said.append(f"The next, {nearest.label}, is behind by {with_interval(difference)}.")
    return said


def sorted_ends(low: float | None, high: float | None) -> tuple[float | None, float | None]:
    """Ends of a difference whose sign is dropped: turned where the better side is the smaller one."""
    if low is None or high is None:
        return None, None
    return (-high, -low) if high < 0 else (low, high)


def _speed(board: Board, best: list[Entry]) -> list[str]:
    timed = [entry for entry in best if entry.mean_of(LATENCY) is not None]
    if not timed:
        return [f"No latency is measured on {board.data}."]
    fastest = min(timed, key=lambda entry: entry.mean_of(LATENCY) or math.inf)
    ms = fastest.mean_of(LATENCY)
    text = f"{number(ms, decimals([ms]))} ms per frame"
    if len(best) == 1:
        return [f"It takes {text}."]
    return [f"Fastest within the interval of the best: {fastest.label}, {text}."]


def _floor(board: Board, picks: list[Entry]) -> list[str]:
    floors = [e for e in board.references if not is_ceiling(e) and e.get(None, board.primary).value is not None]
    if not floors:
        return ["No reference without training has this number; read the rows with care."]
    highest = floors[0]
    value = highest.get(None, board.primary)
    below = [e for e in picks if not board.better(e.get(None, board.primary).value or 0.0, value.value or 0.0)]
    text = f"The highest reference without training is {highest.label} with {with_interval(value)}"
    if not below:
        return [f"{text}; every pick is above it."]
    return [f"{text}; not above it: {', '.join(entry.label for entry in below)}."]
