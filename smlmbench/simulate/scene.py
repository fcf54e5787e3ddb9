"""Who shines where in each frame and how bright, before any light falls on pixels."""

from dataclasses import dataclass

import torch

from smlmbench.psf.contracts import Psf, Shapes
from smlmbench.psf.draws import drawn
from smlmbench.simulate.chance import Chance, Fast, Frozen
from smlmbench.simulate.emitters import plain
from smlmbench.simulate.places import STRUCTURES, Placed, Region
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


def region_of(source: SimulateSource, psf: Psf) -> Region:
    """The field with the margin from which light still enters."""
    return Region(source.field_px * source.pixel_size_nm, psf.reach_nm)


def placed(
    source: SimulateSource, psf: Psf, density: torch.Tensor, chance: Chance, structure_seed: int | None
) -> Placed:
    """Places of emitters at (F,) of them per um2 of the field."""
    assert isinstance(chance, Fast)
    place = STRUCTURES[source.structure.name]
    return place(source.structure, region_of(source, psf), density, chance.generator, structure_seed)


def independent(source: SimulateSource, psf: Psf, count: int, chance: Chance, structure_seed: int | None) -> Scene:
    """A scene of frames that share nothing but, given a structure seed, a structure."""
    density = drawn(plain(source.density_per_um2), count, chance)
    level = drawn(plain(source.background_photons), count, chance)
    if source.empty_frames:
        density = density * lit(source, count, chance)
    where = placed(source, psf, density, chance, structure_seed)
    n = len(where.sample)
    photons = drawn(plain(source.photons), n, chance)
    z_nm = drawn(plain(source.z_nm), n, chance)
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
