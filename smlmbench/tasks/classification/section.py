"""What the page says of classes: how the numbers are read, accuracy against photons, confusion matrices."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from smlmbench.predictions import Floats
from smlmbench.tasks.contracts.sections import Along, Drawing, Section

if TYPE_CHECKING:
    import pandas as pd

READING = (
    "Macro-F1 is the mean over the classes of F1, in percent, of all units of a known class; nothing is rejected for "
    "it, nor for accuracy and calibration error. Units of no class (strangers) are in none of them.",
    "A network rejects units whose highest score is below its level: the lowest at which at most 1 % of the validation "
    "units that are kept are wrong, unless the study states one. Coverage is what is kept of the known classes there. "
    "Utilisation at 1 % wrong reads the level off the test set itself: it is what a perfect choice would give.",
)
Facts = Mapping[str, Mapping[str, Any]]
STRANGER, REJECTED = "stranger", "rejected"
MOST = 8  # matrices, and panels of curves
NEAR_CHANCE = 5.0  # percent of accuracy above that of guessing


def section(headline: tuple[str, ...], frame: "pd.DataFrame", conditions: Mapping[str, Mapping[str, Any]]) -> Section:
    """The section of a board."""
    del frame, conditions
    return Section(columns=headline, reading=READING)


def photon_curves(runs: Sequence[Along], conditions: Facts) -> list[Drawing]:
    """Accuracy in bins of photons, a panel for each condition where these differ; mean of repeats with their ends."""
    from smlmbench.figures import sweep

    rows: list[dict[str, Any]] = []
    dashes: list[str] = []
    for (label, where), own in _lines(runs, "by_photons").items():
        accuracy = np.array([_numbers(run.profiles["by_photons"]["accuracy"]) for run in own])
        if accuracy.mean() < 100 / max(2, len(_names(conditions, where))) + NEAR_CHANCE:
            continue
        if label not in dashes:
            dashes.append(label)
        ends = [_numbers(own[0].profiles["by_photons"][f"photons_{end}"]) for end in ("from", "to")]
        of = {"panel": where, "label": label, "kind": own[0].kind, "style": own[0].style, "line": dashes.index(label)}
        columns = zip(np.sqrt(np.prod(ends, axis=0)), accuracy.mean(0), accuracy.min(0), accuracy.max(0), strict=True)
        rows += [{**of, "x": x, "y": y, "low": low, "high": high} for x, y, low, high in columns]
    shown = list(dict.fromkeys(row["panel"] for row in rows))[:MOST]
    rows = [row for row in rows if row["panel"] in shown]
    if not rows:
        return []
    caption = (
        "Accuracy (%) against the photons of a unit, nothing rejected, in bins of alike many units; bars span the "
        "repeats. Grey: rows without training; those near chance are left out."
    )
    drawn = sweep(rows, [""] * len(dashes), x_label="photons")
    return [Drawing(caption, f"accuracy against photons of {', '.join(dashes)}", drawn)]


def confusion(runs: Sequence[Along], conditions: Facts) -> list[Drawing]:
    """Confusion matrices of the first condition, of the picks and of references that were not told the truth."""
    from smlmbench.figures import Matrix, matrices

    lines = _lines(runs, "confusion")
    where = next((condition for _, condition in lines), "")
    made: list[Matrix] = []
    for (label, condition), own in list(lines.items()):
        if condition != where or len(made) == MOST:
            continue
        counts = np.sum([_matrix(run.profiles["confusion"]) for run in own], axis=0)
        names = _names(conditions, where)
        names += [f"class {place + 1}" for place in range(len(names), len(counts) - 1)]
        true, said = counts.sum(axis=1) > 0, counts.sum(axis=0) > 0
        said[: len(names)] = True
        share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        heads = (np.array([*names, last]) for last in (STRANGER, REJECTED))
        of, into = (list(head[kept]) for head, kept in zip(heads, (true, said), strict=True))
        made.append(Matrix(label, share[true][:, said], of, into))
    if not made:
        return []
    caption = (
        f"Confusion matrices on '{where}', percent of each true class, all repeats together; rows with a reject level "
        "reject there."
    )
    text = f"confusion matrices on {where} of {', '.join(one.title for one in made)}"
    return [Drawing(caption, text, matrices(made, x_label="said", y_label="true"))]


def _lines(runs: Sequence[Along], profile: str) -> dict[tuple[str, str], list[Along]]:
    """Repeats by line and condition, of those that have a profile and were not told the truth."""
    found: dict[tuple[str, str], list[Along]] = {}
    for run in runs:
        if profile in run.profiles and run.kind != "ceiling":
            found.setdefault((run.label, run.condition), []).append(run)
    return found


def _names(conditions: Facts, where: str) -> list[str]:
    stated = conditions.get(where, {}).get("classes", ())
    return [str(name) for name in stated] if isinstance(stated, list | tuple) else []


def _matrix(cells: Mapping[str, Sequence[float | None]]) -> Floats:
    """Units (classes + 1, classes + 1) by true class, strangers last, and said one, rejected last."""
    true, said, kept = (_numbers(cells[name]).astype(np.int64) for name in ("true", "said", "kept"))
    whole = np.zeros((true.max() + 2,) * 2)
    whole[true, said] = kept  # -1 is the last one
    return whole


def _numbers(column: Sequence[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in column], dtype=np.float64)
