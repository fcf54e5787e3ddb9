"""smlmbench figure: one frame of a run, a movie summed over its frames, or a table of localizations."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

from smlmbench.cli.options import (
    AnyDevice,
    AsJson,
    BadPixels,
    DataRoot,
    Overwrite,
    Plugins,
    Sets,
    Store,
    Threshold,
    from_fields,
)
from smlmbench.cli.output import emit, emit_json, note

TABLES = (".csv", ".tsv", ".txt", ".hdf5", ".h5", ".xls", ".xlsx", ".mat")


@dataclass(frozen=True, slots=True)
class _Asked:
    what: Annotated[
        str,
        Argument(
            metavar="RUN|MOVIE|TABLE",
            help="Run id, cell_id or run's name (or the beginning of an id), a model's name, or the file of a movie or "
            "a table.",
        ),
    ]
    frame: Annotated[
        int | None,
        Option(
            min=1, help="Frame of the condition, counted from 1 as in Fiji; default: the one with most true emitters."
        ),
    ] = None
    condition: Annotated[
        str | None, Option(help="Test condition, 'val', or a movie of `apply`; default: the first test.")
    ] = None
    out: Annotated[
        Path | None,
        Option("--out", "-o", help="File: .png, .svg or .pdf; for a projection also .tif with its numbers."),
    ] = None
    projection: Annotated[
        Literal["sum", "mean", "max", "std"] | None, Option(help="Of a movie, over all its frames, in counts.")
    ] = None
    total: Annotated[bool, Option("--sum", help="The same as --projection sum.")] = False
    pixel_size_nm: Annotated[float | None, Option(min=0.1, help="Pixel of the movie, for the scale bar.")] = None
    fine_pixel_nm: Annotated[
        float | None, Option(min=0.1, help="Of a table's picture; default: a thousandth of the field, at least 10 nm.")
    ] = None
    bad_pixels: BadPixels = "refuse"
    histogram: Annotated[bool, Option(help="Distribution of the pixels below the images.")] = True
    threshold: Threshold = None
    device: AnyDevice = "auto"
    study: Annotated[
        Path | None, Option(metavar="STUDY.yaml", help="Where the data are, if they moved since the run.")
    ] = None
    overwrite: Overwrite = False
    sets: Sets = None
    data_root: DataRoot = None
    store: Store = None
    plugins: Plugins = None
    as_json: AsJson = False


@from_fields(_Asked)
def command(asked: _Asked) -> None:
    """Draw input, prediction, truth, error and pixel histograms of a frame; a movie summed over time; or a table.

    A table is drawn as numbers of localizations, coloured by depth where they have one.
    Frames are counted from 1, within the condition. A movie is read block by block, whatever its size.

    Example: smlmbench figure fid_storm --frame 12 --condition high

    Example: smlmbench figure cells.tif --sum --out cells_sum.tif

    Example: smlmbench figure results/cells_locs.csv
    """
    if Path(asked.what).suffix.lower() in TABLES and Path(asked.what).is_file():
        _table(asked)
    elif asked.projection is not None or asked.total or (asked.what and Path(asked.what).exists()):
        _movie(asked)
    else:
        _run(asked)


def _table(asked: _Asked) -> None:
    import numpy as np

    from smlmbench.errors import ConfigError
    from smlmbench.formats import TableOptions, read_table
    from smlmbench.registry import Catalog
    from smlmbench.run.tables.projecting import check_target
    from smlmbench.run.tables.rendering import draw_table

    if asked.frame is not None or asked.condition is not None or asked.projection is not None or asked.total:
        raise ConfigError(f"'{asked.what}' is a table; --frame, --condition and projections belong to runs and movies")
    catalog, path = Catalog(asked.plugins or ()), Path(asked.what)
    out = asked.out or Path(f"{path.stem}.png")
    check_target(out, overwrite=asked.overwrite)
    table = read_table(path, catalog=catalog, options=TableOptions(pixel_size_nm=asked.pixel_size_nm, timeless=True))
    draw_table(table, out, path.name, asked.fine_pixel_nm, catalog)
    deep = int(np.isfinite(table.z_nm).sum())
    if asked.as_json:
        emit_json({"file": out, "localizations": len(table), "with_depth": deep})
    else:
        emit(f"{len(table)} localizations{f', {deep} with a depth' if deep else ''}: {out}")


def _movie(asked: _Asked) -> None:
    from smlmbench.errors import ConfigError
    from smlmbench.formats import open_movie
    from smlmbench.movies import mending
    from smlmbench.registry import Catalog
    from smlmbench.run.progress import Reporter
    from smlmbench.run.tables.projecting import check_target, picture_format, project, write_projection

    how = asked.projection or ("sum" if asked.total else None)
    if asked.frame is not None or asked.condition is not None:
        raise ConfigError(f"'{asked.what}' is a movie; --frame and --condition belong to a run, give --sum for a movie")
    if how is None:
        raise ConfigError(f"'{asked.what}' is a movie; say what to draw with --sum or --projection mean, max or std")
    if asked.total and how != "sum":
        raise ConfigError(f"--sum and --projection {how} are two pictures; give one of them")
    catalog, path = Catalog(asked.plugins or ()), Path(asked.what)
    out = asked.out or Path(f"{path.stem}_{how}.png")
    if out.exists() and path.exists() and (out.samefile(path) or (path.is_dir() and out.parent.samefile(path))):
        raise ConfigError(f"'{out}' is of the movie itself; give another file with --out")
    if out.suffix.lower() not in (".tif", ".tiff"):
        picture_format(out)
    check_target(out, overwrite=asked.overwrite)
    with mending(open_movie(path, catalog=catalog), asked.bad_pixels) as movie:
        frames = movie.n_frames
        with Reporter(quiet=asked.as_json) as reporter:
            reporter.start(f"{how} of {path.name}", frames)
            image = project(movie, how, lambda done: reporter.advance(done, frames))
    title = f"{path.name}: {how} of {frames} frames"
    write_projection(image, out, title, pixel_nm=asked.pixel_size_nm, unit="counts", catalog=catalog)
    facts = {"file": out, "frames": frames, "low": float(image.min()), "high": float(image.max())}
    if asked.as_json:
        emit_json(facts)
    else:
        emit(f"{title} ({image.min():g} to {image.max():g} counts): {out}")


def _run(asked: _Asked) -> None:
    from smlmbench.tracking.store import open_store

    store = open_store(asked.store, create=False)
    from smlmbench.run.studies.sources import sources_from, sources_of
    from smlmbench.run.tables.projecting import check_target, picture_format, write_bytes
    from smlmbench.run.using.finding import describe, find_row
    from smlmbench.run.using.showing import Look, show
    from smlmbench.study.load import load_study

    image_format = picture_format(asked.out) if asked.out is not None else "png"
    if asked.out is not None:
        check_target(asked.out, overwrite=asked.overwrite)
    record, study = find_row(store, asked.what)
    plugins = asked.plugins or []
    if asked.study is None:
        sources = sources_of(record, store, study, plugins)
    else:
        loaded = load_study(asked.study, sets=asked.sets or (), data_root=asked.data_root, plugins=plugins)
        sources = sources_from(record, loaded)
    condition = sources.condition(asked.condition)
    look = Look(asked.frame, asked.threshold, asked.device, asked.histogram, image_format)
    shown = show(record, condition, look, sources.catalog)
    out = asked.out or Path(f"{record.name}-{Path(condition.name).stem}-frame{shown.frame}.png")
    check_target(out, overwrite=asked.overwrite)
    write_bytes(out, shown.picture)
    if asked.as_json:
        facts = {"run_id": record.run_id, "study": study, "condition": condition.name, "file": out}
        emit_json(facts | {"frame": shown.frame, "frames": shown.frames, "found": shown.found, "true": shown.true})
        return
    note(f"{study}, run {record.run_id[:12]}: {describe(record)}")
    counts = [f"{count} {name}" for name, count in (("true", shown.true), ("found", shown.found)) if count is not None]
    said = ", ".join([f"{condition.name}, frame {shown.frame} of {shown.frames}", *counts])
    emit(f"{said}: {out}")
