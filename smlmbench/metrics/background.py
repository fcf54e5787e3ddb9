"""Background of matched pairs against the truth."""

from typing import Any

from smlmbench.metrics.agreement import agreement
from smlmbench.metrics.evidence import Evidence, tables_of

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Correlation and relative bias of the background per pixel of matched pairs.",
    "tasks": ["localization"],
    "gives": {
        "background_r": {
            "direction": "up",
            "low": -1.0,
            "high": 1.0,
            "help": "Pearson correlation of found and true background; n/a where it is constant.",
        },
        "background_bias": {
            "direction": "none",
            "help": "Summed found background over summed true background, minus 1; 0 is best.",
        },
    },
}


def measure(evidence: Evidence) -> dict[str, float | str]:
    """Over the pairs that count and have a background on both sides."""
    tables = tables_of(evidence)
    if isinstance(tables, str):
        return dict.fromkeys(CARD["gives"], tables)
    answers = agreement(tables, "background_photons", "background photons", kind="background")
    return dict(zip(CARD["gives"], answers, strict=True))
