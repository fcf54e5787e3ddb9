"""Parts of the networks, as published and as the DL4SMLM package wires them (`variant: seed`), its defects included.

Of the seed: convolutions with biases, each followed by batch normalisation and mostly ReLU, with PyTorch's own start
and constants; the maps of the encoders are pooled after the ReLU, and the output layers are normalised too. It takes
frames that lie on the fine grid already; here they are brought there by nearest neighbours, after normalisation.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from smlmbench.data.contracts import Given, Settings
from smlmbench.errors import ConfigError
from smlmbench.models.doubled import Doubled
from smlmbench.models.normalisation import Normalisation

MOMENTUM = 0.01  # Keras counts the part that is kept (0.99), PyTorch the part that is new


class FineNetwork(nn.Module, ABC):
    """A network on the fine grid: frames are normalised and brought there, then its `_answer` is asked.

    Args:
        settings: As on the card; the attribute `seed` tells whether they choose that variant.
        given: Channels, upsampling and training statistics, and of the output its `colours`, for each of which there
            is a map (1 where it has no such setting).
    """

    interpolation = "nearest"

    def __init__(self, settings: Settings, given: Given) -> None:
        super().__init__()
        self.seed: bool = settings["variant"] == "seed"
        self.upsampling = given.upsampling
        self.colours = int(given.output.get("colours", 1))
        self.normalisation = Normalisation(settings["normalisation"], given.statistics)

    def forward(self, frames: Tensor, frame_range: Tensor | None = None) -> Tensor:
        """Map photons (B, C, H, W) to spikes (B, K, U*H, U*W) in label units; `frame_range` as in `Normalisation`."""
        size = (frames.shape[-2] * self.upsampling, frames.shape[-1] * self.upsampling)
        # Without align_corners all modes keep pixel edges in place, so fine pixel j stays centred at (j + 0.5) / U.
        normalised = self.normalisation(frames, frame_range)
        raw = self._answer(functional.interpolate(normalised, size=size, mode=self.interpolation))
        # an exported graph cannot answer sides that do not pool: it says so
        return raw.view(frames.shape[0], self.colours, *size)

    @abstractmethod
    def _answer(self, fine: Tensor) -> Tensor:
        """(B, C, U*H, U*W) to (B, K, U*H, U*W) of K colours."""

    def _end(self, channels: int, kernel: int, settings: Settings, *, seed_relu: bool = False) -> None:
        """Add the output layer `head` after all others and start them; the seed's is normalised, else it is linear."""
        if self.seed:
            self.head: nn.Module = seed_block(channels, self.colours, kernel, relu=seed_relu)
        else:
            self.head = head = nn.Conv2d(channels, self.colours, kernel, padding=kernel // 2, bias=False)
            initialise(self, [head], zero_last=settings["zero_last"])


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


def seed_block(inside: int, outside: int, kernel: int = 3, *, relu: bool = True, pool: bool = False) -> nn.Sequential:
    """Zero-padded convolution with bias, batch normalisation, and where asked for ReLU and pooling by 2."""
    layers: list[nn.Module] = [nn.Conv2d(inside, outside, kernel, padding=kernel // 2), nn.BatchNorm2d(outside)]
    if relu:
        layers.append(nn.ReLU(inplace=True))
    if pool:
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


class Hourglass(nn.Module):
    """Pooled blocks, a bottleneck and as many upsampled blocks, without skips; (B, C, H, W) to (B, last, H, W).

    Args:
        encoder: Channels of the input and after each pooled block.
        decoder: Channels of the bottleneck and after each upsampled block.
        last_relu: Whether the last pooled block ends in a ReLU, as all others do.
        seed: Whether its blocks are `seed_block`.
        early: Upsample before the bottleneck, and not before the last block: so the seed's Deep-STORM has its widest
            block at 1/4 of the grid, not at 1/8, and all that follow at twice the published resolution.
    """

    def __init__(
        self,
        encoder: Sequence[int],
        decoder: Sequence[int],
        *,
        last_relu: bool = True,
        seed: bool = False,
        early: bool = False,
    ) -> None:
        super().__init__()
        self.early = early
        part, up = (seed_block, seed_block) if seed else (block, partial(block, kind=Doubled))
        last = len(encoder) - 2
        self.encoder = nn.ModuleList(
            [part(*pair, pool=True, relu=last_relu or at < last) for at, pair in enumerate(pairwise(encoder))]
        )
        self.bottleneck = part(encoder[-1], decoder[0])
        self.decoder = nn.ModuleList([up(*pair) for pair in pairwise(decoder)])

    def forward(self, maps: Tensor) -> Tensor:
        """Features of the size of the input."""
        return down_and_up(maps, self.encoder, (self.bottleneck, *self.decoder), early=self.early)


def down_and_up(maps: Tensor, encoder: Iterable[nn.Module], rest: Iterable[nn.Module], *, early: bool) -> Tensor:
    """Through pooled blocks and the rest, of which all but the last (`early`) or the first are upsampled before."""
    sizes: list[Sequence[int]] = []
    for part in encoder:
        sizes.insert(0, maps.shape[-2:])
        maps = part(maps)
    for size, part in zip((*sizes, None) if early else (None, *sizes), rest, strict=True):
        if size is None:
            maps = part(maps)
        elif isinstance(part, Doubled):
            maps = part(maps, size)
        else:
            maps = part(functional.interpolate(maps, size=size, mode="nearest"))
    return maps


def initialise(network: nn.Module, heads: Iterable[nn.Conv2d], *, zero_last: bool) -> None:
    """Start all convolutions orthogonal, and the output layers at zero where asked for."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.orthogonal_(module.weight)
    if zero_last:
        for head in heads:
            nn.init.zeros_(head.weight)


def widths(channels: Iterable[int], settings: Settings) -> list[int]:
    """Channels times the setting `width`."""
    return [max(1, round(count * settings["width"])) for count in channels]


def refuse_ignored(card: Settings, settings: Settings) -> None:
    """Raise ConfigError where variant seed is chosen with a setting that has no meaning there (`ignores` of a CARD)."""
    if settings["variant"] != "seed":
        return
    for name in card["variants"]["variant=seed"]["ignores"]:
        default = card["settings"][name]["default"]
        if settings.get(name, default) != default:
            raise ConfigError(
                f"{name}: {settings[name]!r} has no meaning with variant seed; leave it out or take variant published"
            )


def field_px(layers: str, upsampling: int) -> float:
    """Receptive field in camera pixels of layers on the fine grid.

    From input to output: c for a 3 x 3 convolution, p for pooling by 2, u for nearest upsampling by 2.
    """
    reach = 0
    for low in range(0, max(8, upsampling), upsampling):  # poolings make positions differ within blocks of 8
        at = low
        for layer in reversed(layers):
            at = at - 1 if layer == "c" else 2 * at if layer == "p" else at // 2
        reach = max(reach, low // upsampling - at // upsampling)
    return 2.0 * reach + 1
