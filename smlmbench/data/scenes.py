"""Scenes for the design of optics: emitters, background and noise, to be drawn through whatever mask is tried.

Every mask sees the same scenes with the same noise, in training as in frozen sets. The optics are the source's `psf`,
whose depths are those of the emitters; its own mask and the aberrations stay, the mask of a network comes on top.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench import psf
from smlmbench.data.contracts import ArrayFrames, Asked, Batch, Condition, Identity, Scope, Statistics
from smlmbench.data.facts import facts
from smlmbench.data.numbered import seeds_of
from smlmbench.data.targets import digest_of, statistics_of, within
from smlmbench.errors import ConfigError
from smlmbench.optics.scenes import field, noisy, packed, rates, room, unpacked
from smlmbench.predictions import Localizations
from smlmbench.psf.draws import drawn, largest_of, quantile
from smlmbench.psf.pupil import PupilPsf
from smlmbench.registry import Catalog
from smlmbench.seeds import derive_seed
from smlmbench.simulate.chance import Chance, Fast, Frozen
from smlmbench.study.sources import PluginSource
from smlmbench.truths.emitters import Sampled
from smlmbench.truths.scenes import SceneEmitters

CARD = {
    "version": 1,
    "summary": "Scenes of emitters that a network draws through the phase mask that it designs",
    "settings": {
        "emitters": {
            "default": 5.0,
            "min": 0.0,
            "max": 10000.0,
            "ranged": True,
            "help": "of a scene; ends are reached",
        },
        "photons": {"default": 5000.0, "min": 1.0, "max": 1e7, "ranged": True, "help": "of an emitter, all collected"},
        "background_photons": {"default": 10.0, "min": 0.0, "max": 1e6, "ranged": True, "help": "per pixel of a scene"},
        "min_photons": {"default": 0.0, "min": 0.0, "max": 1e7, "help": "dimmer emitters shine, but are no targets"},
        "field_px": {"default": 32, "min": 8, "max": 1024, "help": "side of a scene in camera pixels"},
        "frames": {"default": None, "min": 1, "max": 1000000, "help": "scenes of a frozen set"},
    },
    "tiny": {"field_px": 20, "frames": 12, "emitters": 2.0},
    "facts": {
        "truth": "scenes",
        "knows": ["optics", "photons", "background"],
        "drawn_anew": True,
        "takes": {"pixel_size_nm": 110.0, "psf": {"name": "scalar_pupil"}},
    },
}

PIXEL_NM = 110.0
STATISTICS_SCENES = 16
FROZEN_SCENES = 400
EXAMPLE: dict[str, Any] = {"name": "scalar_pupil", "z_min_nm": -400.0, "z_max_nm": 400.0, "reach_nm": 1000.0}


class SceneStream:
    """An addressable stream: scene k depends on its number alone."""

    def __init__(self, description: PluginSource, catalog: Catalog, seed_of: Callable[[int], int]) -> None:
        checked(description)
        self.optics = optics_of(description, catalog)
        self._description, self._seed_of = description, seed_of
        self._side, self.pixel_nm = int(description.settings["field_px"]), pixel_of(description)
        self.sample_shape: tuple[int, ...] = (1, self._side, self._side)  # of the frames that are drawn of scenes

    @property
    def output_settings(self) -> Mapping[str, Any]:
        """The camera pixel, and the optics that a network builds its microscope of."""
        return {"pixel_size_nm": self.pixel_nm, "psf": dict(self._description.psf or {})}

    @property
    def taught(self) -> Mapping[str, float]:
        """How far the numbers of emitters go."""
        settings, (low, high) = self._description.settings, self.optics.depth_nm or (0.0, 0.0)
        return {
            "photons_high": largest_of(settings["photons"]),
            "background_high": largest_of(settings["background_photons"]),
            "z_low_nm": low,
            "z_high_nm": high,
        }

    @cached_property
    def statistics(self) -> Statistics:
        """Of frames of the first scenes, without a further mask."""
        return statistics_of(unmasked(self.batch(0, STATISTICS_SCENES).inputs, self.optics, self.pixel_nm))

    def batch(self, first: int, count: int) -> Batch:
        """Scenes first .. first + count - 1; taught are those of at least min_photons."""
        made = [scene(self._description, self.optics, Fast.of(self._seed_of(first + k))) for k in range(count)]
        inputs = torch.stack([one for one, _ in made])
        x_nm, y_nm, z_nm, photons = (torch.cat(part) for part in zip(*(columns for _, columns in made), strict=True))
        sample = torch.repeat_interleave(torch.tensor([len(columns[0]) for _, columns in made]))
        taught = photons >= self._description.settings["min_photons"]
        extent = self._side * self.pixel_nm
        truth = Sampled(
            sample=sample[taught],
            x_nm=within(x_nm[taught].numpy(), extent),
            y_nm=within(y_nm[taught].numpy(), extent),
            z_nm=z_nm[taught].float(),
            photons=photons[taught].float(),
            pixel_size_nm=self.pixel_nm,
            background_photons=inputs[:, 1].mean(dim=(1, 2)),
        )
        return Batch(inputs, truth, first)


def scene(
    description: PluginSource, optics: PupilPsf, chance: Chance
) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Draw one scene (3, H, W) with x, y, z and photons (n,) of its emitters."""
    settings = description.settings
    side, (low, high) = int(settings["field_px"]), optics.depth_nm or (0.0, 0.0)
    count = _count(settings["emitters"], chance)
    x_nm, y_nm = chance.uniform(2, count) * (side * pixel_of(description))
    z_nm = low + (high - low) * chance.uniform(count)
    photons = drawn(settings["photons"], count, chance)
    level = drawn(settings["background_photons"], 1, chance)
    noise = chance.normal(side, side)
    columns = (x_nm, y_nm, z_nm, photons)
    return packed(noise, level.expand(side, side), (*columns, torch.zeros_like(x_nm))), columns


def _count(law: Any, chance: Chance) -> int:
    if not isinstance(law, Mapping):
        return round(float(law))
    wider = {**law, "max": law["max"] + 1}
    return min(int(quantile(wider, chance.uniform(1))), int(law["max"]))


def unmasked(scenes: torch.Tensor, optics: PupilPsf, pixel_nm: float) -> NDArray[np.float32]:
    """Frames (n, H, W) of scenes (n, 3, H, W) without a further mask."""
    told = unpacked(scenes)
    pixels = field((scenes.shape[-2], scenes.shape[-1]), pixel_nm, told.x_nm)
    return np.asarray(noisy(rates(told, optics.exact, pixels), told).numpy())


def pixel_of(description: PluginSource) -> float:
    """The camera pixel in nm."""
    return float(description.pixel_size_nm or PIXEL_NM)


def optics_of(description: PluginSource, catalog: Catalog) -> PupilPsf:
    """The PSF of a description.

    Raises:
        ConfigError: It has no pupil.
    """
    built = psf.build(description.psf or {}, catalog)
    if not isinstance(built, PupilPsf):
        name = (description.psf or {}).get("name")
        raise ConfigError(
            f"{description.kind}: psf '{name}' has no pupil to put a mask in; choose scalar_pupil or vectorial_pupil"
        )
    return built


def checked(description: PluginSource) -> None:
    """Refuse more emitters than a scene can hold.

    Raises:
        ConfigError: With both numbers.
    """
    side, most = int(description.settings["field_px"]), largest_of(description.settings["emitters"])
    if most > (held := room(side, side)):
        raise ConfigError(
            f"scenes: {most:g} emitters in {side} x {side} px, which hold {held}; give fewer, or a larger field_px"
        )


def training_set(description: PluginSource, identity: Identity, scope: Scope, catalog: Catalog) -> SceneStream:
    """The training stream."""
    return SceneStream(description, catalog, seeds_of(scope, identity))


def condition(name: str, description: PluginSource, identity: Identity, asked: Asked, catalog: Catalog) -> Condition:
    """A frozen set, 400 scenes where their number is not stated."""
    checked(description)
    digest, optics = digest_of(identity, asked.role), optics_of(description, catalog)
    settings, pixel_nm = description.settings, pixel_of(description)
    count = int(settings["frames"] or FROZEN_SCENES)
    scenes, tables = [], []
    for number in range(count):
        seed = derive_seed(asked.root_seed, asked.role, digest, str(number))
        made, columns = scene(description, optics, Frozen(seed))
        scenes.append(made.numpy())
        background = np.full(len(columns[0]), float(made[1].mean()))
        tables.append((np.full(len(columns[0]), number), *(column.numpy() for column in columns), background))
    names = ("frame", "x_nm", "y_nm", "z_nm", "photons", "background_photons")
    extent = float(settings["field_px"]) * pixel_nm
    parts = (np.concatenate(column) for column in zip(*tables, strict=True))
    table = Localizations.of(dict(zip(names, parts, strict=True)), n_frames=count, field_nm=(extent, extent))
    return Condition(
        name=name,
        frames=ArrayFrames(np.stack(scenes)),
        truth=SceneEmitters(table, float(settings["min_photons"])),
        digest=digest,
        facts=facts(table, min_photons=float(settings["min_photons"]), psf_sigma_nm=None),
        told={"pixel_size_nm": pixel_nm, "background_photons": float(np.mean([one[1].mean() for one in scenes]))},
        truth_kind="simulated",
    )


def small(folder: Path) -> PluginSource:
    """A description for checks, of a few small scenes."""
    del folder
    catalog = Catalog()
    card, settings = catalog.card("data", "scenes"), dict(EXAMPLE)
    name = settings.pop("name")
    optics = {"name": name, **catalog.card("psf", name).fill("psf", settings)}
    filled = card.fill("scenes", card.tiny)
    return PluginSource(kind="scenes", settings=filled, facts=card.facts, psf=optics, pixel_size_nm=110.0)
