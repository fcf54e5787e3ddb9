"""Chance-corrected Jaccard index averaged over tolerances: the second headline number where emitters are dense."""

from dataclasses import replace
from typing import Any

import numpy as np

from smlmbench.metrics.evidence import Evidence, Tables, tables_of
from smlmbench.metrics.matching import NearPairs, assign
from smlmbench.metrics.pooling import chance_shift, pairs_of, pool
from smlmbench.metrics.ratios import jaccard
from smlmbench.metrics.reasons import NOTHING
from smlmbench.predictions import Floats, Localizations
from smlmbench.study.schema import Scoring

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Mean over t = 25, 50 ... 250 nm of (J_t - J0_t) / (1 - J0_t); J0 is Jaccard against other frames.",
    "tasks": ["localization"],
    "gives": {
        "mjac_c": {
            "title": "mJac_c",
            "direction": "up",
            "high": 1.0,
            "help": "Jaccard index above chance, averaged over lateral tolerances of 25 to 250 nm; 0 is chance.",
        },
        "chance_jaccard": {
            "direction": "none",
            "low": 0.0,
            "high": 1.0,
            "help": "Jaccard index of the detections against the truth of another frame, at 250 nm.",
        },
    },
}

TOLERANCES_NM = tuple(range(25, 251, 25))


def measure(evidence: Evidence) -> dict[str, float | str]:
    """Matched anew at every tolerance, twice: against the own frame and against a shifted one.

    The axial tolerance, the border, the dim rule and the matcher are the headline's throughout. The shift is cyclic, at
    least `frame_shift` and coprime with the number of frames, so that counts and structure stay as they are.
    """
    tables = tables_of(evidence)
    if isinstance(tables, str):
        return dict.fromkeys(CARD["gives"], tables)
    truth, apart = tables.truth, tables.facts.frame_shift
    shift = chance_shift(truth.n_frames, apart)
    if shift is None:
        reason = f"{truth.n_frames} frames are too few for a chance score {apart} frames apart"
        return dict.fromkeys(CARD["gives"], reason)
    moved = replace(truth, frame=(truth.frame - shift) % truth.n_frames)
    widest: Scoring = tables.facts.scoring.model_copy(update={"lateral_nm": float(TOLERANCES_NM[-1])})
    near = pairs_of(tables.found, moved, tables.roles, scoring=widest, three_d=tables.facts.three_d)
    own, chance = _curve(tables, truth, tables.pairs(tables.roles, widest)), _curve(tables, moved, near)
    if np.isnan(own + chance).any():
        return dict.fromkeys(CARD["gives"], NOTHING)
    if (chance >= 1).any():
        return {"mjac_c": "every frame shows the same emitters: chance is perfect", "chance_jaccard": float(chance[-1])}
    return {"mjac_c": float(np.mean((own - chance) / (1 - chance))), "chance_jaccard": float(chance[-1])}


def _curve(tables: Tables, truth: Localizations, pairs: NearPairs) -> Floats:
    """Pooled Jaccard index of the detections at every tolerance."""
    found, who, matcher = tables.found, tables.roles, tables.facts.scoring.matcher
    matched = (assign(pairs.within(lateral_nm), matcher) for lateral_nm in TOLERANCES_NM)
    return jaccard(np.stack([pool(found, truth, matches, who).sum(axis=0) for matches in matched]))
