"""Parts that the encoder and decoder networks on the fine grid share."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from smlmbench.models.phases import Doubled

MOMENTUM = 0.01  # Keras counts the part that is kept (0.99), PyTorch the part that is new


def block(
    inside: int, outside: int, *, pool: bool = False, relu: bool = True, kind: type[nn.Sequential] = nn.Sequential
) -> nn.Sequential:
    """3 x 3 convolution without bias, batch normalisation as in Keras, and where asked for pooling by 2 and ReLU."""
    layers: list[nn.Module] = [
        nn.Conv2d(inside, outside, 3, padding=1, bias=False),
        nn.BatchNorm2d(outside, eps=1e-3, momentum=MOMENTUM),
    ]
    if pool:
        layers.append(nn.MaxPool2d(2))
    if relu:
        layers.append(nn.ReLU(inplace=True))
    return kind(*layers)


def on_fine_grid(frames: Tensor, upsampling: int) -> Tensor:
    """Repeat each camera pixel of (B, C, H, W) U times along both axes."""
    size = (frames.shape[-2] * upsampling, frames.shape[-1] * upsampling)
    fine: Tensor = functional.interpolate(frames, size=size, mode="nearest")
    return fine


def down_and_up(maps: Tensor, encoder: nn.ModuleList, bottleneck: nn.Module, decoder: nn.ModuleList) -> Tensor:
    """Through pooled blocks, the bottleneck, and blocks that each begin at the size before a pooling."""
    sizes = []
    for part in encoder:
        sizes.append(maps.shape[-2:])
        maps = part(maps)
    maps = bottleneck(maps)
    for size, part in zip(reversed(sizes), decoder, strict=True):
        if isinstance(part, Doubled):
            maps = part(maps, size)
        else:
            maps = part(functional.interpolate(maps, size=size, mode="nearest"))
    return maps


class Hourglass(nn.Module):
    """Pooled blocks, a bottleneck and as many upsampled blocks, without skips; (B, C, H, W) to (B, last, H, W).

    Args:
        encoder: Channels of the input and after each pooled block.
        decoder: Channels of the bottleneck and after each upsampled block.
        last_relu: Whether the last pooled block ends in a ReLU, as all others do.
    """

    def __init__(self, encoder: Sequence[int], decoder: Sequence[int], *, last_relu: bool = True) -> None:
        super().__init__()
        last = len(encoder) - 2
        self.encoder = nn.ModuleList(
            [block(*pair, pool=True, relu=last_relu or at < last) for at, pair in enumerate(pairwise(encoder))]
        )
        self.bottleneck = block(encoder[-1], decoder[0])
        self.decoder = nn.ModuleList([block(*pair, kind=Doubled) for pair in pairwise(decoder)])

    def forward(self, maps: Tensor) -> Tensor:
        """Features of the size of the input."""
        return down_and_up(maps, self.encoder, self.bottleneck, self.decoder)


def initialise(network: nn.Module, heads: Iterable[nn.Conv2d], *, zero_last: bool) -> None:
    """Start all convolutions orthogonal, and the output layers at zero where asked for."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.orthogonal_(module.weight)
    if zero_last:
        for head in heads:
            nn.init.zeros_(head.weight)
