"""Labels: which class each unit (crop, spectrum) belongs to, in a frozen set and in a training batch."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from smlmbench.errors import SizeError
from smlmbench.predictions import Floats, Ints

if TYPE_CHECKING:
    import torch

KIND = "labels"
STRANGER = -1


@dataclass(frozen=True)
class Labels:
    """Classes of the units of a frozen set.

    Attributes:
        classes: Names of the classes, at least two, in the order of their numbers.
        index: Number of each unit's class, int64 (n,); -1 is a stranger, of none of them, which is to be rejected.
        photons: Of each unit, float64 (n,); NaN where unknown.
        templates: Expected light of each class for one photon without background, (classes, variants, *unit), float64;
            variants are depths or places. What rows may know that are told the source; None where none is stated.

    Raises:
        SizeError: Fewer than two classes, a name twice, numbers that are no class, or columns of different length.
    """

    kind: ClassVar[str] = KIND
    classes: tuple[str, ...]
    index: Ints
    photons: Floats
    templates: Floats | None = None

    def __post_init__(self) -> None:
        if len(self.classes) < 2 or len(set(self.classes)) < len(self.classes):
            raise SizeError(f"classes {', '.join(self.classes) or 'none'}; give at least two different names")
        if len(self.index) != len(self.photons):
            raise SizeError(f"{len(self.index)} classes and {len(self.photons)} photons; give one of each per unit")
        if len(self.index) and not (self.index.min() >= STRANGER and self.index.max() < len(self.classes)):
            found = f"{self.index.min()} to {self.index.max()}"
            raise SizeError(f"classes are numbered {found}; accepted: 0 to {len(self.classes) - 1}, -1 for strangers")
        if self.templates is not None and len(self.templates) != len(self.classes):
            raise SizeError(f"{len(self.templates)} templates for {len(self.classes)} classes; give one for each")

    def __len__(self) -> int:
        return len(self.index)

    def part(self, start: int, stop: int) -> Self:
        """Those of units start .. stop - 1."""
        return replace(self, index=self.index[start:stop], photons=self.photons[start:stop])

    @property
    def known(self) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
        """Which units (n,) belong to one of the classes."""
        return np.asarray(self.index != STRANGER)


@dataclass(frozen=True, slots=True)
class Labelled:
    """Classes of a training batch: int64 (B,), -1 for strangers."""

    kind: ClassVar[str] = KIND
    index: "torch.Tensor"
