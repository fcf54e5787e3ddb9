"""Accuracy: share of units whose class is said, all of them and those that are not rejected."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.metrics.classified import NO_TRUTH, NOTHING, Classified, kept_by_wrong

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Share of units whose class is said: of all, of those that are kept, of the surest ones.",
    "tasks": ["classification"],
    "gives": {
        "accuracy": {
            "unit": "%", "direction": "up", "low": 0.0, "high": 100.0,
            "help": "Share of the units of known classes whose class is said; nothing is rejected.",
        },
        "accuracy_kept": {
            "title": "Accuracy of the kept (%)", "unit": "%", "direction": "up", "low": 0.0, "high": 100.0,
            "help": "The same of those that the row keeps at its reject level.",
        },
        "coverage": {
            "unit": "%", "direction": "up", "low": 0.0, "high": 100.0,
            "help": "Share of the units of known classes that the row keeps at its reject level.",
        },
        "strangers_kept": {
            "unit": "%", "direction": "down", "low": 0.0, "high": 100.0,
            "help": "Share of the units of no known class that are kept at the reject level.",
        },
        "accuracy_at_90": {
            "title": "Accuracy at 90 % coverage (%)", "unit": "%", "direction": "up", "low": 0.0, "high": 100.0,
            "help": "Share of the surest 90 % of the units of known classes whose class is said.",
        },
        "utilisation_at_1": {
            "title": "Utilisation at 1 % wrong (%)", "unit": "%", "direction": "up", "low": 0.0, "high": 100.0,
            "help": "Largest share of all units that can be kept, the surest first, with at most 1 % of them wrong; "
            "kept strangers are wrong. The level is read off the test set itself.",
        },
    },
}  # fmt: skip

COVERAGE, WRONG = 0.9, 0.01
NO_LEVEL = "the row has no reject level"


def measure(evidence: Classified | None) -> dict[str, float | str]:
    """Percentages, 0 .. 100."""
    if evidence is None:
        return dict.fromkeys(CARD["gives"], NO_TRUTH)
    known, kept, right = evidence.known, evidence.kept, evidence.right
    chosen = np.isfinite(evidence.level)
    return {
        "accuracy": _share(right, known, NOTHING),
        "accuracy_kept": _share(right, known & kept, "nothing is kept") if chosen else NO_LEVEL,
        "coverage": _share(kept, known, NOTHING) if chosen else NO_LEVEL,
        "strangers_kept": _share(kept, ~known, "no strangers") if chosen else NO_LEVEL,
        "accuracy_at_90": _at_coverage(right[known], evidence.scores[known]),
        "utilisation_at_1": _utilisation(right, evidence.scores),
    }


def _share(of: NDArray[np.bool_], among: NDArray[np.bool_], otherwise: str) -> float | str:
    return float((100.0 * of[among]).sum() / among.sum()) if among.any() else otherwise  # as sums per unit give it


def _at_coverage(right: NDArray[np.bool_], scores: NDArray[np.float64]) -> float | str:
    """Of the least that are at least 90 %, units of one score together."""
    if not len(right):
        return NOTHING
    _, kept, wrong = kept_by_wrong(right, scores)
    return 100 * (1 - float(wrong[np.searchsorted(kept, COVERAGE - 1e-12)]))


def _utilisation(right: NDArray[np.bool_], scores: NDArray[np.float64]) -> float | str:
    if not len(right):
        return NOTHING
    _, kept, wrong = kept_by_wrong(right, scores)
    return 100 * float(kept[wrong <= WRONG].max(initial=0.0))
