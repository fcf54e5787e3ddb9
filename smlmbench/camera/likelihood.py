"""How likely readings of pixels are where their means are known, and how that changes with the mean.

Counts behind normal read noise: ln p = ln sum over k of Poisson(k; nu) Normal(y - k; variance), whose slope by nu is
E[k | y] / nu - 1. Where many electrons or much noise leave nothing of the steps between counts, and behind a gain
register: the likelihood of Poisson numbers with the same variance (Huang et al. 2013, doi:10.1038/nmeth.2488).
"""

import math

import torch

from smlmbench.camera import Camera

STEPS = (0.1, 4.0)  # read noise: below its counts are whole, above it hides them
LEAST = 1e-5  # photo-electrons
REACH = 6.0  # in standard deviations of the read noise
CHUNK = 1 << 18  # pixels

Values = torch.Tensor


def log_likelihood(camera: Camera, pixels: Values, mean: Values, variance_e2: Values | float) -> tuple[Values, Values]:
    """Of each pixel, up to what does not depend on the mean, and its derivative by the mean; float64.

    Args:
        camera: The camera; its spurious charge is added to both.
        pixels: Readings in photo-electrons, (..., height, width).
        mean: Expected photo-electrons, > 0, of the same shape.
        variance_e2: Of the read noise, in photo-electrons squared: a number, or one of each pixel (height, width).
    """
    seen, nu = pixels.double() + camera.spurious_e, (mean + camera.spurious_e).clamp_min(LEAST)
    variance = torch.as_tensor(variance_e2, dtype=torch.float64).expand(nu.shape)
    if camera.kind == "emccd" or float(variance.max()) > STEPS[1] ** 2:
        return _like_counts(seen, nu, variance, 2 - 1 / camera.gain)
    if float(variance.max()) < STEPS[0] ** 2:
        counts = seen.round().clamp_min(0)
        return counts * nu.log() - nu, counts / nu - 1
    flat = [each.reshape(-1) for each in (seen, nu, variance)]
    parts = [_behind_noise(*(one[start : start + CHUNK] for one in flat)) for start in range(0, nu.numel(), CHUNK)]
    value, slope = (torch.cat(each).view(nu.shape) for each in zip(*parts, strict=True))
    return value, slope


def _like_counts(seen: Values, nu: Values, variance: Values, excess: float) -> tuple[Values, Values]:
    shift = variance / excess
    counts, expected = (seen + shift).clamp_min(0), nu + shift
    return (counts * expected.log() - expected) / excess, (counts / expected - 1) / excess


def _behind_noise(seen: Values, nu: Values, variance: Values) -> tuple[Values, Values]:
    """Of pixels (n,), by the counts that read noise may hide."""
    variance = variance.clamp_min(STEPS[0] ** 2)
    reach = math.ceil(REACH * math.sqrt(float(variance.max())))
    # a reading below zero tells of no counts but the first few
    counts = (seen.round() - reach).clamp_min(0).long()[:, None] + torch.arange(2 * reach + 1)
    orders = torch.lgamma(torch.arange(1, int(counts.max()) + 2, dtype=torch.float64))
    apart = (seen[:, None] - counts) ** 2 / (2 * variance)[:, None]
    chance = counts * nu.log()[:, None] - orders[counts] - apart
    value = chance.logsumexp(dim=1)
    expected = ((chance - value[:, None]).exp() * counts).sum(dim=1)
    return value - nu, expected / nu - 1
