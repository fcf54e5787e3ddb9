"""A study for a user's movie: measure the movie, choose ranges, write the file."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from smlmbench.addresses import command as command_line
from smlmbench.calibrate.contracts import Measured
from smlmbench.calibrate.proposing.budget import Budget, budget
from smlmbench.calibrate.proposing.ranges import Ranges, ranges_of, rows_of
from smlmbench.calibrate.proposing.studyfile import Place, doubtful, study_text
from smlmbench.calibrate.telling import plain
from smlmbench.errors import ConfigError, UserError, unwritable
from smlmbench.formats import find, open_movie
from smlmbench.registry import Catalog
from smlmbench.run.using.options import Studying
from smlmbench.run.using.replacing import check_free
from smlmbench.study.load import load_study

if TYPE_CHECKING:
    from smlmbench.camera import Camera

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class StudyWritten:
    """A study file, what it is made from, and its size."""

    file: Path
    measured: Measured
    ranges: Ranges
    budget: Budget

    @property
    def rows(self) -> list[tuple[str, str, str]]:
        """What was measured and what is drawn, in words: a row for each number."""
        return rows_of(self.ranges)

    @property
    def doubts(self) -> list[str]:
        """What was assumed, and what in the measurement is in doubt."""
        return [*self.ranges.assumed, *doubtful(self.measured)]

    def plain(self) -> dict[str, Any]:
        """All of it as plain values."""
        drawn = {"train": self.ranges.train, "test": self.ranges.tests, "assumed": self.ranges.assumed}
        return {"file": self.file, "measured": plain(self.measured), **drawn, **asdict(self.budget)}


@dataclass(frozen=True, slots=True)
class _Asked:
    """Options as of `Studying`, filled."""

    dark: Path | None = None
    em_gain: float | None = None
    frames: tuple[int, int] | None = None
    truth: Path | None = None
    samples: int | None = None
    minutes: float | None = None
    overwrite: bool = False

    def excess(self, camera: "Camera | None") -> float:
        """Excess noise of a camera that is to be measured (ConfigError: of a register's gain that is none)."""
        if self.em_gain is None:
            return 1.0
        if camera is not None or self.em_gain <= 1:
            said = "give the gain of a register above 1, and no camera beside it"
            raise ConfigError(f"--em-gain {self.em_gain:g}: {said}")
        return 2 - 1 / self.em_gain


def write_study(
    movie: str | os.PathLike[str],
    output: str | os.PathLike[str],
    pixel_size_nm: float | None,
    camera: "Camera | Mapping[str, Any] | str | os.PathLike[str] | None" = None,
    **options: Unpack[Studying],
) -> StudyWritten:
    """Write a study for a movie: networks trained on ranges around what the movie is measured to be.

    Args:
        movie: File or folder of a movie.
        output: The study file, .yaml.
        pixel_size_nm: Camera pixel in the sample.
        camera: Facts of the camera, their YAML file or a preset's name (`smlmbench list cameras`); without it, it is
            measured by the option `dark`.
        **options: See `smlmbench.run.using.options.Studying`.

    Returns:
        `file`; `measured`, what the movie says; `ranges`, what is drawn; `budget`, samples and minutes.

    Raises:
        UserError: No pixel size or camera, a movie that cannot be read or measured, a file that exists.

    Example:
        From a movie to a leaderboard::

            made = smlmbench.write_study("movie/frames.tif", "my-movie.yaml", 100, "camera.yaml")
            smlmbench.run(made.file)
    """
    from smlmbench.calibrate.movie import measured
    from smlmbench.run.using.predicting import read_camera

    movie, output, catalog = Path(movie), Path(output), Catalog()
    asked = _Asked(**options)
    dark, truth = (None if path is None else Path(path) for path in (asked.dark, asked.truth))
    for path, kind in ((movie, "movie"), (dark, "movie"), (truth, "table")):
        if path is not None:
            find(path, kind, catalog=catalog)
    if pixel_size_nm is None:
        raise ConfigError("--pixel-size-nm is not given: the camera's pixel over the magnification, such as 100")
    if output.suffix not in SUFFIXES:
        raise ConfigError(f"--output '{output}': not a YAML file; give a name such as {study_file(movie)}")
    if not asked.overwrite:
        check_free([output])
    known = read_camera(camera)
    if known is None and dark is None:
        finds = command_line("smlmbench", "calibrate", movie, "--pixel-size-nm", f"{pixel_size_nm:g}")
        ways = "--camera with a YAML file, '{kind: scmos, ...}' or a name of `smlmbench list cameras`, or --dark FRAMES"
        raise ConfigError(f"the camera is not known: give {ways}; or see what `{finds}` finds")
    size = budget(pixel_size_nm, _sides(movie, catalog), samples=asked.samples, minutes=asked.minutes)
    found = measured(movie, pixel_size_nm, known, dark, catalog, asked.excess(known), asked.frames)
    ranges = ranges_of(found)
    typed = [f"pixel size {pixel_size_nm:g} nm", "camera" if known is not None else f"dark frames '{dark}'"]
    _write(output, study_text(found, ranges, size, Place(output, movie, truth, typed)))
    return StudyWritten(output, found, ranges, size)


def study_file(movie: Path) -> Path:
    """Name of the study of a movie where none is given."""
    return Path(f"{movie.stem}.yaml")


def _sides(path: Path, catalog: Catalog) -> tuple[int, int]:
    movie = open_movie(path, catalog=catalog)
    movie.close()
    return movie.height, movie.width


def _write(path: Path, text: str) -> None:
    """Write a study and read it as `run` would; what was there stays where it is refused."""
    before = path.read_bytes() if path.is_file() else None
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise unwritable("study", path, error) from None
    try:
        load_study(path, data_root=path.absolute().parent)
    except UserError:
        if before is None:
            path.unlink()
        else:
            path.write_bytes(before)
        raise
