"""A network made ready for use: batch normalisation folded into the convolution before it, kernels made once.

The numbers are the same to float rounding; maps are written once instead of twice. Only networks of this package are
changed: a plug-in may use the layers of its blocks in ways that cannot be seen from outside.
"""

import copy
from itertools import pairwise

import torch
from torch import nn

from smlmbench.models.doubled import Doubled

OWN = "smlmbench.models."


def is_own(network: nn.Module) -> bool:
    """Whether a network is of this package."""
    return type(network).__module__.startswith(OWN)


@torch.no_grad()
def folded(network: nn.Module) -> nn.Module:
    """A copy for inference; layers that cannot be folded stay as they are.

    A plug-in is returned itself, and so is a network in training mode, whose statistics are those of a batch.
    """
    if network.training or not is_own(network):
        return network
    made = copy.deepcopy(network)
    for part in list(made.modules()):
        if isinstance(part, nn.Sequential):
            _fold(part)
        if isinstance(part, Doubled):
            part.settle()
    return made.eval()


def _fold(part: nn.Sequential) -> None:
    for at, (convolution, norm) in enumerate(pairwise(part)):
        if not (type(convolution) is nn.Conv2d and type(norm) is nn.BatchNorm2d):
            continue
        mean, variance = norm.running_mean, norm.running_var
        if mean is None or variance is None or norm.training:
            continue
        scale = (variance.cpu().double() + norm.eps).rsqrt()  # on the processor: MPS has no float64
        shift = -mean.cpu().double() * scale
        if norm.weight is not None:
            scale, shift = scale * norm.weight.cpu(), shift * norm.weight.cpu() + norm.bias.cpu()
        if convolution.bias is not None:
            shift = shift + convolution.bias.cpu() * scale
        weight = convolution.weight
        weight.copy_((weight.cpu().double() * scale[:, None, None, None]).to(weight.dtype))
        convolution.bias = nn.Parameter(shift.to(weight.dtype).to(weight.device), requires_grad=False)
        part[at + 1] = nn.Identity()
