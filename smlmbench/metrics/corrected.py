"""What the metrics of the background task look at: numbers of each crop, and the sums that every value is made of.

A value and its interval come from the same function of the same sums, so that they agree bit for bit.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from smlmbench.predictions import Floats

Statistic = Callable[[Floats], Floats]

ERROR = ("square", "offset", "level")  # of the background
FIT = ("x_nm", "y_nm", "photons", "lost")  # errors of the fixed fit; photons in percent
BEST = ("best_x_nm", "best_y_nm")  # the same with the true background


@dataclass(frozen=True, slots=True)
class Corrected:
    """Numbers of one row by name, a column (n,) each.

    Attributes:
        crops: `square`, `offset` and `level` are means over the pixels of a crop of (found - true)^2, found - true and
            true; errors of the fixed fit after subtraction, NaN where there is no emitter or no PSF to fit. None
            without a truth.
        free: `square`, `offset` and `level` of crops without an emitter; None where there are none.
    """

    crops: Mapping[str, Floats] | None
    free: Mapping[str, Floats] | None = None


def relative_rmse(sums: Floats) -> Floats:
    """Root mean square over the mean level, from sums (..., 3) of square, level and ones."""
    return _over(np.sqrt(_over(sums[..., 0], sums[..., 2])), _over(sums[..., 1], sums[..., 2]))


def root_mean(sums: Floats) -> Floats:
    """Root of a mean, from sums (..., 2) of squares and ones."""
    return np.sqrt(_over(sums[..., 0], sums[..., 1]))


def ratio(sums: Floats) -> Floats:
    """Of two sums (..., 2)."""
    return _over(sums[..., 0], sums[..., 1])


def deviation(sums: Floats) -> Floats:
    """Standard deviation, from sums (..., 3) of squares, values and ones."""
    return np.sqrt(np.maximum(_over(sums[..., 0], sums[..., 2]) - _over(sums[..., 1], sums[..., 2]) ** 2, 0.0))


def lateral(sums: Floats) -> Floats:
    """Standard deviation per axis of x and y together, from sums (..., 4) of x^2 + y^2, x, y and ones."""
    mean_x, mean_y = (_over(sums[..., axis], sums[..., 3]) for axis in (1, 2))
    return np.sqrt(np.maximum(_over(sums[..., 0], sums[..., 3]) - mean_x**2 - mean_y**2, 0.0) / 2)


def lateral_ratio(sums: Floats) -> Floats:
    """`lateral` of the first four sums over that of the last three with the same ones, from sums (..., 7)."""
    best = np.concatenate([sums[..., 4:], sums[..., 3:4]], axis=-1)
    return _over(lateral(sums[..., :4]), lateral(best))


STATISTICS: dict[str, Statistic] = {
    "background_rmse": relative_rmse,
    "background_rmse_photons": root_mean,
    "background_offset": ratio,
    "fit_spread_nm": lateral,
    "fit_spread_ratio": lateral_ratio,
    "fit_spread_x_nm": deviation,
    "fit_spread_y_nm": deviation,
    "fit_bias_x_nm": ratio,
    "fit_bias_y_nm": ratio,
    "fit_photons_spread": deviation,
    "fit_photons_bias": ratio,
    "fit_lost": ratio,
}


def sums_of(metric: str, columns: Mapping[str, Floats]) -> Floats | None:
    """What is summed over crops for a number, (n, K); None where the columns do not hold it."""
    if metric not in STATISTICS:
        return None
    if metric.startswith("background"):
        return _of_error(metric, columns) if all(name in columns for name in ERROR) else None
    if not all(name in columns for name in (*FIT, *BEST)):
        return None
    known = np.isfinite(columns["x_nm"]) & np.isfinite(columns["best_x_nm"])
    told = {name: np.where(known, columns[name], 0.0) for name in (*FIT, *BEST)}
    return _of_fit(metric, told, known.astype(np.float64))


def _of_error(metric: str, columns: Mapping[str, Floats]) -> Floats:
    square, offset, level = (np.asarray(columns[name], dtype=np.float64) for name in ERROR)
    ones = np.ones_like(square)
    if metric == "background_offset":
        return np.column_stack([offset, level])
    return np.column_stack([square, ones] if metric == "background_rmse_photons" else [square, level, ones])


def _of_fit(metric: str, told: Mapping[str, Floats], known: Floats) -> Floats:
    axis = {"fit_spread_y_nm": "y_nm", "fit_bias_y_nm": "y_nm", "fit_lost": "lost"}.get(metric, "x_nm")
    one = told["photons" if "photons" in metric else axis]
    if STATISTICS[metric] is ratio:
        return np.column_stack([one, known])
    if STATISTICS[metric] is deviation:
        return np.column_stack([one**2, one, known])
    pairs = [(told["x_nm"], told["y_nm"]), (told["best_x_nm"], told["best_y_nm"])]
    (first, best) = ([x**2 + y**2, x, y] for x, y in pairs)
    return np.column_stack([*first, known] if metric == "fit_spread_nm" else [*first, known, *best])


def number(metric: str, columns: Mapping[str, Floats] | None, reason: str) -> float | str:
    """A value from its sums, or why there is none: `reason` where the columns do not hold it."""
    if columns is None:
        return "there is no true background"
    sums = sums_of(metric, columns)
    if sums is None or not len(sums):
        return reason
    value = float(STATISTICS[metric](sums.sum(axis=0)))
    return value if np.isfinite(value) else reason


def _over(above: Floats, below: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(below == 0, np.nan, above / below))
