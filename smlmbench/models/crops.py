"""What networks on crops share: crops of one size, and their scale."""

import torch
from torch import Tensor

FAINTEST = 1e-3  # photons of the brightest pixel, so that an empty crop has a scale


def fitted(crops: Tensor, side: int) -> Tensor:
    """The middle (B, C, side, side) of crops (B, C, H, W); beyond a smaller one is its edge.

    Crops that a network learned have its size; others are those of a timing or of an export.
    """
    height, width = crops.shape[-2:]
    steps = torch.arange(side, device=crops.device)
    down, across = ((steps + (size - side) // 2).clamp(0, size - 1) for size in (height, width))
    return crops[:, :, down][:, :, :, across]


def brightest_is_one(crops: Tensor) -> Tensor:
    """Each crop over its own brightest pixel, of all channels."""
    return crops / crops.amax(dim=(1, 2, 3), keepdim=True).clamp_min(FAINTEST)
