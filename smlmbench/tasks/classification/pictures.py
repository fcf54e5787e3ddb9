"""Units in a grid, each beside the class that was said of it and its true one."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.data.contracts import Condition
from smlmbench.figures import Panels
from smlmbench.predictions import Floats, Ints
from smlmbench.tasks.classification.answers import Answer, evidence_of
from smlmbench.truths.labels import Labels

MOST = 64
GAP = 1


def names(condition: Condition) -> dict[str, Any]:
    """The classes of a condition by name, in their order."""
    truth = condition.truth
    return {"classes": list(truth.classes)} if isinstance(truth, Labels) else {}


def panels(answer: Answer, condition: Condition) -> Panels | None:
    """The first 64 units at most, the brightest first; cells hold the number of a class, 0 where nothing is known."""
    evidence, count = evidence_of(answer, condition), min(MOST, condition.frames.n_frames)
    if evidence is None or count == 0:
        return None
    units = condition.frames.read(0, count)
    order = np.argsort(-np.nan_to_num(evidence.photons[:count]), kind="stable")
    wide = 1 if units.shape[-2] == 1 or (units.ndim == 3 and _flat(condition)) else math.isqrt(count - 1) + 1
    said, true = (_cells(of[:count][order] + 1, wide) for of in (evidence.said, evidence.true))
    wrong = int((~evidence.right[:count]).sum())
    return Panels(
        _mosaic(_plain(units, flat=_flat(condition))[order], wide),
        said,
        true,
        fine_unit="class",
        unit="photons" if condition.calibrated else "counts",
        said=f"{count} units, {wrong} of them wrong; {_legend(condition)}",
    )


def _flat(condition: Condition) -> bool:
    return condition.frames.height == 1


def _plain(units: NDArray[np.float32], *, flat: bool) -> NDArray[np.float32]:
    """Units as images (n, H, W): channels are summed, a spectrum is one line."""
    if flat:
        return np.asarray(units.reshape(len(units), -1, units.shape[-1]).sum(axis=1, keepdims=True))
    return units if units.ndim == 3 else np.asarray(units.sum(axis=1))


def _mosaic(images: NDArray[np.float32], wide: int) -> NDArray[np.float32]:
    count, height, width = images.shape
    tall = -(-count // wide)
    whole = np.zeros((tall * wide, height, width), dtype=np.float32)
    whole[:count] = images
    grid: NDArray[np.float32] = whole.reshape(tall, wide, height, width).swapaxes(1, 2)
    return grid.reshape(tall * height, wide * width)


def _cells(values: Ints, wide: int) -> Floats:
    tall = -(-len(values) // wide)
    whole = np.zeros(tall * wide)
    whole[: len(values)] = values
    return whole.reshape(tall, wide)


def _legend(condition: Condition) -> str:
    return ", ".join(f"{place + 1} {name}" for place, name in enumerate(names(condition)["classes"]))
