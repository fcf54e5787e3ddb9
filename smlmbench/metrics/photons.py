"""Brightness of matched pairs against the truth."""

from typing import Any

from smlmbench.metrics.agreement import agreement
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


def measure(evidence: Evidence) -> dict[str, float | str]:
    """Over the pairs that count and have photons on both sides."""
    tables = tables_of(evidence)
    if isinstance(tables, str):
        return dict.fromkeys(CARD["gives"], tables)
    return dict(zip(CARD["gives"], agreement(tables, "photons", "photons", kind="brightness"), strict=True))
