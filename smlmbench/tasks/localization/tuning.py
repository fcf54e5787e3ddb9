"""The one threshold of a trained network, chosen on its validation set by the rule of the protocol."""

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from smlmbench.data.contracts import Condition
from smlmbench.metrics.brightness import brightness_of
from smlmbench.metrics.evidence import Evidence, tables_of
from smlmbench.metrics.pooling import SUMS
from smlmbench.metrics.ratios import efficiency, precision
from smlmbench.metrics.strata import sums_of
from smlmbench.predictions import Floats, Ints, Localizations
from smlmbench.study.schema import Scoring
from smlmbench.tasks.contracts import Tuned
from smlmbench.tasks.localization.rules import (
    PLATEAU_POINTS,
    Curve,
    Rule,
    mean_of_strata,
    plateau,
    plateau_middle,
)
from smlmbench.tasks.localization.scoring import SIGNAL_FREE, emitters_of, evidence_of

THRESHOLDS = 50
QUICK_THRESHOLDS = 16
LOWEST_SCORE = 0.02
NAME = "threshold"
FALSE_LIMIT = 0.1  # false detections on signal-free frames over the emitters that count in as many of validation
STRATA = 4  # of brightness, equally wide in its logarithm
FEWEST = 100  # emitters of a stratum
BACKGROUNDS = 3  # strata, where the brightest signal-free frame has
SPREAD = 2.0  # times the background of the darkest
LEAST_LEVEL = 1e-3  # photons in a pixel


MIDDLE = Rule(plateau_middle)
RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "smlmbench-1": MIDDLE,
        "smlmbench-2": Rule(mean_of_strata, FALSE_LIMIT),
        "challenge-2016": MIDDLE,
    }
)


def choose_threshold(
    candidates: Localizations,
    condition: Condition,
    scoring: Scoring,
    steps: int = THRESHOLDS,
    *,
    rule: Rule | None = None,
    empty: Localizations | None = None,
) -> Tuned:
    """Choose the one threshold of a trained model on its validation set by the rule of the protocol (see `rules`).

    Candidates are read out at `LOWEST_SCORE`, their `probability` is the score. `steps` quantiles of the scores are
    tried, then half as many more evenly across the plateau, since quantiles leave the gap between well separated scores
    unseen. `empty` are the candidates on the signal-free frames of the condition.
    """
    scores, rule = candidates.probability, rule or RULES[scoring.protocol]
    how = {f"{NAME}_rule": rule.name, f"{NAME}_false_limit": f"{rule.limit:g}" if rule.limit < math.inf else "none"}
    if condition.truth is None or len(scores) == 0:
        return Tuned({NAME: LOWEST_SCORE}, 0.0, how=how)
    look = _Look(candidates, condition, scoring, empty)
    curve = look.at(np.unique(np.concatenate([[LOWEST_SCORE], np.quantile(scores, np.linspace(0, 0.98, steps - 1))])))
    low, high = plateau(curve.reached)
    ends = curve.tried[max(low - 1, 0)], curve.tried[min(high + 1, len(curve.tried) - 1)]
    curve = _joined(curve, look.at(np.linspace(*ends, steps // 2 + 2)[1:-1]))
    chosen, best = rule(curve), int(np.argmax(curve.reached))
    value = float(look.at(np.array([chosen])).reached[0])
    if rule is MIDDLE and value < curve.reached[best] - PLATEAU_POINTS:
        chosen, value = float(curve.tried[best]), float(curve.reached[best])
    return Tuned({NAME: chosen}, value, curve.tried.tolist(), curve.reached.tolist(), how)


class _Look:
    """What validation says at thresholds."""

    def __init__(
        self, candidates: Localizations, condition: Condition, scoring: Scoring, empty: Localizations | None
    ) -> None:
        self._candidates, self._condition, self._scoring = candidates, condition, scoring
        self._empty, self._backgrounds = empty, np.zeros(0, dtype=np.int64)
        if empty is not None and (frames := condition.extras.get(SIGNAL_FREE)) is not None:
            self._backgrounds = strata_of_background(frames)
        self._strata: tuple[Ints, int] | None = None
        true = emitters_of(condition)
        bright = 0 if true is None else int((~(true.table.photons < true.faintest())).sum())
        self._per_frame = max(bright / condition.frames.n_frames, 1e-9)

    def at(self, values: Floats) -> Curve:
        """The curve of some thresholds."""
        rows = [self._row(value) for value in values]
        reached, strata, exact, false = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
        return Curve(values, reached, strata, false, exact)

    def _row(self, value: float) -> tuple[float, Floats, float, Floats]:
        found = self._candidates.select(self._candidates.probability > value)
        evidence = evidence_of(found, self._condition, self._scoring)
        if evidence.sums is None:
            return 0.0, np.zeros(0), math.nan, np.zeros(0)
        sums, three_d = evidence.sums.sum(axis=0), bool(self._condition.facts.get("three_d"))
        whole = _number(efficiency(sums, three_d=three_d))
        return whole, self._by_brightness(evidence, sums, three_d), float(precision(sums)), self._false(value)

    def _by_brightness(self, evidence: Evidence, sums: Floats, three_d: bool) -> Floats:
        """Efficiency of each stratum; false detections are shared out by the number of emitters."""
        tables = tables_of(evidence)
        if isinstance(tables, str):
            return np.zeros(0)
        if self._strata is None:
            self._strata = strata_of_brightness(tables.truth, tables.roles.truth_counted)
        parts = sums_of(tables, *self._strata)
        emitters = parts[:, SUMS.index("tp")] + parts[:, SUMS.index("fn")]
        parts[:, SUMS.index("fp")] = sums[SUMS.index("fp")] * emitters / max(emitters.sum(), 1.0)
        return np.nan_to_num(efficiency(parts, three_d=three_d))

    def _false(self, value: float) -> Floats:
        """False detections on signal-free frames over the emitters that count of as many frames, by background."""
        if self._empty is None or not len(self._backgrounds):
            return np.zeros(0)
        rows = self._empty.frame[self._empty.probability > value]
        frames = np.bincount(self._backgrounds)
        found = np.bincount(self._backgrounds[rows], minlength=len(frames))
        return np.asarray(found / np.maximum(frames * self._per_frame, 1e-9))


def strata_of_brightness(truth: Localizations, counted: NDArray[np.bool_]) -> tuple[Ints, int]:
    """Stratum of each true emitter (n,), -1 where it does not count or is of unknown brightness, and how many.

    They are equally wide in the logarithm of brightness; one of too few emitters is joined with its smaller neighbour.
    """
    bright = brightness_of(truth)
    known = counted & np.isfinite(bright) & (bright > 0)
    stratum = np.full(len(truth), -1)
    if not known.any():
        return stratum, 0
    edges = np.geomspace(bright[known].min(), bright[known].max(), STRATA + 1)[1:-1]
    while True:
        stratum[known] = np.searchsorted(edges, bright[known], side="left")
        each = np.bincount(stratum[known], minlength=len(edges) + 1)
        few = int(np.argmin(each))
        if each[few] >= FEWEST or not len(edges):
            return stratum, len(edges) + 1
        below = few > 0 and (few == len(edges) or each[few - 1] <= each[few + 1])
        edges = np.delete(edges, few - 1 if below else few)


def strata_of_background(frames: Condition) -> Ints:
    """Stratum of background of each signal-free frame, by its median; all 0 where they hardly differ."""
    values = frames.frames.read(0, frames.frames.n_frames)
    level = np.maximum(np.median(values.reshape(len(values), -1), axis=1), LEAST_LEVEL)
    if level.max() < SPREAD * level.min():
        return np.zeros(len(level), dtype=np.int64)
    edges = np.geomspace(level.min(), level.max(), BACKGROUNDS + 1)[1:-1]
    return np.searchsorted(edges, level, side="left").astype(np.int64)


def _joined(one: Curve, other: Curve) -> Curve:
    tried, first = np.unique(np.concatenate([one.tried, other.tried]), return_index=True)
    parts = ("reached", "strata", "false", "precision")
    return Curve(tried, *(np.concatenate([getattr(one, name), getattr(other, name)])[first] for name in parts))


def _number(value: Floats) -> float:
    return 0.0 if math.isnan(value) else float(value)
