"""False detections where nothing shines: flat and structured background, hot pixels."""

import math

from smlmbench.metrics.evidence import Evidence

CARD = {
    "version": 1,
    "summary": "Detections per 1000 um2 on frames without any emitter.",
    "tasks": ["localization"],
    "gives": {
        "false_per_1000um2": {
            "title": "False / 1000 µm²",
            "unit": "1/(1000 um2)",
            "direction": "down",
            "low": 0.0,
            "help": "False detections on signal-free frames, per 1000 square micrometres of frame.",
        }
    },
}


def measure(evidence: Evidence) -> dict[str, float | str]:
    """Count all detections on the signal-free frames, over their summed area."""
    reason = evidence.missing("signal_free")
    if reason or evidence.signal_free_found is None:
        return {"false_per_1000um2": reason or "not computed"}
    if not 0 < evidence.signal_free_area_um2 < math.inf:
        return {"false_per_1000um2": "the signal-free frames have no area"}
    return {"false_per_1000um2": 1000.0 * len(evidence.signal_free_found) / evidence.signal_free_area_um2}
