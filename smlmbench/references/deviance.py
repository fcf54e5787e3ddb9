"""How far a pixel lies from what is expected of it, and how far noise alone would put it: the deviance.

It is twice the log-likelihood ratio between a model that has a mean for every pixel and one that expects mu (Huang et
al. 2011, doi:10.1364/BOE.2.001377; with read noise as in Huang et al. 2013, doi:10.1038/nmeth.2488). At few photons it
is no chi-square of one degree: its moments are integrated over what a camera makes of mu photo-electrons, a
Poisson number with normal read noise, or behind a gain register a gamma number of that shape.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc, gammaincinv, roots_hermitenorm, roots_legendre
from scipy.stats import poisson

from smlmbench.camera import Noise
from smlmbench.predictions import Floats

LEAST, MOST, NODES = 1e-3, 300.0, 64  # means that are integrated; above, moments are about those of a chi-square
TAIL = 1e-9
NORMAL, REGISTER = 31, 64  # nodes over read noise, and over what a register makes of one number of electrons
STEPS = 2  # of read noise within a factor of two, where each pixel has its own
DARKEST = 0.05  # photo-electrons, read noise counted: a mean is never darker

Values = NDArray[np.floating[Any]]


def deviance(pixels: Values, mean: Floats, noise: Noise) -> Floats:
    """Deviance of pixels from their mean, both in photo-electrons and of one shape."""
    shift = noise.added / noise.excess
    expected, seen = np.maximum(mean + shift, DARKEST), np.maximum(pixels + shift, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(seen > 0, seen * np.log(seen / expected), 0.0)
    found: Floats = 2 / noise.excess * (ratio - (seen - expected))
    return found


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean, variance and third central moment of the deviance of a pixel (3, nodes), over log mean (nodes,)."""

    log_mu: Floats
    values: Floats

    def at(self, mu: Floats) -> Floats:
        """Of pixels that expect mu, (3, ...)."""
        place = np.log(np.clip(mu, LEAST, MOST))
        return np.stack([np.interp(place, self.log_mu, one) for one in self.values])


@lru_cache(maxsize=64)
def moments(noise: Noise) -> Moments:
    """Of a camera's noise; a register's gain is told by its excess, 1 without and 2 with a high one."""
    means = np.geomspace(LEAST, MOST, NODES)
    share = float(np.clip(noise.excess - 1, 0, 1))
    table = np.zeros((NODES, 3))
    for part, register in ((1 - share, False), (share, True)):
        if part > 0:
            table += part * np.array([_moments(mu, noise, register=register) for mu in means])
    return Moments(np.log(means), table.T)


def _moments(mu: float, noise: Noise, *, register: bool) -> tuple[float, float, float]:
    low, high = (float(poisson.ppf(share, mu)) for share in (TAIL, 1 - TAIL))
    electrons = np.arange(low, high + 1)
    chance = poisson.pmf(electrons, mu)
    signal, weight = electrons[:, None], chance[:, None] * np.ones((1, 1))
    if register:
        places, parts = roots_legendre(REGISTER)
        quantiles = gammaincinv(np.maximum(electrons, 1e-9)[:, None], (places + 1) / 2)
        signal, weight = np.where(electrons[:, None] > 0, quantiles, 0.0), chance[:, None] * parts / 2
    read, often = roots_hermitenorm(NORMAL)
    pixels = signal[..., None] + np.sqrt(noise.added) * read
    weights = weight[..., None] * often / often.sum()
    apart = deviance(pixels, np.full(pixels.shape, mu), noise)
    total = weights.sum()
    mean = float((weights * apart).sum() / total)
    second, third = (float((weights * (apart - mean) ** power).sum() / total) for power in (2, 3))
    return mean, second, third


def rank(apart: Floats, mean: Floats, noise: Noise, free: int, added: Floats | None = None) -> Floats:
    """Place 0 ... 1 of deviances (n,) in their law: a gamma number from an offset on, with three moments of the pixels.

    `mean` (n, ...) is what the pixels of each fit expect; `added` of its shape their own read noise (variance), where
    they differ. Those moments of what the fit takes up, a chi-square of `free` degrees, are taken off.
    """
    law = moments(noise).at(mean) if added is None else _of_pixels(mean, noise, added)
    middle, variance, third = law.reshape(3, len(mean), -1).sum(axis=2)
    middle, variance, third = middle - free, np.maximum(variance - 2 * free, 1e-3), np.maximum(third - 8 * free, 1e-3)
    shape, scale = 4 * variance**3 / third**2, third / (2 * variance)
    found: Floats = gammainc(shape, np.maximum((apart - middle) / scale + shape, 0.0))
    return found


def _of_pixels(mean: Floats, noise: Noise, added: Floats) -> Floats:
    """Moments (3, ...) of pixels whose read noise differs, by some values of it."""
    levels = 2 ** (np.round(np.log2(np.maximum(added, TAIL)) * STEPS) / STEPS)
    found = np.empty((3, *mean.shape))
    for level in np.unique(levels):
        same = levels == level
        found[:, same] = moments(Noise(noise.excess, float(level))).at(mean[same])
    return found
