"""How near to the physical limit the positions of found emitters are."""

import math
from typing import Any

import numpy as np
from scipy.stats import chi2

from smlmbench.metrics.evidence import Evidence, Tables, tables_of
from smlmbench.metrics.reasons import NO_EMITTER
from smlmbench.predictions import Floats
from smlmbench.truths.bounds import information, lateral_nm

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Errors over the Cramér-Rao bound of each emitter beside its neighbours, where it can be resolved.",
    "paper": "Smith et al. 2010, Fast, single-molecule localization that achieves theoretically minimum uncertainty",
    "doi": "10.1038/nmeth.1449",
    "tasks": ["localization"],
    "gives": {
        "rho_med": {
            "title": "ρ_med",
            "direction": "down",
            "low": 0.0,
            "help": "Typical error over the limit; 1 is the limit of unbiased estimates. Over found emitters that can "
            "be resolved; read it beside their recall. Against bound_prior where the page says so, else bound_free.",
        },
        "rho_med_free": {
            "title": "ρ_med, free",
            "direction": "down",
            "low": 0.0,
            "help": "The same against bound_free: photons and background are unknown beforehand.",
        },
        "resolvable_fraction": {
            "title": "Resolvable",
            "direction": "none",
            "low": 0.0,
            "high": 1.0,
            "help": "Share of the true emitters that count whose bound is below 50 nm (lateral, both axes): a fact of "
            "the condition, not of the row.",
        },
        "resolvable_recall": {
            "title": "Recall of resolvable",
            "direction": "up",
            "low": 0.0,
            "high": 1.0,
            "help": "Share of the resolvable emitters that is found.",
        },
        "bound_nm": {
            "title": "Bound (nm)",
            "unit": "nm",
            "direction": "none",
            "low": 0.0,
            "help": "Median bound of the resolvable emitters, radial like the RMSE: a fact of the condition.",
        },
        "outlier_share": {
            "title": "Outliers",
            "direction": "down",
            "low": 0.0,
            "high": 1.0,
            "help": "Share of found resolvable emitters with q above 9, where 0.01 % are expected in 2-D (0.04 % in "
            "3-D): chance pairs and merged neighbours.",
        },
    },
}

OUTLIER = 9.0
NO_RESOLVABLE = "no true emitter that counts can be resolved"
NONE_FOUND = "no resolvable emitter was found"


def measure(evidence: Evidence) -> dict[str, float | str]:
    """Over the pairs that count, and against the bound that the condition quotes."""
    tables, bounds = tables_of(evidence), evidence.limit
    reason = tables if isinstance(tables, str) else evidence.missing("limit")
    if reason or isinstance(tables, str) or bounds is None:
        return dict.fromkeys(CARD["gives"], reason or "not computed")
    counted = tables.roles.truth_counted
    can = counted & bounds.resolvable
    answers: dict[str, float | str] = dict.fromkeys(CARD["gives"], NO_RESOLVABLE if counted.any() else NO_EMITTER)
    if counted.any():
        answers["resolvable_fraction"] = float(can.sum() / counted.sum())
    if not can.any():
        return answers
    answers["bound_nm"] = float(np.median(lateral_nm(bounds.quoted)[can]))
    hit = can[tables.matches.truth]
    answers["resolvable_recall"] = float(hit.sum() / can.sum())
    if not hit.any():
        return answers | dict.fromkeys(("rho_med", "rho_med_free", "outlier_share"), NONE_FOUND)
    found, true = tables.matches.found[hit], tables.matches.truth[hit]
    away = errors_nm(tables, found, true)
    q = half_squares(away, bounds.quoted[true])
    answers["rho_med"] = rho(q, away.shape[1])
    answers["outlier_share"] = float((q > OUTLIER).mean())
    answers["rho_med_free"] = rho(half_squares(away, bounds.free[true]), away.shape[1])
    return answers


def errors_nm(tables: Tables, found: Any, true: Any) -> Floats:
    """Errors (n, 2), or (n, 3) where z is scored, of pairs of rows."""
    axes = ("x_nm", "y_nm", "z_nm")[: 3 if tables.facts.three_d else 2]
    return np.stack([getattr(tables.found, axis)[found] - getattr(tables.truth, axis)[true] for axis in axes], axis=1)


def half_squares(errors: Floats, covariance: Floats) -> Floats:
    """Half of e' C^-1 e, q, of each error (n, d), with the first d coordinates of its covariance."""
    d = errors.shape[1]
    return np.asarray(np.einsum("ni,nij,nj->n", errors, information(covariance[:, :d, :d]), errors) / 2)


def rho(q: Floats, d: int) -> float:
    """sqrt(median q / that of d normal errors at the limit), ln 2 where d is 2."""
    return math.sqrt(2 * float(np.median(q)) / float(chi2.median(d)))
