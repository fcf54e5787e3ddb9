"""Root mean squared minimum distance: detection and precision in one length, without a tolerance or pairing."""

from typing import Any

import numpy as np

from smlmbench.metrics.evidence import Evidence, tables_of
from smlmbench.metrics.nearest import nearest_in_frame
from smlmbench.metrics.reasons import NO_EMITTER, NOTHING

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Root mean squared distance of every row, true or found, to the nearest of the other kind in its frame.",
    "paper": "Sun 2018. Scientific Reports",
    "tasks": ["localization"],
    "gives": {
        "rmsmd_nm": {
            "title": "RMSMD (nm)",
            "unit": "nm",
            "direction": "down",
            "low": 0.0,
            "help": "Root mean squared distance of all emitters and detections to the nearest of the other kind in "
            "their frame (nearest neighbours, not one to one); the field's diagonal where the frame has none.",
        }
    },
}


def measure(evidence: Evidence) -> dict[str, float | str]:
    """Over the emitters that count and the detections that count, pooled over all frames.

    The association is the nearest row of the other table in the same frame, whatever else has it as its nearest;
    every row that takes part may be it, also a dim one or one in the border. A detection whose nearest emitter does not
    count is neutral. A frame in which only one side has rows gives each of them the diagonal of the field, the largest
    distance there, so that no answer is worse than none. A frame without rows gives nothing.
    """
    tables = tables_of(evidence)
    if isinstance(tables, str):
        return {"rmsmd_nm": tables}
    who, three_d = tables.roles, tables.facts.three_d
    if not who.truth_counted.any():
        return {"rmsmd_nm": NO_EMITTER if who.found_counted.any() else NOTHING}
    emitters, able = tables.truth.select(who.truth_counted), tables.found.select(who.found_present)
    missed_nm, _ = nearest_in_frame(emitters, able, three_d=three_d)
    detections, able = tables.found.select(who.found_counted), tables.truth.select(who.truth_present)
    false_nm, nearest = nearest_in_frame(detections, able, three_d=three_d)
    counts = (nearest < 0) | who.truth_counted[who.truth_present][nearest]
    distances = np.concatenate([missed_nm.ravel(), false_nm[counts]])
    alone = np.isinf(distances)
    if alone.any():
        if not tables.facts.field_known:
            return {"rmsmd_nm": "frames with rows in one table alone count by the field's diagonal: give --field-nm"}
        distances[alone] = np.hypot(*tables.truth.field_nm)
    return {"rmsmd_nm": float(np.sqrt(np.mean(distances**2)))}
