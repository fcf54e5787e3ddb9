"""Dense layers on the pixels of a crop, which the networks of Kim, Moon and Xu (2019) for colour and depth share.

What stands for the unknown preparation of their crops is here, too: the light at the edge is taken away, and what is
left divided by its sum or its highest pixel, so that neither background nor brightness changes an answer.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

LEAST_LIGHT = 0.1
SPREAD, BIAS = 0.05, 0.05  # of the published start of the network for depth


class CropScale(nn.Module):
    """A crop without its background, over its sum (times the number of pixels) or its highest pixel.

    Background is the mean of the outermost pixels of each channel, which holds light of wide PSFs, too; `none` leaves
    photons as they are. Where a sum is less than a tenth of that of all absolute values, as of noise, it is divided by
    the latter, and where there is less than a photon by 1.

    Args:
        kind: sum, max or none, the choices of cards.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, crops: Tensor) -> Tensor:
        """(B, C, H, W) photons to the same shape without unit."""
        if self.kind == "none":
            return crops
        light = crops - edge_mean(crops)
        if self.kind == "max":
            return light / light.amax(dim=(1, 2, 3), keepdim=True).clamp_min(1.0)
        net, absolute = (one.sum(dim=(1, 2, 3), keepdim=True) for one in (light, light.abs()))
        total = torch.maximum(net, LEAST_LIGHT * absolute)
        return light * (crops[0].numel() / total.clamp_min(1.0))


def edge_mean(crops: Tensor) -> Tensor:
    """Mean (B, C, 1, 1) of the outermost pixels of crops (B, C, H, W)."""
    sides = (crops[..., :1, :], crops[..., -1:, :], crops[..., 1:-1, :1], crops[..., 1:-1, -1:])
    return torch.cat([side.flatten(2) for side in sides], dim=2).mean(dim=2)[..., None, None]


class DenseLayers(nn.Module):
    """Three dense layers with ReLU on flattened crops, and a linear one: (B, C, H, W) to (B, outputs).

    Args:
        pixels: C H W of a crop.
        widths: Units of the layers before the last.
        outputs: Of the last one.
        dropped: Share of the last hidden layer that a training step leaves out.
        start: `xavier`, weights and biases uniform as Glorot and Bengio (colour, as published), or `truncated`, weights
            normal of deviation 0.05 cut at two of them and biases 0.05 (depth, as published).

    Source:
        Kim, Moon, Xu 2019, doi:10.1038/s41467-019-10036-z, and the authors' scripts.
    """

    def __init__(self, pixels: int, widths: Sequence[int], outputs: int, *, dropped: float, start: str) -> None:
        super().__init__()
        sizes = (pixels, *widths)
        hidden = [part for pair in pairwise(sizes) for part in (nn.Linear(*pair), nn.ReLU(inplace=True))]
        self.layers = nn.Sequential(nn.Flatten(), *hidden, nn.Dropout(dropped), nn.Linear(sizes[-1], outputs))
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                (_xavier if start == "xavier" else _truncated)(layer)

    def forward(self, crops: Tensor) -> Tensor:
        """Scaled crops to the answers of the last layer."""
        answers: Tensor = self.layers(crops)
        return answers


def _xavier(layer: nn.Linear) -> None:
    nn.init.xavier_uniform_(layer.weight)
    reach = (3.0 / layer.out_features) ** 0.5  # of a vector, whose fans are both its length
    nn.init.uniform_(layer.bias, -reach, reach)


def _truncated(layer: nn.Linear) -> None:
    nn.init.trunc_normal_(layer.weight, std=SPREAD, a=-2 * SPREAD, b=2 * SPREAD)
    nn.init.constant_(layer.bias, BIAS)
