"""smlmbench calibrate: what a movie, or a scan of beads, says of camera, optics and sample."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from smlmbench.cli.options import AsJson, Overwrite, Plugins, from_fields
from smlmbench.cli.output import emit, emit_json, note, table

if TYPE_CHECKING:
    from smlmbench.calibrate.telling import Line
    from smlmbench.run.movies.calibrating import Calibrated, CalibratedBeads


@dataclass(frozen=True, slots=True)
class _Asked:
    movie: Annotated[
        Path, Argument(metavar="MOVIE|BEADS", help="Movie in camera counts (TIFF, Picasso raw, DAX, nd2 ...).")
    ]
    pixel_size_nm: Annotated[float, Option(min=1.0, help="Camera pixel.")]
    output: Annotated[Path, Option("--output", "-o", help="Folder for what is written.")] = Path("calibration")
    camera: Annotated[
        str | None,
        Option(help="YAML file, '{kind: scmos, ...}', or a name (list cameras); default: by its counts."),
    ] = None
    dark: Annotated[Path | None, Option(help="Movie of the same camera and settings without light.")] = None
    em_gain: Annotated[float | None, Option(help="Of a gain register, where no camera is stated.")] = None
    bead_step_nm: Annotated[
        float | None,
        Option(help="The movie is a z-scan of beads, with this step from plane to plane; below 0: downwards."),
    ] = None
    frames: Annotated[str | None, Option(metavar="A:B", help="Frames A to B only, counted from 1 as in Fiji.")] = None
    overwrite: Overwrite = False
    plugins: Plugins = None
    as_json: AsJson = False


@from_fields(_Asked)
def command(asked: _Asked) -> None:
    """Measure a movie: camera, background, width and photons of its spots, density, drift, each with its interval.

    Written are camera.yaml and optics.yaml, which `run`, `predict` and a study take by name, drift.csv,
    calibration.json, and a figure of real and simulated frames. Of a scan of beads: bead.tif, their mean, and
    optics.yaml, an astigmatic Gaussian where that describes them, else the mean itself (optics-beads.yaml).

    Example: smlmbench calibrate cells.tif --pixel-size-nm 160 --dark dark.tif -o cells

    Example: smlmbench calibrate beads.tif --pixel-size-nm 100 --bead-step-nm 50 -o optics
    """
    from smlmbench.cli.predict import frame_range
    from smlmbench.errors import ConfigError
    from smlmbench.formats import find
    from smlmbench.registry import Catalog

    catalog, frames = Catalog(asked.plugins or ()), frame_range(asked.frames)
    for movie in [asked.movie, *([asked.dark] if asked.dark is not None else [])]:
        find(movie, "movie", catalog=catalog)
    if asked.bead_step_nm is not None and (asked.dark is not None or asked.em_gain is not None):
        raise ConfigError("a scan of beads needs no camera to be found; leave --dark and --em-gain out")
    from smlmbench.run.movies.calibrating import Wanted, calibrate_beads, calibrate_movie
    from smlmbench.run.using.predicting import read_camera

    own = (asked.movie, asked.pixel_size_nm, read_camera(asked.camera), asked.dark, asked.em_gain, frames)
    wanted = Wanted(*own, asked.output, asked.overwrite)
    if asked.bead_step_nm is None:
        _tell_movie(calibrate_movie(wanted, catalog), as_json=asked.as_json)
    else:
        _tell_beads(calibrate_beads(wanted, asked.bead_step_nm, catalog), as_json=asked.as_json)


def _tell_movie(done: "Calibrated", *, as_json: bool) -> None:
    from smlmbench.calibrate.telling import doubts, lines

    found = done.measured
    if as_json:
        emit_json({**done.plain(), "files": done.files})
        return
    title = f"{found.name}: {found.n_frames} frames of {found.width} x {found.height} px"
    said = done.check if isinstance(done.check, str) else done.check.said
    _tell(title, lines(found), doubts(found), [said], done.files)


def _tell_beads(done: "CalibratedBeads", *, as_json: bool) -> None:
    from smlmbench.calibrate.telling import bead_lines

    found = done.found
    if as_json:
        emit_json({**done.plain(), "files": done.files})
        return
    title = f"{found.name}: beads in steps of {found.step_nm:g} nm"
    _tell(title, bead_lines(found), found.doubts, [], done.files)


def _tell(
    title: str, lines: "Sequence[Line]", doubts: Sequence[str], said: Sequence[str], files: Mapping[str, Path]
) -> None:
    table(title, ["", "value", "95 %", "from"], [list(line) for line in lines])
    for doubt in doubts:
        note(f"smlmbench: note: {doubt}")
    for line in [*said, f"written: {', '.join(map(str, files.values()))}"]:
        emit(line)
