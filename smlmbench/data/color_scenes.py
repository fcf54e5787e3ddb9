"""Scenes of one emitter each, of one of several colours, for the design of optics that tell colours apart.

Place, depth, photons and background follow the same laws in every colour. See `smlmbench/data/scenes.py`.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench.data.contracts import ArrayFrames, Asked, Batch, Condition, Identity, Scope
from smlmbench.data.numbered import Stream, seeds_of
from smlmbench.data.scenes import optics_of, pixel_of, unmasked
from smlmbench.data.targets import digest_of
from smlmbench.errors import ConfigError
from smlmbench.optics.scenes import packed
from smlmbench.psf.draws import drawn
from smlmbench.registry import Catalog
from smlmbench.seeds import derive_seed
from smlmbench.simulate.chance import Chance, Fast, Frozen
from smlmbench.study.sources import PluginSource
from smlmbench.truths.labels import Labelled
from smlmbench.truths.scenes import SceneLabels

CARD = {
    "version": 1,
    "summary": "Scenes of one emitter of one of several colours, drawn by a network through the mask that it designs",
    "settings": {
        "wavelengths_nm": {
            "default": {"565": 565.0, "625": 625.0, "705": 705.0, "800": 800.0},
            "min": 300.0,
            "max": 1200.0,
            "help": "of the emission of each colour, by its name; classes stand in the order of their names",
        },
        "field_px": {"default": 16, "min": 8, "max": 128, "help": "side of a scene in camera pixels"},
        "offset_px": {"default": 0.5, "min": 0.0, "max": 8.0, "help": "farthest from the middle along each axis"},
        "z_nm": {
            "default": 0.0,
            "min": -5000.0,
            "max": 10000.0,
            "ranged": True,
            "help": "depth, alike for all colours",
        },
        "photons": {"default": 5000.0, "min": 1.0, "max": 1e7, "ranged": True, "help": "of the emitter, all collected"},
        "background_photons": {"default": 10.0, "min": 0.0, "max": 1e6, "ranged": True, "help": "per pixel of a scene"},
        "frames": {"default": None, "min": 2, "max": 1000000, "help": "scenes of a frozen set"},
    },
    "tiny": {"frames": 16},
    "facts": {
        "truth": "color_scenes",
        "knows": ["optics", "photons", "background"],
        "drawn_anew": True,
        "takes": {"pixel_size_nm": 110.0, "psf": {"name": "scalar_pupil"}},
    },
}

STATISTICS_SCENES, FROZEN_SCENES = 64, 400


def scene(description: PluginSource, colour: int, chance: Chance) -> tuple[torch.Tensor, float]:
    """Draw one scene (3, H, W), and the photons of its emitter."""
    settings, pixel_nm = description.settings, pixel_of(description)
    side = int(settings["field_px"])
    offset = (2 * chance.uniform(2, 1) - 1) * settings["offset_px"]
    x_nm, y_nm = (side / 2 + offset) * pixel_nm
    z_nm, photons, level = (drawn(settings[name], 1, chance) for name in ("z_nm", "photons", "background_photons"))
    columns = (x_nm, y_nm, z_nm, photons, torch.full_like(x_nm, colour))
    return packed(chance.normal(side, side), level.expand(side, side), columns), float(photons)


def checked(description: PluginSource, catalog: Catalog) -> None:
    """Refuse what cannot be drawn.

    Raises:
        ConfigError: One colour, optics without a pupil, or depths that these do not hold.
    """
    settings = description.settings
    if len(settings["wavelengths_nm"]) < 2:
        raise ConfigError("color_scenes: give at least two colours, such as wavelengths_nm: {green: 565, red: 705}")
    low, high = optics_of(description, catalog).depth_nm or (0.0, 0.0)
    law = settings["z_nm"]
    ends = (law["min"], law["max"]) if isinstance(law, Mapping) else (law, law)
    if ends[0] < low or ends[1] > high:
        raise ConfigError(
            f"color_scenes: z_nm goes from {ends[0]:g} to {ends[1]:g}, the psf from {low:g} to {high:g}; "
            "give z_min_nm and z_max_nm that hold it"
        )


def training_set(description: PluginSource, identity: Identity, scope: Scope, catalog: Catalog) -> Stream:
    """The training stream, colours follow each other; statistics are of frames at the wavelength of the psf."""
    checked(description, catalog)
    seed_of, wavelengths = seeds_of(scope, identity), dict(description.settings["wavelengths_nm"])
    side, pixel_nm = int(description.settings["field_px"]), pixel_of(description)

    def batch(first: int, count: int) -> Batch:
        colors = [number % len(wavelengths) for number in range(first, first + count)]
        made = [scene(description, color, Fast.of(seed_of(first + k)))[0] for k, color in enumerate(colors)]
        return Batch(torch.stack(made), Labelled(torch.tensor(colors)), first)

    def pixels() -> NDArray[np.float32]:
        return unmasked(batch(0, STATISTICS_SCENES).inputs, optics_of(description, catalog), pixel_nm)

    told = {
        "pixel_size_nm": pixel_nm,
        "psf": dict(description.psf or {}),
        "wavelengths_nm": wavelengths,
        "classes": sorted(wavelengths),
    }
    return Stream(batch, (1, side, side), told, pixels)  # the shape of the frames that are drawn of scenes


def condition(name: str, description: PluginSource, identity: Identity, asked: Asked, catalog: Catalog) -> Condition:
    """A frozen set, 400 scenes where their number is not stated; every colour as often, to within one."""
    checked(description, catalog)
    digest, settings = digest_of(identity, asked.role), description.settings
    count, names = int(settings["frames"] or FROZEN_SCENES), tuple(sorted(settings["wavelengths_nm"]))
    index = np.arange(count, dtype=np.int64) % len(names)
    made = [
        scene(description, int(colour), Frozen(derive_seed(asked.root_seed, asked.role, digest, str(number))))
        for number, colour in enumerate(index)
    ]
    scenes, photons = np.stack([one.numpy() for one, _ in made]), np.array([bright for _, bright in made])
    return Condition(
        name=name,
        frames=ArrayFrames(scenes),
        truth=SceneLabels(names, index, photons),
        digest=digest,
        facts={"classes": float(len(names)), "photons": float(photons.mean())},
        told={"pixel_size_nm": pixel_of(description), "background_photons": float(scenes[:, 1].mean())},
        truth_kind="simulated",
    )


def small(folder: Path) -> PluginSource:
    """A description for checks, of a few small scenes."""
    del folder
    catalog = Catalog()
    card = catalog.card("data", "color_scenes")
    optics = {"name": "scalar_pupil", **catalog.card("psf", "scalar_pupil").fill("psf", {"reach_nm": 1000.0})}
    filled = card.fill("color_scenes", card.tiny)
    return PluginSource(kind="color_scenes", settings=filled, facts=card.facts, psf=optics, pixel_size_nm=110.0)
