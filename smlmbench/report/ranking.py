"""Who is best: paired comparison with the leader, the headline pair, the Pareto front. Only picks compete."""

from collections.abc import Sequence

import numpy as np

from smlmbench.report.intervals import gap
from smlmbench.report.model import LATENCY, PAIR, Board, Entry
from smlmbench.statistics import pareto_front

FEW_REPEATS = 3
ONE_REPEAT = "one repeat: the intervals hold frames only, nothing tells a difference between trainings from chance"


def rank(board: Board) -> None:
    """Give every pick its place and verdict; ties share the first place, one repeat alone never wins."""
    picks = board.competitors
    ranked = [] if board.not_ranked else [entry for entry in picks if len(entry.scored_rows) >= 2]
    for entry in picks:
        entry.verdict = "not ranked"
    if not picks or board.not_ranked:
        return
    if not ranked:
        board.not_ranked = ONE_REPEAT
        return
    if len(ranked) < len(picks):
        single_repeats = ", ".join(entry.label for entry in picks if entry not in ranked)
        board.notes.append(f"One repeat, so not ranked: {single_repeats}.")
    few = ", ".join(entry.label for entry in ranked if len(entry.scored_rows) < FEW_REPEATS)
    if few:
        board.notes.append(
            f"Fewer than the {FEW_REPEATS} repeats that the protocol asks for, so wide intervals: {few}."
        )
    _compare(board, ranked)


def _compare(board: Board, ranked: Sequence[Entry]) -> None:
    leader, tied = ranked[0], [ranked[0]]
    for place, entry in enumerate(ranked[1:], start=2):
        entry.gap = gap(leader, entry, board, board.primary, board.conditions)
        behind = entry.gap.verdict == "win"
        entry.rank = str(place) if behind else "1="
        if not behind:
            tied.append(entry)
    leader.rank = "1=" if len(tied) > 1 else "1"
    in_pair = _near_first_in_pair(board, ranked) if board.paired else list(ranked)
    for entry in ranked:
        entry.best = entry in tied and entry in in_pair
        if entry not in tied:
            entry.verdict = "behind the best"
        elif entry not in in_pair:
            standing = "level" if len(tied) > 1 else "first"
            entry.verdict = f"{standing} in {board.primary}, behind in {PAIR}"
        else:
            alone = sum(other in tied and other in in_pair for other in ranked) == 1
            entry.verdict = "best" if alone else "tie at the top"


def _near_first_in_pair(board: Board, ranked: Sequence[Entry]) -> list[Entry]:
    """Lines that the first in the second headline number does not beat; a disagreement is noted."""
    known = [entry for entry in ranked if entry.second.value is not None]
    if not known:
        board.notes.append(f"{PAIR} is not stored, so the headline of the dense conditions lacks its second number.")
        return []
    first = max(known, key=lambda entry: entry.second.value or 0.0)
    near = [entry for entry in known if entry is first or gap(first, entry, board, PAIR, board.paired).verdict != "win"]
    if first is not ranked[0]:
        outcome = "a tie" if ranked[0] in near else "so there is no single best"
        board.notes.append(
            f"The two headline numbers disagree: {ranked[0].label} leads in {board.primary}, "
            f"{first.label} in {PAIR} ({outcome})."
        )
    return near


def mark_front(board: Board) -> None:
    """Mark the picks that no other pick beats in both accuracy and latency; none where the data are not ranked."""
    if board.not_ranked and not board.not_ranked.startswith("one repeat"):
        return
    timed = [entry for entry in board.competitors if entry.mean_of(LATENCY) is not None]
    sign = -1.0 if board.direction == "up" else 1.0
    points = [[entry.mean_of(LATENCY), sign * (entry.get(None, board.primary).value or 0.0)] for entry in timed]
    if not points:
        return
    for entry, on_front in zip(timed, pareto_front(np.array(points, dtype=float)), strict=True):
        entry.on_front = bool(on_front)
