"""Average precision: detection over all thresholds of the table's own score, at a strict and at a loose tolerance."""

from typing import Any

import numpy as np

from smlmbench.metrics.evidence import Evidence, Tables, tables_of
from smlmbench.metrics.matching import assign
from smlmbench.metrics.reasons import NO_EMITTER, NOTHING

TOLERANCES_NM = {"ap_100nm": 100.0, "ap_250nm": 250.0}
CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Area under the interpolated precision-recall curve over `probability`, at 100 and 250 nm.",
    "tasks": ["localization"],
    "gives": {
        "ap_100nm": {
            "title": "AP 100 nm",
            "direction": "up",
            "low": 0.0,
            "high": 1.0,
            "help": "Area under precision against recall as detections are taken from the most to the least probable, "
            "100 nm lateral tolerance. Only detections that the table has: what a threshold left out is missed.",
        },
        "ap_250nm": {
            "title": "AP 250 nm",
            "direction": "up",
            "low": 0.0,
            "high": 1.0,
            "help": "The same with 250 nm lateral tolerance.",
        },
    },
}


def measure(evidence: Evidence) -> dict[str, float | str]:
    """Average precision at both tolerances, under the headline's roles and axial tolerance.

    Detections are taken in the order of their probability; each gets the nearest emitter of its frame that is still
    free (of equal ones the nearest pair first, so that the order of rows does not matter). It is a true positive where
    that emitter counts and neutral where it does not; without an emitter it is false where it counts itself. Equal
    probabilities enter the curve together. The curve is interpolated at all points: the precision at a recall is the
    best one at that recall or beyond.
    """
    tables = tables_of(evidence)
    if isinstance(tables, str):
        return dict.fromkeys(CARD["gives"], tables)
    emitters, said = int(tables.roles.truth_counted.sum()), ""
    score = tables.found.probability
    if not emitters:
        said = NO_EMITTER if tables.roles.found_counted.any() else NOTHING
    elif len(score) and np.isnan(score).any():
        all_ = np.isnan(score).all()
        said = "the found table has no probabilities" if all_ else "some detections have no probability"
    elif len(score) and (score == score[0]).all():
        said = "all detections have the same probability"
    if said:
        return dict.fromkeys(CARD["gives"], said)
    return {name: _area(tables, lateral_nm, emitters) for name, lateral_nm in TOLERANCES_NM.items()}


def _area(tables: Tables, lateral_nm: float, emitters: int) -> float:
    score, who = tables.found.probability, tables.roles
    scoring = tables.facts.scoring.model_copy(update={"lateral_nm": lateral_nm})
    near = tables.pairs(who, scoring)
    by_score = near.keep(np.lexsort((near.cost_nm, -score[near.found])))
    matches = assign(by_score)  # greedy takes the pairs in the order in which they are
    true = np.zeros(len(score), dtype=bool)
    true[matches.found] = who.truth_counted[matches.truth]
    false = who.found_counted.copy()
    false[matches.found] = False
    order = np.argsort(-score, kind="stable")
    hits, wrong = np.cumsum(true[order]), np.cumsum(false[order])
    # the last row of each probability, where at least one row of those so far counts
    steps = np.flatnonzero(np.append(np.diff(score[order]) != 0, True)) if len(score) else np.empty(0, np.int64)
    steps = steps[(hits + wrong)[steps] > 0]
    precision, recall = hits[steps] / (hits + wrong)[steps], hits[steps] / emitters
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(best * np.diff(recall, prepend=0.0)))
