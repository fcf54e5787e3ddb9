"""Crops of single molecules from movies of one dye each: the dye of the movie is the class of its crops.

What differs between the movies beside the dye is learnt as well: take them with one microscope, on one day, at alike
brightness and background. Parts are blocks of frames of every movie; a molecule that stays on may reach over both.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench import formats, movies
from smlmbench.camera import Camera
from smlmbench.data.contracts import ArrayFrames, Asked, Batch, Condition, Identity, Scope
from smlmbench.data.cutouts import cut_out
from smlmbench.data.numbered import Stream, no_neighbours, seeds_of
from smlmbench.data.parts import block_of, cut
from smlmbench.data.targets import digest_of
from smlmbench.errors import ConfigError
from smlmbench.predictions import Floats
from smlmbench.registry import Catalog
from smlmbench.study.sources import Part, PluginSource
from smlmbench.truths.labels import Labelled, Labels

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Crops cut from movies of one dye each, around the positions of their tables",
    "settings": {
        "class_1": {"default": "1", "help": "Name of the first dye"},
        "movie_1": {"default": "", "help": "Its movie"},
        "table_1": {"default": "", "help": "Positions in it"},
        "class_2": {"default": "2", "help": "Name of the second dye"},
        "movie_2": {"default": "", "help": "Its movie"},
        "table_2": {"default": "", "help": "Positions in it"},
        "class_3": {"default": "3", "help": "Name of a third dye"},
        "movie_3": {"default": "", "help": "Its movie"},
        "table_3": {"default": "", "help": "Positions in it"},
        "class_4": {"default": "4", "help": "Name of a fourth dye"},
        "movie_4": {"default": "", "help": "Its movie"},
        "table_4": {"default": "", "help": "Positions in it"},
        "field_px": {"default": 13, "min": 5, "max": 64, "help": "Side of a crop"},
        "min_photons": {"default": 0.0, "min": 0.0, "max": 1e7, "help": "Dimmer positions are left out"},
        "gap_frames": {"default": 50, "min": 0, "max": 100000, "help": "Left out between the parts"},
    },
    "facts": {
        "truth": "labels",
        "truth_kind": "designed",
        "form": "{labelled_crops: {class_1: AF647, movie_1: red.tif, table_1: red.csv, class_2: CF568, movie_2: ...}}",
        "takes": {"pixel_size_nm": 100.0, "camera": "uncalibrated"},
        "files": {
            "movie_1": "movie", "table_1": "table", "movie_2": "movie", "table_2": "table",
            "movie_3": "movie", "table_3": "table", "movie_4": "movie", "table_4": "table",
        },
        "needs": ["movie_1", "table_1", "movie_2", "table_2"],
        "cut": True,
    },
}  # fmt: skip

MOST = 4  # classes
FEWEST = 2  # crops of a class in a part


class Dye(NamedTuple):
    """Crops (n, S, S) float32 of one class and their photons (n,), NaN where the table has none."""

    crops: NDArray[np.float32]
    photons: Floats


def dyes_of(description: PluginSource, catalog: Catalog) -> dict[str, Dye]:
    """The crops of a part of every class.

    Raises:
        ConfigError: A name twice, a movie without its table, or too few crops of a class.
        FormatError, SizeError: Files that cannot be read, or that are too short to be cut.
    """
    settings, found = description.settings, dict[str, Dye]()
    for number in range(1, MOST + 1):
        name, movie, table = (settings[f"{what}_{number}"] for what in ("class", "movie", "table"))
        if not movie and not table:
            continue
        if not movie or not table or name in found:
            raise ConfigError(f"labelled_crops: give class_{number} a name of its own, movie_{number} and its table")
        found[name] = dye = _dye(description, Path(movie), Path(table), catalog)
        if len(dye.crops) < FEWEST:
            raise ConfigError(
                f"labelled_crops: {len(dye.crops)} crops of '{name}' stand alone, within the field and with "
                f"{settings['min_photons']:g} photons; give a longer movie, a smaller field_px or fewer min_photons"
            )
    return found


def _dye(description: PluginSource, movie: Path, table: Path, catalog: Catalog) -> Dye:
    settings, pixel_nm = description.settings, float(description.pixel_size_nm or np.nan)
    camera = description.camera if isinstance(description.camera, Camera) else None
    opened = formats.open_movie(movie, catalog=catalog)
    try:
        n_frames, field_nm = opened.n_frames, (opened.width * pixel_nm, opened.height * pixel_nm)
        options = formats.TableOptions(pixel_nm, camera, n_frames=n_frames, field_nm=field_nm)
        places = formats.read_table(table, catalog=catalog, options=options)
        share = description.part
        part = None if share is None else Part(role=share.role, val=share.val, test=share.test, rule="frames")
        if part is not None and n_frames <= 2 * settings["gap_frames"] + MOST:
            raise ConfigError(f"labelled_crops: {n_frames} frames of '{movie.name}' are too few; lower gap_frames")
        block = block_of(part, n_frames, opened.width, settings["gap_frames"])
        places = cut(places, block, pixel_nm)
        frames = movies.window(movies.calibrated(opened, camera), frames=block.frames)
        crops = cut_out(frames, places, settings["field_px"], pixel_nm)
    finally:
        opened.close()
    photons = np.asarray(places.photons[crops.rows], dtype=np.float64)
    bright = ~(photons < settings["min_photons"])
    return Dye(crops.crops[bright], photons[bright])


def training_set(description: PluginSource, identity: Identity, scope: Scope, catalog: Catalog) -> Stream:
    """The crops of the training part, every class as often as any other, in an order of their own in every repeat.

    Errors are those of `dyes_of`.
    """
    no_neighbours(scope, "crops of one molecule")
    dyes, seed_of = dyes_of(description, catalog), seeds_of(scope, identity)
    crops = [dye.crops[:, None] for dye in dyes.values()]

    def batch(first: int, count: int) -> Batch:
        numbers = range(first, first + count)
        own = [crops[number % len(crops)] for number in numbers]
        found = [of[seed_of(number) % len(of)] for of, number in zip(own, numbers, strict=True)]
        return Batch(torch.from_numpy(np.stack(found)), Labelled(torch.tensor(numbers) % len(crops)), first)

    told = {"pixel_size_nm": float(description.pixel_size_nm or np.nan), "classes": list(dyes)}
    return Stream(batch, crops[0].shape[1:], told, lambda: np.concatenate(crops))


def condition(name: str, description: PluginSource, identity: Identity, asked: Asked, catalog: Catalog) -> Condition:
    """All crops of a part, class after class (errors as of `dyes_of`); the template of a class is its mean crop.

    Templates are of what rows are trained on, where that is known and has the same classes.
    """
    dyes, camera = dyes_of(description, catalog), description.camera
    index = np.repeat(np.arange(len(dyes)), [len(dye.crops) for dye in dyes.values()])
    crops, photons = (np.concatenate(each) for each in zip(*dyes.values(), strict=True))
    taught = asked.taught if isinstance(asked.taught, PluginSource) and asked.taught.kind == description.kind else None
    noise = camera.noise.told() if isinstance(camera, Camera) else {}
    return Condition(
        name=name,
        frames=ArrayFrames(crops),
        truth=Labels(tuple(dyes), index, photons, None if taught is None else _templates(taught, tuple(dyes), catalog)),
        digest=digest_of(identity, asked.role),
        told={"pixel_size_nm": float(description.pixel_size_nm or np.nan), **noise},
        truth_kind="designed",
        calibrated=isinstance(camera, Camera),
    )


def _templates(taught: PluginSource, classes: tuple[str, ...], catalog: Catalog) -> Floats | None:
    """Mean crop of each class less its darkest pixel, over its sum, (classes, 1, 1, S, S)."""
    dyes = dyes_of(taught, catalog)
    if tuple(dyes) != classes:
        return None
    means = np.stack([dye.crops.mean(axis=0, dtype=np.float64) for dye in dyes.values()])
    light = means - means.min(axis=(1, 2), keepdims=True)
    return np.asarray(light / light.sum(axis=(1, 2), keepdims=True))[:, None, None]
