"""The quality gate before speed: a reduced number format counts only where it localizes as well as fp32.

PROTOCOL section 5: by the paired interval at most 1 point of efficiency and 2 % of rho_med, and no more false
detections.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from smlmbench.data.contracts import Condition
from smlmbench.metrics.evidence import Evidence
from smlmbench.metrics.nearness import log_rho, near, spread
from smlmbench.metrics.ratios import ratio
from smlmbench.statistics import paired_difference
from smlmbench.study.schema import Scoring
from smlmbench.tasks.contracts.gating import GATE_SEED, MOST_LOST, Answers, Gate
from smlmbench.tasks.localization.scoring import SIGNAL_FREE, evidence_of, limit_of

NORMAL_95 = 1.959964
RHO_LOST = 0.02

Counts = NDArray[np.float64]


def judge(pairs: Iterable[tuple[Answers, Answers, Condition]], scoring: Scoring, most_lost: float = MOST_LOST) -> Gate:
    """Compare a number format with fp32 on every test condition with a truth; see `Task.gate`."""
    reached: list[list[float]] = [[], []]
    lost: list[float] = []
    nearness: list[float] = []
    counts: tuple[list[Counts], list[Counts]] = ([], [])
    area_um2 = 0.0
    for *sides, condition in pairs:
        statistic = ratio("efficiency", three_d=bool(condition.facts.get("three_d")))
        evidence = [_evidence(side, condition, scoring) for side in sides]
        sums = [each.sums for each in evidence]
        if sums[0] is None or sums[1] is None:
            continue
        for values, table in zip(reached, sums, strict=True):
            values.append(float(statistic(table.sum(axis=0))))  # type: ignore[union-attr]
        difference = paired_difference(
            [sums[0]], [sums[1]], statistic, block=condition.block, seed=GATE_SEED, trained=False
        )
        lost.append(-difference.low)
        nearness.append(_rho_lost(evidence, condition))
        empty = condition.extras.get(SIGNAL_FREE)
        if empty is not None and all(SIGNAL_FREE in side.extras for side in sides):
            for rows, side in zip(counts, sides, strict=True):
                found = side.extras[SIGNAL_FREE].table.frame
                rows.append(np.bincount(found, minlength=empty.frames.n_frames).astype(np.float64))
            area_um2 += empty.frames.n_frames * empty.field_nm[0] * empty.field_nm[1] / 1e6
    if not lost:
        return Gate(False, "", "no condition with true positions to be judged on", {})
    efficiency, single = (float(np.mean(values)) for values in reached)
    false, false_single, more = _false(counts, area_um2)
    worst, farther = float(np.max(lost)), max((each for each in nearness if not np.isnan(each)), default=float("nan"))
    reason = ""
    if not worst <= most_lost:
        reason = f"it may lose {worst:.2f} points of efficiency (at most {most_lost:g})"
    elif farther > RHO_LOST:
        reason = f"it may lose {100 * farther:.2f} % of rho_med (at most {100 * RHO_LOST:g} %)"
    elif more:
        reason = f"more false detections: {false:.3g} against {false_single:.3g} per 1000 um2"
    numbers = {"efficiency": efficiency, "efficiency_fp32": single, "lost_most": worst, "rho_lost_most": farther}
    numbers |= {"false": false, "false_fp32": false_single}
    told = f"efficiency {efficiency:.2f}, fp32 {single:.2f}"
    return Gate(not reason, told, reason, {name: value for name, value in numbers.items() if np.isfinite(value)})


def _evidence(side: Answers, condition: Condition, scoring: Scoring) -> Evidence:
    limit = limit_of(condition, side.own.context)
    return evidence_of(side.own.table, condition, scoring, limit=None if isinstance(limit, str) else limit)


def _rho_lost(evidence: Sequence[Evidence], condition: Condition) -> float:
    """Share of rho_med that the first may lose against the second; NaN where there is no limit to be near to."""
    sums = []
    for each in evidence:
        found = near(each)
        if isinstance(found, str) or each.limit is None or not len(found.true):
            return float("nan")
        sums.append(spread(found.half_squares(each.limit.quoted), found.frame, condition.frames.n_frames))
    block, sides = condition.block, ([sums[0]], [sums[1]])
    change = paired_difference(*sides, log_rho, block=block, seed=GATE_SEED, higher_is_better=False, trained=False)
    return float(np.expm1(change.high))


def _false(counts: tuple[list[Counts], list[Counts]], area_um2: float) -> tuple[float, float, bool]:
    """False detections per 1000 um2 of both, and whether the interval of their difference lies above 0."""
    if not counts[0] or area_um2 <= 0:
        return float("nan"), float("nan"), False
    reduced, single = (np.concatenate(side) for side in counts)
    gap = reduced - single
    half = NORMAL_95 * float(gap.std(ddof=1)) / len(gap) ** 0.5 if len(gap) > 1 else 0.0
    return 1e3 * reduced.sum() / area_um2, 1e3 * single.sum() / area_um2, float(gap.mean()) - half > 0
