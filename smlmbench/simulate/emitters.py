"""True emitters of some frames, and numbers of a description as `psf.draws` takes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import BaseModel

from smlmbench.predictions import Localizations
from smlmbench.study.sources import Column

COLUMNS = ("frame", "x_nm", "y_nm", "z_nm", "photons", "background_photons")


@dataclass(frozen=True, slots=True)
class Emitters:
    """True emitters inside the field, ordered by frame; frame int64, the rest float64, all (n,).

    `molecule` int64 is who shines, None where nobody shines twice. `level` (frames,) is the mean background of each
    frame, hot pixels aside.
    """

    frame: torch.Tensor
    x_nm: torch.Tensor
    y_nm: torch.Tensor
    z_nm: torch.Tensor
    photons: torch.Tensor
    background_photons: torch.Tensor
    molecule: torch.Tensor | None = None
    level: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.frame)

    def select(self, rows: torch.Tensor) -> "Emitters":
        """Keep the rows of a mask."""
        molecule = None if self.molecule is None else self.molecule[rows]
        return Emitters(**{name: getattr(self, name)[rows] for name in COLUMNS}, molecule=molecule, level=self.level)

    def localizations(self, *, n_frames: int, field_nm: tuple[float, float]) -> Localizations:
        """The table of a movie of these frames."""
        columns = {name: getattr(self, name).numpy() for name in COLUMNS}
        if self.molecule is not None:
            columns["molecule"] = self.molecule.numpy()
        return Localizations.of(columns, n_frames=n_frames, field_nm=field_nm)


def plain(value: float | BaseModel) -> float | Mapping[str, Any]:
    """A number, or the plain dict of a law."""
    if isinstance(value, Column):
        return {"values": value.values()}
    return value.model_dump() if isinstance(value, BaseModel) else value
