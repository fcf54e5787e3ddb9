"""What networks that answer a Gaussian mixture share: photons in, frames of a window, and the ten maps out."""

import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from smlmbench.data.contracts import Given
from smlmbench.outputs.gaussian_mixture import LEAST_SIGMA, LOGIT, SIGMA_SPAN

MEAN_OVER_HIGH, DYNAMIC = 0.5, 50.0


class PhotonScaling(nn.Module):
    """(photons - background) / (mean photons of an emitter / 50), its two constants in the state.

    The mean is taken as half of what 99.9 % of the emitters that are taught stay below, the background as the mean of
    pixels, or what the background is at most where that is less. Where photons are not taught it is the z-score of
    training pixels.
    """

    offset: Tensor
    scale: Tensor

    def __init__(self, given: Given) -> None:
        super().__init__()
        high, statistics = given.output.get("photons_high"), given.statistics
        offset = min(statistics.mean, float(given.output.get("background_high", math.inf)))
        scale = statistics.std if high is None else MEAN_OVER_HIGH * float(high) / DYNAMIC
        self.register_buffer("offset", torch.tensor(float(offset)))
        self.register_buffer("scale", torch.tensor(float(scale)))

    def forward(self, frames: Tensor) -> Tensor:
        """Scale photons (B, C, H, W)."""
        return (frames - self.offset) / self.scale


class MixtureHeads(nn.Module):
    """Four heads of 3 x 3 convolution with ELU and 1 x 1 convolution: features (B, C, H, W) to raw (B, 10, H, W).

    p is a sigmoid of a logit within +-8, photons and background are sigmoids, x, y and z tanh, sigmas `span` times
    sigmoid + 0.001; in float32 whatever the convolutions are computed in.
    """

    MAPS = (1, 4, 4, 1)

    def __init__(self, channels: int, span: float = SIGMA_SPAN) -> None:
        super().__init__()
        self.span = span
        self.heads = nn.ModuleList(
            [
                nn.Sequential(
                    nn.Conv2d(channels, channels, 3, padding=1), nn.ELU(inplace=True), nn.Conv2d(channels, maps, 1)
                )
                for maps in self.MAPS
            ]
        )

    @property
    def last(self) -> list[nn.Conv2d]:
        """The last convolution of each head, that of p first."""
        return [cast("nn.Conv2d", cast("nn.Sequential", head)[-1]) for head in self.heads]

    def forward(self, features: Tensor) -> Tensor:
        """The ten maps of `gaussian_mixture`."""
        p, means, sigmas, background = (head(features).float() for head in self.heads)
        parts = (
            p.clamp(-LOGIT, LOGIT).sigmoid(),
            means[:, :1].sigmoid(),
            means[:, 1:].tanh(),
            sigmas.sigmoid() * self.span + LEAST_SIGMA,
            background.sigmoid(),
        )
        return torch.cat(parts, dim=1)


def start(network: nn.Module, heads: MixtureHeads, p_bias: float, share: float) -> None:
    """Kaiming's normal start (fan-in) of all convolutions, a share of it in the last of heads, and the bias of p."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
    with torch.no_grad():
        for last in heads.last:
            last.weight.mul_(share)
        cast("nn.Parameter", heads.last[0].bias).fill_(p_bias)


def of_each_frame(frames: Tensor, context: int, network: Callable[[Tensor], Tensor], *, once: bool = True) -> Tensor:
    """What a network makes of each frame of windows (B, context * C, H, W), joined: (B, context * F, h, w).

    Windows that follow each other share frames. These are computed `once`: the answer is the same, unless the network
    normalises over its batch.
    """
    count, channels, height, width = frames.shape
    windows = frames.reshape(count, context, channels // context, height, width)
    if once and _follow(windows):
        made = network(torch.cat((windows[0], windows[1:, -1])))
        return torch.cat([made[at : at + count] for at in range(context)], dim=1)
    made = network(windows.flatten(0, 1))
    return made.reshape(count, -1, *made.shape[-2:])


def _follow(windows: Tensor) -> bool:
    if torch.compiler.is_compiling() or len(windows) < 2 or windows.shape[1] < 2:
        return False
    return torch.equal(windows[1:, :-1], windows[:-1, 1:])
