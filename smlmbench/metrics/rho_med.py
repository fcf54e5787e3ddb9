"""How near to the physical limit the positions of found emitters are."""

from typing import Any

import numpy as np

from smlmbench.metrics.evidence import Evidence, tables_of
from smlmbench.metrics.nearness import near
from smlmbench.metrics.reasons import NO_EMITTER
from smlmbench.truths.bounds import lateral_nm

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Errors over the Cramér-Rao bound of each emitter beside its neighbours, where it can be resolved.",
    "paper": (
        "Smith et al. 2010, Fast, single-molecule localization that achieves theoretically minimum uncertainty. "
        "Nature Methods"
    ),
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
            "the condition, for who sees as many frames at once as the row.",
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
            "help": "Median bound of the resolvable emitters, radial like the RMSE: a fact of the condition, for who "
            "sees as many frames at once as the row.",
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
    tables, bounds, found = tables_of(evidence), evidence.limit, near(evidence)
    if isinstance(tables, str) or bounds is None or isinstance(found, str):
        return dict.fromkeys(CARD["gives"], str(found))
    counted = tables.roles.truth_counted
    can = counted & bounds.resolvable
    answers: dict[str, float | str] = dict.fromkeys(CARD["gives"], NO_RESOLVABLE if counted.any() else NO_EMITTER)
    if counted.any():
        answers["resolvable_fraction"] = float(can.sum() / counted.sum())
    if not can.any():
        return answers
    answers["bound_nm"] = float(np.median(lateral_nm(bounds.quoted)[can]))
    answers["resolvable_recall"] = float(len(found.true) / can.sum())
    if not len(found.true):
        return answers | dict.fromkeys(("rho_med", "rho_med_free", "outlier_share"), NONE_FOUND)
    q = found.half_squares(bounds.quoted)
    answers["rho_med"], answers["outlier_share"] = found.rho(q), float((q > OUTLIER).mean())
    answers["rho_med_free"] = found.rho(found.half_squares(bounds.free))
    return answers
