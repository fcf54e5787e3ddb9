"""The fixed rule of Kim, Moon and Xu: a class is accepted where its score leads by 0.8 and the crop is bright."""

import numpy as np

from smlmbench.metrics.classified import NO_TRUTH, NOTHING, Classified

CARD = {
    "version": 1,
    "summary": "What is left, and how right it is, by the published rule for colours: a lead of 0.8, 3,000 photons.",
    "paper": (
        "Kim, Moon, Xu 2019, Information-rich localization microscopy through machine learning. Nature "
        "Communications 10:1996"
    ),
    "doi": "10.1038/s41467-019-10036-z",
    "tasks": ["classification"],
    "gives": {
        "accuracy_kim": {
            "title": "Accuracy by Kim's rule (%)", "unit": "%", "direction": "up", "low": 0.0, "high": 100.0,
            "help": "Share of the units of known classes whose class is said, of those with a score of at least 0.9 "
            "(for two classes a lead of 0.8) and at least 3,000 photons. Nothing is tuned.",
        },
        "rejected_kim": {
            "title": "Rejected by Kim's rule (%)", "unit": "%", "direction": "down", "low": 0.0, "high": 100.0,
            "help": "Share of the units of known classes that this rule rejects, dim ones among them.",
        },
        "unsure_kim": {
            "title": "Unsure by Kim's rule (%)", "unit": "%", "direction": "down", "low": 0.0, "high": 100.0,
            "help": "Share that its score alone rejects, of the units of known classes with at least 3,000 photons.",
        },
    },
}  # fmt: skip

SCORE, PHOTONS = 0.9, 3000.0


def measure(evidence: Classified | None) -> dict[str, float | str]:
    """Percentages, 0 .. 100."""
    names = ("accuracy_kim", "rejected_kim", "unsure_kim")
    if evidence is None:
        return dict.fromkeys(names, NO_TRUTH)
    known = evidence.known
    if not known.any():
        return dict.fromkeys(names, NOTHING)
    if not np.isfinite(evidence.photons[known]).all():
        return dict.fromkeys(names, "the photons of the units are not known")
    sure, bright = (evidence.said >= 0) & (evidence.scores >= SCORE), evidence.photons >= PHOTONS
    kept = known & sure & bright
    few = f"no unit has {PHOTONS:,.0f} photons"
    return {
        "accuracy_kim": 100 * float(evidence.right[kept].mean()) if kept.any() else "the rule keeps nothing",
        "rejected_kim": 100 * float(1 - kept.sum() / known.sum()),
        "unsure_kim": 100 * float((~sure)[known & bright].mean()) if (known & bright).any() else few,
    }
