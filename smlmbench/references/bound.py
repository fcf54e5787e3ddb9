"""The Cramér-Rao bound of an emitter's position beside its neighbours: what no unbiased estimate undercuts.

From the joint Fisher matrix of x, y and photons of an emitter and of its close neighbours and of their background, on
the pixels of the emitter's own window: I = sum_k w_k dmu_k dmu_k', w = 1 / variance (Smith et al. 2010,
doi:10.1038/nmeth.1449; with neighbours Ram et al. 2006, doi:10.1073/pnas.0508047103). A bound for one emitter alone is
far too good below three widths of the PSF.
"""

from dataclasses import dataclass

import numpy as np

from smlmbench.predictions import Floats, Ints
from smlmbench.references.fitting import axis

AT_ONCE = 2**20  # values of derivatives


@dataclass(frozen=True, slots=True)
class Windows:
    """Square windows around emitters, in camera pixels.

    Attributes:
        x_px, y_px: The emitter from the outer corner of its window, (n,).
        left, top: First column and line of the window, (n,).
        weights: 1 / variance of every pixel, 0 outside the field, (n, side, side).
    """

    x_px: Floats
    y_px: Floats
    left: Ints
    top: Ints
    weights: Floats


def position_bounds(windows: Windows, photons: Floats, near: Ints, sigma_px: float) -> tuple[Floats, Floats]:
    """Standard deviations of x and y in pixels, (n,) each.

    `near` are the neighbours whose places are unknown too, (n, most), -1 for none, the nearest first. That the emitter
    lies in its window is known, so the bound of one without light is half the window's side.
    """
    found = np.empty((2, len(photons)))
    neighbours = (near >= 0).sum(axis=1)
    for count in np.unique(neighbours):
        rows = np.flatnonzero(neighbours == count)
        each = max(1, AT_ONCE // ((3 * int(count) + 4) * windows.weights[0].size))
        for start in range(0, len(rows), each):
            some = rows[start : start + each]
            found[:, some] = _bounds(windows, photons, np.column_stack([some, near[some, :count]]), sigma_px)
    return found[0], found[1]


def _bounds(windows: Windows, photons: Floats, who: Ints, sigma_px: float) -> Floats:
    """Bounds (2, n) of the first of each row of emitters (n, together), in its window."""
    n, together = who.shape
    side, own = windows.weights.shape[1], who[:, :1]
    sigma = np.full(who.size, sigma_px)
    x_px, y_px = (
        (at[who] + (start[who] - start[own])).reshape(-1)
        for at, start in ((windows.x_px, windows.left), (windows.y_px, windows.top))
    )
    (along_x, x_slope), (along_y, y_slope) = (axis(at, sigma, side)[:2] for at in (x_px, y_px))
    slopes = np.ones((n, 3 * together + 1, side, side))
    parts = slopes[:, : 3 * together].reshape(n, together, 3, side, side)
    for at, (down, across) in enumerate(((along_y, x_slope), (y_slope, along_x), (along_y, along_x))):
        parts[:, :, at] = (down[:, :, None] * across[:, None, :]).reshape(n, together, side, side)
    parts[:, :, :2] *= photons[who][:, :, None, None, None]
    flat = slopes.reshape(n, -1, side * side)
    known = (flat * windows.weights[own[:, 0]].reshape(n, 1, -1)) @ flat.transpose(0, 2, 1)
    diagonal = np.einsum("nii->ni", known)
    diagonal += 1e-12  # emitters at one place, or without light
    diagonal[:, np.append(np.arange(3 * together) % 3 < 2, False)] += (2 / side) ** 2
    inverse = np.linalg.inv(known)
    return np.sqrt(np.stack([inverse[:, 0, 0], inverse[:, 1, 1]]))
