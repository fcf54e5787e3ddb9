"""Expected calibration error: how far the scores of said classes are from how often they are right."""

import numpy as np

from smlmbench.metrics.classified import NO_TRUTH, NOTHING, Classified

CARD = {
    "version": 1,
    "summary": "Mean distance of score and accuracy in fifteen bins of the score (ECE).",
    "paper": "Guo, Pleiss, Sun, Weinberger 2017, On calibration of modern neural networks. arXiv:1706.04599",
    "tasks": ["classification"],
    "gives": {
        "ece": {
            "title": "Calibration error (%)",
            "unit": "%",
            "direction": "down",
            "low": 0.0,
            "high": 100.0,
            "help": "Expected calibration error: |accuracy - mean score| in 15 equal bins of the score of the said "
            "class, weighted by their units.",
        }
    },
}

BINS = 15


def measure(evidence: Classified | None) -> dict[str, float | str]:
    """ECE of units of known classes, 0 .. 100."""
    if evidence is None:
        return {"ece": NO_TRUTH}
    known = evidence.known
    if not known.any():
        return {"ece": NOTHING}
    scores, right = evidence.scores[known], evidence.right[known].astype(np.float64)
    place = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
    away = np.bincount(place, right, BINS) - np.bincount(place, scores, BINS)
    return {"ece": 100 * float(np.abs(away).sum() / len(scores))}
