"""Who shines where in each frame and how bright, before any light falls on pixels."""

from dataclasses import dataclass

import torch

from smlmbench.psf.contracts import Psf, Shapes
from smlmbench.psf.draws import drawn
from smlmbench.registry import Catalog
from smlmbench.simulate import places
from smlmbench.simulate.chance import Chance, Fast, Frozen
from smlmbench.simulate.emitters import plain
from smlmbench.simulate.places import Place, Placed, Region
from smlmbench.study.sources import SimulateSource

NM_GRID, PHOTON_GRID = 1000, 1000  # frozen places and photons are whole thousandths, whatever a processor rounds


@dataclass(frozen=True, slots=True)
class Scene:
    """Emitters of some frames by frame, those in the margin around the field included; (n,), and what frames have.

    `level` (F,) is the mean background of each frame; `molecule` None where nobody shines twice.
    """

    frame: torch.Tensor
    x_nm: torch.Tensor
    y_nm: torch.Tensor
    z_nm: torch.Tensor
    photons: torch.Tensor
    shapes: Shapes
    level: torch.Tensor
    molecule: torch.Tensor | None = None


def chance_of(source: SimulateSource, seed: int) -> Chance:
    """The stream of random numbers that a description asks for."""
    return Frozen(seed) if source.draws == "frozen" else Fast.of(seed)


@dataclass(frozen=True, slots=True)
class Ground:
    """Where the emitters of a description may be: its region, what places them on a structure, and whose that is.

    `structure_seed` gives one structure to all samples; None a new one to each.
    """

    source: SimulateSource
    region: Region
    place: Place
    structure_seed: int | None

    @classmethod
    def of(cls, source: SimulateSource, psf: Psf, catalog: Catalog, structure_seed: int | None) -> "Ground":
        """That of a description and its PSF: the field with the margin from which light still enters."""
        region = Region(source.field_px * source.pixel_size_nm, psf.reach_nm, source.depths_nm)
        return cls(source, region, places.build(source.structure, catalog), structure_seed)

    def placed(self, density: torch.Tensor, chance: Chance) -> Placed:
        """Places of emitters at (F,) of them per um2 of the field."""
        structure = None if self.structure_seed is None else chance_of(self.source, self.structure_seed)
        return self.place(self.region, density * self.region.area_um2, chance, structure)

    def depths(self, where: Placed, rows: torch.Tensor, chance: Chance) -> torch.Tensor:
        """Depths of some of the emitters placed, of their structure or each from those of the description."""
        return drawn(plain(self.source.z_nm), len(rows), chance) if where.z_nm is None else where.z_nm[rows]


def independent(ground: Ground, psf: Psf, count: int, chance: Chance) -> Scene:
    """A scene of frames that share nothing but, given a structure seed, a structure."""
    source = ground.source
    density = drawn(plain(source.density_per_um2), count, chance)
    level = drawn(plain(source.background_photons), count, chance)
    if source.empty_frames:
        density = density * lit(source, count, chance)
    where = ground.placed(density, chance)
    n = len(where.sample)
    photons = drawn(plain(source.photons), n, chance)
    z_nm = ground.depths(where, torch.arange(n), chance)
    x_nm, y_nm, z_nm, photons = rounded(source, where.x_nm, where.y_nm, z_nm, photons)
    return Scene(where.sample, x_nm, y_nm, z_nm, photons, psf.shapes(n, chance), level)


def lit(source: SimulateSource, count: int, chance: Chance) -> torch.Tensor:
    """Which frames have emitters, (count,)."""
    return chance.uniform(count) >= source.empty_frames


def rounded(
    source: SimulateSource, x_nm: torch.Tensor, y_nm: torch.Tensor, z_nm: torch.Tensor, photons: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Places and photons as they are drawn; of a frozen description to the grid that all processors agree upon."""
    if source.draws != "frozen":
        return x_nm, y_nm, z_nm, photons
    x_nm, y_nm, z_nm = ((at * NM_GRID).round() / NM_GRID for at in (x_nm, y_nm, z_nm))
    return x_nm, y_nm, z_nm, (photons * PHOTON_GRID).round() / PHOTON_GRID
