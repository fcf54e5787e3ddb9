"""Frames and truth of a description: emitters, photons, PSF, background, camera."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench.predictions import Localizations
from smlmbench.psf.contracts import Canvas, Psf, Spots
from smlmbench.psf.draws import drawn
from smlmbench.registry import Catalog
from smlmbench.simulate import places
from smlmbench.simulate.chance import Fast
from smlmbench.study.sources import Depth, Range, SimulateSource

COLUMNS = ("frame", "x_nm", "y_nm", "z_nm", "photons", "background_photons")
HOT_SHARE = 0.002
HOT_SIGMAS = (5.0, 30.0)
GRADIENT = 0.5


@dataclass(frozen=True, slots=True)
class Emitters:
    """True emitters inside the field, ordered by frame; frame int64, the rest float64, all (n,)."""

    frame: torch.Tensor
    x_nm: torch.Tensor
    y_nm: torch.Tensor
    z_nm: torch.Tensor
    photons: torch.Tensor
    background_photons: torch.Tensor

    def __len__(self) -> int:
        return len(self.frame)

    def select(self, rows: torch.Tensor) -> "Emitters":
        """Keep the rows of a mask."""
        return Emitters(*(getattr(self, name)[rows] for name in COLUMNS))

    def localizations(self, *, n_frames: int, field_nm: tuple[float, float]) -> Localizations:
        """The table of a movie of these frames."""
        columns = {name: getattr(self, name).numpy() for name in COLUMNS}
        return Localizations.of(columns, n_frames=n_frames, field_nm=field_nm)


def plain(value: "float | Range | Depth") -> "float | Mapping[str, float | str]":
    """A number or the plain dict of a range."""
    return value.model_dump() if isinstance(value, Range | Depth) else value


def draw(
    source: SimulateSource,
    psf: Psf,
    seed: int,
    count: int,
    structure_seed: int | None = None,
    catalog: Catalog | None = None,
) -> tuple[torch.Tensor, Emitters]:
    """Draw `count` frames F and their truth on the CPU; same seed, same frames.

    Emitters are also placed in a margin around the field, at the same density, so that tails enter; the truth holds
    those inside the field, dim ones included, and `density_per_um2` counts them all. A structure seed gives one
    structure to all frames (one cell); None draws a new one for each. Without a catalog the structure is one of ours.

    Returns:
        Frames (F, H, W) float32 in photo-electrons after the camera and its inverse (may be negative), and the truth.
    """
    generator = torch.Generator().manual_seed(seed)
    depths = (source.z_nm.min, source.z_nm.max) if isinstance(source.z_nm, Depth) else (source.z_nm, source.z_nm)
    region = places.Region(source.field_px * source.pixel_size_nm, psf.reach_nm, depths)
    density = drawn(plain(source.density_per_um2), count, generator)
    background = drawn(plain(source.background_photons), count, generator)
    place = places.build(source.structure, catalog or Catalog())
    structure_chance = None if structure_seed is None else Fast.of(structure_seed)
    placed = place(region, density * region.area_um2, Fast(generator), structure_chance)
    n = len(placed.sample)
    photons = drawn(plain(source.photons), n, generator)
    z_nm = drawn(plain(source.z_nm), n, generator) if placed.z_nm is None else placed.z_nm
    spots = Spots(placed.sample, placed.x_nm, placed.y_nm, z_nm, photons.float())
    canvas = Canvas(count, source.field_px, source.field_px, source.pixel_size_nm)
    expected = psf.render(spots, psf.shapes(n, generator), canvas)
    expected += background.float()[:, None, None]
    frames = source.camera.photons_of(source.camera.expose(expected, generator))
    rows = region.inside(placed.x_nm, placed.y_nm)
    emitters = Emitters(placed.sample, placed.x_nm, placed.y_nm, z_nm, photons, background[placed.sample])
    return frames, emitters.select(rows)


def draw_signal_free(source: SimulateSource, seed: int, count: int = 64) -> NDArray[np.float32]:
    """Draw frames (count, H, W) without emitters, float32 photo-electrons, for counting false detections.

    The first third is flat; in the second the background runs from 0.5 to 1.5 of its mean across the field, in a
    random direction per frame; in the rest 0.2 % of the pixels (at least two a frame) are hot, by 5 to 30 standard
    deviations of the background.
    """
    generator = torch.Generator().manual_seed(seed)
    size = source.field_px
    background = drawn(plain(source.background_photons), count, generator).float()[:, None, None]
    expected = background.expand(count, size, size).clone()
    sloped, hot = slice(count // 3, 2 * (count // 3)), slice(2 * (count // 3), count)
    expected[sloped] *= _slope(len(expected[sloped]), size, generator)
    expected[hot] += _hot_pixels(background[hot], size, generator)
    frames = source.camera.photons_of(source.camera.expose(expected, generator))
    return np.asarray(frames.numpy(), dtype=np.float32)


def _slope(n: int, size: int, generator: torch.Generator) -> torch.Tensor:
    angle = torch.rand(n, 1, 1, generator=generator) * 2 * math.pi
    axis = (torch.arange(size) + 0.5) / size * 2 - 1
    along = angle.cos() * axis[None, None, :] + angle.sin() * axis[None, :, None]
    return 1 + GRADIENT * along / (angle.cos().abs() + angle.sin().abs())


def _hot_pixels(background: torch.Tensor, size: int, generator: torch.Generator) -> torch.Tensor:
    n, each = len(background), max(2, round(HOT_SHARE * size * size))
    low, high = HOT_SIGMAS
    where = torch.rand(n, size * size, generator=generator).topk(each, dim=1).indices
    sigmas = low + (high - low) * torch.rand(n, each, generator=generator)
    extra = sigmas * background.view(n, 1).clamp_min(1.0).sqrt()
    return torch.zeros(n, size * size).scatter_(1, where, extra).view(n, size, size)
