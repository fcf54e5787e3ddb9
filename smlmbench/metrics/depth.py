"""Recall and errors against the true depth: how far from the focus emitters are found, and found well."""

from typing import Any

import numpy as np

from smlmbench.metrics.evidence import Evidence, Tables, tables_of
from smlmbench.metrics.ratios import recall, rmse_nm
from smlmbench.metrics.reasons import NO_EMITTER, NOTHING
from smlmbench.metrics.strata import Profile, profile_of, sums_of
from smlmbench.predictions import Floats, Ints

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Depth over which half of the emitters are found, and found to 62.5 nm; scores at its ends.",
    "paper": "Sage et al. 2019, Super-resolution fight club. Nature Methods",
    "doi": "10.1038/s41592-019-0364-4",
    "tasks": ["localization"],
    "gives": {
        "z_range_recall_nm": {
            "unit": "nm", "direction": "up", "low": 0.0,
            "help": "Total depth in which at least half of the true emitters are found, in bins of the true z.",
        },
        "z_range_rmse_nm": {
            "unit": "nm", "direction": "up", "low": 0.0,
            "help": "Total depth in which the lateral RMSE is at most 62.5 nm, a quarter of the challenge's tolerance.",
        },
        "recall_deepest_tenths": {
            "direction": "up", "low": 0.0, "high": 1.0,
            "help": "Recall in the two outer tenths of the range of the true z, pooled.",
        },
        "rmse_nm_deepest_tenths": {
            "unit": "nm", "direction": "down", "low": 0.0,
            "help": "Lateral RMSE in the two outer tenths of the range of the true z, pooled.",
        },
    },
}  # fmt: skip

BINS = 10
HALF, GOOD_NM = 0.5, 62.5
LEAST_RANGE_NM = 1.0


def measure(evidence: Evidence) -> dict[str, float | str]:
    """In ten equal bins of the range of z of the true emitters that count, so that all rows share them.

    The truth's z alone is asked for: a table without z has these numbers too. A bin without emitters has no depth.
    """
    tables = tables_of(evidence)
    if isinstance(tables, str):
        return dict.fromkeys(CARD["gives"], tables)
    split = _split(tables)
    if isinstance(split, str):
        return dict.fromkeys(CARD["gives"], split)
    stratum, edges = split
    sums, width_nm = sums_of(tables, stratum, BINS), float(edges[1] - edges[0])
    outer = sums[[0, -1]].sum(axis=0)
    rmse = float(rmse_nm(outer))
    return {
        "z_range_recall_nm": width_nm * int((recall(sums) >= HALF).sum()),
        "z_range_rmse_nm": width_nm * int((rmse_nm(sums) <= GOOD_NM).sum()),
        "recall_deepest_tenths": float(recall(outer)),
        "rmse_nm_deepest_tenths": rmse if np.isfinite(rmse) else "no detection was matched at the ends of the depth",
    }


def profile(evidence: Evidence) -> dict[str, Profile]:
    """Recall and errors of each bin."""
    tables = tables_of(evidence)
    split = tables if isinstance(tables, str) else _split(tables)
    if isinstance(tables, str) or isinstance(split, str):
        return {}
    return {"z": profile_of(tables, split[0], split[1].tolist(), "z_nm")}


def _split(tables: Tables) -> tuple[Ints, Floats] | str:
    """Bin of each true emitter (-1: none) and the edges of the bins, or why there are none."""
    z_nm, counted = tables.truth.z_nm, tables.roles.truth_counted
    if not counted.any():
        return NO_EMITTER if tables.roles.found_counted.any() else NOTHING
    known = counted & np.isfinite(z_nm)
    if not known.any():
        return "the true table has no z"
    low, high = float(z_nm[known].min()), float(z_nm[known].max())
    if not high - low >= LEAST_RANGE_NM:
        return "all true emitters are at one depth"
    edges = np.linspace(low, high, BINS + 1)
    stratum = np.full(len(z_nm), -1)
    stratum[known] = np.searchsorted(edges[1:-1], z_nm[known], side="right")
    return stratum, edges
