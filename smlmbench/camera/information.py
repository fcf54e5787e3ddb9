"""Information of a pixel about its mean: weights of the Fisher matrix for what a camera adds to the photons' noise.

A pixel that expects mu photo-electrons tells w(mu) = alpha(mu) / mu of them, the Fisher information of one reading
about mu; alpha is 1 for Poisson counts and lower for every camera. The density of a reading is integrated: Poisson
counts behind normal read noise (sCMOS), or behind an exponential register and read noise (EMCCD). Beyond the tables, w
is the information of a reading and its square, which is exact to 1e-3 there.

The analogue signal is meant: steps in ADU are counted only where the camera is a `phone`, as a variance of a step's
square over twelve; clipping and compression never are.
"""

import math
from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline, RectBivariateSpline
from scipy.special import i0e, i1e
from scipy.stats import norm, poisson

from smlmbench.camera import Camera

Floats = NDArray[np.float64]
LEAST, MOST, END = 1e-5, 200.0, 1e6  # photo-electrons: integrated from the first to the second, tabulated to the third
NODES, FINE, COARSE = 150, 8192, 512  # means that are integrated; places of a table, and of the one for all sigmas
SIGMAS = (0.1, 4.0)  # read noise of sCMOS: below its counts are whole, above two moments tell everything
LARGEST = 12.0  # the same end for EMCCD, in units of the gain
NOISES, NOISIEST = 640, 1000.0  # rows of the table for all sigmas, and the last one, which tells next to nothing
FLOOR = 1e-9  # of the mean, so that no weight is infinite
CHUNK = 1 << 14  # pixels that stay in the cache
LOW, HIGH = math.log(LEAST), math.log(END)


def fisher_weights(camera: Camera, mu: Floats, variance_e2: Floats | None = None) -> Floats:
    """Fisher information of each pixel about its mean, to 1e-3 of its value.

    Args:
        camera: The camera; its spurious charge is added to `mu`.
        mu: Expected detected photo-electrons (any shape, >= 0, finite).
        variance_e2: Variance of the read noise in photo-electrons squared (shape that broadcasts against `mu`), for a
            camera without a gain register whose pixels differ; None takes the camera's, with maps those of frames
            (..., height, width).

    Returns:
        alpha / (mu + spurious_e) in 1 / photo-electrons^2, finite, with the shape of `mu` and the variance together.

    Raises:
        ValueError: A mean or a variance is negative or not finite, or a variance is given for a gain register.
    """
    mean = np.asarray(mu, np.float64)
    if mean.size and not (mean.min() >= 0 and mean.max() < np.inf):
        raise ValueError("expected photo-electrons must be finite and >= 0")
    if variance_e2 is None and camera.maps is not None:
        variance_e2 = camera.variance_map(mean.shape[-2:])
    if variance_e2 is not None:
        return _of_pixels(camera, mean, np.asarray(variance_e2, np.float64))
    register, sigma = camera.kind == "emccd", math.sqrt(camera.variance_map((1, 1)).item())
    if camera.kind == "ideal" or (not register and sigma < SIGMAS[0]):
        return np.asarray(1 / np.maximum(mean + camera.spurious_e, FLOOR))
    return _looked_up(mean, camera.spurious_e, _table(register, sigma), least=FLOOR if register else LEAST)


def _looked_up(mean: Floats, spurious: float, table: tuple[Floats, Floats], *, least: float) -> Floats:
    """Interpolate a table of alpha and its steps over log mu; below `least` the weight stays what it is there."""
    found = np.empty(mean.shape)
    flat, out = mean.reshape(-1), found.reshape(-1)
    for start in range(0, flat.size, CHUNK):
        nu = np.maximum(flat[start : start + CHUNK] + spurious, FLOOR)
        left, place = _places(nu, FINE)
        place *= table[1].take(left)
        place += table[0].take(left)
        np.divide(place, np.maximum(nu, least, out=nu), out=out[start : start + CHUNK])
    return found


def _places(nu: Floats, count: int) -> tuple[NDArray[np.int64], Floats]:
    """Where means lie on a table's `count` places over log nu: the place before, and the share of the way on."""
    place = np.log(nu)
    place -= LOW
    place *= (count - 1) / (HIGH - LOW)
    np.clip(place, 0, count - 1.001, out=place)
    left = place.astype(np.int64)
    place -= left
    return left, place


def _two_moments(nu: Floats, variance: Floats | float, *, register: bool) -> Floats:
    """Information of a reading and its square about nu: a lower bound that is exact for many electrons or much noise.

    Their covariance is made of the cumulants of nu electrons, each behind the register or not, and the read noise.
    """
    second, third, fourth = (2.0, 6.0, 24.0) if register else (1.0, 1.0, 1.0)
    spread = second * nu + variance
    square = fourth * nu + 2 * spread**2
    told = square - 2 * second * third * nu + second**2 * spread
    return np.asarray(told / (spread * square - (third * nu) ** 2))


@cache
def _table(register: bool, sigma: float) -> tuple[Floats, Floats]:
    """Alpha on `FINE` places, equal steps of log nu from `LEAST` to `END`, and the steps to the next."""
    fine = np.linspace(LOW, HIGH, FINE)
    nu = np.exp(fine)
    alpha = nu * _two_moments(nu, sigma**2, register=register)
    if sigma <= (LARGEST if register else SIGMAS[1]):
        nodes, near = _nodes(), nu <= MOST
        means = np.exp(nodes)
        exact = means * (_behind_a_register(means, sigma) if register else _behind_read_noise(means, sigma))
        alpha[near] = CubicSpline(nodes, exact)(fine[near])
    return alpha, np.diff(alpha, append=alpha[-1])


def _nodes() -> Floats:
    """Logarithms of the means that are integrated."""
    return np.linspace(LOW, math.log(MOST), NODES)


def _behind_read_noise(nu: Floats, sigma: float) -> Floats:
    """Information about nu (n,) of Poisson counts plus normal noise.

    Readings are whole numbers plus a rest, so only the few counts near to one are looked at.
    """
    reach = math.ceil(8 * sigma + 0.5)
    most = math.ceil(nu.max() + 10 * math.sqrt(nu.max()) + 20)
    counts = np.arange(-2 * reach, most + 1)
    chance = poisson.pmf(counts, nu[:, None])
    slope = poisson.pmf(counts - 1, nu[:, None]) - chance
    n = max(4, math.ceil(5 / sigma))
    rest = (np.arange(n) + 0.5) / n - 0.5
    kernel = norm.pdf(rest, np.arange(-reach, reach + 1)[:, None], sigma)
    density, change = (sliding_window_view(each, 2 * reach + 1, axis=1) @ kernel for each in (chance, slope))
    return np.asarray(_information(density, change, np.full(n, 1 / n)).sum(axis=1))


def _behind_a_register(nu: Floats, sigma: float) -> Floats:
    """Information about nu (n,) of Poisson counts behind an exponential register of gain 1 plus normal noise."""
    x, weight = _readings(max(sigma, 1e-4), nu.max())
    around, share = np.polynomial.legendre.leggauss(int(24 + 16 * sigma))
    sigma = max(sigma, 1e-4)
    low, high = np.maximum(x - 8.5 * sigma, 0)[:, None], np.maximum(x + 8.5 * sigma, 0)[:, None]
    charge = (high + low) / 2 + (high - low) / 2 * around
    kernel = norm.pdf(x[:, None], charge, sigma) * (high - low) / 2 * share
    dark = norm.pdf(x, 0, sigma)
    found = np.empty(nu.shape)
    for i, mean in enumerate(nu):
        root = 2 * np.sqrt(mean * charge)
        scale = kernel * np.exp(root - mean - charge)
        first = i1e(root) * np.sqrt(mean / np.maximum(charge, 1e-300))
        density = (scale * first).sum(axis=1) + math.exp(-mean) * dark
        change = (scale * (i0e(root) - first)).sum(axis=1) - math.exp(-mean) * dark
        found[i] = _information(density, change, weight)
    return found


def _readings(sigma: float, most: float) -> tuple[Floats, Floats]:
    """Readings behind the register and their weights in an integral: panels that widen away from zero."""
    end = most + 12 * math.sqrt(2 * most) + 40 + 9 * sigma
    edges = [-9 * sigma]
    while edges[-1] < end:
        edges.append(edges[-1] + max(sigma, min(0.15 * abs(edges[-1]), 3.0)))
    around, share = np.polynomial.legendre.leggauss(6)
    half, middle = np.diff(edges)[:, None] / 2, (np.array(edges[1:]) + edges[:-1])[:, None] / 2
    return (middle + half * around).ravel(), (half * share).ravel()


def _information(density: Floats, change: Floats, weight: Floats) -> Floats:
    """Integral of (d density / d nu)^2 / density over the last axis."""
    return np.asarray(np.divide(change**2, density, out=np.zeros_like(density), where=density > 1e-290) @ weight)


@cache
def _field() -> Floats:
    """Alpha of sCMOS over log sigma (`NOISES`) and log nu (`COARSE`)."""
    sigmas, nodes = np.log(np.geomspace(SIGMAS[0], SIGMAS[1], 40)), _nodes()
    means = np.exp(nodes)
    exact = RectBivariateSpline(
        sigmas, nodes, np.stack([means * _behind_read_noise(means, sigma) for sigma in np.exp(sigmas)])
    )
    rows, fine = np.linspace(sigmas[0], math.log(NOISIEST), NOISES), np.linspace(LOW, HIGH, COARSE)
    nu = np.exp(fine)
    alpha = nu * _two_moments(nu, np.exp(2 * rows)[:, None], register=False)
    low, near = np.count_nonzero(rows <= sigmas[-1]), np.count_nonzero(nu <= MOST)
    alpha[:low, :near] = exact(rows[:low], fine[:near])
    return np.asarray(alpha)


def _of_pixels(camera: Camera, mean: Floats, variance: Floats) -> Floats:
    """The weights where every pixel has a read noise of its own; frames that share a variance are taken together."""
    if camera.kind == "emccd":
        raise ValueError("a variance for each pixel has no part in kind: emccd; give kind: scmos")
    if variance.size and not (variance.min() >= 0 and variance.max() < np.inf):
        raise ValueError("variances of the read noise must be finite and >= 0")
    low, high = math.log(SIGMAS[0]), math.log(NOISIEST)
    row = (np.log(np.clip(variance, SIGMAS[0] ** 2, NOISIEST**2)) / 2 - low) / (high - low) * (NOISES - 1)
    upper = np.minimum(row.astype(np.int64), NOISES - 2)
    shape = np.broadcast_shapes(mean.shape, variance.shape)
    start, down = (np.broadcast_to(each, shape).reshape(-1) for each in (upper * COARSE, row - upper))
    flat, found = np.broadcast_to(mean, shape).reshape(-1), np.empty(shape)
    out, table = found.reshape(-1), _field().reshape(-1)
    for first in range(0, flat.size, CHUNK):
        part = slice(first, first + CHUNK)
        nu = np.maximum(flat[part] + camera.spurious_e, FLOOR)
        left, right = _places(nu, COARSE)
        left += start[part]
        near, below = (table.take(left + on) for on in (0, COARSE))
        near += (table.take(left + 1) - near) * right
        below += (table.take(left + COARSE + 1) - below) * right
        near += (below - near) * down[part]
        np.divide(near, np.maximum(nu, LEAST, out=nu), out=out[part])
    return found
