"""Frames in which emitters of several colours shine at once, each through the PSF of its own wavelength."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from smlmbench import psf
from smlmbench.data.contracts import ArrayFrames, Asked, Batch, Condition, Identity, Scope, Statistics
from smlmbench.data.facts import facts
from smlmbench.data.numbered import Chunks, no_neighbours, seeds_of
from smlmbench.data.targets import digest_of, spread_of, statistics_of, within
from smlmbench.errors import ConfigError
from smlmbench.predictions import Localizations
from smlmbench.psf.contracts import Canvas, Psf, Spots
from smlmbench.psf.draws import mean_of
from smlmbench.registry import Catalog
from smlmbench.seeds import derive_seed
from smlmbench.simulate import draw_signal_free
from smlmbench.simulate.emitters import plain
from smlmbench.simulate.exposure import seen
from smlmbench.simulate.places import Region
from smlmbench.simulate.scene import Ground, chance_of, independent
from smlmbench.study.sources import SimulateSource
from smlmbench.truths import emitters as truths

CARD = {
    "version": 1,
    "summary": "Frames of emitters of several colours, whose PSFs differ by their wavelength",
    "settings": {
        "wavelengths_nm": {"default": [565.0, 705.0], "help": "Of the colours, in their order; two to four"},
        "density_per_um2": {"default": 1.0, "min": 0.001, "ranged": True, "help": "Of all colours, as many of each"},
        "photons": {"default": {"min": 1000.0, "max": 5000.0}, "help": "Of an emitter, uniform between min and max"},
        "background_photons": {"default": 10.0, "min": 0.0, "ranged": True, "help": "Of a pixel, all colours together"},
        "min_photons": {"default": 100.0, "min": 0.0, "help": "Dimmer emitters are no targets and neutral in scores"},
        "field_px": {"default": 32, "min": 8, "max": 1024, "help": "Side of a frame"},
        "frames": {"default": None, "min": 1, "help": "Of a frozen set; 400 where nothing is said"},
    },
    "facts": {
        "truth": "emitters",
        "extras": ["signal_free"],
        "drawn_anew": True,
        "knows": ["psf", "photon prior", "density", "background", "camera"],
        "takes": {
            "pixel_size_nm": 100.0,
            "psf": {"name": "scalar_pupil"},
            "camera": {},
            "structure": {"name": "uniform"},
        },
    },
}

CHUNK = 64
STATISTICS_CHUNKS = 2
SIGNAL_FREE_FRAMES = 64
MOST_COLOURS = 4
NO_BOUND = "the bound is not computed for frames of several colours"


@dataclass(frozen=True, slots=True)
class Drawn:
    """Frames (n, H, W) and the truth of all colours by frame, with the mean background of each frame (n,)."""

    frames: torch.Tensor
    table: Localizations
    level: torch.Tensor


@dataclass(frozen=True)
class Palette:
    """A description with the PSF of each colour.

    Attributes:
        source: As of one colour, with its share of the density; its PSF is that of the first.
        psfs: Of each colour.
    """

    source: SimulateSource
    psfs: tuple[Psf, ...]
    catalog: Catalog

    @classmethod
    def of(cls, description: Any, catalog: Catalog) -> "Palette":
        """Build it.

        Raises:
            ConfigError: Wavelengths that are not two to four different ones, or a PSF without a wavelength.
        """
        told = dict(description.settings)
        wavelengths = _wavelengths(told.pop("wavelengths_nm"))
        shape = dict(description.psf)
        if "wavelength_nm" not in catalog.card("psf", str(shape["name"])).settings:
            raise ConfigError(
                f"colour_frames: PSF '{shape['name']}' is the same at every wavelength; take scalar_pupil or "
                "vectorial_pupil"
            )
        psfs = tuple(psf.build({**shape, "wavelength_nm": each}, catalog) for each in wavelengths)
        if any(one.channels > 1 for one in psfs):
            raise ConfigError(f"colour_frames: PSF '{shape['name']}' has several detectors; give one with one")
        density = told.pop("density_per_um2")
        source = SimulateSource(
            **told,
            density_per_um2=_shared(density, len(wavelengths)),
            psf=shape,
            camera=description.camera,
            structure=description.structure,
            pixel_size_nm=description.pixel_size_nm,
        )
        return cls(source, psfs, catalog)

    @property
    def sigma_nm(self) -> float:
        """Mean width of the colours in focus."""
        return float(np.mean([one.sigma_nm for one in self.psfs]))

    @property
    def field_nm(self) -> tuple[float, float]:
        """Extent of a frame."""
        side_nm = self.source.field_px * self.source.pixel_size_nm
        return side_nm, side_nm

    def draw(self, count: int, seed: int, structure_seed: int | None = None) -> Drawn:
        """Draw frames and their truth; every colour has a structure of its own, the same in all frames with a seed."""
        source, side = self.source, self.source.field_px
        chance = chance_of(source, seed)
        canvas = Canvas(count, side, side, source.pixel_size_nm)
        expected, parts, level = torch.zeros(count, side, side), list[dict[str, torch.Tensor]](), torch.zeros(count)
        for colour, optics in enumerate(self.psfs):
            own = None if structure_seed is None else derive_seed(structure_seed, str(colour))
            scene = independent(Ground.of(source, optics, self.catalog, own), optics, count, chance)
            level = scene.level if colour == 0 else level  # all see one background
            spots = Spots(scene.frame, scene.x_nm, scene.y_nm, scene.z_nm, scene.photons.float())
            expected += optics.render(spots, scene.shapes, canvas)
            inside = Region(self.field_nm[0], 0.0).inside(scene.x_nm, scene.y_nm)
            columns = {name: getattr(scene, name)[inside] for name in ("frame", "x_nm", "y_nm", "z_nm", "photons")}
            parts.append({**columns, "channel": torch.full_like(columns["frame"], colour)})
        found = {name: torch.cat([part[name] for part in parts]).numpy() for name in parts[0]}
        found["background_photons"] = level[torch.from_numpy(found["frame"])].numpy()
        order = np.argsort(found["frame"], kind="stable")
        table = Localizations.of(found, n_frames=count, field_nm=self.field_nm).select(order)
        return Drawn(seen(source, expected + level[:, None, None].float(), chance), table, level)


class ColourTraining:
    """An addressable stream; sample k lies in chunk k // 64, whatever the batch size."""

    def __init__(self, palette: Palette, seed_of: Callable[[int], int]) -> None:
        self._palette, side = palette, palette.source.field_px
        self._chunks = Chunks(lambda number: palette.draw(CHUNK, seed_of(number)), CHUNK)
        self.output_settings = {"pixel_size_nm": palette.source.pixel_size_nm}
        self.sample_shape = (1, side, side)

    def _first(self) -> list[Drawn]:
        return [chunk for chunk, _, _ in self._chunks.parts(0, STATISTICS_CHUNKS * CHUNK)]

    @cached_property
    def statistics(self) -> Statistics:
        """Of the first chunks."""
        return statistics_of(torch.cat([one.frames for one in self._first()]).numpy())

    @cached_property
    def taught(self) -> dict[str, float]:
        """How far the numbers of the first chunks' emitters go."""
        chunks = self._first()
        photons, z_nm = (np.concatenate([getattr(one.table, name) for one in chunks]) for name in ("photons", "z_nm"))
        return spread_of(photons, z_nm, torch.cat([one.level for one in chunks]).double().numpy())

    def batch(self, first: int, count: int) -> Batch:
        """Samples first .. first + count - 1."""
        parts, tables, begin = list(self._chunks.parts(first, count)), list[Localizations](), 0
        for chunk, start, stop in parts:
            rows = (chunk.table.frame >= start) & (chunk.table.frame < stop)
            tables.append(chunk.table.select(rows).shifted(begin - start))
            begin += stop - start
        frames = torch.cat([chunk.frames[start:stop] for chunk, start, stop in parts])
        levels = torch.cat([chunk.level[start:stop] for chunk, start, stop in parts])
        return Batch(frames[:, None], self._targets(tables, levels), first)

    def _targets(self, tables: Sequence[Localizations], levels: torch.Tensor) -> truths.Sampled:
        source, extent_nm = self._palette.source, self._palette.field_nm[0]
        sigma_px, bright = self._palette.sigma_nm / source.pixel_size_nm, list[Localizations]()
        for table in tables:
            rows = truths.is_target(table.photons, table.background_photons, source.min_photons, sigma_px)
            bright.append(table.select(rows))

        def column(name: str) -> Any:
            return np.concatenate([getattr(table, name) for table in bright])

        return truths.Sampled(
            torch.from_numpy(column("frame")),
            within(column("x_nm"), extent_nm),
            within(column("y_nm"), extent_nm),
            torch.from_numpy(column("z_nm")).float(),
            torch.from_numpy(column("photons")).float(),
            source.pixel_size_nm,
            levels.float(),
            torch.from_numpy(column("channel")),
        )


def training_set(description: Any, identity: Identity, scope: Scope, catalog: Catalog) -> ColourTraining:
    """The training stream; every sample is new."""
    no_neighbours(scope, "colour_frames")
    return ColourTraining(Palette.of(description, catalog), seeds_of(scope, identity))


def condition(name: str, description: Any, identity: Identity, asked: Asked, catalog: Catalog) -> Condition:
    """Draw a frozen set; one structure of each colour is drawn for all of its frames."""
    palette, digest = Palette.of(description, catalog), digest_of(identity, asked.role)
    source, scope = palette.source, (asked.role, digest)
    assert source.frames is not None  # noqa: S101 (a frozen set is sized)
    seed, structure = (derive_seed(asked.root_seed, *scope, what) for what in ("frames", "structure"))
    drawn = palette.draw(source.frames, seed, structure)
    background, sigma_px = mean_of(plain(source.background_photons)), palette.sigma_nm / source.pixel_size_nm
    least = float(truths.faintest_photons(source.min_photons, background, sigma_px))
    told = {
        "pixel_size_nm": source.pixel_size_nm,
        "background_photons": background,
        "psf_sigma_nm": palette.sigma_nm,
        **source.noise.told(),
    }
    made = Condition(
        name=name,
        frames=ArrayFrames(drawn.frames.numpy()),
        truth=truths.Emitters(drawn.table, least, sigma_px, NO_BOUND),
        digest=digest,
        truth_kind="simulated",
        facts={
            **facts(drawn.table, min_photons=least, psf_sigma_nm=palette.sigma_nm),
            "colours": float(len(palette.psfs)),
        },
        told=told,
    )
    if "signal_free" not in asked.extras:
        return made
    empty = ArrayFrames(draw_signal_free(source, derive_seed(asked.root_seed, *scope, "empty"), SIGNAL_FREE_FRAMES))
    nothing = truths.Emitters(Localizations.empty(n_frames=empty.n_frames, field_nm=palette.field_nm), least)
    return replace(made, extras={"signal_free": replace(made, frames=empty, truth=nothing)})


def _wavelengths(given: Sequence[Any]) -> list[float]:
    numbers = [one for one in given if isinstance(one, int | float) and not isinstance(one, bool)]
    if len(numbers) != len(given) or not 2 <= len(set(numbers)) == len(numbers) <= MOST_COLOURS:
        raise ConfigError(f"colour_frames.wavelengths_nm: {given!r}; give two to four different ones, such as 565, 705")
    return [float(one) for one in numbers]


def _shared(density: Any, colours: int) -> Any:
    """The density of one colour: a number, or both ends of a range."""
    if not isinstance(density, dict):
        return density / colours
    return {**density, "min": density["min"] / colours, "max": density["max"] / colours}
