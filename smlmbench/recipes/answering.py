"""Crops go to networks with the extremes of the frames that they were cut from."""

import inspect
from collections.abc import Callable

from torch import Tensor, nn

from smlmbench.recipes.contracts import Answer


def takes_frame_range(network: nn.Module) -> bool:
    """Whether `forward` has a parameter `frame_range`: (B, 2) lowest and highest value of each whole frame."""
    return "frame_range" in inspect.signature(network.forward).parameters


def ranged(network: nn.Module, answer: Answer) -> Callable[[Tensor, Tensor | None], Tensor]:
    """Run a network on crops so that normalisation by frame sees the whole frame, as (frames, frame_range) -> raw.

    `answer` runs it, for instance padded, and passes on what stands behind the frames. Networks without the parameter
    are given the crops alone.
    """
    takes = takes_frame_range(network)  # once, not at every step

    def run(frames: Tensor, frame_range: Tensor | None) -> Tensor:
        if not takes or frame_range is None:
            return answer(frames)
        return answer(frames, frame_range.to(frames.device, non_blocking=True))

    return run
