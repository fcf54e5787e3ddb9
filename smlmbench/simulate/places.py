"""Where emitters sit: anywhere, or along filaments. Everything is drawn on the CPU from a generator."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch

from smlmbench.study.sources import Structure

STEP_NM = 100.0  # of a filament's polyline; the arc of the default curl leaves its chord by 1 nm at most
REFERENCE_AREA_UM2 = 6.4 * 6.4
SPARSE = 0.5  # share of the usual length below which a structure is not packed any denser


@dataclass(frozen=True, slots=True)
class Region:
    """A square field and the margin around it in which emitters are placed too, in nm."""

    field_nm: float
    margin_nm: float

    @property
    def area_um2(self) -> float:
        """Area of the field alone."""
        return (self.field_nm / 1000) ** 2

    @property
    def ratio(self) -> float:
        """Area with the margin over the area of the field."""
        return (1 + 2 * self.margin_nm / self.field_nm) ** 2

    def inside(self, x_nm: torch.Tensor, y_nm: torch.Tensor, *, margin_nm: float = 0.0) -> torch.Tensor:
        """Which points lie in the field, widened by a margin."""
        low, high = -margin_nm, self.field_nm + margin_nm
        return (x_nm >= low) & (x_nm < high) & (y_nm >= low) & (y_nm < high)


class Placed(NamedTuple):
    """Frame (n,) int64 in ascending order and place (n,) float64 of each emitter."""

    sample: torch.Tensor
    x_nm: torch.Tensor
    y_nm: torch.Tensor


class Filaments(NamedTuple):
    """Straight pieces of all structures, in the order of the structures.

    Attributes:
        start, step: (m, 2) float64, where a piece begins and the way to its end, nm.
        first, pieces: (s,) int64, each structure has `first` .. `first + pieces - 1`.
        per_field: (s,) float64, pieces that hold the field's density.
    """

    start: torch.Tensor
    step: torch.Tensor
    first: torch.Tensor
    pieces: torch.Tensor
    per_field: torch.Tensor


def _per_frame(expected: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return torch.repeat_interleave(torch.poisson(expected, generator=generator).long())


def uniform(
    structure: Structure, region: Region, density: torch.Tensor, generator: torch.Generator, structure_seed: int | None
) -> Placed:
    """Independent places, Poisson numbers; (F,) emitters per um2 and frame."""
    del structure, structure_seed
    sample = _per_frame(density * region.area_um2 * region.ratio, generator)
    side = region.field_nm + 2 * region.margin_nm
    places = torch.rand(2, len(sample), generator=generator, dtype=torch.float64) * side - region.margin_nm
    return Placed(sample, places[0], places[1])


def filaments(
    structure: Structure, region: Region, density: torch.Tensor, generator: torch.Generator, structure_seed: int | None
) -> Placed:
    """Places along filaments with normal distances from their axis; (F,) emitters per um2 of the field and frame.

    The number per frame is Poisson with mean density x area inside the field, whatever the length of filament there.
    A structure seed gives one structure to all frames; None draws a structure per frame.
    """
    owner = torch.arange(len(density))
    if structure_seed is None:
        curves = grow(structure, region, len(density), generator)
    else:
        curves = grow(structure, region, 1, torch.Generator().manual_seed(structure_seed))
        owner = torch.zeros_like(owner)
    expected = density * region.area_um2 * (curves.pieces / curves.per_field)[owner]
    sample = _per_frame(expected, generator)
    own = owner[sample]
    unit = torch.rand(2, len(sample), generator=generator, dtype=torch.float64)
    piece = curves.first[own] + (unit[0] * curves.pieces[own]).long()
    start, step = curves.start[piece], curves.step[piece]
    away = torch.randn(len(sample), generator=generator, dtype=torch.float64) * structure.width_nm / STEP_NM
    x_nm = start[:, 0] + unit[1] * step[:, 0] - away * step[:, 1]
    y_nm = start[:, 1] + unit[1] * step[:, 1] + away * step[:, 0]
    return Placed(sample, x_nm, y_nm)


def grow(structure: Structure, region: Region, n: int, generator: torch.Generator) -> Filaments:
    """Draw n structures: each filament passes a random point of the field and runs both ways out of the region.

    Its direction is a Brownian motion along the arc with standard deviation `curl` per um.
    """
    per_structure = max(1, round(structure.filaments * region.area_um2 / REFERENCE_AREA_UM2))
    side = region.field_nm + 2 * region.margin_nm
    length = math.ceil(side * math.sqrt(2) / STEP_NM)
    shape = (n, per_structure)
    through = torch.rand((*shape, 1, 2), generator=generator, dtype=torch.float64) * region.field_nm
    heading = torch.rand((*shape, 1, 1), generator=generator, dtype=torch.float64) * 2 * math.pi
    # two arms leave the point in opposite directions; curvature runs on through it
    turns = torch.randn((*shape, 2, length), generator=generator, dtype=torch.float64)
    turns = (turns * structure.curl * math.sqrt(STEP_NM / 1000)).cumsum(dim=-1)
    angle = heading + torch.tensor([0.0, math.pi], dtype=torch.float64)[:, None] + turns
    step = torch.stack((angle.cos(), angle.sin()), dim=-1) * STEP_NM
    start = through[..., None, :] + step.cumsum(dim=-2) - step
    middle = start + step / 2
    kept = region.inside(middle[..., 0], middle[..., 1], margin_nm=region.margin_nm).flatten(1)
    in_field = region.inside(middle[..., 0], middle[..., 1]).flatten(1).sum(dim=1)
    usual = per_structure * region.field_nm / STEP_NM
    pieces = kept.sum(dim=1)
    start, step = start.flatten(1, 3)[kept], step.flatten(1, 3)[kept]
    return Filaments(start, step, pieces.cumsum(0) - pieces, pieces, in_field.double().clamp_min(SPARSE * usual))


Places = Callable[[Structure, Region, torch.Tensor, torch.Generator, int | None], Placed]
STRUCTURES: dict[str, Places] = {"uniform": uniform, "filaments": filaments}
