"""Target images: the image that a network is to make of each input."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

KIND = "target_images"


class Images(Protocol):
    """Images (U*H, U*W) by number, each in its own unit; they may differ in size."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> NDArray[np.float32]: ...


@dataclass(frozen=True, slots=True)
class TargetImages:
    """Targets of a frozen set, read one by one: those of a source's part from start to stop (None: all)."""

    kind: ClassVar[str] = KIND
    images: Images
    start: int = 0
    stop: int | None = None

    def __len__(self) -> int:
        return (len(self.images) if self.stop is None else self.stop) - self.start

    def __getitem__(self, number: int) -> NDArray[np.float32]:
        """Target of a unit."""
        if not 0 <= number < len(self):
            raise IndexError(number)
        return self.images[self.start + number]

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return (self[number] for number in range(len(self)))

    def part(self, start: int, stop: int) -> "TargetImages":
        """Those of units start .. stop - 1."""
        return TargetImages(self.images, self.start + start, self.start + min(stop, len(self)))


@dataclass(frozen=True, slots=True)
class Taught:
    """Target images of a training batch, (B, 1, U*H, U*W) float32 in unit mass."""

    kind: ClassVar[str] = KIND
    images: "torch.Tensor"
