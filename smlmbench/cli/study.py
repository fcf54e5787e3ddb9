"""smlmbench study: from a movie to a study for it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from smlmbench.addresses import command as command_line
from smlmbench.cli.options import AsJson, Overwrite, from_fields
from smlmbench.cli.output import emit, emit_json, note, table

if TYPE_CHECKING:
    from smlmbench.run.movies.studying import StudyWritten


@dataclass(frozen=True, slots=True)
class _Asked:
    movie: Annotated[Path, Argument(help="Movie (TIFF stack or folder, Picasso raw, DAX, nd2, sif).")]
    output: Annotated[Path | None, Option("--output", "-o", help="The study file; default MOVIE.yaml here.")] = None
    pixel_size_nm: Annotated[float | None, Option(min=1.0, help="Camera pixel in the sample; needed.")] = None
    camera: Annotated[
        str | None, Option(help="YAML file, '{kind: emccd, baseline_adu: 100, ...}', or a name (list cameras).")
    ] = None
    dark: Annotated[Path | None, Option(help="Movie of dark frames of the same camera, instead of --camera.")] = None
    em_gain: Annotated[float | None, Option(help="Of a gain register, where no camera is stated.")] = None
    truth: Annotated[Path | None, Option(help="Table of the movie's positions: one more condition to test on.")] = None
    frames: Annotated[
        str | None, Option(metavar="A:B", help="Measure frames A to B only, counted from 1 as in Fiji.")
    ] = None
    samples: Annotated[int | None, Option(min=1, help="Of each training.")] = None
    minutes: Annotated[float | None, Option(min=0.1, help="About how long it may take on 2 cores; default 10.")] = None
    overwrite: Overwrite = False
    as_json: AsJson = False


@from_fields(_Asked)
def command(asked: _Asked) -> None:
    """Measure a movie and write a study for it: networks trained on ranges around what the movie shows, and run on it.

    Pixel size and camera are all that is stated; `smlmbench calibrate` measures a camera.

    Example: smlmbench study cells.tif --pixel-size-nm 100 --camera camera.yaml -o cells.yaml
    """
    from smlmbench.cli.predict import frame_range
    from smlmbench.run.movies.studying import study_file, write_study

    made = write_study(
        asked.movie,
        asked.output or study_file(asked.movie),
        asked.pixel_size_nm,
        asked.camera,
        dark=asked.dark,
        em_gain=asked.em_gain,
        frames=frame_range(asked.frames),
        truth=asked.truth,
        samples=asked.samples,
        minutes=asked.minutes,
        overwrite=asked.overwrite,
    )
    if asked.as_json:
        emit_json(made.plain())
    else:
        _say(made, asked.movie)


def _say(made: "StudyWritten", movie: Path) -> None:
    table(f"{movie.name}, and what networks are trained on", ["", "measured (95 % interval)", "trained on"], made.rows)
    for said in made.doubts:
        note(f"smlmbench: note: {said}")
    size = made.budget
    emit(f"{made.file}: {size.samples} samples for each of three networks, about {size.minutes:.0f} minutes on 2 cores")
    emit(f"look: {command_line('smlmbench', 'plan', made.file)}")
    emit(f"then: {command_line('smlmbench', 'run', made.file)}")
