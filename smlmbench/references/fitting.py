"""Least-squares fits of a pixel-integrated Gaussian to many small windows at once.

Model: mu = N E_x E_y + b with E the error-function integral of each pixel; parameters x, y, N, b and, if free, sigma.
Method: Levenberg-Marquardt, one damping per window; windows that have settled drop out.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from smlmbench.predictions import Floats

ROUNDS = 40
SETTLED_PX = 1e-4
DAMPING = (1e-3, 1e-9, 1e9)
X, Y, PHOTONS, BACKGROUND, SIGMA = range(5)


@dataclass(frozen=True, slots=True)
class Fits:
    """One fit per window, all (n,); positions in pixels from the outer corner of the window's first pixel."""

    x_px: Floats
    y_px: Floats
    photons: Floats  # volume of the Gaussian, in the unit of the windows
    background: Floats  # constant per pixel, in that unit
    sigma_px: Floats  # the start where it is fixed
    settled: NDArray[np.bool_]  # whether the last step was below 1e-4 px


def fit(windows: NDArray[np.float32], x_px: Floats, y_px: Floats, sigma_px: float, *, free_sigma: bool) -> Fits:
    """Fit windows (n, s, s) in photons or counts, starting inside each at x_px and y_px (n,).

    `sigma_px` is the width, or where its fit starts (`free_sigma`).
    """
    values = np.asarray(windows, dtype=np.float64)
    found = started(values, x_px, y_px, sigma_px)
    n_free = 5 if free_sigma else 4
    damping = np.full(len(values), DAMPING[0])
    settled = np.zeros(len(values), dtype=bool)
    model, slopes = modelled(found, values.shape[1], n_free)
    misfit = ((values - model) ** 2).sum(axis=(1, 2))
    for _ in range(ROUNDS):
        rows = np.flatnonzero(~settled)
        if not len(rows):
            break
        step = stepped(slopes[rows], (values[rows] - model[rows]).reshape(len(rows), -1), damping[rows])
        trial = found[rows].copy()
        trial[:, :n_free] += step
        usable = np.isfinite(trial).all(axis=1) & (trial[:, SIGMA] > 0.1 * sigma_px)
        trial[~usable] = found[rows][~usable]
        new_model, new_slopes = modelled(trial, values.shape[1], n_free)
        new_misfit = ((values[rows] - new_model) ** 2).sum(axis=(1, 2))
        better = usable & (new_misfit <= misfit[rows])
        taken = rows[better]
        found[taken], model[taken], slopes[taken] = trial[better], new_model[better], new_slopes[better]
        misfit[taken] = new_misfit[better]
        damping[rows] = np.clip(damping[rows] * np.where(better, 0.2, 10), DAMPING[1], DAMPING[2])
        small = np.abs(step[:, [X, Y]]).max(axis=1) < SETTLED_PX
        settled[rows] = (better & small) | (damping[rows] >= DAMPING[2])
    good = settled & (damping < DAMPING[2])
    return Fits(found[:, X], found[:, Y], found[:, PHOTONS], found[:, BACKGROUND], found[:, SIGMA], good)


def started(values: Floats, x_px: Floats, y_px: Floats, sigma_px: float) -> Floats:
    """Parameters (n, 5) from the median of the rim as background and the pixel at the place as peak."""
    n = len(values)
    rim = np.concatenate((values[:, 0], values[:, -1], values[:, 1:-1, 0], values[:, 1:-1, -1]), axis=1)
    background = np.median(rim, axis=1)
    peak = values[np.arange(n), y_px.astype(int), x_px.astype(int)] - background
    found = np.empty((n, 5))
    found[:, X], found[:, Y] = x_px, y_px
    found[:, PHOTONS] = np.maximum(peak, 1e-6) * 2 * np.pi * sigma_px**2
    found[:, BACKGROUND] = background
    found[:, SIGMA] = sigma_px
    return found


def axis(place: Floats, sigma: Floats, side: int) -> tuple[Floats, Floats, Floats]:
    """Share of the light in each of `side` pixels (n, s), and its derivatives by place and sigma (n,), in pixels."""
    distance = np.arange(side + 1) - place[:, None]
    scaled = distance / sigma[:, None]
    below = erf(scaled / np.sqrt(2)) / 2
    bell = np.exp(-(scaled**2) / 2) / (sigma[:, None] * np.sqrt(2 * np.pi))
    light = np.asarray(np.diff(below, axis=1), dtype=np.float64)
    return light, -np.diff(bell, axis=1), -np.diff(scaled * bell, axis=1)


def modelled(found: Floats, side: int, n_free: int) -> tuple[Floats, Floats]:
    """Expected pixels (n, s, s) and their derivatives (n, s * s, n_free)."""
    along_x, x_by_place, x_by_sigma = axis(found[:, X], found[:, SIGMA], side)
    along_y, y_by_place, y_by_sigma = axis(found[:, Y], found[:, SIGMA], side)
    photons = found[:, PHOTONS, None, None]
    unit = along_y[:, :, None] * along_x[:, None, :]
    slopes = np.empty((len(found), side, side, n_free))
    slopes[..., X] = photons * along_y[:, :, None] * x_by_place[:, None, :]
    slopes[..., Y] = photons * y_by_place[:, :, None] * along_x[:, None, :]
    slopes[..., PHOTONS] = unit
    slopes[..., BACKGROUND] = 1
    if n_free > SIGMA:
        by_sigma = y_by_sigma[:, :, None] * along_x[:, None, :] + along_y[:, :, None] * x_by_sigma[:, None, :]
        slopes[..., SIGMA] = photons * by_sigma
    model = photons * unit + found[:, BACKGROUND, None, None]
    return model, slopes.reshape(len(found), side * side, n_free)


def stepped(slopes: Floats, residual: Floats, damping: Floats) -> Floats:
    """Damped Gauss-Newton step (n, n_free)."""
    transposed = slopes.transpose(0, 2, 1)
    normal = transposed @ slopes
    gradient = transposed @ residual[:, :, None]
    diagonal = np.einsum("nii->ni", normal)
    diagonal *= 1 + damping[:, None]
    diagonal += 1e-12  # a window without light has no slope
    return np.asarray(np.linalg.solve(normal, gradient)[:, :, 0], dtype=np.float64)
