"""smlmbench calibrate: what a movie, or a scan of beads, says of camera, optics and sample."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from smlmbench.cli.options import AsJson, Overwrite, Plugins, from_fields
from smlmbench.cli.output import emit, emit_json, note, table


@dataclass(frozen=True, slots=True)
class _Asked:
    movie: Annotated[Path, Argument(metavar="MOVIE", help="Movie in camera counts (TIFF, Picasso raw, DAX, nd2 ...).")]
    pixel_size_nm: Annotated[float, Option(min=1.0, help="Camera pixel.")]
    output: Annotated[Path, Option("--output", "-o", help="Folder for what is written.")] = Path("calibration")
    camera: Annotated[
        str | None,
        Option(help="YAML file, '{kind: scmos, ...}', or a name (list cameras); default: by its counts."),
    ] = None
    dark: Annotated[Path | None, Option(help="Movie of the same camera and settings without light.")] = None
    em_gain: Annotated[float | None, Option(help="Of a gain register, where no camera is stated.")] = None
    frames: Annotated[str | None, Option(metavar="A:B", help="Frames A to B only, counted from 1 as in Fiji.")] = None
    overwrite: Overwrite = False
    plugins: Plugins = None
    as_json: AsJson = False


@from_fields(_Asked)
def command(asked: _Asked) -> None:
    """Measure a movie: camera, background, width and photons of its spots, density, drift, each with its interval.

    Written are camera.yaml and optics.yaml, which `run`, `predict` and a study take by name, drift.csv,
    calibration.json, and a figure of real and simulated frames.

    Example: smlmbench calibrate cells.tif --pixel-size-nm 160 --dark dark.tif -o cells
    """
    from smlmbench.cli.predict import frame_range
    from smlmbench.formats import find
    from smlmbench.registry import Catalog

    catalog, frames = Catalog(asked.plugins or ()), frame_range(asked.frames)
    for movie in [asked.movie, *([asked.dark] if asked.dark is not None else [])]:
        find(movie, "movie", catalog=catalog)
    from smlmbench.calibrate.telling import doubts, lines
    from smlmbench.run.using.calibrating import Wanted, calibrate_movie
    from smlmbench.run.using.predicting import read_camera

    own = (asked.movie, asked.pixel_size_nm, read_camera(asked.camera), asked.dark, asked.em_gain, frames)
    done = calibrate_movie(Wanted(*own, asked.output, asked.overwrite), catalog)
    if asked.as_json:
        emit_json({**done.plain(), "files": done.files})
        return
    found = done.measured
    title = f"{found.name}: {found.n_frames} frames of {found.width} x {found.height} px"
    table(title, ["", "value", "95 %", "from"], [list(line) for line in lines(found)])
    for doubt in doubts(found):
        note(f"smlmbench: note: {doubt}")
    emit(done.check if isinstance(done.check, str) else done.check.said)
    emit(f"written: {', '.join(str(file) for file in done.files.values())}")
