"""Files of one format into another: tables, movies to TIFF, images to TIFF; what is lost on the way is told."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from smlmbench import formats
from smlmbench.errors import FormatError, UnitError, printable
from smlmbench.formats.drift import read_drift, undrifted
from smlmbench.formats.options import TableOptions
from smlmbench.movies import BadPixels, mending
from smlmbench.predictions import Localizations
from smlmbench.registry import Catalog
from smlmbench.run.using.replacing import check_free

SAME = 1e-5  # single precision, which Picasso's tables have
SAME_NM = 1e-3
OnFrames = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Conversion:
    """What is converted."""

    source: Path  # file or folder
    target: Path
    source_format: str | None = None  # registered; None finds it
    target_format: str | None = None  # registered; None takes the one of the suffix
    known: TableOptions = field(default_factory=TableOptions)  # beyond the files
    variable: str | None = None  # name of the array in a .mat file
    overwrite: bool = False  # whether files that are there already may be replaced
    bad_pixels: BadPixels | None = None  # of a movie, NaN or infinite; None keeps them
    drift: Path | None = None  # table of it, which is taken away from the positions of a table


@dataclass(frozen=True, slots=True)
class Converted:
    """What was written."""

    holds: str  # table, movie or image
    source_format: str
    target_format: str
    count: int  # rows, frames or 1
    files: list[Path]
    lost: list[str]  # one clause for each thing that the new file does not hold as the old one did


def convert(asked: Conversion, catalog: Catalog, on_frames: OnFrames = lambda _done, _total: None) -> Converted:
    """Convert one file; `on_frames` hears the frames of a movie that are done, and all.

    Raises:
        FormatError: A file of no known format, kinds that differ, or a file that is there already.
        UnitError: An image without its pixel size, or a field without extent.
    """
    if asked.known.field_nm is not None and not min(asked.known.field_nm) > 0:
        width, height = asked.known.field_nm
        raise UnitError(f"--field-nm {width:g} {height:g}: give a width and a height above 0")
    holds = _holds(asked, catalog)
    columns = holds == "table" and bool(asked.known.columns)
    source_format = formats.find(
        asked.source, holds, catalog=catalog, format=asked.source_format, takes_columns=columns
    )
    target_format = _target_format(asked, holds, catalog)
    facts = catalog.card("formats", target_format).facts
    files = [asked.target, *(asked.target.with_suffix(suffix) for suffix in facts.get("sidecars", []))]
    _check_target(asked, files)
    asked = replace(asked, source_format=source_format, target_format=target_format)
    if asked.drift is not None and holds != "table":
        raise FormatError(f"'{asked.source.name}' is a {holds}; a drift is taken away from positions of a table alone")
    work = {"table": _table, "movie": _movie, "image": _image}[holds]
    count, lost = work(asked, catalog, on_frames)
    return Converted(holds, source_format, target_format, count, files, list(map(printable, lost)))


def _holds(asked: Conversion, catalog: Catalog) -> str:
    if asked.source_format is not None:
        return formats.holds_of(asked.source_format, catalog=catalog)
    if asked.source.is_dir():
        return "movie"
    # A TIFF may be both; one image is a movie of one frame.
    return next(iter(formats.kinds(asked.source, catalog=catalog)), "table")


def _target_format(asked: Conversion, holds: str, catalog: Catalog) -> str:
    """The format to write, after refusing to turn one kind of thing into another."""
    if asked.target_format is not None:
        kind = formats.holds_of(asked.target_format, catalog=catalog)
        if kind != holds:
            raise FormatError(
                f"'{asked.source.name}' is a {holds} and {asked.target_format} holds {kind}s;"
                f" name a format for {holds}s with --to"
            )
    return formats.writer(asked.target, holds, catalog=catalog, format=asked.target_format)


def _check_target(asked: Conversion, files: list[Path]) -> None:
    folder = asked.source.is_dir()
    for file in files:
        if file.exists() and asked.source.exists() and (file.parent if folder else file).samefile(asked.source):
            what = "one of the frames" if folder else "the file"
            raise FormatError(f"'{file}' is {what} to convert; give another name for the new one")
    if not asked.overwrite:
        check_free(files)
    if not asked.target.absolute().parent.is_dir():
        raise FormatError(f"folder '{asked.target.parent}' does not exist; make it first")


def _table(asked: Conversion, catalog: Catalog, _on_frames: OnFrames) -> tuple[int, list[str]]:
    known = asked.known
    free = bool(catalog.card("formats", str(asked.source_format)).facts.get("fallback"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        locs = formats.read_table(
            asked.source, catalog=catalog, format=asked.source_format, options=known, names_unread=True
        )
    lost = [str(each.message) for each in caught]
    if asked.drift is not None:
        locs = undrifted(locs, read_drift(asked.drift, known.pixel_size_nm))
    if free and known.origin is None:
        lost.append("the origin is taken as the outer corner of the first pixel; give --origin centre otherwise")
    written = TableOptions(pixel_size_nm=known.pixel_size_nm, camera=known.camera)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        formats.write_table(locs, asked.target, catalog=catalog, format=asked.target_format, options=written)
    back = formats.read_table(asked.target, catalog=catalog, format=asked.target_format, options=written)
    lost += _differences(locs, back, str(asked.target_format))
    lost += [str(each.message) for each in caught]
    return len(locs), lost + _photons(asked, locs, catalog)


def _differences(locs: Localizations, back: Localizations, name: str) -> list[str]:
    """What a table says otherwise after it was written and read again."""
    before, after = locs.columns(), back.columns()
    known = [column for column, values in before.items() if not np.isnan(values).all()]
    gone = [column for column in known if column not in after or np.isnan(after[column]).all()] if len(locs) else []
    changed = [
        column
        for column in known
        if column not in gone
        and not np.allclose(before[column], after[column], rtol=SAME, atol=SAME_NM, equal_nan=True)
    ]
    width, height = locs.field_nm
    told = {
        f"has no place for {', '.join(gone)}": gone,
        f"keeps other numbers in {', '.join(changed)} (one number for both axes, or rounded)": changed,
        f"does not state the number of frames ({locs.n_frames})": back.n_frames != locs.n_frames,
        f"does not state the field ({width:g} x {height:g} nm)": not np.allclose(back.field_nm, locs.field_nm),
    }
    return [f"{name} {text}" for text, holds in told.items() if holds]


def _photons(asked: Conversion, locs: Localizations, catalog: Catalog) -> list[str]:
    """Say where photons that reach the camera are taken for detected ones, or the other way round."""
    names = map(str, (asked.source_format, asked.target_format))
    kinds = {catalog.card("formats", name).facts.get("photons", "detected") for name in names}
    if len(kinds) < 2 or asked.known.camera is not None or np.isnan(locs.photons).all():
        return []
    return [
        "one format holds photons that reach the camera, the other detected ones: a quantum efficiency of 1 was taken;"
        " give --camera otherwise"
    ]


def _movie(asked: Conversion, catalog: Catalog, on_frames: OnFrames) -> tuple[int, list[str]]:
    pixel_nm, form = asked.known.pixel_size_nm, asked.target_format
    opened = formats.open_movie(asked.source, catalog=catalog, format=asked.source_format)
    with mending(opened, asked.bad_pixels) as movie:
        total = movie.n_frames
        formats.write_movie(
            movie,
            asked.target,
            catalog=catalog,
            format=form,
            pixel_nm=pixel_nm,
            on_frames=lambda n: on_frames(n, total),
        )
    return total, []


def _image(asked: Conversion, catalog: Catalog, _on_frames: OnFrames) -> tuple[int, list[str]]:
    pixel_nm = asked.known.pixel_size_nm
    if pixel_nm is None:
        raise UnitError(f"image '{asked.source.name}' does not state its pixel size; give --pixel-size-nm")
    settings = {} if asked.variable is None else {"variable": asked.variable}
    image = formats.read_image(asked.source, catalog=catalog, format=asked.source_format, settings=settings)
    formats.write_image(asked.target, image, pixel_nm, catalog=catalog, format=asked.target_format)
    return 1, []
