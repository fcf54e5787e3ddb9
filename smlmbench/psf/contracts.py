"""What a PSF is asked: shapes for emitters, and their sum on camera pixels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch


@dataclass(frozen=True, slots=True)
class Spots:
    """Emitters to be rendered, all (n,); positions are float64 from the outer corner and may lie outside the field."""

    sample: torch.Tensor  # int64, which frame each emitter is in
    x_nm: torch.Tensor
    y_nm: torch.Tensor
    z_nm: torch.Tensor
    photons: torch.Tensor  # float32 detected photo-electrons, >= 0

    def __len__(self) -> int:
        return len(self.sample)


@dataclass(frozen=True, slots=True)
class Canvas:
    """Camera pixels to render on: number of frames, rows, columns, pixel size."""

    n_frames: int
    height: int
    width: int
    pixel_size_nm: float


class Psf(Protocol):
    """A point spread function with its settings."""

    @property
    def sigma_nm(self) -> float:
        """Mean lateral standard deviation in focus, as classical rows are told."""

    @property
    def reach_nm(self) -> float:
        """Lateral distance beyond which an emitter leaves no light."""

    def shapes(self, n: int, generator: torch.Generator) -> Mapping[str, torch.Tensor]:
        """Draw what varies from emitter to emitter: one tensor (n,) per quantity."""

    def render(self, spots: Spots, shapes: Mapping[str, torch.Tensor], canvas: Canvas) -> torch.Tensor:
        """Expected photo-electrons per pixel, (n_frames, height, width) float32, without background."""
