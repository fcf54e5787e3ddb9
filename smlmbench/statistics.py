"""What a difference on the board is worth: intervals, paired comparisons, aggregates, fronts (PROTOCOL section 5).

The unit that is resampled is the frame (or a block of frames where molecules persist), the unit of repetition is the
training seed. Per-frame sums go in, so a ratio is always formed once, from pooled sums.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from smlmbench.errors import SizeError

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]
"""Pooled sums (..., K) to the number (...); NaN where it does not exist."""

LEVEL = 0.95
DRAWS_AT_ONCE = 2_000_000
LEAST_RANKED, LEAST_CONDITIONS = 3, 10
LEAST = -300.0  # logarithm of the smallest p-value that is told from 0


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its 95 % interval; NaN where it cannot be computed.

    Attributes:
        variance: Sampling variance behind the interval.
        seeds: Number of training seeds in it.
        note: What the interval leaves out, "" if nothing.
    """

    value: float
    low: float
    high: float
    variance: float = math.nan
    seeds: int = 1
    note: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """a - b with its 95 % interval in the unit of the statistic, mean over seeds, and who wins.

    Attributes:
        verdict: The side that is better, or tie.
        per_seed: The difference in each seed.
        note: Why no verdict is given although the numbers differ, "" if nothing.
        p_value: Two-sided, of no difference; below 0.05 where the interval excludes 0. NaN where there is none.
    """

    value: float
    low: float
    high: float
    verdict: Literal["a", "b", "tie"]
    per_seed: tuple[float, ...]
    note: str = ""
    p_value: float = math.nan


def frame_bootstrap(
    statistic: Statistic, per_frame: ArrayLike, *, block: int = 1, resamples: int = 2000, seed: int
) -> Interval:
    """Percentile interval of a ratio of pooled sums, by resampling blocks of frames.

    Args:
        statistic: Vectorised over leading axes.
        per_frame: Sums of each frame, (F, K) with F >= 1.
        block: Frames per block, at least the on-time of a molecule where molecules persist (10 times is safe).
        resamples: Number of bootstrap samples.
        seed: The same seed draws the same frames for every model.

    Raises:
        SizeError: `per_frame` is of another shape, or block or resamples below 1.
    """
    sums = _checked(per_frame)
    value = float(statistic(sums.sum(axis=0)))
    low, high, variance = _summary(resample([sums], statistic, block=block, resamples=resamples, seed=seed)[0])
    if math.isnan(value):
        low = high = variance = math.nan
    return Interval(value, low, high, variance)


def combine_seeds(values: Sequence[float], variances: Sequence[float]) -> Interval:
    """t-interval of the mean over training seeds, with both parts of the variance.

    v_s is the value and w_s the frame-bootstrap variance of seed s; with n seeds, m = mean(v) and
    s2 = sum((v_s - m)^2) / (n - 1) the interval is

        m +- sqrt( z^2 * mean(w)  +  t(n - 1)^2 * s2 / n ),   z and t at 0.975

    All seeds are scored on the same frozen frames, so their frame error is common: it cancels in s2 and does not
    shrink with n, hence mean(w) and not mean(w) / n. Where the seeds dominate this is the t-interval, where the frames
    dominate it is the bootstrap's, and between them it covers 95 to 98 % for n = 2 ... 8 (normal errors); a percentile
    bootstrap over 3 seeds covers only 73 %, a Welch-Satterthwaite t-interval 87 % for n = 2. One seed has no s2: the
    interval is the frame part alone and its note says so.

    Raises:
        SizeError: No seed, or lists of different length.
    """
    n = len(values)
    if n == 0 or n != len(variances):
        raise SizeError(f"{n} values and {len(variances)} variances; give one of each per seed")
    mean, frames = math.fsum(values) / n, math.fsum(variances) / n
    seeds = math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n if n > 1 else 0.0
    half = _half_width(frames, seeds, n)
    note = "" if n > 1 else "one seed: the spread between seeds is not in it"
    return Interval(mean, mean - half, mean + half, frames + seeds, n, note)


def paired_difference(
    a: Sequence[ArrayLike], b: Sequence[ArrayLike], statistic: Statistic, *, block: int = 1, resamples: int = 2000,
    seed: int, higher_is_better: bool = True, trained: bool = True,
) -> Difference:  # fmt: skip
    """Compare two rows on the same frames, paired over (seed, frame block).

    Each resample takes the same frames for both sides and all seeds; what follows from them says `judge`. Rows with the
    same sums give exactly 0.

    Both sides have per-frame sums (F, K), one entry per seed in the same order; one entry alone (a reference) is paired
    with every seed of the other. `trained` is False where neither side was trained anew (two references, two number
    formats of one model): then one entry is enough for a verdict. The rest is as in `frame_bootstrap` and `judge`.

    Raises:
        SizeError: Numbers of seeds or frames that cannot be paired.
    """
    first, second = [_checked(sums) for sums in a], [_checked(sums) for sums in b]
    n = max(len(first), len(second))
    shapes = {sums.shape for sums in first + second}
    if not first or not second or {len(first), len(second)} - {1, n} or len(shapes) > 1:
        what = f"{len(first)} and {len(second)} seeds with sums of shape {sorted(shapes)}"
        raise SizeError(f"{what} cannot be paired; give the same seeds, frames and sums on both sides")
    first, second = first * (n // len(first)), second * (n // len(second))
    totals = [np.array([float(statistic(sums.sum(axis=0))) for sums in side]) for side in (first, second)]
    drawn = resample(first + second, statistic, block=block, resamples=resamples, seed=seed)
    change = np.mean(drawn[:n] - drawn[n:], axis=0)
    blocks = math.ceil(len(first[0]) / block)
    return judge(totals[0] - totals[1], change, blocks=blocks, higher_is_better=higher_is_better, trained=trained)


def judge(
    per_seed: ArrayLike, drawn: ArrayLike | None = None, *, blocks: int = 0, higher_is_better: bool = True,
    trained: bool = True,
) -> Difference:  # fmt: skip
    """What a paired difference is worth: its interval, its p-value, and who wins.

    F, the variance of `drawn`, is the frame part and S = s2 / n, from the spread of `per_seed`, the seed part; the
    interval is that of `combine_seeds`. A side wins if it excludes 0 and the sign is the same in every seed.

    The p-value is the level at which an interval of this form just reaches 0: with m the mean difference,

        z(p / 2)^2 * F  +  t(n - 1, p / 2)^2 * S  =  m^2,    z and t the upper quantiles

    whose left side falls as p rises, so there is one solution, and p < 0.05 exactly where the 95 % interval excludes 0.
    With F = 0 it is the p-value of a paired t-test, with S = 0 that of a normal one. Of B blocks the bootstrap gives a
    variance that is (B - 1) / B of the true one on average, and known no better than from B - 1 degrees of freedom; so
    F is divided by that and z is t(B - 1), which matters far out (six equal rows, all pairs, 15 frames: 14 % false
    instead of 5 % without). One seed has the percentile interval of `drawn`, and twice the smaller share of resamples
    on either side of 0.

    Args:
        per_seed: The difference a - b in each seed.
        drawn: The mean difference in each resample of the frames; None compares over seeds alone.
        blocks: How many blocks of frames were resampled; 0 takes the variance as known.
        higher_is_better: Direction of the numbers.
        trained: False where neither side was trained anew: then one seed is enough for a verdict.
    """
    given = np.asarray(per_seed, dtype=float)
    value, n = float(given.mean()), len(given)
    usable = np.asarray([] if drawn is None else drawn, dtype=float)
    usable = usable[~np.isnan(usable)]
    if n > 1:
        frames = 0.0 if drawn is None else float(usable.var(ddof=1)) if len(usable) > 1 else math.nan
        seeds = float(given.var(ddof=1)) / n
        frames *= blocks / (blocks - 1) if blocks > 1 else 1.0
        half = _half_width(frames, seeds, n, blocks=blocks)
        low, high, p_value = value - half, value + half, _p_value(value, (frames, seeds), n, blocks)
    else:
        low, high, _ = _summary(usable)
        sides = np.count_nonzero(usable <= 0), np.count_nonzero(usable >= 0)
        p_value = min(1.0, 2 * min(sides) / len(usable)) if len(usable) > 1 else math.nan
    signs = set(np.sign(given).tolist())
    verdict: Literal["a", "b", "tie"] = "tie"
    note = ""
    if (low > 0 or high < 0) and len(signs) > 1:
        note = "the sign differs between seeds"
    elif (low > 0 or high < 0) and trained and n == 1:
        note = "one seed: a difference between trainings cannot be told from chance"
    elif low > 0 or high < 0:
        verdict = "a" if (value > 0) == higher_is_better else "b"
    return Difference(value, low, high, verdict, tuple(given.tolist()), note, p_value)


def holm(p_values: ArrayLike) -> Floats:
    """P-values adjusted for their number, so that one below 0.05 among true nulls appears in at most 5 % of families.

    The smallest of k is multiplied by k, the next by k - 1 and so on; none falls below the one before it or exceeds 1.
    Valid whatever the dependence of the tests. NaN (not tested) stays NaN and counts as no test.

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
        [0.03, 0.06, 0.06]

    Source:
        Holm 1979, Scand. J. Statist. 6:65.
    """
    given = np.asarray(p_values, dtype=float)
    order = np.argsort(given)[: np.count_nonzero(~np.isnan(given))]  # NaN is sorted last
    adjusted = np.full(given.shape, np.nan)
    stepped = given[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return adjusted


def resample(
    tables: Sequence[ArrayLike], statistic: Statistic, *, block: int = 1, resamples: int = 2000, seed: int
) -> Floats:
    """The statistic of each table in each resample of blocks of frames, (tables, resamples), in parts of bounded size.

    All tables (F, K) have the same shape, and every resample takes the same frames of all of them: differences between
    them are paired.

    Raises:
        SizeError: Block or resamples below 1.
    """
    given = [_checked(sums) for sums in tables]
    if block < 1 or resamples < 1:
        raise SizeError(f"block {block} and resamples {resamples}; give at least 1 of each")
    starts = np.arange(0, len(given[0]), block)
    blocks = [np.add.reduceat(table, starts, axis=0) for table in given]
    n, rng = len(starts), np.random.default_rng(seed)
    at_once = max(1, DRAWS_AT_ONCE // n)
    drawn = []
    for done in range(0, resamples, at_once):
        size = min(at_once, resamples - done)
        draws = rng.integers(0, n, size=(size, n)) + n * np.arange(size)[:, None]
        times = np.bincount(draws.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)
        drawn.append(np.array([statistic(times @ sums) for sums in blocks]))
    return np.concatenate(drawn, axis=1)


def iqm(values: ArrayLike) -> float:
    """Interquartile mean: a quarter of the values is cut at each end (rounded down), the rest averaged.

    Raises:
        SizeError: Fewer than 4 values, or values that are not finite.
    """
    given = np.asarray(values, dtype=float).reshape(-1)
    if len(given) < 4 or not np.isfinite(given).all():
        said = f"{int(np.isfinite(given).sum())} finite values of {len(given)}"
        raise SizeError(f"{said} have no interquartile mean; give at least 4, all finite")
    return float(np.sort(given)[len(given) // 4 : len(given) - len(given) // 4].mean())


def critical_difference(k: int, n_conditions: int) -> float:
    """Smallest difference of mean ranks of k rows that Nemenyi's test calls significant at 5 %.

    Conditions differ in PSF, structure, camera or source; levels of one sweep count once.

    Raises:
        SizeError: Fewer than 2 rows or 10 conditions.

    Source:
        Demsar 2006, J. Mach. Learn. Res. 7:1.
    """
    if k < 2 or n_conditions < LEAST_CONDITIONS:
        raise SizeError(f"{k} rows on {n_conditions} conditions have no critical difference; give at least 2 and 10")
    from scipy import stats  # takes half a second

    quantile = float(stats.studentized_range.ppf(LEVEL, k, np.inf)) / math.sqrt(2)
    return quantile * math.sqrt(k * (k + 1) / (6 * n_conditions))


@dataclass(frozen=True, slots=True)
class Ranks:
    """Rows compared by their places over many conditions.

    Attributes:
        mean: Mean rank of each row (k,); 1 is the best, equal rows share the mean of their places.
        critical: Smallest difference of mean ranks that counts.
        p_value: Of no difference between any of them (Friedman).
        alike: Rows that nothing tells apart, best first, as indices; each group is in no other.
    """

    mean: Floats
    critical: float
    p_value: float
    alike: tuple[tuple[int, ...], ...]


def compare_ranks(scores: ArrayLike) -> Ranks:
    """Friedman's test of rows over conditions, then Nemenyi's; where the first finds nothing, all rows are alike.

    Args:
        scores: (conditions, rows), higher is better; each the mean over its repeats, which are not independent.

    Raises:
        SizeError: Fewer than 3 rows or 10 conditions, or a score that is not finite.

    Source:
        Demsar 2006, J. Mach. Learn. Res. 7:1.
    """
    given = np.asarray(scores, dtype=float)
    if given.ndim != 2 or given.shape[1] < LEAST_RANKED or not np.isfinite(given).all():
        raise SizeError(
            f"scores of shape {given.shape} cannot be ranked; give (conditions, 3 rows or more), all finite"
        )
    from scipy import stats

    ranks = np.asarray(stats.rankdata(-given, axis=1)).mean(axis=0)
    critical = critical_difference(given.shape[1], len(given))
    same = bool((given == given[:, :1]).all())  # Friedman's statistic is 0/0
    p_value = 1.0 if same else float(stats.friedmanchisquare(*given.T).pvalue)
    order = [int(row) for row in np.argsort(ranks, kind="stable")]
    if p_value >= 1 - LEVEL:
        return Ranks(ranks, critical, p_value, (tuple(order),))
    groups: list[tuple[int, ...]] = []
    for first, row in enumerate(order):
        group = tuple(other for other in order[first:] if ranks[other] - ranks[row] < critical)
        if len(group) > 1 and not (groups and set(group) <= set(groups[-1])):
            groups.append(group)
    return Ranks(ranks, critical, p_value, tuple(groups))


def performance_profile(scores: Sequence[ArrayLike]) -> tuple[Floats, Floats]:
    """Share of conditions, each with the same weight, in which a score or a better one was reached.

    Args:
        scores: Of each condition those of its repeats, higher is better.

    Returns:
        Scores that were reached, ascending, and the share of each, 1 .. above 0.

    Source:
        Agarwal et al. 2021, Advances in Neural Information Processing Systems 34 (without its bands).
    """
    given = [np.asarray(one, dtype=float).reshape(-1) for one in scores]
    whole = np.concatenate(given)
    weights = np.concatenate([np.full(len(one), 1 / (len(one) * len(given))) for one in given])
    reached = np.unique(whole)
    return reached, np.asarray((weights * (whole >= reached[:, None])).sum(axis=1))


def pareto_front(points: ArrayLike) -> NDArray[np.bool_]:
    """Which points (n, d) nobody dominates, as a mask (n,); smaller is better in every column.

    A point is dominated where another is at most as large in all columns and smaller in one; equal points stay
    together, a point with NaN is never on the front.
    """
    given = np.asarray(points, dtype=float)
    if given.ndim != 2:
        raise SizeError(f"points of shape {given.shape} have no front; give (n, d), smaller is better")
    usable = ~np.isnan(given).any(axis=1)
    no_worse = (given[:, None, :] <= given[None, :, :]).all(axis=2)
    better = (given[:, None, :] < given[None, :, :]).any(axis=2)
    front: NDArray[np.bool_] = usable & ~(no_worse & better & usable[:, None]).any(axis=0)
    return front


def _checked(per_frame: ArrayLike) -> Floats:
    sums = np.asarray(per_frame, dtype=np.float64)
    if sums.ndim != 2 or len(sums) == 0:
        raise SizeError(f"per-frame sums of shape {sums.shape}; give (frames, sums) with at least 1 frame")
    return sums


def _summary(drawn: Floats) -> tuple[float, float, float]:
    """Ends of the percentile interval and the variance; resamples without a value are left out."""
    usable = drawn[~np.isnan(drawn)]
    if len(usable) < 2:
        return math.nan, math.nan, math.nan
    low, high = np.quantile(usable, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return float(low), float(high), float(usable.var(ddof=1))


def _half_width(frames: float, seeds: float, n: int, outside: float = 1 - LEVEL, blocks: int = 0) -> float:
    """Half width from the frame part and the seed part (already divided by n) of the variance; see `judge`."""
    tail = outside / 2
    known = float(special.stdtrit(blocks - 1, tail) if blocks > 1 else special.ndtri(tail))
    spread = float(special.stdtrit(n - 1, tail)) ** 2 * seeds if n > 1 else 0.0
    return math.sqrt(known**2 * frames + spread)


def _p_value(value: float, variances: tuple[float, float], n: int, blocks: int) -> float:
    """What lies outside the interval that just reaches 0; see `judge`."""
    if math.isnan(value + sum(variances)):
        return math.nan
    from scipy import optimize

    def over(logarithm: float) -> float:
        return _half_width(*variances, n, math.exp(logarithm), blocks) - abs(value)

    if over(LEAST) <= 0:
        return float(value == 0)
    return math.exp(float(optimize.brentq(over, LEAST, 0.0)))
