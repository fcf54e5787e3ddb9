"""Crops of one emitter on structured background, whose true background is known; drawn anew without end.

The background is gradient noise (`simulate.background`): of one octave it is a smooth hill or slope, each further one
adds structure of half the size and half the strength. Its level follows from the signal-to-background ratio: photons
of the emitter over those of the background of the whole crop. Both are reconstructions: the generator of the paper was
not found (Moeckl et al. 2020, doi:10.1073/pnas.1916219117).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from smlmbench import psf
from smlmbench.camera import Camera
from smlmbench.data.contracts import ArrayFrames, Asked, Condition, Identity, Scope
from smlmbench.data.numbered import Chunks, Stream, chunked, no_neighbours, seeds_of
from smlmbench.data.targets import digest_of
from smlmbench.errors import ConfigError
from smlmbench.psf.contracts import Canvas, Psf, Shapes, Spots
from smlmbench.psf.draws import drawn, mean_of
from smlmbench.registry import Catalog
from smlmbench.seeds import derive_seed
from smlmbench.simulate.background import structured
from smlmbench.simulate.chance import Fast
from smlmbench.study.sources import PluginSource
from smlmbench.study.sources.scenes import Perlin
from smlmbench.truths.background_maps import BackgroundMaps, Taught

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Crops of one emitter on structured background (gradient noise of 1-4 octaves)",
    "settings": {
        "side_px": {"default": 20, "min": 8, "max": 128, "help": "side of a crop; 12, 20 or 40 in the paper"},
        "photons": {
            "default": 2000.0,
            "min": 1.0,
            "max": 1e6,
            "ranged": True,
            "help": "of the emitter; a range is drawn per crop",
        },
        "signal_to_background": {
            "default": 0.3,
            "min": 0.001,
            "max": 1000.0,
            "ranged": True,
            "help": "photons of the emitter over those of the background of the whole crop",
        },
        "octaves": {
            "default": 3,
            "min": 1,
            "max": 4,
            "ranged": True,
            "help": "complexity of the background; a range is drawn per crop, ends included",
        },
        "cell_px": {"default": 12.0, "min": 2.0, "max": 200.0, "help": "size of the largest structures"},
        "contrast": {
            "default": 1.0,
            "min": 0.01,
            "max": 1.0,
            "help": "largest share by which structure raises or lowers the background",
        },
        "offset_px": {"default": 1.0, "min": 0.0, "max": 20.0, "help": "emitter at most so far from the middle"},
        "z_nm": {
            "default": 0.0,
            "min": -10000.0,
            "max": 10000.0,
            "ranged": True,
            "help": "depth of the emitter, within that of the PSF",
        },
        "empty": {"default": 0.0, "min": 0.0, "max": 1.0, "help": "share of crops without an emitter in the middle"},
        "neighbours": {
            "default": 0.0,
            "min": 0.0,
            "max": 20.0,
            "ranged": True,
            "help": "mean number of further emitters in a crop, anywhere; they are no background",
        },
        "frames": {"default": 400, "min": 2, "max": 1000000, "help": "crops of a frozen set"},
    },
    "tiny": {"side_px": 12, "frames": 12},
    "facts": {
        "truth": "background_maps",
        "extras": ["emitter_free"],
        "knows": ["PSF", "background"],
        "drawn_anew": True,
        "takes": {"pixel_size_nm": 100.0, "psf": {"name": "gaussian"}, "camera": {"kind": "ideal"}},
    },
}

CHUNK = 64  # samples drawn at once
STATISTICS_SAMPLES = 256
EMITTER_FREE = 64  # crops of that further set


@dataclass(frozen=True, slots=True)
class Crops:
    """Crops with their truth."""

    inputs: torch.Tensor  # (n, 1, H, W) float32, photo-electrons after the camera and its inverse
    truth: BackgroundMaps


class Drawer:
    """A description ready to be drawn.

    Raises:
        ConfigError: A PSF of several detectors, an unknown camera, or octaves that are no whole numbers.
    """

    def __init__(self, description: PluginSource, catalog: Catalog) -> None:
        self.settings = description.settings
        self.optics: Psf = psf.build(description.psf or {}, catalog)
        self.pixel_nm = float(description.pixel_size_nm or math.nan)
        if not isinstance(description.camera, Camera):
            raise ConfigError("background_crops.camera: uncalibrated crops have no photons; state the camera")
        if self.optics.channels > 1:
            raise ConfigError("background_crops.psf: crops of one detector are drawn; choose a PSF with one")
        self.camera, self.octaves = description.camera, self.settings["octaves"]
        if isinstance(self.octaves, Mapping):
            low, high = (self.octaves[end] for end in ("min", "max"))
            if int(low) != low or int(high) != high:
                said = f"{low:g} to {high:g} are no whole numbers"
                raise ConfigError(f"background_crops.octaves: {said}; give such as {{min: 1, max: 4}}")
            self.octaves = {"min": low, "max": high + 1}

    @property
    def side(self) -> int:
        """Of a crop in pixels."""
        return int(self.settings["side_px"])

    @property
    def mean_level(self) -> float:
        """Background in photo-electrons per pixel at the mean photons and ratio."""
        photons, ratio = (mean_of(self.settings[name]) for name in ("photons", "signal_to_background"))
        return photons / (ratio * self.side**2)

    def crops(self, seed: int, n: int, *, emitters: bool = True) -> Crops:
        """Draw n crops; without emitters their backgrounds are as bright as if they had some."""
        chance, settings = Fast.of(seed), self.settings
        photons, ratio, octaves, z_nm = (
            drawn(value, n, chance)
            for value in (settings["photons"], settings["signal_to_background"], self.octaves, settings["z_nm"])
        )
        maps = self._maps(photons / (ratio * self.side**2), octaves.long(), chance)
        around = (chance.uniform(2, n) * 2 - 1) * settings["offset_px"] + self.side / 2
        there = (chance.uniform(n) >= settings["empty"]) if emitters else torch.zeros(n, dtype=torch.bool)
        nowhere = torch.full((n,), math.nan, dtype=torch.float64)
        x_nm, y_nm, z_nm = (torch.where(there, at, nowhere) for at in (*(around * self.pixel_nm), z_nm))
        photons = torch.where(there, photons, 0.0)
        spots = Spots(torch.arange(n)[there], x_nm[there], y_nm[there], z_nm[there], photons[there])
        shapes = self.optics.shapes(n, chance)
        light = self._lit(spots, {name: values[there] for name, values in shapes.items()}, n)
        if emitters and settings["neighbours"]:
            further = self._further(n, chance)
            light = light + self._lit(further, self.optics.shapes(len(further), chance), n)
        counts = self.camera.expose((light + maps)[:, None].float(), chance.generator)
        places = (x_nm.numpy(), y_nm.numpy(), z_nm.numpy())
        truth = BackgroundMaps(maps.float().numpy(), *places, photons.numpy(), self.optics, shapes)
        return Crops(self.camera.photons_of(counts).float(), truth)

    def _lit(self, spots: Spots, shapes: Shapes, n: int) -> torch.Tensor:
        """Expected light of emitters in n crops, those outside a crop too."""
        return self.optics.render(spots, shapes, Canvas(n, self.side, self.side, self.pixel_nm, torch.float64))

    def _further(self, n: int, chance: Fast) -> Spots:
        """Emitters anywhere in crops and around them, up to half a crop away."""
        whole = 4.0 * drawn(self.settings["neighbours"], n, chance)  # a field of twice the side
        sample = torch.repeat_interleave(chance.poisson(whole).long())
        count = len(sample)
        x_nm, y_nm = (chance.uniform(2, count) * 2 - 0.5) * self.side * self.pixel_nm
        z_nm, photons = (drawn(self.settings[name], count, chance) for name in ("z_nm", "photons"))
        return Spots(sample, x_nm, y_nm, z_nm, photons)

    def _maps(self, level: torch.Tensor, octaves: torch.Tensor, chance: Fast) -> torch.Tensor:
        """Backgrounds (n, side, side) float64 of mean levels and complexities (n,)."""
        maps = torch.empty(len(level), self.side, self.side, dtype=torch.float64)
        cell_um = self.settings["cell_px"] * self.pixel_nm / 1000
        for count in sorted(set(octaves.tolist())):
            rows = octaves == count
            haze = Perlin(change=self.settings["contrast"], cell_um=cell_um, octaves=count)
            found = structured(haze, level[rows], self.side, self.pixel_nm, chance)
            assert found is not None  # noqa: S101 (of a flat background alone it is none)
            maps[rows] = found
        return maps


def training_set(description: PluginSource, identity: Identity, scope: Scope, catalog: Catalog) -> Stream:
    """The training stream; no direction is special, so nothing is augmented (a ConfigError: windows of frames)."""
    no_neighbours(scope, "background crops")
    drawer, seed_of = Drawer(description, catalog), seeds_of(scope, identity)

    def draw(number: int) -> tuple[torch.Tensor, torch.Tensor]:
        made = drawer.crops(seed_of(number), CHUNK)
        return made.inputs, torch.from_numpy(made.truth.maps[:, None])

    # What a network learned, by which a movie is cut into crops later, and whether it knows crops of any place.
    told = {
        "pixel_size_nm": drawer.pixel_nm,
        "side_px": drawer.side,
        "empty": float(drawer.settings["empty"]),
        "neighbours": mean_of(drawer.settings["neighbours"]),
    }
    return chunked(Chunks(draw, CHUNK), Taught, (1, drawer.side, drawer.side), told, STATISTICS_SAMPLES)


def condition(name: str, description: PluginSource, identity: Identity, asked: Asked, catalog: Catalog) -> Condition:
    """Draw a frozen set; the further set `emitter_free` is 64 crops of background alone."""
    drawer, digest = Drawer(description, catalog), digest_of(identity, asked.role)
    made = drawer.crops(derive_seed(asked.root_seed, asked.role, digest), int(description.settings["frames"]))
    told = {"pixel_size_nm": drawer.pixel_nm, "psf_sigma_nm": drawer.optics.sigma_nm}
    found = Condition(
        name=name,
        frames=ArrayFrames(made.inputs[:, 0].numpy()),
        truth=made.truth,
        digest=digest,
        truth_kind="simulated",
        facts={
            "background_photons": float(made.truth.maps.mean()),
            "octaves": mean_of(description.settings["octaves"]),
        },
        told=told | {"background_photons": drawer.mean_level} | drawer.camera.noise.told(),
        optics=drawer.optics,
    )
    if "emitter_free" not in asked.extras:
        return found
    seed = derive_seed(asked.root_seed, asked.role, digest, "emitter_free")
    empty = drawer.crops(seed, EMITTER_FREE, emitters=False)
    free = replace(found, frames=ArrayFrames(empty.inputs[:, 0].numpy()), truth=empty.truth)
    return replace(found, extras={"emitter_free": free})


def small(folder: Path) -> PluginSource:
    """A description for checks: a few small crops."""
    del folder
    settings = {name: setting["default"] for name, setting in CARD["settings"].items()} | CARD["tiny"]
    return PluginSource(
        kind="background_crops",
        settings=settings,
        facts=CARD["facts"],
        pixel_size_nm=100.0,
        psf={"name": "gaussian", "sigma_nm": 130.0},
        camera=Camera(),
    )
