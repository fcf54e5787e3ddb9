"""Macro-F1: F1 of each class, averaged over the classes."""

from smlmbench.metrics.classified import NO_TRUTH, NOTHING, Classified, macro_f1

CARD = {
    "version": 1,
    "summary": "Harmonic mean of precision and recall of each class, averaged over the classes that occur.",
    "tasks": ["classification"],
    "gives": {
        "macro_f1": {
            "title": "Macro-F1 (%)",
            "unit": "%",
            "direction": "up",
            "low": 0.0,
            "high": 100.0,
            "help": "Mean over the classes that occur of 2 TP / (2 TP + FP + FN); nothing is rejected, strangers are "
            "left out.",
        }
    },
}


def measure(evidence: Classified | None) -> dict[str, float | str]:
    """Macro-F1 at full acceptance, 0 .. 100."""
    if evidence is None:
        return {"macro_f1": NO_TRUTH}
    if not evidence.known.any():
        return {"macro_f1": NOTHING}
    return {"macro_f1": float(macro_f1(evidence.counts.sum(axis=0)))}
