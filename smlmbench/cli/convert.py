"""smlmbench convert: a table, a movie or an image in another format."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

from smlmbench.cli.options import COLUMN_HELP, AsJson, Origin, Overwrite, Plugins, from_fields, named_columns
from smlmbench.cli.output import emit, emit_json, note


@dataclass(frozen=True, slots=True)
class _Asked:
    source: Annotated[Path, Argument(metavar="INPUT", help="Table, movie (or folder of TIFFs), .mat image.")]
    target: Annotated[Path, Argument(metavar="OUTPUT", help="File to write.")]
    source_format: Annotated[
        str | None, Option("--from", metavar="FORMAT", help="Format of INPUT; default: found from it.")
    ] = None
    target_format: Annotated[
        str | None, Option("--to", metavar="FORMAT", help="Format of OUTPUT; default: that of its suffix.")
    ] = None
    pixel_size_nm: Annotated[float | None, Option(min=0.1, help="Pixel; wins over what INPUT states.")] = None
    first_frame: Annotated[int | None, Option(help="Number of the first frame in INPUT; default: the format's.")] = None
    frames: Annotated[int | None, Option(min=1, help="Frames of the movie that a table belongs to.")] = None
    field_nm: Annotated[tuple[float, float] | None, Option(help="Width and height of a table's field.")] = None
    camera: Annotated[
        str | None, Option(help="YAML file or '{quantum_efficiency: 0.9, ...}'; for photons and ADU of tables.")
    ] = None
    columns: Annotated[list[str] | None, Option("--column", metavar="NAME=HEADER", help=COLUMN_HELP)] = None
    origin: Annotated[Origin, Option(help="Where (0, 0) is in the first pixel; default: the format's.")] = None
    variable: Annotated[str | None, Option(help="Array of a .mat file.")] = None
    bad_pixels: Annotated[
        Literal["median"] | None,
        Option(help="Replace pixels of a movie that are NaN or infinite by their neighbours'; default: kept."),
    ] = None
    drift: Annotated[
        Path | None, Option(help="Drift table that is taken away from positions: frame, x_nm, y_nm; or Picasso's .txt.")
    ] = None
    overwrite: Overwrite = False
    plugins: Plugins = None
    as_json: AsJson = False


@from_fields(_Asked)
def command(asked: _Asked) -> None:
    """Convert tables between formats, movies to TIFF, .mat images to TIFF, and say what is lost.

    Formats: `smlmbench list formats`. Movies become BigTIFF above 4 GB and are never held in memory.

    Example: smlmbench convert locs.hdf5 locs.csv --to thunderstorm_csv

    Example: smlmbench convert cells_locs.csv undrifted.csv --drift calibration/drift.csv
    """
    from smlmbench.formats import TableOptions
    from smlmbench.registry import Catalog
    from smlmbench.run.progress import Reporter
    from smlmbench.run.tables.converting import Conversion, convert

    camera = None
    if asked.camera is not None:
        from smlmbench.run.using.predicting import read_camera

        camera = read_camera(asked.camera)
    columns = named_columns(asked.columns or [])
    known = TableOptions(
        asked.pixel_size_nm, camera, columns, asked.first_frame, asked.frames, asked.field_nm, asked.origin
    )
    conversion = Conversion(
        asked.source,
        asked.target,
        asked.source_format,
        asked.target_format,
        known,
        asked.variable,
        asked.overwrite,
        asked.bad_pixels,
        asked.drift,
    )
    with Reporter(quiet=asked.as_json) as reporter:
        reporter.start(f"converting {asked.source.name}", 1)
        done = convert(conversion, Catalog(asked.plugins or ()), reporter.advance)
    if asked.as_json:
        emit_json({name: getattr(done, name) for name in done.__slots__})
        return
    for clause in done.lost:
        note(f"smlmbench: note: {clause}")
    what = {"table": f"{done.count} rows", "movie": f"{done.count} frames", "image": "1 image"}[done.holds]
    emit(f"{what}, {done.source_format} to {done.target_format}: {', '.join(map(str, done.files))}")
