"""Rules that pick a threshold from what a validation set says at each of many: pure functions of a `Curve`.

Their names are what protocols and stores call them; `benchmarks/thresholds.py` compares them on trained networks.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smlmbench.predictions import Floats

PLATEAU_POINTS = 0.2  # of efficiency
MOST_LOST = 2.0  # points of efficiency that a limit of false detections may cost
PRECISE = 0.98
PRECISE_POINTS = 1.0


@dataclass(frozen=True, slots=True)
class Curve:
    """What validation says at each threshold.

    Attributes:
        tried: (n,) thresholds, ascending.
        reached: (n,) efficiency there, over all emitters.
        strata: (n, S) efficiency within each stratum of brightness, dimmest first; S is 0 where the truth has none.
        false: (n, B) false detections on signal-free frames over the emitters that count in as large an area of
            validation, by stratum of background; B is 0 where there are no such frames.
        precision: (n,), NaN where nothing is found.
    """

    tried: Floats
    reached: Floats
    strata: Floats
    false: Floats
    precision: Floats


@dataclass(frozen=True, slots=True)
class Rule:
    """A function of this file, and the limit of false detections that it keeps (see `Curve.false`; inf: none)."""

    choose: Callable[[Curve, float], float]
    limit: float = math.inf

    def __call__(self, curve: Curve) -> float:
        """The threshold."""
        return self.choose(curve, self.limit)

    @property
    def name(self) -> str:
        """Of the function."""
        return str(getattr(self.choose, "__name__", self.choose))


def plateau(reached: Floats, points: float = PLATEAU_POINTS) -> tuple[int, int]:
    """First and last number of the values around the best one that lose at most `points` without interruption."""
    low = high = int(np.argmax(reached))
    good = reached >= reached[low] - points
    while low > 0 and good[low - 1]:
        low -= 1
    while high + 1 < len(reached) and good[high + 1]:
        high += 1
    return low, high


def plateau_middle(curve: Curve, limit: float = math.inf) -> float:
    """The middle of the plateau of efficiency, whatever is false where there is nothing."""
    del limit
    low, high = plateau(curve.reached)
    return float(0.5 * (curve.tried[low] + curve.tried[high]))


def plateau_low(curve: Curve, limit: float) -> float:
    """The lowest threshold on the plateau that is quiet."""
    return _lowest(curve, _plateau_of(curve.reached), limit)


def every_stratum(curve: Curve, limit: float) -> float:
    """The lowest quiet threshold at which the stratum that loses most, against its own best threshold, loses least."""
    strata = _strata(curve)
    lost = (strata.max(axis=0) - strata).max(axis=1)
    return _lowest(curve, _plateau_of(np.where(_quiet(curve, limit), -lost, -np.inf)), limit)


def mean_of_strata(curve: Curve, limit: float) -> float:
    """The lowest threshold on the plateau of the mean over strata, each weighing the same, of those that are quiet."""
    mean = _strata(curve).mean(axis=1)
    return _lowest(curve, _plateau_of(np.where(_quiet(curve, limit), mean, -np.inf)), limit)


def precise(curve: Curve, limit: float) -> float:
    """The lowest quiet threshold with a precision of 0.98 that loses at most a point of efficiency."""
    near = curve.reached >= curve.reached.max() - PRECISE_POINTS
    return _lowest(curve, near & (curve.precision >= PRECISE), limit)


def _quiet(curve: Curve, limit: float) -> NDArray[np.bool_]:
    """Thresholds from which on no background has more false detections than the limit, at `MOST_LOST` points at most.

    Of a network that sees something on frames without emitters at every threshold, nearly nothing would be left.
    """
    loud = np.asarray((curve.false > limit).any(axis=1))
    above = np.cumsum(loud[::-1])[::-1] == 0
    return np.asarray(above & (curve.reached >= curve.reached.max() - MOST_LOST))


def _plateau_of(values: Floats) -> NDArray[np.bool_]:
    low, high = plateau(values)
    on = np.arange(len(values))
    return np.asarray((low <= on) & (on <= high))


def _lowest(curve: Curve, good: NDArray[np.bool_], limit: float) -> float:
    """The lowest good and quiet threshold; where there is none, the highest on the plateau of efficiency."""
    both = good & _quiet(curve, limit)
    return float(curve.tried[both][0] if both.any() else curve.tried[plateau(curve.reached)[1]])


def _strata(curve: Curve) -> Floats:
    return curve.strata if curve.strata.shape[1] else curve.reached[:, None]
