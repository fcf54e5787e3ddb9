"""What the page says of classes: how the numbers are read, accuracy against photons, confusion matrices."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from smlmbench.predictions import Floats
from smlmbench.tasks.contracts.sections import Along, Drawing

READING = (
    "Macro-F1 is the mean over the classes of F1, in percent, of all units of a known class; nothing is rejected for "
    "it, nor for accuracy and calibration error. Units of no class (strangers) are in none of them.",
    "A network rejects units whose highest score is below its level: the lowest at which at most 1 % of the validation "
    "units that are kept are wrong, unless the study states one. Coverage is what is kept of the known classes there. "
    "Utilisation at 1 % wrong reads the level off the test set itself: it is what a perfect choice would give.",
)
STRANGER, REJECTED = "stranger", "rejected"
MOST = 8  # matrices, and panels of curves
NEAR_CHANCE = 5.0  # percent of accuracy above that of guessing


def photon_curves(lines: Sequence[Along]) -> list[Drawing]:
    """Accuracy in bins of photons, a panel for each condition where these differ; mean of repeats with their ends."""
    from smlmbench.figures import sweep

    rows: list[dict[str, Any]] = []
    dashes: list[str] = []
    for line in lines:
        binned = [one["by_photons"] for one in line.profiles if "by_photons" in one]
        accuracy = np.array([_numbers(one["accuracy"]) for one in binned])
        if line.kind == "ceiling" or not binned or accuracy.mean() < _of_chance(line) + NEAR_CHANCE:
            continue
        if line.label not in dashes:
            dashes.append(line.label)
        middle = np.sqrt(np.prod([_numbers(binned[0][f"photons_{end}"]) for end in ("from", "to")], axis=0))
        of = {"panel": line.condition, "label": line.label, "kind": line.kind, "style": line.style}
        rows += [
            {**of, "line": dashes.index(line.label), "x": x, "y": y, "low": low, "high": high}
            for x, y, low, high in zip(middle, accuracy.mean(0), accuracy.min(0), accuracy.max(0), strict=True)
        ]
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


def _of_chance(line: Along) -> float:
    return 100 / max(2, len(_names(line)))


def _names(line: Along) -> list[str]:
    stated = line.facts.get("classes", ())
    return [str(name) for name in stated] if isinstance(stated, list | tuple) else []


def confusion(lines: Sequence[Along]) -> list[Drawing]:
    """Confusion matrices of the first condition, of the picks and of references that were not told the truth."""
    from smlmbench.figures import Matrix, matrices

    shown = [line for line in lines if line.kind != "ceiling" and any("confusion" in one for one in line.profiles)]
    own = [line for line in shown if line.condition == shown[0].condition][:MOST]
    made = []
    for line in own:
        names = _names(line)
        counts = np.sum([_matrix(one["confusion"]) for one in line.profiles if "confusion" in one], axis=0)
        names += [f"class {place + 1}" for place in range(len(names), len(counts) - 1)]
        of, into = [*names, STRANGER], [*names, REJECTED]
        lit, told = counts.sum(axis=1) > 0, counts.sum(axis=0) > 0
        told[: len(names)] = True
        share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        title = line.label
        made.append(Matrix(title, share[lit][:, told], list(np.array(of)[lit]), list(np.array(into)[told])))
    if not made:
        return []
    where = own[0].condition
    caption = (
        f"Confusion matrices on '{where}', percent of each true class, all repeats together; rows with a reject level "
        "reject there."
    )
    text = f"confusion matrices on {where} of {', '.join(line.label for line in own)}"
    return [Drawing(caption, text, matrices(made, x_label="said", y_label="true"))]


def _matrix(cells: Mapping[str, Sequence[float | None]]) -> Floats:
    """Units (classes + 1, classes + 1) by true class, strangers last, and said one, rejected last."""
    true, said, kept = (_numbers(cells[name]).astype(np.int64) for name in ("true", "said", "kept"))
    whole = np.zeros((true.max() + 2,) * 2)
    whole[true, said] = kept  # -1 is the last one
    return whole


def _numbers(column: Sequence[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in column], dtype=np.float64)
