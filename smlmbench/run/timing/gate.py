"""The quality gate before speed: a reduced number format counts only where it answers as well as fp32.

PROTOCOL section 5: by the paired interval at most 1 point of efficiency, and no more false detections.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench.data.contracts import ArrayFrames, Condition
from smlmbench.inference.engine import Network, ReadOut, predict
from smlmbench.metrics.pooling import SUMS
from smlmbench.metrics.ratios import ratio
from smlmbench.predictions import Prediction
from smlmbench.registry import Catalog
from smlmbench.statistics import paired_difference
from smlmbench.study.cells import Cell
from smlmbench.tasks.localization import ImageRule

MOST_LOST_POINTS = 1.0
NORMAL_95 = 1.959964
SEED = 20_160


@dataclass(frozen=True, slots=True)
class Gate:
    """Scores of a number format beside those of fp32, mean over the test conditions.

    Attributes:
        efficiency, efficiency_fp32: Of both.
        lost_most: Points of efficiency lost at most, by the worst condition's interval.
        false, false_fp32: False detections per 1000 um2 on signal-free frames, NaN where there are none.
        more_false: Whether the interval of the difference of false detections lies above 0.
    """

    efficiency: float
    efficiency_fp32: float
    lost_most: float
    false: float
    false_fp32: float
    more_false: bool

    @property
    def passed(self) -> bool:
        """Whether the number format counts."""
        return self.lost_most <= MOST_LOST_POINTS and not self.more_false

    @property
    def reason(self) -> str:
        """Why it does not."""
        if not self.lost_most <= MOST_LOST_POINTS:
            return f"it may lose {self.lost_most:.2f} points of efficiency (at most {MOST_LOST_POINTS:g})"
        return f"more false detections: {self.false:.3g} against {self.false_fp32:.3g} per 1000 um2"

    def numbers(self) -> dict[str, float]:
        """For the store; what is not known is left out."""
        numbers = {name: float(value) for name, value in asdict(self).items() if name != "more_false"}
        return {name: value for name, value in numbers.items() if np.isfinite(value)}


def check(
    cell: Cell,
    networks: tuple[Network, Network],
    read_out: ReadOut,
    tests: Mapping[str, Condition],
    catalog: Catalog,
    device: torch.device,
) -> Gate:
    """Compare a number format with fp32 on every test condition.

    Args:
        cell: What was trained; its scoring is used.
        networks: The reduced one, and fp32.
        read_out: At the frozen threshold.
        tests: Conditions with a truth.
        catalog: Registered things.
        device: Where both run.
    """
    task = catalog.module("tasks", cell.task)
    efficiencies: list[tuple[float, float]] = []
    lost: list[float] = []
    counts: tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]] = ([], [])
    areas: list[float] = []
    for condition in tests.values():
        if condition.truth is None:
            continue
        rule = ImageRule(condition.pixel_size_nm / read_out.upsampling)
        sums = []
        for side, network in enumerate(networks):
            table = predict(condition.frames, network, read_out, device=device).table
            scored = task.score(Prediction(table), condition, rule, cell.scoring, catalog, None)
            sums.append(np.column_stack([scored.per_frame[name] for name in SUMS]))
            if condition.signal_free is not None:
                frames = ArrayFrames(condition.signal_free)
                found = predict(frames, network, read_out, device=device).table
                rows = np.zeros(0, dtype=np.int64) if found is None else found.frame
                counts[side].append(np.bincount(rows, minlength=len(condition.signal_free)).astype(float))
        difference = paired_difference(
            [sums[0]], [sums[1]], ratio("efficiency"), block=condition.frame_shift, seed=SEED, trained=False
        )
        lost.append(-difference.low)
        efficiencies.append(tuple(float(ratio("efficiency")(one.sum(axis=0))) for one in sums))  # type: ignore[arg-type]
        if condition.signal_free is not None:
            width_nm, height_nm = condition.field_nm
            areas.append(len(condition.signal_free) * width_nm * height_nm / 1e6)
    means = np.mean(efficiencies, axis=0) if efficiencies else np.full(2, np.nan)
    false, false_fp32, more = _false(counts, sum(areas))
    return Gate(float(means[0]), float(means[1]), float(max(lost, default=np.nan)), false, false_fp32, more)


def _false(
    counts: tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]], area_um2: float
) -> tuple[float, float, bool]:
    if not counts[0] or area_um2 <= 0:
        return float("nan"), float("nan"), False
    reduced, single = (np.concatenate(side) for side in counts)
    gap = reduced - single
    half = NORMAL_95 * float(gap.std(ddof=1)) / len(gap) ** 0.5 if len(gap) > 1 else 0.0
    return 1e3 * reduced.sum() / area_um2, 1e3 * single.sum() / area_um2, float(gap.mean()) - half > 0
