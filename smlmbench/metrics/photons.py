"""Brightness of matched pairs against the truth."""

from typing import Any

import numpy as np

from smlmbench.metrics.evidence import Evidence, tables_of

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Correlation and relative bias of the photons of matched pairs.",
    "tasks": ["localization"],
    "gives": {
        "photons_r": {
            "direction": "up",
            "low": -1.0,
            "high": 1.0,
            "help": "Pearson correlation of found and true photons.",
        },
        "photons_bias": {
            "direction": "none",
            "help": "Summed found photons over summed true photons, minus 1; 0 is best.",
        },
    },
}

LEAST = 1e-9  # of the brightest, or photons: less is told from none by rounding alone
SIDES = {"truth": "the true table has no photons", "found": "the found table has no photons"}


def measure(evidence: Evidence) -> dict[str, float | str]:
    """Over the pairs that count and have photons on both sides."""
    tables = tables_of(evidence)
    if isinstance(tables, str):
        return dict.fromkeys(CARD["gives"], tables)
    hit = tables.roles.truth_counted[tables.matches.truth]
    found = tables.found.photons[tables.matches.found[hit]]
    true = tables.truth.photons[tables.matches.truth[hit]]
    known = np.isfinite(found) & np.isfinite(true)
    found, true = found[known], true[known]
    if len(true) == 0:
        reasons = [name for name in SIDES if not np.isfinite(getattr(tables, name).photons).any()]
        said = SIDES[reasons[0]] if reasons else "no matched pair has photons on both sides"
        return dict.fromkeys(CARD["gives"], said)
    most = max(1.0, float(np.abs(found).max()), float(np.abs(true).max()))
    found, true = found / most, true / most
    total = float(true.sum())
    bias: float | str = float(found.sum()) / total - 1.0 if total > LEAST else "the true photons sum to 0"
    if len(true) < 3 or any(np.ptp(photons) <= LEAST for photons in (found, true)):
        return {"photons_r": "a correlation needs 3 pairs of different brightness", "photons_bias": bias}
    return {"photons_r": float(np.corrcoef(found, true)[0, 1]), "photons_bias": bias}
