"""Parts of the networks as the DL4SMLM package wires them (`variant: seed`), its defects included.

Convolutions with biases, each followed by batch normalisation and mostly ReLU, with PyTorch's own start and constants;
the maps of the encoders are pooled after the ReLU, and the output layers are normalised too. That package takes frames
that lie on the fine grid already; here they are brought there by nearest neighbours, after the model's normalisation.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from smlmbench.data.contracts import Given
from smlmbench.errors import ConfigError
from smlmbench.models.blocks import on_fine_grid
from smlmbench.models.normalisation import Normalisation


class SeedNetwork(nn.Module):
    """Normalisation and nearest upsampling before a network of the seed.

    Args:
        settings: As on the card.
        given: Channels, upsampling and training statistics.
    """

    def __init__(self, settings: Mapping[str, Any], given: Given) -> None:
        super().__init__()
        self.upsampling = given.upsampling
        self.normalisation = Normalisation(settings["normalisation"], given.statistics)

    def on_fine(self, frames: Tensor, frame_range: Tensor | None) -> Tensor:
        """Photons (B, C, H, W), normalised and repeated to (B, C, U*H, U*W); `frame_range` as in `Normalisation`."""
        return on_fine_grid(self.normalisation(frames, frame_range), self.upsampling)


class Trunk(nn.Module):
    """Three pooled blocks, and a decoder that upsamples before each of its first three blocks.

    So the widest block works at 1/4 of the grid, not at 1/8, and all that follow at twice the published resolution.

    Args:
        inside: Channels of the input.
        channels: Channels of the four widths, as on the card.
    """

    def __init__(self, inside: int, channels: Sequence[int]) -> None:
        super().__init__()
        first, second, third, deep = channels
        self.encoder = nn.ModuleList(
            [seed_block(*pair, pool=True) for pair in pairwise((inside, first, second, third))]
        )
        self.bottleneck = seed_block(third, deep)
        self.decoder = nn.ModuleList([seed_block(*pair) for pair in pairwise((deep, third, second, first))])

    def forward(self, maps: Tensor) -> Tensor:
        """Features of the size of the input."""
        return up_first(maps, self.encoder, self.bottleneck, self.decoder)


def up_first(maps: Tensor, encoder: nn.ModuleList, bottleneck: nn.Module, decoder: nn.ModuleList) -> Tensor:
    """Through pooled blocks, then the bottleneck and all of the decoder but its end, each after upsampling."""
    sizes = []
    for part in encoder:
        sizes.append(maps.shape[-2:])
        maps = part(maps)
    *middle, last = decoder
    for size, part in zip(reversed(sizes), (bottleneck, *middle), strict=True):
        maps = part(functional.interpolate(maps, size=size, mode="nearest"))
    features: Tensor = last(maps)
    return features


def seed_block(inside: int, outside: int, kernel: int = 3, *, relu: bool = True, pool: bool = False) -> nn.Sequential:
    """Zero-padded convolution with bias, batch normalisation, and where asked for ReLU and pooling by 2."""
    layers: list[nn.Module] = [
        nn.Conv2d(inside, outside, kernel, padding=kernel // 2),
        nn.BatchNorm2d(outside),
    ]
    if relu:
        layers.append(nn.ReLU())
    if pool:
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def widths(channels: Iterable[int], settings: Mapping[str, Any]) -> list[int]:
    """Channels times the setting `width`."""
    return [max(1, round(count * settings["width"])) for count in channels]


def refuse_ignored(card: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Refuse settings that have no meaning in the seed's wiring.

    Args:
        card: The literal of the model's file.
        settings: As given to `build`.

    Raises:
        ConfigError: One of them is not at its default.
    """
    for name in card["variants"]["variant=seed"]["ignores"]:
        default = card["settings"][name]["default"]
        if settings.get(name, default) != default:
            raise ConfigError(
                f"{name}: {settings[name]!r} has no meaning with variant seed; leave it out or take variant published"
            )


def field_px(layers: str, upsampling: int) -> float:
    """Receptive field in camera pixels of layers on the fine grid.

    Args:
        layers: From input to output: c for a 3 x 3 convolution, p for pooling by 2, u for nearest upsampling by 2.
        upsampling: Fine pixels per camera pixel along one axis.
    """
    reach = 0
    for low in range(0, max(8, upsampling), upsampling):  # poolings make positions differ within blocks of 8
        at = low
        for layer in reversed(layers):
            at = at - 1 if layer == "c" else 2 * at if layer == "p" else at // 2
        reach = max(reach, low // upsampling - at // upsampling)
    return 2.0 * reach + 1
