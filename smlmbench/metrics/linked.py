"""The headline scores of a single-frame row after linking: its `+link` twin, on the same frames and emitters."""

import math
from typing import Any

from smlmbench.metrics.evidence import Evidence, Tables, gather, tables_of
from smlmbench.metrics.linking import averaged, tracks
from smlmbench.metrics.molecules import persistent
from smlmbench.metrics.ratios import ratio
from smlmbench.metrics.reasons import why_not

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Efficiency and RMSE with every detection at the mean position of its track: what linking gains.",
    "tasks": ["localization"],
    "gives": {
        "efficiency_linked": {
            "title": "Efficiency +link",
            "direction": "up",
            "high": 100.0,
            "help": "Efficiency after detections of successive frames are linked (50 nm or 3 claimed sigma, 1 dark "
            "frame) and moved to the mean of their track; only where molecules stay on.",
        },
        "rmse_nm_linked": {
            "title": "RMSE +link (nm)",
            "unit": "nm",
            "direction": "down",
            "low": 0.0,
            "help": "Lateral RMSE after the same linking.",
        },
        "rmse_axial_nm_linked": {
            "title": "Axial RMSE +link (nm)",
            "unit": "nm",
            "direction": "down",
            "low": 0.0,
            "help": "Axial RMSE after the same linking (3-D only).",
        },
    },
}

AXIAL = "rmse_axial_nm_linked"


def measure(evidence: Evidence) -> dict[str, float | str]:
    """Scored as the headline, frame by frame, each detection at its track's mean; none is added or taken away."""
    tables = tables_of(evidence)
    if isinstance(tables, str):
        return dict.fromkeys(CARD["gives"], tables)
    said = persistent(tables)
    if said:
        return dict.fromkeys(CARD["gives"], said)
    moved = averaged(tables.found, tracks(tables.found))
    again = tables_of(gather(moved, tables.truth, facts=tables.facts))
    assert isinstance(again, Tables)  # noqa: S101 (both tables are there)
    answers = {name: _score(again, name.removesuffix("_linked")) for name in CARD["gives"]}
    return answers if tables.facts.three_d else answers | {AXIAL: tables.facts.flat}


def _score(tables: Tables, name: str) -> float | str:
    value = float(ratio(name, three_d=tables.facts.three_d)(tables.pooled))
    return why_not(tables, name) if math.isnan(value) else value
