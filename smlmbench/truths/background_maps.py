"""Background maps: the light of every crop that is not its emitter's, and the emitter, as far as there is one."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from smlmbench.predictions import Floats

if TYPE_CHECKING:
    import torch

KIND = "background_maps"


@dataclass(frozen=True, slots=True)
class BackgroundMaps:
    """True backgrounds of a frozen set, and the one emitter of each crop.

    Attributes:
        maps: Expected photo-electrons per pixel without the emitter, (n, H, W).
        x_nm, y_nm, z_nm: Place of the emitter from the outer corner of its crop, (n,); NaN where there is none.
        photons: Its photo-electrons, (n,); 0 where there is none.
        optics: The PSF (a `psf.contracts.Psf`) that drew them; None where it is not known.
        shapes: What the PSF drew for each emitter, tensors (n, ...) by name.
    """

    kind: ClassVar[str] = KIND
    maps: NDArray[np.float32]
    x_nm: Floats
    y_nm: Floats
    z_nm: Floats
    photons: Floats
    optics: Any = None
    shapes: Mapping[str, "torch.Tensor"] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.maps)

    def part(self, start: int, stop: int) -> "BackgroundMaps":
        """Those of crops start .. stop - 1."""
        rows = slice(start, stop)
        columns = {name: getattr(self, name)[rows] for name in ("maps", "x_nm", "y_nm", "z_nm", "photons")}
        return replace(self, **columns, shapes={name: values[rows] for name, values in self.shapes.items()})


@dataclass(frozen=True, slots=True)
class Taught:
    """Backgrounds of a training batch, (B, 1, H, W) float32 photo-electrons per pixel."""

    kind: ClassVar[str] = KIND
    maps: "torch.Tensor"
