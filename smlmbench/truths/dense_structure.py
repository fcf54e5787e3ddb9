"""Dense structure: the dense image of each sparse one, where it is known the structure's own points, and its widefield.

Images are on the render grid: fine pixel j covers j .. j + 1 pixels from the outer corner.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

KIND = "dense_structure"

Places = NDArray[np.float64]  # (m, 2), x and y in nm


@dataclass(frozen=True, slots=True)
class DenseStructure:
    """What is known of the n images of a frozen set.

    Attributes:
        dense: (n, K, H, W) float32, localizations per pixel of each colour.
        points: For each image and colour where the structure truly is; empty where that is not known.
        widefield: (n, h, w) float32, all colours in camera pixels, a whole number of render pixels each; None for none.
    """

    kind: ClassVar[str] = KIND
    dense: NDArray[np.float32]
    points: Sequence[Sequence[Places]] = ()
    widefield: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.dense)

    def part(self, start: int, stop: int) -> "DenseStructure":
        """Those of images start .. stop - 1."""
        widefield = None if self.widefield is None else self.widefield[start:stop]
        return DenseStructure(self.dense[start:stop], self.points[start:stop], widefield)


@dataclass(frozen=True, slots=True)
class Taught:
    """Dense images of a training batch, (B, K, H, W) float32 in localizations per pixel."""

    kind: ClassVar[str] = KIND
    dense: "torch.Tensor"
