"""What K trials are worth: the best so far of a search, and what K trials of random search reach on average."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 1000


@dataclass(frozen=True, slots=True)
class Best:
    """The number of the pick after K trials, for K = 1, 2, ...; NaN before there is one."""

    mean: list[float]  # of one order of trials, or the mean over random orders
    low: list[float]  # 10 % over random orders; equal to the mean for one order, and so is
    high: list[float]  # 90 %


def best_of(chosen_by: Sequence[float], shown: Sequence[float]) -> Best:
    """What is `shown` of the pick, such as its number on another set, after each trial in their order.

    `chosen_by` picks, up is better; it is NaN for trials without a number (pruned, failed), which count too.
    """
    mean = _running(np.asarray(chosen_by, dtype=float)[None], np.asarray(shown, dtype=float)[None])[0].tolist()
    return Best(mean, mean, mean)


def best_of_random(chosen_by: Sequence[float], shown: Sequence[float], *, first: int = 0, seed: int = 0) -> Best:
    """The same over random orders of trials that were drawn independently.

    The `first` trials at the beginning were not drawn (the defaults) and keep their place; `seed` draws the orders.
    """
    scores, values = np.asarray(chosen_by, dtype=float), np.asarray(shown, dtype=float)
    draws = np.random.default_rng(seed)
    free = np.arange(min(first, len(scores)), len(scores))
    orders = np.stack([np.r_[: len(scores) - len(free), draws.permutation(free)] for _ in range(DRAWS)])
    known = [column[np.isfinite(column)] for column in _running(scores[orders], values[orders]).T]
    rows = [(one.mean(), *np.percentile(one, [10, 90])) if len(one) else (np.nan,) * 3 for one in known]
    return Best(*np.array(rows, dtype=float).reshape(-1, 3).T.tolist())


def front(points: Sequence[Sequence[float]], directions: Sequence[str]) -> list[bool]:
    """Which points no other point beats in every objective (maximize or minimize)."""
    from smlmbench.statistics import pareto_front

    signs = np.array([1.0 if direction == "minimize" else -1.0 for direction in directions])
    found: list[bool] = pareto_front(np.array(points, dtype=float).reshape(-1, len(signs)) * signs).tolist()
    return found


def _running(scores: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Value of the best-scored column so far, row by row; a later equal score does not replace an earlier one."""
    filled = np.where(np.isfinite(scores), scores, -np.inf)
    best = np.maximum.accumulate(filled, axis=1)
    fresh = np.concatenate([np.isfinite(scores[:, :1]), (filled[:, 1:] > best[:, :-1])], axis=1)
    index = np.maximum.accumulate(np.where(fresh, np.arange(scores.shape[1]), -1), axis=1)
    return np.where(index >= 0, np.take_along_axis(values, np.maximum(index, 0), axis=1), np.nan)
