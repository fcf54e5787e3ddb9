"""Crops cut from a movie at the positions of a table, whose columns are the truth."""

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from smlmbench import formats, movies
from smlmbench.camera import Camera
from smlmbench.data.contracts import Asked, Condition, Identity, Scope
from smlmbench.data.cropped import Held, HeldStream, bounded, condition_of, contiguous, finite, pixel_of
from smlmbench.data.cutouts import Boxes, crowded
from smlmbench.data.parameters import asked_of
from smlmbench.data.targets import digest_of
from smlmbench.errors import SizeError
from smlmbench.predictions import COLUMNS, Ints, Localizations
from smlmbench.psf.contracts import Psf
from smlmbench.registry import Catalog
from smlmbench.seeds import derive_seed
from smlmbench.study.sources import PluginSource

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Crops of a movie at the positions of a table, whose columns are the truth",
    "settings": {
        "movie": {"default": "", "help": "movie"},
        "table": {"default": "", "help": "table of positions, and of whatever is asked"},
        "field_px": {"default": 16, "min": 5, "max": 128, "help": "side of a crop in camera pixels"},
        "shift_px": {
            "default": 1,
            "min": 0,
            "max": 32,
            "help": "how far crops are moved at random by whole pixels, so that their middle does not tell the place",
        },
        "isolated": {"default": True, "help": "leave out crops in which another row of the table lies"},
        "gap_frames": {"default": 0, "min": 0, "max": 100000, "help": "left out between train, val and test"},
        "most": {"default": 100000, "min": 2, "max": 10000000, "help": "crops that are held, drawn among all"},
        "parameters": {"default": "all", "help": "which columns are asked, such as z_nm; all that are known"},
    },
    "tiny": {"field_px": 9},
    "facts": {
        "truth": "parameter_table",
        "truth_kind": "unstated",
        "knows": [],
        "takes": {"pixel_size_nm": None, "psf": None, "camera": "uncalibrated"},
        "files": {"movie": "movie", "table": "table"},
        "needs": ["movie", "table"],
        "cut": True,
    },
}

SHARED = 0.5  # of a crop's side to each side: another row within it lies in the crop


def _held(description: PluginSource, identity: Identity, catalog: Catalog) -> tuple[Held, Psf | None]:
    settings, pixel_nm = description.settings, pixel_of(description)
    side, camera = int(settings["field_px"]), description.camera
    with closing(formats.open_movie(Path(settings["movie"]), catalog=catalog)) as movie:
        field_nm = (movie.width * pixel_nm, movie.height * pixel_nm)
        options = formats.TableOptions(pixel_size_nm=pixel_nm, n_frames=movie.n_frames, field_nm=field_nm)
        table = formats.read_table(Path(settings["table"]), catalog=catalog, options=options)
        first, stop = contiguous(description.part, movie.n_frames, "frames", int(settings["gap_frames"]))
        table = table.select((table.frame >= first) & (table.frame < stop))
        seed = derive_seed(0, "crops", digest_of(identity, "crops"), str(first))
        rows, boxes = _places(table, settings, pixel_nm, movie, seed)
        pixels = boxes.cut(movies.calibrated(movie, camera if isinstance(camera, Camera) else None))
    kept = table.select(rows)
    columns = {name: getattr(kept, name) for name in COLUMNS[:5]} | dict(kept.more)
    columns |= {"x_nm": kept.x_nm - boxes.left * pixel_nm, "y_nm": kept.y_nm - boxes.top * pixel_nm}
    known = finite(columns)
    asked = asked_of(str(settings["parameters"]), list(known), "movie_crops")
    truth, optics = bounded(known, asked, description, side, catalog)
    return Held(pixels, truth, pixel_nm, isinstance(camera, Camera)), optics


def _places(
    table: Localizations, settings: dict[str, Any], pixel_nm: float, movie: movies.Extent, seed: int
) -> tuple[Ints, Boxes]:
    """Rows of the table whose crop lies in the frame, and where that is.

    Raises:
        SizeError: No row has one.
    """
    draws, side, reach = np.random.default_rng(seed), int(settings["field_px"]), int(settings["shift_px"])
    moved = draws.integers(-reach, reach + 1, (2, len(table)))
    boxes = Boxes.nearest(table.frame, table.x_nm / pixel_nm, table.y_nm / pixel_nm, side, moved)
    inside = boxes.within(movie)
    if settings["isolated"]:
        inside &= ~crowded(table, (SHARED * side + reach) * pixel_nm)
    rows = np.flatnonzero(inside)
    if not len(rows):
        raise SizeError(
            f"movie_crops: none of {len(table)} rows stands alone in a crop of {side} x {side} px within the frame; "
            "give a smaller field_px, or isolated: false"
        )
    rows = np.sort(draws.permutation(rows)[: int(settings["most"])])
    return rows, boxes.rows(rows)


def training_set(description: PluginSource, identity: Identity, scope: Scope, catalog: Catalog) -> HeldStream:
    """The crops of the training part, over and over; nothing is turned or mirrored, as a PSF is not symmetric."""
    held, _ = _held(description, identity, catalog)
    return HeldStream(held, (derive_seed(scope.root_seed, "train"), f"{digest_of(identity, 'train')}:{scope.repeat}"))


def condition(name: str, description: PluginSource, identity: Identity, asked: Asked, catalog: Catalog) -> Condition:
    """The crops of a part."""
    held, optics = _held(description, identity, catalog)
    return condition_of(name, held, digest_of(identity, asked.role), description, optics)
