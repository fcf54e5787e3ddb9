"""The pupil of an objective on a lattice: its places, and the phase that depth and focus leave in it.

Lengths are nm. Depth counts from the coverslip into the sample, away from the objective, and so does the focus. A plane
wave of an emitter at depth z in a medium n arrives with the phase k n z cos(theta); an objective that has moved by f
towards the sample, so that in its own immersion it would see sharply at f, takes off k n_oil f cos(theta_oil).
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch

from smlmbench.errors import ConfigError

FINE = 16  # places along a cell by which the share of it inside of the edge is counted


@dataclass(frozen=True)
class Pupil:
    """`side` x `side` cells over the diameter of the pupil, y first."""

    wavelength_nm: float
    na: float
    immersion_index: float
    side: int

    def __post_init__(self) -> None:
        if self.na >= self.immersion_index:
            raise ConfigError(
                f"psf: na {self.na:g} is not below immersion_index {self.immersion_index:g}; "
                "give that of the objective and of its oil, water or air"
            )

    @property
    def period_nm(self) -> float:
        """Width of the image after which it repeats."""
        return self.side * self.wavelength_nm / (2 * self.na)

    @property
    def wavenumber(self) -> float:
        """2 pi / wavelength, in radians per nm."""
        return 2 * math.pi / self.wavelength_nm

    @cached_property
    def places(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Centres of the cells, x and y from -1 to 1, (side, side) float64."""
        along = (torch.arange(self.side, dtype=torch.float64) + 0.5) * 2 / self.side - 1
        y, x = torch.meshgrid(along, along, indexing="ij")
        return x, y

    @cached_property
    def radius(self) -> torch.Tensor:
        """Distance from the centre, 1 at the edge; corners lie outside."""
        x, y = self.places
        return torch.hypot(x, y)

    @cached_property
    def angle(self) -> torch.Tensor:
        """Angle from the x axis towards the y axis, radians."""
        x, y = self.places
        return torch.atan2(y, x)

    def aperture(self, index: float) -> torch.Tensor:
        """Share of each cell inside of the edge, and of the cone that leaves a medium without total reflection."""
        most = min(1.0, index / self.na)
        fine = (torch.arange(self.side * FINE, dtype=torch.float64) + 0.5) * 2 / (self.side * FINE) - 1
        inside = (fine[:, None] ** 2 + fine**2 <= most**2).to(torch.float64)
        return inside.view(self.side, FINE, self.side, FINE).mean(dim=(1, 3))

    def cosine(self, index: float) -> torch.Tensor:
        """Cosine of the angle to the axis in a medium, complex: imaginary where the wave only dies away."""
        square = 1 - (self.na / index * self.radius.clamp(max=1.0)) ** 2
        return torch.sqrt(square.to(torch.complex128))
