"""Scores as ratios of pooled sums; vectorised over leading axes, so that a bootstrap needs one call.

Each takes sums (..., K) in the columns of `pooling.SUMS` and gives (...), NaN where the ratio is 0 / 0 and where no
true emitter counts: detections alone are counted on signal-free frames (PROTOCOL section 1).
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import unknown_name
from smlmbench.metrics.pooling import SUMS
from smlmbench.predictions import Floats

PERCENT_PER_NM_LATERAL = 1.0
PERCENT_PER_NM_AXIAL = 0.5


def _ratio(sums: Floats, above: str, *below: str) -> Floats:
    """A column over the sum of others."""
    part: Floats = sums[..., SUMS.index(above)]
    whole = sum(sums[..., SUMS.index(name)] for name in below)
    exists: NDArray[np.bool_] = np.asarray(whole) != 0
    return np.where(exists, part / np.where(exists, whole, 1.0), np.nan)


def _with_emitters(sums: Floats, value: Floats) -> Floats:
    counted = sums[..., SUMS.index("tp")] + sums[..., SUMS.index("fn")]
    return np.where(counted > 0, value, np.nan)


def jaccard(sums: Floats) -> Floats:
    """TP / (TP + FP + FN), 0 .. 1."""
    return _with_emitters(sums, _ratio(sums, "tp", "tp", "fp", "fn"))


def precision(sums: Floats) -> Floats:
    """TP / (TP + FP), 0 .. 1."""
    return _with_emitters(sums, _ratio(sums, "tp", "tp", "fp"))


def recall(sums: Floats) -> Floats:
    """TP / (TP + FN), 0 .. 1."""
    return _ratio(sums, "tp", "tp", "fn")


def f1(sums: Floats) -> Floats:
    """2 TP / (2 TP + FP + FN), 0 .. 1."""
    return 2 * _with_emitters(sums, _ratio(sums, "tp", "tp", "tp", "fp", "fn"))


def rmse_nm(sums: Floats) -> Floats:
    """Radial error sqrt(sum(dx2 + dy2) / TP): both lateral axes, so sqrt(2) times the error per axis."""
    return np.sqrt(_ratio(sums, "lateral_sq", "tp"))


def rmse_axial_nm(sums: Floats) -> Floats:
    """Axial error sqrt(sum(dz2) / TP)."""
    return np.sqrt(_ratio(sums, "axial_sq", "tp"))


def bias_nm(sums: Floats, axis: str) -> Floats:
    """Mean signed error (found - true) along x, y or z."""
    return _ratio(sums, f"d{axis}", "tp")


def efficiency_lateral(sums: Floats) -> Floats:
    """100 - sqrt((100 - JAC)^2 + (1/nm RMSE_lateral)^2), JAC in percent; without a pair the RMSE is taken as 0."""
    return 100.0 - _distance(sums, PERCENT_PER_NM_LATERAL * np.nan_to_num(rmse_nm(sums)))


def efficiency_axial(sums: Floats) -> Floats:
    """100 - sqrt((100 - JAC)^2 + (0.5/nm RMSE_axial)^2), likewise; NaN where the sums say that z is unknown."""
    depth = sums[..., SUMS.index("axial_sq")]
    known = 100.0 - _distance(sums, PERCENT_PER_NM_AXIAL * np.nan_to_num(rmse_axial_nm(sums)))
    return np.where(np.isnan(depth), np.nan, known)


def _distance(sums: Floats, spread: Floats) -> Floats:
    return np.hypot(100.0 * (1.0 - jaccard(sums)), spread)


def efficiency(sums: Floats, *, three_d: bool = False) -> Floats:
    """Detection and precision in one number, at most 100, never clipped below.

    The lateral part, in 3-D the mean of the lateral and the axial part. A table without z has NaN for its axial sums
    (`evidence.gather`) and has the lateral part alone in 3-D too: an unknown depth is not an error of 0. Without a true
    positive the RMSE is taken as 0, which makes it 0.

    Source:
        Sage et al. 2019, doi:10.1038/s41592-019-0364-4; the mean of two parts as the later 3-D networks compute it.
    """
    lateral = efficiency_lateral(sums)
    if not three_d:
        return lateral
    flat = np.isnan(sums[..., SUMS.index("axial_sq")])
    return np.where(flat, lateral, (lateral + efficiency_axial(sums)) / 2)


_RATIOS: tuple[Callable[[Floats], Floats], ...] = (
    efficiency, efficiency_lateral, efficiency_axial, jaccard, precision, recall, f1, rmse_nm, rmse_axial_nm,
)  # fmt: skip
_BY_NAME = {each.__name__: each for each in _RATIOS} | {
    f"bias_{axis}_nm": partial(bias_nm, axis=axis) for axis in "xyz"
}


def ratio(name: str, *, three_d: bool = False) -> Callable[[Floats], Floats]:
    """The function behind a pooled score, for the bootstrap.

    Raises:
        UnknownNameError: Not a ratio of pooled sums.
    """
    if name not in _BY_NAME:
        raise unknown_name("pooled score", name, _BY_NAME)
    return partial(efficiency, three_d=three_d) if name == "efficiency" else _BY_NAME[name]
