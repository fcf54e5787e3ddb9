"""Where emitters sit: the region, what a structure gives, and how places are chosen among its parts. All on the CPU."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from smlmbench.errors import ConfigError
from smlmbench.registry import Catalog
from smlmbench.simulate.chance import Chance
from smlmbench.study.sources.structures import thickness_nm, too_thick

REFERENCE_AREA_UM2 = 6.4 * 6.4
SPARSE = 0.5  # share of the usual amount below which a structure is not packed any denser


@dataclass(frozen=True, slots=True)
class Region:
    """A square field, the margin around it in which emitters are placed too, and the depths of both, in nm.

    Where both depths are the same a structure is flat: all of it is seen at that depth.
    """

    field_nm: float
    margin_nm: float
    depth_nm: tuple[float, float] = (0.0, 0.0)

    @property
    def area_um2(self) -> float:
        """Area of the field alone."""
        return (self.field_nm / 1000) ** 2

    @property
    def ratio(self) -> float:
        """Area with the margin over the area of the field."""
        return (1 + 2 * self.margin_nm / self.field_nm) ** 2

    @property
    def side_nm(self) -> float:
        """Side of the field with its margin."""
        return self.field_nm + 2 * self.margin_nm

    @property
    def deep(self) -> bool:
        """Whether it has more than one depth."""
        return self.depth_nm[0] < self.depth_nm[1]

    def inside(self, x_nm: torch.Tensor, y_nm: torch.Tensor, *, margin_nm: float = 0.0) -> torch.Tensor:
        """Which points lie in the field, widened by a margin."""
        low, high = -margin_nm, self.field_nm + margin_nm
        return (x_nm >= low) & (x_nm < high) & (y_nm >= low) & (y_nm < high)


class Placed(NamedTuple):
    """Sample (n,) int64 in ascending order and place (n,) float64 of each emitter.

    No depths: the structure leaves them to whoever draws the emitters, each on its own from those of the region.
    """

    sample: torch.Tensor
    x_nm: torch.Tensor
    y_nm: torch.Tensor
    z_nm: torch.Tensor | None = None


Place = Callable[[Region, torch.Tensor, Chance, Chance | None], Placed]


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts of s structures, in their order; an emitter sits on each with the same chance, or by its weight.

    Attributes:
        first, count: (s,) int64, each structure has the parts `first` .. `first + count - 1`.
        in_field: (s,) float64, how many of them (or what weight) lie in the field.
        usual: What usually lies in a field, or (s,); below half of it a structure is not packed any denser.
        weight: (m,) float64 of each part; None where all are alike.
    """

    first: torch.Tensor
    count: torch.Tensor
    in_field: torch.Tensor
    usual: float | torch.Tensor
    weight: torch.Tensor | None = None

    def choose(self, expected: torch.Tensor, chance: Chance, further: int) -> "Chosen":
        """Choose parts for emitters whose numbers inside the field are Poisson with means (F,).

        One structure serves all samples, else each has its own; `further` uniform numbers are drawn with the choice.
        """
        owner = torch.arange(len(expected)) if len(self.first) > 1 else torch.zeros(len(expected), dtype=torch.long)
        per_field = torch.maximum(self.in_field, SPARSE * torch.as_tensor(self.usual))
        total: torch.Tensor = self.count
        if self.weight is not None:
            ends = torch.nn.functional.pad(self.weight.cumsum(0), (1, 0))
            total = ends[self.first + self.count] - ends[self.first]
        sample = per_sample(expected * (total / per_field)[owner], chance)
        own = owner[sample]
        unit = chance.uniform(1 + further, len(sample))
        if self.weight is None:
            return Chosen(sample, self.first[own] + (unit[0] * self.count[own]).long(), unit[1:])
        part = torch.searchsorted(ends, ends[self.first[own]] + unit[0] * total[own], right=True) - 1
        last = self.first[own] + self.count[own] - 1
        return Chosen(sample, torch.minimum(torch.maximum(part, self.first[own]), last), unit[1:])


class Chosen(NamedTuple):
    """Sample and part (n,) int64 of each emitter, and uniform numbers (further, n)."""

    sample: torch.Tensor
    part: torch.Tensor
    unit: torch.Tensor


def per_sample(expected: torch.Tensor, chance: Chance) -> torch.Tensor:
    """The sample of each emitter, in ascending order, of Poisson numbers with means (F,)."""
    return torch.repeat_interleave(chance.poisson(expected).long())


def per_structure(per_reference: float, region: Region) -> int:
    """Whole number of things in a field, 1 at least, of their number in 6.4 x 6.4 um."""
    return max(1, round(per_reference * region.area_um2 / REFERENCE_AREA_UM2))


@dataclass(frozen=True, slots=True)
class Grid:
    """Square cells that cover a region: their side, how many stand in a row, where it begins, how many a field has."""

    cell_nm: float
    side_cells: int
    first_nm: float
    in_field: int

    @classmethod
    def within(cls, region: Region, least_nm: float) -> "Grid":
        """As many cells as fit into the field, of this side or larger, and further ones over the margin."""
        across = max(1, math.floor(region.field_nm / least_nm + 1e-9))
        cell_nm = region.field_nm / across
        around = math.ceil(region.margin_nm / cell_nm)
        return cls(cell_nm, across + 2 * around, -around * cell_nm, across**2)

    @property
    def corners(self) -> torch.Tensor:
        """Of each cell, row by row."""
        along = self.first_nm + torch.arange(self.side_cells, dtype=torch.float64) * self.cell_nm
        return torch.stack((along.repeat(self.side_cells), along.repeat_interleave(self.side_cells)))


def shaken(region: Region, cell_nm: float, apart_nm: float, n: int, chance: Chance) -> torch.Tensor:
    """Points (2, n, m) over a region, one in each cell of grids that begin anywhere, at least so far apart."""
    across = math.ceil(region.side_nm / cell_nm) + 1
    corners = Grid(cell_nm, across, -region.margin_nm, 0).corners[:, None]
    unit = chance.uniform(2, n, across**2)
    return corners - chance.uniform(2, n, 1) * cell_nm + apart_nm / 2 + unit * (cell_nm - apart_nm)


def build(description: Mapping[str, Any], catalog: Catalog) -> Place:
    """What places emitters on the structure of a description such as {"name": "filaments", "curl": 0.1}.

    It is called with a region, (F,) mean numbers of emitters in the field of each sample, a stream of random numbers,
    and another one from which the one structure of all samples is drawn, or None: every sample has its own.

    Raises:
        ConfigError: No name, an unknown setting or a value that is not accepted; when called, too little depth for it.
        UnknownNameError: No structure of that name.
    """
    settings = dict(description)
    name = settings.pop("name", None)
    if not isinstance(name, str):
        accepted = ", ".join(catalog.names("structures"))
        raise ConfigError(f"structure: {dict(description)!r} has no name; accepted: {accepted}")
    card = catalog.card("structures", name)
    filled = card.fill("structure", settings)
    thick_nm, module = thickness_nm(card, filled), catalog.module("structures", name)

    def place(region: Region, expected: torch.Tensor, chance: Chance, structure_chance: Chance | None) -> Placed:
        if region.deep and thick_nm > region.depth_nm[1] - region.depth_nm[0]:
            raise ConfigError(f"structure: {too_thick(name, thick_nm, region.depth_nm)}")
        placed: Placed = module.place(filled, region, expected, chance, structure_chance)
        return placed

    return place
