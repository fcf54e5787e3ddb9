"""Windows of one size over frames of any size, for networks that end in dense layers.

Windows overlap, and each answers for a core. Around the line between two cores, over two camera pixels, the share of
the one falls as that of the other rises, so that an emitter there counts once though the two place it differently.
All windows of all frames lie in one list, so that an exported graph takes any number of them.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

BLEND_PX = 2.0


@dataclass(frozen=True, slots=True)
class Span:
    """Windows (n,) along one axis: where they begin, and the ends of their cores, in pixels of the frame."""

    start: Tensor
    low: Tensor
    high: Tensor
    size: int  # of the frame

    def share(self, at_px: Tensor) -> Tensor:
        """How much of what the windows see at (n, M) counts: over all windows 1 inside of the frame, 0 beyond it."""
        cores = _risen(at_px - self.low[:, None]) - _risen(at_px - self.high[:, None])
        return cores * ((at_px >= 0) & (at_px <= self.size))


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows (n,) of frames: the frame of each, and their spans; those of a frame follow each other."""

    frame: Tensor
    rows: Span
    columns: Span

    def cut(self, frames: Tensor, side: int) -> Tensor:
        """(n, C, side, side) from frames (B, C, H, W); beyond a smaller frame is its edge."""
        pixels, channels = (torch.arange(count, device=frames.device) for count in (side, frames.shape[1]))
        down, across = ((span.start[:, None] + pixels).clamp(max=span.size - 1) for span in (self.rows, self.columns))
        of = (self.frame[:, None, None, None], channels[:, None, None], down[:, None, :, None], across[:, None, None])
        return frames[of]


def windows_of(frames: Tensor, side: int, margin: int) -> Windows:
    """Windows over frames (B, C, H, W); neighbours overlap by two margins at least, none leaves a frame.

    A frame that is smaller than a window has one, which begins at 0.
    """
    batch, _, height, width = frames.shape
    step = side - 2 * margin
    down, across = (1 + (_most(size - side, 0) + step - 1) // step for size in (height, width))
    number = torch.arange(batch * down * across, device=frames.device)
    line, frame = number // across, number // (down * across)
    rows = _span(line - frame * down, down, height, side, step)
    return Windows(frame, rows, _span(number - line * across, across, width, side, step))


def _span(number: Tensor, count: int, size: int, side: int, step: int) -> Span:
    before, start, after = (((number + shift) * step).clamp(max=size - side).clamp(min=0) for shift in (-1, 0, 1))
    low = torch.where(number == 0, -torch.inf, (before + start + side) / 2)
    return Span(start, low, torch.where(number == count - 1, torch.inf, (start + after + side) / 2), size)


def _most(one: int, other: int) -> int:
    # max() of Python would hold an exported graph to the number of windows that it was traced with.
    return torch.sym_max(one, other)  # type: ignore[no-untyped-call, no-any-return]


def _risen(from_px: Tensor) -> Tensor:
    return (from_px / BLEND_PX + 0.5).clamp(0, 1)
