"""What is found of a part of the true emitters, and how precisely: pooled sums of each stratum of the truth."""

from collections.abc import Sequence

import numpy as np

from smlmbench.metrics.evidence import Tables
from smlmbench.metrics.pooling import SUMS
from smlmbench.metrics.ratios import recall, rmse_axial_nm, rmse_nm
from smlmbench.predictions import Floats, Ints

Profile = dict[str, list[float | None]]
"""Lists of one length by name, None where a place has no number."""


def sums_of(tables: Tables, stratum: Ints, count: int) -> Floats:
    """Pooled sums (count, len(pooling.SUMS)) by stratum of the true emitter.

    `stratum` is (n_truth,), 0 .. count - 1, or below 0 for emitters of none. Detections without an emitter belong to no
    stratum: `fp` and `neutral` are 0, so that only recall and errors can be made of the sums.
    """
    rows_found, rows_true = tables.hits
    missed = tables.matches.unmatched_truth[tables.roles.truth_counted[tables.matches.unmatched_truth]]
    missed, inside = missed[stratum[missed] >= 0], stratum[rows_true] >= 0
    f, t = rows_found[inside], rows_true[inside]
    found, true = tables.found, tables.truth
    errors = {axis: getattr(found, f"{axis}_nm")[f] - getattr(true, f"{axis}_nm")[t] for axis in ("x", "y")}
    errors["z"] = found.z_nm[f] - true.z_nm[t] if tables.facts.three_d else np.zeros(len(t))
    columns = {
        "tp": np.ones(len(t)),
        "lateral_sq": errors["x"] ** 2 + errors["y"] ** 2,
        "axial_sq": errors["z"] ** 2,
        **{f"d{axis}": error for axis, error in errors.items()},
    }
    sums = np.zeros((count, len(SUMS)))
    for name, values in columns.items():
        sums[:, SUMS.index(name)] = np.bincount(stratum[t], values, count)
    sums[:, SUMS.index("fn")] = np.bincount(stratum[missed], minlength=count)
    return sums


def profile_of(tables: Tables, stratum: Ints, edges: Sequence[float], name: str) -> Profile:
    """Recall and errors of each stratum between consecutive edges, with the ends and the number of true emitters."""
    sums = sums_of(tables, stratum, len(edges) - 1)
    emitters = sums[:, SUMS.index("tp")] + sums[:, SUMS.index("fn")]
    columns = {"emitters": emitters, "recall": recall(sums), "rmse_nm": rmse_nm(sums)}
    if tables.facts.three_d:
        columns["rmse_axial_nm"] = rmse_axial_nm(sums)
    ends = {f"{name}_from": np.asarray(edges[:-1]), f"{name}_to": np.asarray(edges[1:])}
    return {key: listed(values) for key, values in (ends | columns).items()}


def listed(values: Floats) -> list[float | None]:
    """Numbers as a file of text keeps them: None where there is none."""
    return [float(value) if np.isfinite(value) else None for value in values]
