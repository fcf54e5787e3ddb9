"""Numbers over repeats with their intervals, and paired differences between lines (PROTOCOL section 5)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.linalg import block_diag

from smlmbench.report.model import Board, Entry, Estimate, Gap, Row, Verdict
from smlmbench.report.row import finite, mean
from smlmbench.statistics import Floats, Statistic, combine_seeds, holm, judge, resample

# Half a 95 % interval of a normal distribution in standard deviations.
NORMAL_95 = 1.959964
LEVEL = 0.05
RESAMPLES = 2000
# Fixed, so that the same store gives the same page.
BOOTSTRAP_SEED = 20_160


def estimate(rows: Sequence[Row], metric: str, conditions: Sequence[str]) -> Estimate:
    """Mean over the repeats of one number (itself the plain mean over conditions), with an interval where there is one.

    The frame part of the variance comes from the interval stored with each run, the seed part from the spread between
    repeats. Without stored intervals the seed part alone is used; one repeat without one has no interval.
    """
    known = [(row, value) for row in rows if (value := mean_value(row, metric, conditions)) is not None]
    values = {row.repeat: value for row, value in known}
    variances = [_frame_variance(row, metric, conditions) for row, _ in known]
    frames = [variance for variance in variances if variance is not None]
    if not values:
        return Estimate()
    if len(values) == 1:
        value = known[0][1]
        half = NORMAL_95 * math.sqrt(frames[0]) if frames else math.nan
        ends = rows[0].interval(conditions[0], metric) if len(conditions) == len(rows) == 1 else None
        low, high = ends or (value - half, value + half)
        return Estimate(value, finite(low), finite(high), values)
    found = combine_seeds(list(values.values()), frames if len(frames) == len(values) else [0.0] * len(values))
    return Estimate(found.value, finite(found.low), finite(found.high), values)


def mean_value(row: Row, metric: str, conditions: Sequence[str]) -> float | None:
    """Plain mean over conditions of one run's number, None where a condition lacks it."""
    values = [row.value(condition, metric) for condition in conditions]
    return None if None in values else mean(values)


def _frame_variance(row: Row, metric: str, conditions: Sequence[str]) -> float | None:
    """Variance over frames of the mean over conditions, None where a condition has no stored interval."""
    intervals = [row.interval(condition, metric) for condition in conditions]
    parts = [((ends[1] - ends[0]) / (2 * NORMAL_95)) ** 2 for ends in intervals if ends is not None]
    return sum(parts) / len(parts) ** 2 if len(parts) == len(intervals) else None


@dataclass(frozen=True, slots=True)
class Sample:
    """A number of one repeat.

    Attributes:
        value: As it is stored.
        pooled, drawn: From the sums of its units, and the same in each resample of them; NaN, None: there are none.
        shape: Of the table of sums; samples of one shape were drawn on the same units.
        blocks: How many blocks of units that table has.
    """

    value: float
    pooled: float = math.nan
    drawn: Floats | None = None
    shape: tuple[int, ...] = ()
    blocks: int = 0


def gap(leader: Entry, other: Entry, board: Board, metric: str, conditions: Sequence[str]) -> Gap:
    """Paired difference leader - other of the mean over conditions, over the repeats that both have.

    Numbers with sums per frame are compared over (seed, frame block), the others over the seeds alone. A reference is
    the same beside every repeat.
    """
    ours, theirs = samples([leader, other], board, metric, conditions)
    if other.is_reference and len(theirs) == 1:
        theirs = dict.fromkeys(ours, next(iter(theirs.values())))
    return _gap(ours, theirs, upwards=not board.asked.falls(metric))


def gaps(entries: Sequence[Entry], board: Board, metric: str, conditions: Sequence[str]) -> dict[tuple[int, int], Gap]:
    """The differences of all pairs of lines, as (place, place), the verdicts adjusted for their number.

    The first of a board is not drawn by lot: it is the largest of all, so that its differences are the largest of all
    pairs. Holm over its own pairs alone would call one of six equal rows beaten on up to 10 % of boards; over all
    pairs it holds the 5 %, whichever row comes first.
    """
    every, upwards = samples(entries, board, metric, conditions), not board.asked.falls(metric)
    pairs = list(combinations(range(len(entries)), 2))
    found = [_gap(every[i], every[j], upwards=upwards) for i, j in pairs]
    tested = [math.nan if one.p_value is None or one.verdict == "unknown" else one.p_value for one in found]
    made = {}
    for pair, one, adjusted in zip(pairs, found, holm(tested).tolist(), strict=True):
        verdict: Verdict = "tie" if one.verdict == "win" and not adjusted < LEVEL else one.verdict
        made[pair] = replace(one, verdict=verdict, p_adjusted=finite(adjusted))
    return made


def _gap(ours: Mapping[int, Sample], theirs: Mapping[int, Sample], *, upwards: bool) -> Gap:
    common = sorted(set(ours) & set(theirs))
    if not common:
        return Gap()
    pairs = [(ours[repeat], theirs[repeat]) for repeat in common]
    drawn = [a.drawn - b.drawn for a, b in pairs if a.drawn is not None and b.drawn is not None and a.shape == b.shape]
    frames = pairs[0][0].shape[0] if len(drawn) == len(pairs) else 0
    if frames:
        pooled, change = [a.pooled - b.pooled for a, b in pairs], np.mean(drawn, axis=0)
        found = judge(pooled, change, blocks=pairs[0][0].blocks, higher_is_better=upwards)
    else:
        found = judge([a.value - b.value for a, b in pairs], higher_is_better=upwards)
    verdict: Verdict = "unknown" if len(common) == 1 else "win" if found.verdict == "a" else "tie"
    value, low, high, p_value = map(finite, (found.value, found.low, found.high, found.p_value))
    worse = len(common) > 1 and found.verdict == "b"
    paired = len(common), frames
    return Gap(value, low, high, verdict, p_value, unadjusted=verdict, worse=worse, paired=paired)


def samples(entries: Sequence[Entry], board: Board, metric: str, conditions: Sequence[str]) -> list[dict[int, Sample]]:
    """Of each line, by repeat, its number and what it is in each resample; the same frames are drawn for all.

    Sums that do not give the logged number were made by other rules (another protocol, 3D) and are not used.
    """
    statistic, block = _mean_statistic(board, metric, conditions), _block(board, conditions)
    found: list[dict[int, Sample]] = [{} for _ in entries]
    tables: dict[tuple[int, ...], list[tuple[int, int, Floats]]] = {}
    for place, entry in enumerate(entries):
        for row in entry.scored_rows:
            value = mean_value(row, metric, conditions)
            if value is None:
                continue
            found[place][row.repeat] = Sample(value)
            table = None if statistic is None else stacked(row, board, metric, conditions)
            if table is None or statistic is None:
                continue
            pooled = float(statistic(table.sum(axis=0)))
            if math.isclose(pooled, value, rel_tol=1e-3, abs_tol=_slack(board, metric)):
                blocks = math.ceil(len(table) / block)
                found[place][row.repeat] = Sample(value, pooled, shape=table.shape, blocks=blocks)
                tables.setdefault(table.shape, []).append((place, row.repeat, table))
    for alike in tables.values():
        assert statistic is not None  # noqa: S101 (tables are kept only with one)
        given = [table for _, _, table in alike]
        drawn = resample(given, statistic, block=block, resamples=RESAMPLES, seed=BOOTSTRAP_SEED)
        for (place, repeat, _), one in zip(alike, drawn, strict=True):
            found[place][repeat] = replace(found[place][repeat], drawn=one)
    return found


def _slack(board: Board, metric: str) -> float:
    """How far a number may be from its sums: a ten thousandth of its range."""
    high, low = (finite(board.asked.measured.get(metric, {}).get(end)) or 0.0 for end in ("high", "low"))
    return 1e-4 * max(1.0, high - low)


def _block(board: Board, conditions: Sequence[str]) -> int:
    """Frames per block: as far apart as two frames must be to be independent (molecules that persist)."""
    facts = [board.facts.get(condition, {}) for condition in conditions]
    return max([1, *(int(fact.get("block") or fact.get("frame_shift") or 1) for fact in facts)])


def _mean_statistic(board: Board, metric: str, conditions: Sequence[str]) -> Statistic | None:
    """Mean over conditions of a number, from sums of all that stand side by side; None where the task has none."""
    task = board.asked.task
    parts = [] if task is None else [task.statistic(metric, board.facts.get(name, {})) for name in conditions]
    known = [part for part in parts if part is not None]
    if not known or len(known) < len(parts):
        return None

    def mean_of_parts(sums: Floats) -> Floats:
        shares = np.split(sums, len(known), axis=-1)
        return np.asarray(np.mean([part(share) for part, share in zip(known, shares, strict=True)], axis=0))

    return mean_of_parts


def stacked(row: Row, board: Board, metric: str, conditions: Sequence[str]) -> Floats | None:
    """Sums per unit of all conditions in one table (units of all, sums of all); None where one is missing.

    Each condition has its own columns, zero in the units of the others, so that one resampling of all units gives
    every condition's pooled sums whatever their numbers of units.
    """
    task = board.asked.task
    if row.run is None or task is None:
        return None
    blocks: list[Floats] = []
    for condition in conditions:
        units = read_units(row.run.artifact(f"per_frame/{condition}.csv"))
        try:
            block = None if units is None else task.sums(metric, units)
        except ValueError:  # a file that holds something else than numbers
            return None
        if block is None or not len(block):
            return None
        blocks.append(block)
    return np.asarray(block_diag(*blocks))


def read_units(path: Path | None) -> pd.DataFrame | None:
    """What is stored for each unit (frame, crop, pair) of a condition; None where it cannot be read."""
    return None if path is None or not path.is_file() else _read_units(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=2048)  # some 32 kB each
def _read_units(path: Path, _mtime_ns: int) -> pd.DataFrame | None:
    try:
        return pd.read_csv(path, skipinitialspace=True)
    except (ValueError, OSError):  # no columns, or lines of different length
        return None
