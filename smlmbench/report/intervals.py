"""Numbers over repeats with their intervals, and paired differences between two lines (PROTOCOL section 5)."""

import csv
import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from smlmbench.errors import UnknownNameError
from smlmbench.metrics.pooling import SUMS
from smlmbench.metrics.ratios import ratio
from smlmbench.report.model import Board, Entry, Estimate, Gap, Row, finite
from smlmbench.statistics import Floats, Interval, Statistic, combine_seeds, paired_difference

# Half a 95 % interval of a normal distribution in standard deviations.
NORMAL_95 = 1.959964
RESAMPLES = 2000
# Fixed, so that the same store gives the same page.
BOOTSTRAP_SEED = 20_160
ALIASES = {"sse_lateral": "lateral_sq", "sse_axial": "axial_sq"}


def estimate(rows: Sequence[Row], metric: str, conditions: Sequence[str]) -> Estimate:
    """Mean over the repeats of one number (itself the plain mean over conditions), with an interval where there is one.

    The frame part of the variance comes from the interval stored with each run, the seed part from the spread between
    repeats. Without stored intervals the seed part alone is used; one repeat without one has no interval.
    """
    values: dict[int, float] = {}
    variances: list[float | None] = []
    for row in rows:
        value = mean_value(row, metric, conditions)
        if value is not None:
            values[row.repeat] = value
            variances.append(_frame_variance(row, metric, conditions))
    frames = [variance for variance in variances if variance is not None]
    if not values:
        return Estimate()
    if len(values) == 1:
        value = next(iter(values.values()))
        ends = rows[0].interval(conditions[0], metric) if len(conditions) == len(rows) == 1 else None
        if ends is None and frames:
            half = NORMAL_95 * math.sqrt(frames[0])
            ends = (value - half, value + half)
        return Estimate(value, ends[0] if ends else None, ends[1] if ends else None, values)
    found = combine_seeds(list(values.values()), frames if len(frames) == len(values) else [0.0] * len(values))
    return Estimate(found.value, finite(found.low), finite(found.high), values)


def mean_value(row: Row, metric: str, conditions: Sequence[str]) -> float | None:
    """Plain mean over conditions of one run's number, None where a condition lacks it."""
    values = [row.value(condition, metric) for condition in conditions]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _frame_variance(row: Row, metric: str, conditions: Sequence[str]) -> float | None:
    """Variance over frames of the mean over conditions, None where a condition has no stored interval."""
    total = 0.0
    for condition in conditions:
        ends = row.interval(condition, metric)
        if ends is None:
            return None
        total += ((ends[1] - ends[0]) / (2 * NORMAL_95)) ** 2
    return total / len(conditions) ** 2


def gap(leader: Entry, other: Entry, board: Board, metric: str, conditions: Sequence[str]) -> Gap:
    """Paired difference leader - other of the mean over conditions, over the repeats that both have.

    Pooled scores are compared over (seed, frame block); numbers without per-frame sums over the seeds alone.
    """
    ours, theirs = _by_repeat(leader), _by_repeat(other)
    common = sorted(set(ours) & set(theirs))
    if not common:
        return Gap()
    pairs = [(ours[repeat], theirs[repeat]) for repeat in common]
    upwards = metric != board.primary or board.direction == "up"
    found = _paired_frames(pairs, board, metric, conditions, upwards=upwards)
    if found is None:
        found = _paired_seeds(pairs, metric, conditions, upwards=upwards)
    return found if found is not None else Gap()


def _by_repeat(entry: Entry) -> dict[int, Row]:
    return {row.repeat: row for row in entry.scored_rows}


def _paired_seeds(
    pairs: Sequence[tuple[Row, Row]], metric: str, conditions: Sequence[str], *, upwards: bool
) -> Gap | None:
    differences = []
    for ours, theirs in pairs:
        a, b = mean_value(ours, metric, conditions), mean_value(theirs, metric, conditions)
        if a is not None and b is not None:
            differences.append(a - b)
    if not differences:
        return None
    if len(differences) == 1:
        return Gap(differences[0])
    found: Interval = combine_seeds(differences, [0.0] * len(differences))
    wins = found.low > 0 if upwards else found.high < 0
    same_sign = len({math.copysign(1, difference) for difference in differences}) == 1
    return Gap(found.value, found.low, found.high, "win" if wins and same_sign else "tie")


def _paired_frames(
    pairs: Sequence[tuple[Row, Row]], board: Board, metric: str, conditions: Sequence[str], *, upwards: bool
) -> Gap | None:
    statistic = _mean_statistic(board, metric, conditions) if board.positions else _mean_of_means(len(conditions))
    if statistic is None:
        return None
    column = "" if board.positions else metric
    ours = [stacked(row, conditions, column) for row, _ in pairs]
    theirs = [stacked(row, conditions, column) for _, row in pairs]
    tables = [table for table in (*ours, *theirs) if table is not None]
    if len(tables) < 2 * len(pairs) or len({table.shape for table in tables}) > 1:
        return None
    loose = 0.01 if board.positions else 1e-6
    for row, table in zip([row for pair in zip(*pairs, strict=True) for row in pair], tables, strict=True):
        logged = mean_value(row, metric, conditions)
        # Sums that do not give the logged number were made by other rules (another protocol, 3D): not comparable.
        if logged is None or not math.isclose(float(statistic(table.sum(axis=0))), logged, rel_tol=1e-3, abs_tol=loose):
            return None
    found = paired_difference(
        tables[: len(pairs)], tables[len(pairs) :], statistic,
        block=_block(board, conditions), resamples=RESAMPLES, seed=BOOTSTRAP_SEED, higher_is_better=upwards,
    )  # fmt: skip
    if len(pairs) == 1:
        return Gap(finite(found.value), finite(found.low), finite(found.high))
    return Gap(finite(found.value), finite(found.low), finite(found.high), "win" if found.verdict == "a" else "tie")


def _block(board: Board, conditions: Sequence[str]) -> int:
    """Frames per block: as far apart as two frames must be to be independent (molecules that persist)."""
    return max([1, *(int(board.facts.get(condition, {}).get("frame_shift") or 1) for condition in conditions)])


def _mean_statistic(board: Board, metric: str, conditions: Sequence[str]) -> Statistic | None:
    """Mean over conditions of a pooled score, from sums that stand side by side."""
    parts = []
    for condition in conditions:
        try:
            parts.append(ratio(metric, three_d=bool(board.facts.get(condition, {}).get("three_d", False))))
        except UnknownNameError:
            return None
    width = len(SUMS)

    def mean(sums: Floats) -> Floats:
        scores = [part(sums[..., i * width : (i + 1) * width]) for i, part in enumerate(parts)]
        return np.asarray(np.mean(scores, axis=0))

    return mean if parts else None


def _mean_of_means(n_conditions: int) -> Statistic:
    """Mean over conditions of a mean over image pairs, from (sum, number of pairs) that stand side by side."""

    def mean(sums: Floats) -> Floats:
        counts = np.maximum(sums[..., 1 : 2 * n_conditions : 2], 1)
        return np.asarray((sums[..., 0 : 2 * n_conditions : 2] / counts).mean(axis=-1))

    return mean


def stacked(row: Row, conditions: Sequence[str], column: str = "") -> Floats | None:
    """Per-frame sums of all conditions in one table (frames of all, sums of all); None where one is missing.

    With `column`, the numbers of each image pair instead: (number, 1), or two zeros where it has none. Each condition
    has its own columns, zero in the frames of the others, so that one resampling of all frames gives every condition's
    pooled sums whatever their numbers of frames.
    """
    if row.run is None:
        return None
    paths = [row.run.artifact(f"per_frame/{condition}.csv") for condition in conditions]
    blocks = [read_column(path, column) if column else read_sums(path) for path in paths]
    present = [block for block in blocks if block is not None and len(block)]
    if not present or len(present) < len(conditions):
        return None
    width = present[0].shape[1]
    table = np.zeros((sum(len(block) for block in present), width * len(present)))
    start = 0
    for i, block in enumerate(present):
        table[start : start + len(block), i * width : (i + 1) * width] = block
        start += len(block)
    return table


def read_sums(path: Path | None) -> Floats | None:
    """Per-frame sums (F, len(SUMS)) from a CSV with a header; absent columns are 0. None if it cannot be read."""
    return None if path is None or not path.is_file() else _read_sums(path, path.stat().st_mtime_ns)


def read_column(path: Path | None, column: str) -> Floats | None:
    """A number of each image pair with a 1 beside it (F, 2), zeros where it is absent; None if it cannot be read."""
    if path is None or not path.is_file():
        return None
    with path.open(newline="", encoding="utf-8") as file:
        header, *lines = list(csv.reader(file)) or [[]]
    if column not in header:
        return None
    try:
        values = np.array([line[header.index(column)] for line in lines], dtype=np.float64)
    except (ValueError, IndexError):
        return None
    known = np.isfinite(values)
    return np.column_stack([np.where(known, values, 0.0), known.astype(np.float64)])


@lru_cache(maxsize=256)
def _read_sums(path: Path, _mtime_ns: int) -> Floats | None:
    with path.open(newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))
    if len(lines) < 2:
        return None
    header = [ALIASES.get(name.strip(), name.strip()) for name in lines[0]]
    if not {"tp", "fp", "fn"} <= set(header):
        return None
    try:
        values = np.array(lines[1:], dtype=np.float64).reshape(len(lines) - 1, len(header))
    except ValueError:
        return None
    columns = [values[:, header.index(name)] if name in header else np.zeros(len(values)) for name in SUMS]
    sums = np.nan_to_num(np.column_stack(columns))
    sums.setflags(write=False)
    return sums
