"""Convolutions on nearest-doubled maps, computed on the maps before: the same numbers for fewer multiplications.

A map that is doubled by repetition and convolved is the map's transposed convolution with stride 2, its kernel one
larger: the sum of the kernel at the four places of a repeated pixel. So 3 x 3 becomes 4 x 4, with 16 multiplications
instead of 36 for four outputs; the doubled map is never written, and every framework knows the operation.

One output map is a special case: processors compute sixteen at a time. So the four pixels that come of each pixel are
computed as four maps by a 2 x 2 convolution and woven together; in PyTorch nearly three times as fast.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional


class Doubled(nn.Sequential):
    """Layers that begin with a 3 x 3 convolution that keeps sizes, on maps that are first doubled.

    A size that is not exactly the double is reached by interpolation, and the convolution is the plain one.
    """

    kernel: Tensor | None

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.register_buffer("kernel", None, persistent=False)

    def settle(self) -> None:
        """Make the kernel once, for use: from now on the weights stay as they are."""
        first: Any = self[0]
        self.kernel = doubled_kernel(first.weight.detach()).contiguous()

    def forward(self, maps: Tensor, size: Sequence[int] | None = None) -> Tensor:
        """Repeat the pixels of (B, C, H, W) up to `size` (height, width), by default 2H, 2W, and apply the layers."""
        first: Any
        first, *rest = self
        if size is None or tuple(size) == (2 * maps.shape[2], 2 * maps.shape[3]):
            maps = on_doubled(maps, doubled_kernel(first.weight) if self.kernel is None else self.kernel, first.bias)
        else:
            maps = first(functional.interpolate(maps, size=tuple(size), mode="nearest"))
        for layer in rest:
            maps = layer(maps)
        return maps


def doubled_kernel(weight: Tensor) -> Tensor:
    """(O, C, 3, 3) to the (C, O, 4, 4) of the transposed convolution; with O = 1 to the (4, C, 2, 2) of `_woven`."""
    outside, inside = weight.shape[:2]
    summed = functional.avg_pool2d(weight.flip(2, 3), 2, stride=1, padding=1, divisor_override=1)
    if outside > 1:
        return summed.transpose(0, 1)
    # Of each output pixel every other row and column.
    return summed.view(inside, 2, 2, 2, 2).permute(2, 4, 0, 1, 3).flip(3, 4).reshape(4, inside, 2, 2)


def on_doubled(maps: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    """conv2d(nearest-doubled maps, weight, bias, padding=1) with the `doubled_kernel` of the weight, equal to rounding.

    Of maps (B, C, H, W) and bias (O,) or None: (B, O, 2H, 2W).
    """
    if kernel.shape[2] == 2:
        return _woven(functional.conv2d(maps, kernel, None if bias is None else bias.expand(4), padding=1))
    return functional.conv_transpose2d(maps, kernel, bias, stride=2, padding=1)


def _woven(parts: Tensor) -> Tensor:
    """(B, 4, H + 1, W + 1) to (B, 1, 2H, 2W): a pixel shuffle without its edge.

    As views and one copy: twice as fast as torch's own of channels-last maps.
    """
    count, _, height, width = parts.shape
    fine = parts.view(count, 2, 2, height, width).permute(0, 3, 1, 4, 2).reshape(count, 1, 2 * height, 2 * width)
    return fine[:, :, 1:-1, 1:-1]
