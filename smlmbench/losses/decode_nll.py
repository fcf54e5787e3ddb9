"""DECODE's loss: how likely the true emitters are under the mixture that the pixels make, their number, the background.

Written on lists that are as long as the longest of the batch, in the logarithm: padding to a fixed number of emitters
would give the same value and cost as much more as it is longer.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

CARD = {
    "version": 1,
    "summary": "Likelihood of the true emitters under a Gaussian mixture, of their number, and background error.",
    "settings": {
        "count": {
            "default": "times_n",
            "choices": ["times_n", "once"],
            "help": "weight of the number's likelihood: times_n, that of its emitters (the authors' code), or once",
        },
    },
    "accepts": ["gaussian_mixture"],
    "paper": (
        "Speiser, Mueller et al. 2021, Deep learning enables fast and dense single-molecule localization with "
        "high accuracy. Nature Methods 18:1082"
    ),
    "doi": "10.1038/s41592-021-01236-x",
    "fidelity": "verified",
    "deviations": ["photons, depth and background are left out where they are unknown"],
}

# Maps of raw output, as `gaussian_mixture` says; x and y are the second and third of the means.
PROBABILITY, MEANS, SIGMAS, BACKGROUND = 0, slice(1, 5), slice(5, 9), 9
X, Y = 1, 2
LEAST_SIGMA = 0.001
SURE = 1 / (1 + math.exp(8.0))  # p of a network lies between this and 1 - this
HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class MixtureLikelihood(nn.Module):
    """Minus the logarithm of the likelihood, and the squared error of the background.

    The mean over the batch of

        - N log Normal(N; sum p, sum p (1 - p))
        - sum over emitters log sum over pixels p / sum p Normal(u; mu, sigma)
        + sum over pixels (background - true)^2

    u are photons, x, y and z of an emitter, as far as they are known; mu and sigma those of a pixel, its centre added
    to x and y; N is the number of emitters.

    Source:
        Speiser, Mueller et al. 2021, doi:10.1038/s41592-021-01236-x, and the factor N of the authors' loss.py.
    """

    def __init__(self, count: str) -> None:
        super().__init__()
        self.count = count

    def forward(self, raw: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`loss` and its parts `count`, `located`, `background`; raw (B, 10, H, W), targets of `gaussian_mixture`."""
        raw = raw.float()
        p = raw[:, PROBABILITY].clamp(SURE, 1 - SURE)
        number, expected = targets["present"].sum(1), p.sum((1, 2))
        spread = (p * (1 - p)).sum((1, 2))
        count = 0.5 * (number - expected).square() / spread + 0.5 * spread.log() + HALF_LOG_2PI
        count = (count * (number if self.count == "times_n" else 1.0)).mean()
        weights = (p.log() - expected.log()[:, None, None]).flatten(1)
        located = -(log_density(raw, weights, targets["emitters"]) * targets["present"]).sum(1).mean()
        apart = raw[:, BACKGROUND] - targets["background"][:, None, None]
        background = apart.nan_to_num(0.0).square().sum((1, 2)).mean()
        parts = {"count": count, "located": located, "background": background}
        return {"loss": count + located + background} | {name: part.detach() for name, part in parts.items()}


def log_density(raw: Tensor, weights: Tensor, emitters: Tensor) -> Tensor:
    """Logarithm (B, N) of the mixture at each emitter (B, N, 4), with log weights (B, H W) of the pixels."""
    means = raw[:, MEANS] + _centres(raw)
    sigmas = raw[:, SIGMAS].clamp_min(LEAST_SIGMA)
    means, sigmas = means.flatten(2)[:, :, None], sigmas.flatten(2)[:, :, None]  # (B, 4, 1, H W)
    logs, narrow = sigmas.log() + HALF_LOG_2PI, math.sqrt(0.5) / sigmas
    total = weights[:, None]
    for axis in range(4):
        at = emitters[:, :, axis, None]
        known = at.isfinite()
        apart = (torch.where(known, at, torch.zeros_like(at)) - means[:, axis]) * narrow[:, axis]
        total = total - (apart.square() + logs[:, axis]) * known
    return torch.logsumexp(total, dim=2)


def _centres(raw: Tensor) -> Tensor:
    """Centres of pixels for x and y, 0 for photons and z: (4, H, W)."""
    height, width = raw.shape[-2:]
    centres = raw.new_zeros(4, height, width)
    centres[X] = torch.arange(width, device=raw.device) + 0.5
    centres[Y] = (torch.arange(height, device=raw.device) + 0.5)[:, None]
    return centres


def build(settings: Mapping[str, Any], output_settings: Mapping[str, Any]) -> nn.Module:
    """Make the loss, called as loss(raw, targets) with the lists of `gaussian_mixture`; its settings are not needed."""
    del output_settings
    return MixtureLikelihood(settings["count"])
