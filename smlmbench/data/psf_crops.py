"""Crops of one emitter each, drawn from a PSF and a camera, with the bound of every crop's parameters."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from smlmbench import psf
from smlmbench.camera import Camera
from smlmbench.data.contracts import ArrayFrames, Asked, Batch, Condition, Identity, Scope, Statistics
from smlmbench.data.numbered import Chunks
from smlmbench.data.parameters import asked_of, told_of
from smlmbench.data.targets import digest_of, statistics_of
from smlmbench.errors import ConfigError
from smlmbench.limit.crops import Crops, bounds_of, expected, names_of
from smlmbench.predictions import Floats
from smlmbench.psf.contracts import Psf, Stand, Window
from smlmbench.psf.draws import drawn, mean_of
from smlmbench.registry import Catalog
from smlmbench.seeds import derive_seed
from smlmbench.simulate.chance import Fast
from smlmbench.study.sources import PluginSource
from smlmbench.truths.parameter_table import ParameterTable

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Simulated crops of one emitter, each with the bound of its parameters",
    "settings": {
        "field_px": {"default": 16, "min": 5, "max": 128, "help": "side of a crop in camera pixels"},
        "frames": {"default": 1000, "min": 2, "max": 1000000, "help": "crops of a frozen set"},
        "photons": {"default": 2000.0, "min": 1.0, "max": 1e7, "ranged": True, "help": "detected, of an emitter"},
        "background_photons": {"default": 10.0, "min": 0.0, "max": 1e5, "ranged": True, "help": "per pixel"},
        "z_nm": {
            "default": None,
            "min": -20000.0,
            "max": 20000.0,
            "ranged": True,
            "help": "depth; by default all that the PSF knows",
        },
        "shift_px": {
            "default": 1.0,
            "min": 0.0,
            "max": 64.0,
            "help": "how far off the middle of its crop an emitter may stand, along each axis",
        },
        "parameters": {
            "default": "all",
            "help": "which are asked, such as z_nm or `x_nm y_nm`; all: place, photons, background, what varies",
        },
    },
    "tiny": {"field_px": 9, "frames": 12},
    "facts": {
        "truth": "parameter_table",
        "truth_kind": "simulated",
        "knows": ["psf", "camera"],
        "drawn_anew": True,
        "takes": {"pixel_size_nm": 100.0, "psf": {"name": "astigmatic"}, "camera": {"kind": "ideal"}},
    },
}

CHUNK = 512  # samples drawn at once
STATISTICS_CHUNKS = 2
TRIED = 16  # emitters whose shapes are drawn to see which of them vary


class Lens:
    """Optics, camera and laws of a description: draws crops.

    Raises:
        ConfigError: Depths that the PSF does not know, or parameters that it does not have.
    """

    def __init__(self, description: PluginSource, catalog: Catalog) -> None:
        settings, optics = description.settings, description.psf
        if optics is None or description.pixel_size_nm is None or not isinstance(description.camera, Camera):
            raise ConfigError("psf_crops: crops are drawn with a psf, a camera and pixel_size_nm; give them")
        self.optics: Psf = psf.build(optics, catalog)
        self.camera, self.pixel_nm, self.settings = description.camera, description.pixel_size_nm, settings
        self.side = int(settings["field_px"])
        shapes = self.optics.shapes(TRIED, Fast.of(0))
        one = {name: values for name, values in shapes.items() if values.ndim == 1}
        self.varied = tuple(name for name, values in one.items() if bool((values != values[0]).any()))
        self.depth_nm = self._depths()
        self.asked = asked_of(str(settings["parameters"]), names_of(self.optics, self.varied), "psf_crops")

    def _depths(self) -> float | dict[str, Any]:
        given, known = self.settings["z_nm"], self.optics.depth_nm
        if known is None:
            if given is not None:
                raise ConfigError("psf_crops: z_nm has no part in a PSF that is the same at every depth; leave it out")
            return 0.0
        if given is None:
            return {"min": known[0], "max": known[1], "law": "uniform"}
        ends = (given["min"], given["max"]) if isinstance(given, Mapping) else (given, given)
        if ends[0] < known[0] or ends[1] > known[1]:
            raise ConfigError(
                f"psf_crops: z_nm from {ends[0]:g} to {ends[1]:g} leaves the depths of the PSF, {known[0]:g} to "
                f"{known[1]:g} nm; give z_nm within them, or a PSF with more"
            )
        return given if isinstance(given, float) else dict(given)

    def draw(self, n: int, seed: int) -> tuple[torch.Tensor, ParameterTable]:
        """Crops (n, channels, side, side) float32 in photo-electrons as they are read back, and their truth."""
        chance, settings = Fast.of(seed), self.settings
        off = (2 * chance.uniform(2, n) - 1) * min(float(settings["shift_px"]), self.side / 2)
        x_nm, y_nm = (self.side / 2 + off) * self.pixel_nm
        z_nm = drawn(self.depth_nm, n, chance)
        photons, background = (drawn(settings[name], n, chance) for name in ("photons", "background_photons"))
        shapes = self.optics.shapes(n, chance)
        window = Window(self.side, self.pixel_nm)
        crops = Crops(Stand(x_nm, y_nm, z_nm), shapes, photons, background, window, self.varied)
        light, bounds = bounds_of(self.optics, self.camera, crops)
        mean = expected(crops, light).clamp_min(0.0).float()
        pixels = self.camera.photons_of(self.camera.expose(mean, chance.generator)).float()
        known = {"x_nm": x_nm, "y_nm": y_nm, "z_nm": z_nm, "photons": photons, "background_photons": background}
        known |= {name: shapes[name] for name in self.varied}
        if self.optics.depth_nm is None:
            del known["z_nm"]
        return pixels, ParameterTable.of(self.asked, _plain(known), _plain(bounds), self.optics.periods)

    def several(self, n: int, seeds: tuple[int, str]) -> tuple[torch.Tensor, ParameterTable]:
        """The same of any number, in chunks."""
        made = [
            self.draw(min(CHUNK, n - start), derive_seed(*seeds, str(start // CHUNK))) for start in range(0, n, CHUNK)
        ]
        return torch.cat([pixels for pixels, _ in made]), joined([table for _, table in made])


class CropStream:
    """An addressable stream; sample k lies in chunk k // 512, whatever the batch size."""

    def __init__(self, lens: Lens, seeds: tuple[int, str]) -> None:
        self._lens = lens
        self._chunks = Chunks(lambda number: lens.draw(CHUNK, derive_seed(*seeds, str(number))), CHUNK)
        self.sample_shape: tuple[int, ...] = (lens.optics.channels, lens.side, lens.side)

    @cached_property
    def _first(self) -> Batch:
        return self.batch(0, STATISTICS_CHUNKS * CHUNK)

    @cached_property
    def statistics(self) -> Statistics:
        """Of the first chunks."""
        return statistics_of(self._first.inputs.numpy())

    @cached_property
    def output_settings(self) -> Mapping[str, Any]:
        """Camera pixel, and what is told of the parameters: see `data.parameters`."""
        return {"pixel_size_nm": self._lens.pixel_nm, **told_of(self._first.truth, self._lens.side, photons=True)}

    def batch(self, first: int, count: int) -> Batch:
        """Samples first .. first + count - 1."""
        parts = list(self._chunks.parts(first, count))
        pixels = torch.cat([crops[start:stop] for (crops, _), start, stop in parts])
        return Batch(pixels, joined([table.part(start, stop) for (_, table), start, stop in parts]), first)


def joined(tables: list[ParameterTable]) -> ParameterTable:
    """Tables of the same parameters, one after the other."""
    first = tables[0]
    values, bounds, beside = (
        {name: np.concatenate([getattr(one, field)[name] for one in tables]) for name in getattr(first, field)}
        for field in ("values", "bounds", "beside")
    )
    return ParameterTable(values, bounds, first.periods, beside)


def _plain(columns: Mapping[str, torch.Tensor]) -> dict[str, Floats]:
    return {name: values.double().numpy() for name, values in columns.items()}


def training_set(description: PluginSource, identity: Identity, scope: Scope, catalog: Catalog) -> CropStream:
    """The stream; every sample is new, and nothing is augmented."""
    seeds = f"{digest_of(identity, 'train')}:{scope.repeat}"
    return CropStream(Lens(description, catalog), (derive_seed(scope.root_seed, "train"), seeds))


def condition(name: str, description: PluginSource, identity: Identity, asked: Asked, catalog: Catalog) -> Condition:
    """A frozen set; it depends on neither its name nor a repeat."""
    lens, digest = Lens(description, catalog), digest_of(identity, asked.role)
    settings = description.settings
    pixels, table = lens.several(int(settings["frames"]), (derive_seed(asked.root_seed, asked.role), digest))
    crops = pixels.numpy()
    laws = {key: mean_of(settings[key]) for key in ("photons", "background_photons")}
    return Condition(
        name,
        ArrayFrames(crops[:, 0] if lens.optics.channels == 1 else crops),
        table,
        digest,
        facts=laws,
        told={
            "pixel_size_nm": lens.pixel_nm,
            "psf_sigma_nm": lens.optics.sigma_nm,
            "background_photons": laws["background_photons"],
            **lens.camera.noise.told(),
        },
        truth_kind="simulated",
        noise_map=lens.camera.noise_map((lens.side, lens.side)) if lens.camera.maps else None,
        optics=lens.optics,
    )


def small(folder: Path) -> PluginSource:
    """A description for checks, of a few small crops."""
    del folder
    catalog = Catalog()
    return PluginSource(
        kind="psf_crops",
        settings=catalog.card("data", "psf_crops").fill("psf_crops", {**CARD["tiny"], "parameters": "z_nm"}),
        facts=CARD["facts"],
        pixel_size_nm=100.0,
        psf={"name": "astigmatic", **catalog.card("psf", "astigmatic").fill("psf", {"range_nm": 500.0})},
        camera=Camera(),
    )
