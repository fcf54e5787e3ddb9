"""Turn pooled ratios into what a metric answers: the number, or why there is none."""

import math

from smlmbench.metrics.evidence import Evidence, Tables, tables_of
from smlmbench.metrics.pooling import SUMS
from smlmbench.metrics.ratios import ratio

NOTHING = "neither a true emitter nor a detection counts here"
NO_DETECTION = "no detection counts here"
NO_EMITTER = "no true emitter counts here"
NO_PAIR = "no detection was matched"
AXIAL = {"efficiency_axial", "rmse_axial_nm", "bias_z_nm"}


def why_not(tables: Tables, name: str) -> str:
    """Why a pooled score that came out as 0 / 0 does not exist."""
    tp, fp, fn = (tables.pooled[SUMS.index(column)] for column in ("tp", "fp", "fn"))
    if tp + fp + fn == 0:
        return NOTHING
    if name == "precision" and tp + fp == 0:
        return NO_DETECTION
    return NO_EMITTER if tp + fn == 0 else NO_PAIR


def pooled(evidence: Evidence, *names: str) -> dict[str, float | str]:
    """Pooled scores of the headline protocol by their name in `ratios`, or the reason for each that has none."""
    tables = tables_of(evidence)
    if isinstance(tables, str):
        return dict.fromkeys(names, tables)
    three_d = tables.facts.three_d
    numbers = {name: float(ratio(name, three_d=three_d)(tables.pooled)) for name in names}
    answers = {name: why_not(tables, name) if math.isnan(value) else value for name, value in numbers.items()}
    return answers if three_d else answers | dict.fromkeys(set(names) & AXIAL, tables.facts.flat)
