"""Convolutions on nearest-upsampled maps, computed on the maps before: the same numbers for fewer multiplications.

A 3 x 3 window on a map that was doubled by repetition sees only 2 x 2 different values. Each of the four positions
(phases) that a pixel is repeated to therefore has a 2 x 2 kernel, sums of rows and columns of the 3 x 3 one: 16
multiplications instead of 36 for four outputs, and the large map is never written.

An exported graph keeps the plain form, whose sizes stay dynamic; so does a size that is not exactly the double.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

PHASES = ((0, 0), (0, 1), (1, 0), (1, 1))


class Doubled(nn.Sequential):
    """Layers that begin with a 3 x 3 convolution, on maps that are first doubled (or brought to any size)."""

    def forward(self, maps: Tensor, size: Sequence[int] | None = None) -> Tensor:
        """Repeat the pixels of (B, C, H, W) up to `size` (height, width), by default 2H, 2W, and apply the layers."""
        first, *rest = self
        doubled = (2 * maps.shape[2], 2 * maps.shape[3])
        wanted = doubled if size is None else tuple(size)
        plain = torch.compiler.is_compiling() or wanted != doubled
        if isinstance(first, PhaseConv) and not plain:
            maps = first.on_half(maps)
        elif isinstance(first, nn.Conv2d) and not plain:
            maps = on_doubled(maps, first.weight, first.bias)
        else:
            maps = first(functional.interpolate(maps, size=wanted, mode="nearest"))
        for layer in rest:
            maps = layer(maps)
        return maps


class PhaseConv(nn.Module):
    """A trained 3 x 3 convolution, with or without bias, its phase kernels made once; for use, not for training."""

    weight: Tensor
    kernels: Tensor
    bias: Tensor | None

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.register_buffer("weight", conv.weight.detach())
        self.register_buffer("kernels", phase_kernels(conv.weight.detach()))
        self.register_buffer("bias", None if conv.bias is None else conv.bias.detach())

    def forward(self, maps: Tensor) -> Tensor:
        """The plain convolution of maps (B, C, H, W) that were enlarged already."""
        return functional.conv2d(maps, self.weight, self.bias, padding=1)

    def on_half(self, maps: Tensor) -> Tensor:
        """The convolution of the doubled maps, (B, C, H, W) to (B, O, 2H, 2W)."""
        return _interleaved(maps, self.kernels, self.bias)


def on_doubled(maps: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """conv2d(nearest-doubled maps, weight, bias, padding=1), equal to rounding.

    Of maps (B, C, H, W), weight (O, C, 3, 3) and bias (O,) or None: (B, O, 2H, 2W), channels last.
    """
    return _interleaved(maps, phase_kernels(weight), bias)


def phase_kernels(weight: Tensor) -> Tensor:
    """(O, C, 3, 3) to (4 O, C, 2, 2), the kernels of the upper left, upper right, lower left, lower right phase."""
    upper, middle, lower = weight.unbind(2)
    kernels = []
    for rows in ((upper, middle + lower), (upper + middle, lower)):
        left, centre, right = torch.stack(rows, dim=2).unbind(3)
        kernels += [torch.stack(columns, dim=3) for columns in ((left, centre + right), (left + centre, right))]
    return torch.cat(kernels).contiguous(memory_format=torch.channels_last)


def _interleaved(maps: Tensor, kernels: Tensor, bias: Tensor | None) -> Tensor:
    if bias is not None:
        bias = bias.repeat(len(PHASES))
    # All phases at once on a map one larger; each takes its own H x W of it.
    answers: Tensor = _Interleave.apply(  # type: ignore[no-untyped-call]
        functional.conv2d(maps, kernels, bias, padding=1)
    )
    return answers


class _Interleave(torch.autograd.Function):
    """(B, 4 O, H + 1, W + 1) to (B, O, 2 H, 2 W): phase (a, b) gives rows 2 i + a and columns 2 j + b.

    One copy each way; the slices and stacks of autograd's own would cost as much as the convolution saves.
    """

    @staticmethod
    def forward(answers: Tensor) -> Tensor:
        count, channels, height, width = answers.shape
        height, width, channels = height - 1, width - 1, channels // len(PHASES)
        phases = answers.permute(0, 2, 3, 1).reshape(count, height + 1, width + 1, len(PHASES), channels)
        shape = (count, channels, 2 * height, 2 * width)
        whole = torch.empty(shape, dtype=answers.dtype, device=answers.device, memory_format=torch.channels_last)
        fine = _by_phase(whole)  # a view, so that writing to it fills the whole
        for number, (a, b) in enumerate(PHASES):
            fine[:, :, a, :, b] = phases[:, a : a + height, b : b + width, number]
        return whole

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        """Nothing is kept: shapes say all."""

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        count, channels, height, width = gradient.shape
        height, width, fine = height // 2, width // 2, _by_phase(gradient)
        phases = gradient.new_zeros((count, height + 1, width + 1, len(PHASES), channels))
        for number, (a, b) in enumerate(PHASES):
            phases[:, a : a + height, b : b + width, number] = fine[:, :, a, :, b]
        return phases.flatten(3, 4).permute(0, 3, 1, 2)


def _by_phase(fine: Tensor) -> Tensor:
    """View (B, O, 2 H, 2 W) as (B, H, a, W, b, O)."""
    count, channels, height, width = fine.shape
    return fine.permute(0, 2, 3, 1).reshape(count, height // 2, 2, width // 2, 2, channels)
