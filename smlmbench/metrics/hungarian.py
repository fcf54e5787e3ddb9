"""The headline scores with the other matcher, to compare with programs that use it."""

import math
from typing import Any

from smlmbench.metrics.evidence import Evidence, tables_of
from smlmbench.metrics.ratios import jaccard, rmse_nm
from smlmbench.metrics.reasons import why_not

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Jaccard and RMSE with the most pairs inside the tolerance; above 2 emitters/um2 it pairs by chance.",
    "tasks": ["localization"],
    "gives": {
        "jaccard_hungarian": {
            "direction": "up",
            "low": 0.0,
            "high": 1.0,
            "help": "Jaccard index, Hungarian matcher (most pairs, then least total distance).",
        },
        "rmse_hungarian_nm": {
            "unit": "nm",
            "direction": "down",
            "low": 0.0,
            "help": "Lateral RMSE, Hungarian matcher.",
        },
    },
}


def measure(evidence: Evidence) -> dict[str, float | str]:
    """Same roles, tolerances and pooling as the headline, other matcher."""
    tables = tables_of(evidence)
    if isinstance(tables, str):
        return dict.fromkeys(CARD["gives"], tables)
    scoring = tables.facts.scoring.model_copy(update={"matcher": "hungarian"})
    total = tables.score(tables.roles, scoring).sum(axis=0)
    values = {"jaccard_hungarian": float(jaccard(total)), "rmse_hungarian_nm": float(rmse_nm(total))}
    return {name: why_not(tables, name) if math.isnan(value) else value for name, value in values.items()}
