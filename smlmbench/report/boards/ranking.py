"""Who is best: paired comparison with the leader, the headline pair, the Pareto front. Only picks compete."""

from collections.abc import Callable, Sequence

import numpy as np

from smlmbench.report.boards.intervals import gaps
from smlmbench.report.model import LATENCY, Board, Entry, Gap
from smlmbench.statistics import pareto_front

FEW_REPEATS = 3
ONE_REPEAT = "one repeat: the intervals hold frames only, nothing tells a difference between trainings from chance"
Wins = Callable[[Gap], bool]


def rank(board: Board) -> None:
    """Give every pick its place and verdict; ties share the first place, one repeat alone never wins."""
    picks = board.competitors
    ranked = [entry for entry in picks if len(entry.scored_rows) >= 2]
    for entry in picks:
        entry.verdict = entry.unadjusted = "not ranked"
    if picks and not ranked:
        board.not_ranked = board.not_ranked or ONE_REPEAT
    if not picks or board.not_ranked:
        return
    if single := ", ".join(entry.label for entry in picks if entry not in ranked):
        board.notes.append(f"One repeat, so not ranked: {single}.")
    if few := ", ".join(entry.label for entry in ranked if len(entry.scored_rows) < FEW_REPEATS):
        asked = f"Fewer than the {FEW_REPEATS} repeats that the protocol asks for"
        board.notes.append(f"{asked}, so wide intervals: {few}.")
    _compare(board, ranked)


def _compare(board: Board, ranked: Sequence[Entry]) -> None:
    """Places and verdicts with the number of pairs in mind, and beside them the verdicts without."""
    found = gaps(ranked, board, board.primary, board.conditions)
    second = _second(board, ranked) if board.section.second_on else None
    for place, entry in enumerate(ranked[1:], start=1):
        entry.gap = found[0, place]
    alone = _verdicts(board, ranked, second, lambda one: one.unadjusted == "win")
    adjusted = _verdicts(board, ranked, second, lambda one: one.verdict == "win")
    for entry, one, both in zip(ranked, alone, adjusted, strict=True):
        entry.unadjusted, entry.verdict = one, both
        entry.best = entry.verdict in ("best", "tie at the top")
    behind = [entry.gap is not None and entry.gap.verdict == "win" for entry in ranked]
    for place, entry in enumerate(ranked, start=1):
        entry.rank = str(place) if behind[place - 1] else "1=" if behind.count(False) > 1 else "1"
    if second is not None:
        _note_second(board, ranked, second)


def _verdicts(board: Board, ranked: Sequence[Entry], second: dict[int, Gap | None] | None, wins: Wins) -> list[str]:
    """Words on each line; `second` holds what separates lines from the first in the second headline number."""

    def near(gap: Gap | None) -> bool:
        return gap is None or not wins(gap)

    tied = [near(entry.gap) for entry in ranked]
    level = [second is None or (place in second and near(second[place])) for place in range(len(ranked))]
    alone = sum(a and b for a, b in zip(tied, level, strict=True)) == 1
    standing = "level" if sum(tied) > 1 else "first"
    other = f"behind in {board.section.second}" if second else f"{board.section.second} is not stored"
    behind = f"{standing} in {board.primary}, {other}"
    top = "best" if alone else "tie at the top"
    return ["behind the best" if not one else top if also else behind for one, also in zip(tied, level, strict=True)]


def _second(board: Board, ranked: Sequence[Entry]) -> dict[int, Gap | None]:
    """What separates each line from the first in the second headline number, None for that one itself, by place."""
    known = [place for place, entry in enumerate(ranked) if entry.second.value is not None]
    if not known:
        return {}
    sign = -1.0 if board.asked.falls(board.section.second) else 1.0
    order = sorted(known, key=lambda place: -sign * (ranked[place].second.value or 0.0))
    found = gaps([ranked[place] for place in order], board, board.section.second, board.section.second_on)
    return {order[0]: None, **{place: found[0, i] for i, place in enumerate(order[1:], start=1)}}


def _note_second(board: Board, ranked: Sequence[Entry], second: dict[int, Gap | None]) -> None:
    """Say where the second headline number is missing or disagrees with the first."""
    name = board.section.second
    first = next((place for place, one in second.items() if one is None), None)
    if first is None:
        board.notes.append(f"{name} is not stored, so the headline lacks its second number.")
    elif first != 0:
        behind = 0 not in second or ((one := second[0]) is not None and one.verdict == "win")
        outcome = "so there is no single best" if behind else "a tie"
        leads = f"{ranked[0].label} leads in {board.primary}, {ranked[first].label} in {name}"
        board.notes.append(f"The two headline numbers disagree: {leads} ({outcome}).")


def mark_front(board: Board) -> None:
    """Mark the picks that no other pick beats in both accuracy and latency; none where the data are not ranked."""
    if board.not_ranked not in ("", ONE_REPEAT):
        return
    picks = board.competitors
    points = [(entry.mean_of(LATENCY), -board.sign * (board.score(entry) or 0.0)) for entry in picks]
    front = pareto_front(np.array(points, dtype=float).reshape(-1, 2))
    for entry, on_front in zip(picks, front.tolist(), strict=True):
        entry.on_front = on_front
