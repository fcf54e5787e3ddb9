"""Square windows of frames, one a row: cut out, and put back as a sum."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of one side, the whole of each inside its frame; all (n,) int64: frame, first line and first column."""

    frame: torch.Tensor
    top: torch.Tensor
    left: torch.Tensor
    side: int

    @classmethod
    def around(
        cls, frame: torch.Tensor, row: torch.Tensor, column: torch.Tensor, side: int, shape: tuple[int, int]
    ) -> "Windows":
        """With a pixel in the middle, or as near to it as frames of a shape (height, width) let them be."""
        top, left = ((at - side // 2).clamp(0, size - side) for at, size in zip((row, column), shape, strict=True))
        return cls(frame, top, left, side)

    def __len__(self) -> int:
        return len(self.frame)

    def rows(self, chosen: torch.Tensor) -> "Windows":
        """Some of them."""
        return Windows(self.frame[chosen], self.top[chosen], self.left[chosen], self.side)

    def cut(self, frames: torch.Tensor) -> torch.Tensor:
        """Pixels (side, side, n) of frames (F, H, W), or of the one image (1, H, W) that all frames share."""
        return frames.reshape(-1)[self._flat(frames)]

    def summed(self, light: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
        """Frames of a shape (F, H, W) with windows (side, side, n) added up."""
        total = torch.zeros(shape, dtype=light.dtype, device=light.device)
        # window after window, so that the order of the sum does not depend on how many others there are
        at = self._flat(total).permute(2, 0, 1).reshape(-1)
        total.view(-1).index_add_(0, at, light.permute(2, 0, 1).reshape(-1))
        return total

    def _flat(self, frames: torch.Tensor) -> torch.Tensor:
        """Number of every pixel in frames, (side, side, n)."""
        count, height, width = frames.shape
        steps = torch.arange(self.side, device=self.frame.device)[:, None]
        first = self.frame * (height * width) if count > 1 else torch.zeros_like(self.frame)
        return (first + (self.top + steps) * width)[:, None] + (self.left + steps)[None]
