"""Widths of a bead along both axes in every plane of a scan, and the astigmatic curve through them.

Each plane is fitted by a Gaussian of two widths that is integrated over pixels. The curve is that of the PSF
`astigmatic` (Huang et al. 2008, doi:10.1126/science.1153529), with one focus for each bead; planes count by their
errors, outliers little. Intervals are those of the fit, or of the beads where these differ by more.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from scipy.stats import t as student

from smlmbench.calibrate.contracts import Number
from smlmbench.predictions import Floats
from smlmbench.references.fitting import axis

EXPLAINED, FEWEST = 0.7, 7  # of a plane's light, for its widths to count; planes
WIDEST = 3.0  # of the narrowest width: beyond it a bead is no Gaussian
PRIOR = 0.3  # of the cubic and quartic terms
FLOOR = 0.01  # error of a width, as a share of it: beads are no perfect Gaussians
WIDTH_ERROR = 0.005  # of widths and depth of focus, that no fit tells: pixels, the way of counting light
NAMES = ("sigma_x_nm", "sigma_y_nm", "focus_nm", "depth_of_focus_nm", "cubic_x", "cubic_y", "quartic_x", "quartic_y")
FLAT = 0.1  # of the depth of focus: foci that are nearer to each other are one


@dataclass(frozen=True, slots=True)
class Widths:
    """Of a bead: depth in nm from its first plane, widths along x and y in px and their errors, planes that count."""

    z_nm: Floats
    x_px: Floats
    y_px: Floats
    x_error: Floats
    y_error: Floats


@dataclass(frozen=True, slots=True)
class Curve:
    """Settings of the PSF `astigmatic` by name; `focus_nm` counts from the first plane, `range_nm` holds the planes."""

    numbers: dict[str, Number]
    focus_nm: float
    range_nm: float
    misfit: float  # root mean square of widths about it, as a share

    @property
    def flat(self) -> bool:
        """Whether both axes are in focus at one depth."""
        return abs(self.numbers["focus_nm"].value) < FLAT * self.numbers["depth_of_focus_nm"].value

    def settings(self) -> dict[str, float]:
        """Values alone."""
        return {name: number.value for name, number in self.numbers.items()}

    def scaled(self, pixel_size_nm: float) -> "Curve":
        """With widths in nm that were fitted in pixels."""
        wide = {
            name: Number(*(getattr(number, end) * pixel_size_nm for end in ("value", "low", "high")))
            for name, number in self.numbers.items()
            if name.startswith("sigma")
        }
        return Curve(self.numbers | wide, self.focus_nm, self.range_nm, self.misfit)


def widths_of(planes: Floats, step_nm: float) -> Widths:
    """Widths of a bead (planes, side, side) where a Gaussian explains a plane."""
    rows = [(number, *fitted) for number, plane in enumerate(planes) if (fitted := _plane(plane)) is not None]
    held = np.array(rows, dtype=np.float64).reshape(-1, 5)
    return Widths(held[:, 0] * step_nm, *held.T[1:])


def _plane(plane: Floats) -> tuple[float, float, float, float] | None:
    side = len(plane)
    light = plane.clip(0)
    weights = (light - 0.2 * light.max()).clip(0)
    steps = np.arange(side) + 0.5
    x, y = (float((weights.sum(along) * steps).sum() / weights.sum()) for along in (0, 1))
    wide = [
        float(np.sqrt(max((weights.sum(along) * (steps - at) ** 2).sum() / weights.sum(), 0.5)))
        for along, at in ((0, x), (1, y))
    ]
    rim = np.concatenate([plane[0], plane[-1], plane[:, 0], plane[:, -1]])
    noise = np.sqrt(light + max(float(rim.var()), 0.01 * float(light.max())))

    def image(p: Floats) -> Floats:
        lit = [axis(np.array([at]), np.array([sigma]), side)[0][0] for at, sigma in ((p[2], p[3]), (p[4], p[5]))]
        return np.asarray(p[0] * lit[1][:, None] * lit[0] + p[1], dtype=np.float64)

    start = np.array([light.sum(), 0.0, x, wide[0], y, wide[1]])
    scale = np.array([start[0], light.max(), 1, 1, 1, 1])
    low, high = np.array([0, -np.inf, 0, 0.3, 0, 0.3]), np.array([np.inf, np.inf, side, side, side, side])
    found = least_squares(
        lambda p: ((image(p) - plane) / noise).ravel(),
        start.clip(low + 1e-6, high - 1e-6),
        bounds=(low, high),
        x_scale=scale,
        max_nfev=60,
    )
    explained = 1 - float(((image(found.x) - plane) ** 2).sum() / ((plane - plane.mean()) ** 2).sum())
    covariance = np.linalg.pinv(found.jac.T @ found.jac) * 2 * found.cost / max(plane.size - 6, 1)
    errors = np.sqrt(np.diag(covariance).clip(0))[[3, 5]]
    if explained < EXPLAINED or max(found.x[3], found.x[5]) > side / 2.5:
        return None
    return float(found.x[3]), float(found.x[5]), float(errors[0]), float(errors[1])


def curve_of(widths: Sequence[Widths]) -> Curve | None:
    """The curve through the widths of all beads, widths in px; None where too few planes have some."""
    used = [_near(one) for one in widths]
    used = [one for one in used if len(one.z_nm) >= FEWEST]
    if not used:
        return None
    first = used[0]
    ends = [float(first.z_nm[np.argmin(values)]) for values in (first.x_px, first.y_px)]
    start = [
        first.x_px.min(),
        first.y_px.min(),
        (ends[0] - ends[1]) / 2,
        max(np.ptp(first.z_nm) / 3, 1.0),
        0,
        0,
        0.1,
        0.1,
    ]
    start += [float(np.mean([one.z_nm[np.argmin(values)] for values in (one.x_px, one.y_px)])) for one in used]
    guess = np.array(start)
    low = np.array([0.1, 0.1, -2000, 20, -0.95, -0.95, 0, 0] + [-np.inf] * len(used))
    high = np.array([50, 50, 2000, 5000, 0.95, 0.95, 1, 1] + [np.inf] * len(used))
    scale = np.array([0.1, 0.1, 50, 50, 0.1, 0.1, 0.1, 0.1] + [50.0] * len(used))
    found = least_squares(
        lambda p: _away(p, used), guess.clip(low + 1e-9, high), bounds=(low, high), x_scale=scale, loss="soft_l1"
    )
    if not found.success:
        return None
    numbers = _numbers(found, used)
    foci = found.x[len(NAMES) :]
    middle = float(np.mean(foci))
    below = min(middle - float(one.z_nm.min()) for one in used)
    above = min(float(one.z_nm.max()) - middle for one in used)
    misfit = np.concatenate(
        [(seen / wanted - 1) for one, at in zip(used, foci, strict=True) for seen, wanted in _both(found.x, one, at)]
    )
    return Curve(numbers, middle, max(min(below, above), 1.0), float(np.sqrt(np.mean(misfit**2))))


def least_squares(left: Callable[[Floats], Floats], start: Floats, **more: Any) -> Any:
    """Of SciPy, whose stubs know sparse matrices only."""
    return optimize.least_squares(left, start, **more)


def _near(one: Widths) -> Widths:
    """Planes not too far from focus, which follow each other."""
    if not len(one.z_nm):
        return one
    near = np.maximum(one.x_px / np.quantile(one.x_px, 0.05), one.y_px / np.quantile(one.y_px, 0.05)) < WIDEST
    return Widths(*(getattr(one, name)[near] for name in Widths.__slots__))


def _curve(z_nm: Floats, sigma: float, c: float, d: float, terms: tuple[float, float]) -> Floats:
    u = (z_nm - c) / d
    return np.asarray(sigma * np.sqrt((1 + u**2 + terms[0] * u**3 + terms[1] * u**4).clip(1e-3)), dtype=np.float64)


def _both(p: Floats, one: Widths, focus: float) -> list[tuple[Floats, Floats]]:
    """Widths seen and expected along x and y."""
    x = _curve(one.z_nm - focus, p[0], p[2], p[3], (p[4], p[6]))
    y = _curve(one.z_nm - focus, p[1], -p[2], p[3], (p[5], p[7]))
    return [(one.x_px, x), (one.y_px, y)]


def _away(p: Floats, used: Sequence[Widths]) -> Floats:
    parts = []
    for one, focus in zip(used, p[len(NAMES) :], strict=True):
        for (seen, wanted), error in zip(_both(p, one, focus), (one.x_error, one.y_error), strict=True):
            parts.append((seen - wanted) / np.hypot(error, FLOOR * seen))
    return np.concatenate([*parts, p[4:8] / PRIOR])


def _numbers(found: Any, used: Sequence[Widths]) -> dict[str, Number]:
    jacobian, left = found.jac, found.fun
    inverse = np.linalg.pinv(jacobian.T @ jacobian)
    free = max(len(left) - len(found.x), 1)
    by_fit = np.diag(inverse) * max(float((left**2).sum()) / free, 1e-12)
    by_beads, factor = np.zeros_like(by_fit), 1.96
    if len(used) > 2:
        ends = np.cumsum([0, *(2 * len(one.z_nm) for one in used)])
        sums = np.array([jacobian[a:b].T @ left[a:b] for a, b in pairwise(ends)])
        by_beads = np.diag(inverse @ (sums.T @ sums) @ inverse) * len(used) / (len(used) - 1)
        factor = float(student.ppf(0.975, len(used) - 1)) if (by_beads > by_fit).any() else factor
    values = found.x
    floor = np.array([WIDTH_ERROR * values[at] if at in (0, 1, 3) else 0.0 for at in range(len(values))])
    error = factor * np.sqrt(np.maximum(by_fit, by_beads) + floor**2)
    return {
        name: Number(float(values[at]), float(values[at] - error[at]), float(values[at] + error[at]))
        for at, name in enumerate(NAMES)
    }


def likeness(curve: Curve, planes: NDArray[np.floating], step_nm: float, first: int) -> float:
    """Share of the light of planes (n, side, side), numbers from `first` on, that a Gaussian with this curve explains.

    Widths of the curve are in px; each plane's place, brightness and background are free.
    """
    told = curve.settings()
    left = total = 0.0
    p = np.array([told[name] for name in NAMES])
    for number, plane in enumerate(np.asarray(planes, dtype=np.float64)):
        z_nm = (number + first) * step_nm - curve.focus_nm
        if abs(z_nm) > curve.range_nm:
            continue
        at = np.array([z_nm])
        sigma_x = _curve(at, p[0], p[2], p[3], (p[4], p[6]))
        sigma_y = _curve(at, p[1], -p[2], p[3], (p[5], p[7]))
        left += _residue(plane, sigma_x, sigma_y)
        total += float(((plane - plane.mean()) ** 2).sum())
    return 1 - left / total if total > 0 else float("nan")


def _residue(plane: Floats, sigma_x: Floats, sigma_y: Floats) -> float:
    side = len(plane)
    light = plane.clip(0)
    weights = (light - 0.2 * light.max()).clip(0)
    steps = np.arange(side) + 0.5
    start = [float((weights.sum(along) * steps).sum() / weights.sum()) for along in (0, 1)]

    def apart(at: Floats) -> Floats:
        unit = axis(at[1:], sigma_y, side)[0][0][:, None] * axis(at[:1], sigma_x, side)[0][0]
        flat = np.column_stack([unit.ravel(), np.ones(unit.size)])
        return np.asarray(flat @ np.linalg.lstsq(flat, plane.ravel(), rcond=None)[0] - plane.ravel(), dtype=np.float64)

    return float((least_squares(apart, np.array(start), max_nfev=20).fun ** 2).sum())
