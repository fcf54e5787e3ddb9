"""The one threshold of a trained network, chosen on its validation set."""

import math

import numpy as np
from numpy.typing import NDArray

from smlmbench.data.contracts import Condition
from smlmbench.metrics.ratios import efficiency
from smlmbench.predictions import Localizations
from smlmbench.study.schema import Scoring
from smlmbench.tasks.contracts import Tuned
from smlmbench.tasks.localization.scoring import evidence_of

THRESHOLDS = 50
QUICK_THRESHOLDS = 16
PLATEAU_POINTS = 0.2
LOWEST_SCORE = 0.02
NAME = "threshold"


def choose_threshold(
    candidates: Localizations, condition: Condition, scoring: Scoring, steps: int = THRESHOLDS
) -> Tuned:
    """Choose the one threshold of a trained model on its validation set: the middle of the plateau, not the peak.

    Candidates are read out at `LOWEST_SCORE`, their `probability` is the score. `steps` quantiles of the scores are
    tried, then half as many more evenly across the plateau, since quantiles leave the gap between well separated scores
    unseen. The plateau is every threshold around the best one that loses at most 0.2 points of efficiency without
    interruption.
    """
    scores = candidates.probability
    if condition.truth is None or len(scores) == 0:
        return Tuned({NAME: LOWEST_SCORE}, 0.0)

    def reach(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.array([_efficiency(candidates.select(scores > value), condition, scoring) for value in values])

    tried = np.unique(np.concatenate([[LOWEST_SCORE], np.quantile(scores, np.linspace(0, 0.98, steps - 1))]))
    reached = reach(tried)
    low, high = _plateau(reached)
    ends = tried[max(low - 1, 0)], tried[min(high + 1, len(tried) - 1)]
    between = np.linspace(*ends, steps // 2 + 2)[1:-1]
    tried, first = np.unique(np.concatenate([tried, between]), return_index=True)
    reached = np.concatenate([reached, reach(between)])[first]
    low, high = _plateau(reached)
    middle, best = 0.5 * (tried[low] + tried[high]), int(np.argmax(reached))
    value = float(reach(np.array([middle]))[0])
    if value < reached[best] - PLATEAU_POINTS:
        middle, value = tried[best], reached[best]
    return Tuned({NAME: float(middle)}, float(value), tried.tolist(), reached.tolist())


def _plateau(reached: NDArray[np.float64]) -> tuple[int, int]:
    """First and last number of the values around the best one that are as good without interruption."""
    low = high = int(np.argmax(reached))
    good = reached >= reached[low] - PLATEAU_POINTS
    while low > 0 and good[low - 1]:
        low -= 1
    while high + 1 < len(reached) and good[high + 1]:
        high += 1
    return low, high


def _efficiency(found: Localizations, condition: Condition, scoring: Scoring) -> float:
    sums = evidence_of(found, condition, scoring).sums
    three_d = bool(condition.facts.get("three_d"))
    value = 0.0 if sums is None else float(efficiency(sums.sum(axis=0), three_d=three_d))
    return 0.0 if math.isnan(value) else value
