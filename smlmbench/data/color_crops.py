"""Crops of one emitter each, imaged by one microscope at one of several wavelengths: which one is to be told.

Brightness, background, depth and place follow the same laws in every class, so that only the shape of the PSF tells.
Without aberrations both sides of the focus look alike; the optics that stand by default have a little of them.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench.camera import Camera
from smlmbench.data.contracts import ArrayFrames, Asked, Condition, Identity, Scope
from smlmbench.data.numbered import Chunks, Stream, chunked, no_neighbours, seeds_of
from smlmbench.data.targets import digest_of
from smlmbench.errors import ConfigError
from smlmbench.psf.coloured import COLOUR, Coloured, coloured
from smlmbench.psf.contracts import Stand, Window
from smlmbench.psf.draws import mean_of, quantile
from smlmbench.registry import Catalog
from smlmbench.seeds import derive_seed
from smlmbench.study.sources import PluginSource
from smlmbench.truths.labels import Labelled, Labels

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Crops of one emitter each by one microscope at one of several wavelengths, its class",
    "settings": {
        "wavelengths_nm": {
            "default": {"AF647": 670.0, "CF568": 590.0},
            "min": 300.0,
            "max": 1200.0,
            "help": "Of the emission of each class, by its name; classes stand in the order of their names",
        },
        "field_px": {"default": 13, "min": 5, "max": 64, "help": "Side of a crop"},
        "offset_px": {"default": 0.5, "min": 0.0, "max": 8.0, "help": "Farthest from the middle along each axis"},
        "z_nm": {
            "default": None, "min": -5000.0, "max": 10000.0, "ranged": True,
            "help": "Depth, by the same law in every class; without it -300 to 300",
        },
        "photons": {
            "default": None, "min": 1.0, "max": 1e7, "ranged": True,
            "help": "Detected within the PSF's reach; without it 1,000 to 10,000, log-uniform",
        },
        "background_photons": {
            "default": None, "min": 0.0, "max": 1e5, "ranged": True, "help": "In each pixel; without it 5 to 30",
        },
        "frames": {"default": None, "min": 2, "max": 1e6, "help": "Crops in a frozen set; by default 400"},
    },
    "tiny": {"frames": 12},
    "paper": (
        "Kim, Moon, Xu 2019, Information-rich localization microscopy through machine learning. Nature "
        "Communications 10:1996"
    ),
    "doi": "10.1038/s41467-019-10036-z",
    "facts": {
        "truth": "labels",
        "knows": ["psf", "photon prior", "background", "camera"],
        "drawn_anew": True,
        "form": "{color_crops: {wavelengths_nm: {CF568: 590, AF647: 670}, z_nm: {min: -300, max: 300}}}",
        "takes": {
            "pixel_size_nm": 110.0,
            "psf": {"name": "scalar_pupil", "reach_nm": 1500.0, "zernike_mlambda": {"6": 15.0, "11": 10.0}},
            "camera": {"kind": "scmos", "baseline_adu": 100.0, "e_per_adu": 0.5, "read_noise_e": 1.6},
        },
    },
}  # fmt: skip

CHUNK = 256  # samples that are drawn at once, or a little fewer, so that every class is as often among them
STATISTICS_CHUNKS = 4
LEAST_DEPTH_NM = 50.0  # that the PSF knows, so that its depth can be fitted
FRAMES = 400
LAWS: Mapping[str, Mapping[str, Any]] = {  # where a study gives none
    "z_nm": {"min": -300.0, "max": 300.0},
    "photons": {"min": 1000.0, "max": 10000.0, "law": "log_uniform"},
    "background_photons": {"min": 5.0, "max": 30.0},
}
TEMPLATE_DEPTHS, TEMPLATE_PLACES = 9, 3  # of a class, the places along each axis


class Drawn(NamedTuple):
    """Crops (n, 1, S, S) float32 photo-electrons as the camera reads them, their classes (n,) and photons (n,)."""

    crops: torch.Tensor
    label: torch.Tensor
    photons: torch.Tensor


class Microscope:
    """What draws crops: PSFs, laws and camera of a description.

    Raises:
        ConfigError: No camera, no colour, or optics that have none.
    """

    def __init__(self, description: PluginSource, catalog: Catalog) -> None:
        given = description.settings
        settings = {**given, **{name: law for name, law in LAWS.items() if given[name] is None}}
        self.settings, self.pixel_nm = settings, float(description.pixel_size_nm or np.nan)
        if not isinstance(description.camera, Camera):
            raise ConfigError("color_crops: crops are drawn with a camera; give one instead of 'uncalibrated'")
        self.camera = description.camera
        wavelengths_nm = {name: float(settings["wavelengths_nm"][name]) for name in sorted(settings["wavelengths_nm"])}
        z_nm = settings["z_nm"]
        low, high = (z_nm["min"], z_nm["max"]) if isinstance(z_nm, Mapping) else (z_nm, z_nm)
        self.depths_nm = float(low), float(high)
        known_nm = float(low), max(float(high), low + LEAST_DEPTH_NM)
        self.optics: Coloured = coloured(description.psf or {}, wavelengths_nm, known_nm, catalog)
        self.classes = tuple(wavelengths_nm)
        self.side = int(settings["field_px"])
        self.chunk = CHUNK // len(self.classes) * len(self.classes)

    def draw(self, seed: int, count: int) -> Drawn:
        """Crops in which every class is as often as any other, to within one, in random order."""
        chance = torch.Generator().manual_seed(seed)
        label = torch.randperm(count, generator=chance) % len(self.classes)
        unit = torch.rand(5, count, generator=chance, dtype=torch.float64)
        laws = (self.settings[name] for name in ("z_nm", "photons", "background_photons"))
        z_nm, photons, background = (quantile(law, each) for law, each in zip(laws, unit[2:], strict=True))
        middle, reach = self.side * self.pixel_nm / 2, self.settings["offset_px"] * self.pixel_nm
        x_nm, y_nm = middle + (2 * unit[:2] - 1) * reach
        stand, window = Stand(x_nm, y_nm, z_nm), Window(self.side, self.pixel_nm)
        light = self.optics.drawn(stand, {COLOUR: label}, window, torch.float32)
        expected = light * photons.float().view(-1, 1, 1, 1) + background.float().view(-1, 1, 1, 1)
        crops = self.camera.photons_of(self.camera.expose(expected, chance)).float()
        return Drawn(crops, label, photons)

    def templates(self) -> NDArray[np.float64]:
        """Light of one photon in each class at several depths and places, (classes, variants, 1, S, S)."""
        low, high = self.depths_nm
        depths = torch.linspace(low, high, 1 if low == high else TEMPLATE_DEPTHS, dtype=torch.float64)
        along = torch.linspace(-1, 1, TEMPLATE_PLACES, dtype=torch.float64) * self.settings["offset_px"]
        places = (along + self.side / 2) * self.pixel_nm
        z_nm, y_nm, x_nm = (one.reshape(-1) for one in torch.meshgrid(depths, places, places, indexing="ij"))
        stand, window = Stand(x_nm, y_nm, z_nm), Window(self.side, self.pixel_nm)
        return torch.stack([part.light(stand, {}, window) for part in self.optics.parts.values()]).numpy()


def training_set(description: PluginSource, identity: Identity, scope: Scope, catalog: Catalog) -> Stream:
    """The training stream; every sample is new.

    Raises:
        ConfigError: Optics that have no colour; or a network that wants several frames.
    """
    no_neighbours(scope, "crops of one emitter")
    microscope, seed_of = Microscope(description, catalog), seeds_of(scope, identity)
    chunks = Chunks(lambda number: microscope.draw(seed_of(number), microscope.chunk)[:2], microscope.chunk)
    told = {"pixel_size_nm": microscope.pixel_nm, "classes": list(microscope.classes)}
    shape = (1, microscope.side, microscope.side)
    return chunked(chunks, Labelled, shape, told, STATISTICS_CHUNKS * microscope.chunk)


def condition(name: str, description: PluginSource, identity: Identity, asked: Asked, catalog: Catalog) -> Condition:
    """A frozen set; it depends on neither its name nor a repeat."""
    microscope, digest = Microscope(description, catalog), digest_of(identity, asked.role)
    count = int(description.settings["frames"] or FRAMES)
    sizes = [min(microscope.chunk, count - start) for start in range(0, count, microscope.chunk)]
    seeds = (derive_seed(asked.root_seed, asked.role, digest, str(number)) for number in range(len(sizes)))
    parts = [microscope.draw(seed, size) for seed, size in zip(seeds, sizes, strict=True)]
    crops, label, photons = (torch.cat(each) for each in zip(*parts, strict=True))
    settings, camera = microscope.settings, microscope.camera
    told = {"pixel_size_nm": microscope.pixel_nm, "psf_sigma_nm": microscope.optics.sigma_nm, **camera.noise.told()}
    told["background_photons"] = mean_of(settings["background_photons"])
    return Condition(
        name=name,
        frames=ArrayFrames(crops[:, 0].numpy()),
        truth=Labels(microscope.classes, label.numpy(), photons.numpy(), microscope.templates()),
        digest=digest,
        facts={"photons": float(photons.mean())},
        told=told,
        truth_kind="simulated",
        optics=microscope.optics,
    )
