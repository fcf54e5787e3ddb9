"""Mean absolute position error of matched pairs: less ruled by chance pairs than the RMSE."""

from typing import Any

import numpy as np

from smlmbench.metrics.evidence import Evidence, tables_of
from smlmbench.metrics.reasons import why_not

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Mean of |dx| + |dy|, and of |dz|, over the matched pairs of all frames.",
    "paper": "Sage et al. 2019, Super-resolution fight club. Nature Methods",
    "doi": "10.1038/s41592-019-0364-4",
    "tasks": ["localization"],
    "gives": {
        "mad_nm": {
            "title": "MAD (nm)",
            "unit": "nm",
            "direction": "down",
            "low": 0.0,
            "help": "Mean absolute lateral error, both axes summed as in the challenge.",
        },
        "mad_axial_nm": {
            "title": "Axial MAD (nm)",
            "unit": "nm",
            "direction": "down",
            "low": 0.0,
            "help": "Mean absolute axial error (3-D only).",
        },
    },
}


def measure(evidence: Evidence) -> dict[str, float | str]:
    """Over the pairs that count; a reason, not 0, where nothing was matched."""
    tables = tables_of(evidence)
    if isinstance(tables, str):
        return dict.fromkeys(CARD["gives"], tables)
    f, t = tables.hits
    if len(t) == 0:
        lacks: dict[str, float | str] = dict.fromkeys(CARD["gives"], why_not(tables, "rmse_nm"))
        return lacks if tables.facts.three_d else lacks | {"mad_axial_nm": tables.facts.flat}
    dx, dy = tables.found.x_nm[f] - tables.truth.x_nm[t], tables.found.y_nm[f] - tables.truth.y_nm[t]
    lateral = float(np.mean(np.abs(dx) + np.abs(dy)))
    if not tables.facts.three_d:
        return {"mad_nm": lateral, "mad_axial_nm": tables.facts.flat}
    return {"mad_nm": lateral, "mad_axial_nm": float(np.mean(np.abs(tables.found.z_nm[f] - tables.truth.z_nm[t])))}
