"""Recall and RMSE for each quarter of brightness: a loss of dim emitters, which efficiency hardly shows, shows here."""

from typing import Any

import numpy as np

from smlmbench.metrics.evidence import Evidence, Tables, tables_of
from smlmbench.metrics.ratios import recall, rmse_nm
from smlmbench.metrics.reasons import NO_EMITTER, NO_PAIR, NOTHING
from smlmbench.metrics.strata import Profile, profile_of, sums_of
from smlmbench.predictions import Floats, Ints, Localizations

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Recall and RMSE per quarter of the true emitters by photons over the square root of background.",
    "tasks": ["localization"],
    "gives": {
        "recall_dimmest_quarter": {
            "direction": "up", "low": 0.0, "high": 1.0,
            "help": "Recall of the dimmest quarter of the true emitters by photons over the root of the background.",
        },
        "recall_dim_quarter": {"direction": "up", "low": 0.0, "high": 1.0, "help": "Recall of the second quarter."},
        "recall_bright_quarter": {"direction": "up", "low": 0.0, "high": 1.0, "help": "Recall of the third quarter."},
        "recall_brightest_quarter": {
            "direction": "up", "low": 0.0, "high": 1.0, "help": "Recall of the brightest quarter.",
        },
        "rmse_nm_dimmest_quarter": {
            "unit": "nm", "direction": "down", "low": 0.0, "help": "Lateral RMSE of the dimmest quarter.",
        },
        "rmse_nm_dim_quarter": {
            "unit": "nm", "direction": "down", "low": 0.0, "help": "Lateral RMSE of the second quarter.",
        },
        "rmse_nm_bright_quarter": {
            "unit": "nm", "direction": "down", "low": 0.0, "help": "Lateral RMSE of the third quarter.",
        },
        "rmse_nm_brightest_quarter": {
            "unit": "nm", "direction": "down", "low": 0.0, "help": "Lateral RMSE of the brightest quarter.",
        },
    },
}  # fmt: skip

QUARTERS = ("dimmest", "dim", "bright", "brightest")
BINS = 10
LEAST_BACKGROUND = 1e-3  # photons per pixel: darker is no darker, so that the ratio is finite
LEAST_SPREAD = 1e-9  # of the brightest: less is told from none by rounding alone


def measure(evidence: Evidence) -> dict[str, float | str]:
    """Quarters of the true emitters that count, fixed by the truth alone, so that all rows of a condition share them.

    Where no true emitter has a background, photons alone decide (as where it is the same everywhere). Emitters whose
    brightness is unknown are in no quarter, equally bright ones all in the dimmer.
    """
    tables = tables_of(evidence)
    if isinstance(tables, str):
        return dict.fromkeys(CARD["gives"], tables)
    split = _split(tables, len(QUARTERS))
    if isinstance(split, str):
        return dict.fromkeys(CARD["gives"], split)
    sums = sums_of(tables, split[0], len(QUARTERS))
    answers: dict[str, float | str] = {}
    for name, values, said in (("recall", recall(sums), "no true emitter is"), ("rmse_nm", rmse_nm(sums), NO_PAIR)):
        for quarter, value in zip(QUARTERS, values, strict=True):
            reason = said if said == NO_PAIR else f"{said} in this quarter"
            answers[f"{name}_{quarter}_quarter"] = float(value) if np.isfinite(value) else reason
    return answers


def profile(evidence: Evidence) -> dict[str, Profile]:
    """The same for tenths of the true emitters, with the brightness that divides them."""
    tables = tables_of(evidence)
    split = tables if isinstance(tables, str) else _split(tables, BINS)
    if isinstance(tables, str) or isinstance(split, str):
        return {}
    return {"brightness": profile_of(tables, split[0], split[1].tolist(), "brightness")}


def brightness_of(truth: Localizations) -> Floats:
    """Photons over the square root of background (n,), NaN where unknown; photons alone where no row has background."""
    if not np.isfinite(truth.background_photons).any():
        return truth.photons
    return truth.photons / np.sqrt(np.maximum(truth.background_photons, LEAST_BACKGROUND))


def _split(tables: Tables, count: int) -> tuple[Ints, Floats] | str:
    """Stratum of each true emitter (-1: none) and the edges between them, or why there are none."""
    truth, counted = tables.truth, tables.roles.truth_counted
    if not counted.any():
        return NO_EMITTER if tables.roles.found_counted.any() else NOTHING
    brightness = brightness_of(truth)
    known = counted & np.isfinite(brightness)
    if not known.any():
        return "the true table has no photons"
    edges = np.quantile(brightness[known], np.linspace(0, 1, count + 1))
    if edges[-1] - edges[0] <= LEAST_SPREAD * np.abs(edges).max():
        return "all true emitters are equally bright"
    stratum = np.full(len(truth), -1)
    stratum[known] = np.searchsorted(edges[1:-1], brightness[known], side="left")
    return stratum, edges
