"""Scores under the official rules of the 2016 challenge, with and without its brightness threshold."""

import math
from typing import Any

import numpy as np

from smlmbench.metrics.evidence import Evidence, Tables, tables_of
from smlmbench.metrics.pooling import challenge_roles, inside
from smlmbench.metrics.ratios import efficiency, jaccard, rmse_nm
from smlmbench.metrics.reasons import NO_PAIR, NOTHING
from smlmbench.study.schema import Scoring

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Jaccard, RMSE and efficiency by the challenge's rules: border cut before matching, T = 0 and T = 25 %.",
    "paper": "Sage et al. 2019, Super-resolution fight club. Nature Methods",
    "doi": "10.1038/s41592-019-0364-4",
    "tasks": ["localization"],
    "gives": {
        "challenge_jaccard": {"direction": "up", "low": 0.0, "high": 1.0, "help": "Jaccard index, T = 0."},
        "challenge_rmse_nm": {"unit": "nm", "direction": "down", "low": 0.0, "help": "Lateral RMSE, T = 0."},
        "challenge_efficiency": {"direction": "up", "high": 100.0, "help": "Efficiency, T = 0."},
        "challenge_jaccard_t25": {
            "direction": "up",
            "low": 0.0,
            "high": 1.0,
            "help": "Jaccard index, the dimmest 25 % neutral.",
        },
        "challenge_rmse_nm_t25": {
            "unit": "nm",
            "direction": "down",
            "low": 0.0,
            "help": "Lateral RMSE, the dimmest 25 % neutral.",
        },
        "challenge_efficiency_t25": {"direction": "up", "high": 100.0, "help": "Efficiency, the dimmest 25 % neutral."},
    },
}

RULES = Scoring(protocol="challenge-2016", matcher="greedy", lateral_nm=250.0, axial_nm=500.0, border_nm=450.0)


def measure(evidence: Evidence) -> dict[str, float | str]:
    """Greedy matching at 250 / 500 nm with a 450 nm border, whatever the study's own scoring is."""
    tables = tables_of(evidence)
    if not isinstance(tables, str) and not tables.facts.field_known:
        tables = "the challenge's border needs the field: give --field-nm"
    if isinstance(tables, str):
        return dict.fromkeys(CARD["gives"], tables)
    answers = _scores(tables, 0.0, "")
    dim = inside(tables.truth, tables.truth.field_nm, RULES.border_nm)
    if np.isnan(tables.truth.photons[dim]).any():
        unknown = "the threshold needs the photons of every true emitter"
        return answers | {name: unknown for name in CARD["gives"] if name.endswith("_t25")}
    return answers | _scores(tables, 0.25, "_t25")


def _scores(tables: Tables, quantile: float, suffix: str) -> dict[str, float | str]:
    who = challenge_roles(tables.found, tables.truth, border_nm=RULES.border_nm, quantile=quantile)
    if not who.truth_counted.any():
        if not len(tables.truth) and not len(tables.found):
            return {name: NOTHING for name in CARD["gives"] if name.endswith("_t25") == bool(suffix)}
        dim = f"above the threshold T = {who.facts['photon_threshold']:g} photons" if quantile else "inside the border"
        return {name: f"no true emitter is {dim}" for name in CARD["gives"] if name.endswith("_t25") == bool(suffix)}
    total = tables.score(who, RULES).sum(axis=0)
    values = {
        "challenge_jaccard": (float(jaccard(total)), NOTHING),
        "challenge_rmse_nm": (float(rmse_nm(total)), NO_PAIR),
        "challenge_efficiency": (float(efficiency(total, three_d=tables.facts.three_d)), NOTHING),
    }
    return {name + suffix: reason if math.isnan(value) else value for name, (value, reason) in values.items()}
