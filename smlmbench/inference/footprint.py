"""How much memory a network's maps take for each camera pixel, found without running it."""

import copy
from typing import Any

import torch
from torch import nn

PROBE_PX = 64


def bytes_per_px(network: nn.Module, multiple_px: int = 1, channels: int = 1) -> float | None:
    """Bytes of the largest layer's inputs and outputs together, for one camera pixel of one frame, in fp32.

    None where the network cannot be followed on the meta device.
    """
    side = multiple_px * -(-PROBE_PX // multiple_px)
    largest = 0

    def look(_: nn.Module, given: Any, made: Any) -> None:
        nonlocal largest
        held = [one for one in (*given, made) if isinstance(one, torch.Tensor)]
        largest = max(largest, sum(one.numel() * one.element_size() for one in held))

    try:
        followed = copy.deepcopy(network).to("meta").eval()
        for part in followed.modules():
            if not list(part.children()):
                part.register_forward_hook(look)
        with torch.no_grad():
            followed(torch.zeros(1, channels, side, side, device="meta"))
    except Exception:  # a network of a plug-in may do what the meta device cannot
        return None
    return largest / side**2 or None
