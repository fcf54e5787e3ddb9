"""U-Nets of plain convolutions with ELU, as DECODE and what came after it stack them."""

from torch import Tensor, cat, nn
from torch.nn import functional

from smlmbench.models.blocks import field_px


class UNet(nn.Module):
    """Two 3 x 3 convolutions with ELU on each level: (B, inside, H, W) to (B, outside, H, W).

    Down by a strided 2 x 2 convolution of the same width without activation, where the width then doubles; up by
    nearest repetition and a 1 x 1 convolution that halves it, joined with the encoder's maps. The output is a 1 x 1
    convolution without activation.

    Source:
        Speiser, Mueller et al. 2021, doi:10.1038/s41592-021-01236-x, model_speced_impl.py and unet_param.py.
    """

    def __init__(self, inside: int, outside: int, features: int, depth: int) -> None:
        super().__init__()
        levels = [features * 2**level for level in range(depth + 1)]
        self.encoder = nn.ModuleList(
            [_pair(before, after) for before, after in zip((inside, *levels), levels, strict=False)]
        )
        self.down = nn.ModuleList([nn.Conv2d(wide, wide, 2, stride=2) for wide in levels[:-1]])
        self.up = nn.ModuleList([nn.Conv2d(2 * wide, wide, 1) for wide in levels[:-1]])
        self.decoder = nn.ModuleList([_pair(2 * wide, wide) for wide in levels[:-1]])
        self.out = nn.Conv2d(features, outside, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Features of the size of the input."""
        kept = []
        for level, down in zip(self.encoder, self.down, strict=False):
            maps = level(maps)
            kept.append(maps)
            maps = down(maps)
        maps = self.encoder[-1](maps)
        for up, level in zip(reversed(self.up), reversed(self.decoder), strict=True):
            # A 1 x 1 convolution and repetition commute; this order has a quarter of the work.
            fine = kept.pop()
            repeated = functional.interpolate(up(maps), size=fine.shape[-2:], mode="nearest")
            maps = level(cat((fine, repeated), dim=1))
        answer: Tensor = self.out(maps)
        return answer


def layers(depth: int) -> str:
    """Its layers in the words of `field_px`."""
    return "ccp" * depth + "cc" + "ucc" * depth


def reach_across_px(nets: int, depth: int, further: int = 1) -> float:
    """Receptive field of U-Nets one after the other and further 3 x 3 convolutions."""
    return field_px(layers(depth) * nets + "c" * further, 1)


def _pair(inside: int, outside: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, padding=1),
        nn.ELU(inplace=True),
        nn.Conv2d(outside, outside, 3, padding=1),
        nn.ELU(inplace=True),
    )
