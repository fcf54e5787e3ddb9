"""What a movie, or a scan of beads, says of itself, written as files that commands and studies take."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smlmbench.calibrate.check import Check, check_movie, figure_of, figure_of_beads
from smlmbench.calibrate.contracts import Measured
from smlmbench.calibrate.movie import measured
from smlmbench.calibrate.scan.beads import BeadsFound, measure_beads
from smlmbench.calibrate.telling import doubts, plain, plain_beads
from smlmbench.calibrate.writing import (
    BEAD,
    BEAD_OPTICS,
    CAMERA,
    DRIFT,
    FIGURE,
    OPTICS,
    RECORD,
    bead_optics_text,
    camera_text,
    optics_text,
    record_text,
    write_stack,
    write_text,
)
from smlmbench.camera import Camera
from smlmbench.errors import ConfigError
from smlmbench.formats import open_movie
from smlmbench.formats.drift import write_drift
from smlmbench.movies import calibrated, window
from smlmbench.registry import Catalog
from smlmbench.run.tables.projecting import write_bytes
from smlmbench.run.using.replacing import INSTEAD, check_free, make_folder

FILES = (CAMERA, OPTICS, DRIFT, RECORD, FIGURE)
BEAD_FILES = (OPTICS, BEAD_OPTICS, BEAD, RECORD, FIGURE)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Options of `smlmbench calibrate` and of the function."""

    movie: Path
    pixel_size_nm: float
    camera: Camera | None = None
    dark: Path | None = None
    em_gain: float | None = None
    frames: tuple[int, int] | None = None
    output: Path | None = None  # folder; None writes nothing
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What was found, how like it simulated frames are (or why that is not known), and the files."""

    measured: Measured
    check: Check | str
    files: dict[str, Path] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """All numbers as plain values, and the files."""
        alike = {"said": self.check} if isinstance(self.check, str) else {
            "said": self.check.said, "distances": self.check.distances, "differ": list(self.check.differ)
        }  # fmt: skip
        return {**plain(self.measured), "all_doubts": doubts(self.measured), "check": alike}


def check_output(output: Path, files: tuple[str, ...], *, overwrite: bool) -> None:
    """Refuse, before the work, a folder with such files, or a file in its place (FormatError)."""
    if output.exists() and not output.is_dir():
        make_folder(output)
    if not overwrite:
        check_free([output / name for name in files], INSTEAD)


def calibrate_movie(wanted: Wanted, catalog: Catalog) -> Calibrated:
    """Measure a movie, compare it with simulated frames, and write what was found.

    Raises:
        ConfigError: A register's gain beside a stated camera or below 1; a camera that the counts do not tell.
        FormatError, SizeError: Files that cannot be read, or exist and are not to be replaced; no such frames.
    """
    if wanted.em_gain is not None and (wanted.camera is not None or wanted.em_gain <= 1):
        raise ConfigError(f"em_gain {wanted.em_gain:g}: give the gain of a register above 1, and no camera beside it")
    if wanted.output is not None:
        check_output(wanted.output, FILES, overwrite=wanted.overwrite)
    excess = 1.0 if wanted.em_gain is None else 2 - 1 / wanted.em_gain
    known = (wanted.pixel_size_nm, wanted.camera, wanted.dark)
    found = measured(wanted.movie, *known, catalog, excess, wanted.frames)
    check = check_movie(found, wanted.movie, catalog, wanted.frames)
    done = Calibrated(found, check)
    return done if wanted.output is None else Calibrated(found, check, _write(done, wanted, wanted.output))


@dataclass(frozen=True, slots=True)
class CalibratedBeads:
    """What was found in a scan of beads, and the files."""

    found: BeadsFound
    files: dict[str, Path] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """All numbers as plain values."""
        return plain_beads(self.found)


def calibrate_beads(wanted: Wanted, step_nm: float, catalog: Catalog) -> CalibratedBeads:
    """Measure a scan of beads and write what was found.

    Raises:
        ConfigError: No scan, or no bead that stands alone.
        FormatError, SizeError: Files that cannot be read, or exist and are not to be replaced; no such frames.
    """
    if wanted.output is not None:
        check_output(wanted.output, BEAD_FILES, overwrite=wanted.overwrite)
    movie = open_movie(wanted.movie, catalog=catalog)
    try:
        part = window(calibrated(movie, wanted.camera), frames=wanted.frames)
        found = measure_beads(wanted.movie.name, part.read(0, part.n_frames), step_nm, wanted.pixel_size_nm)
    finally:
        movie.close()
    if wanted.output is None:
        return CalibratedBeads(found)
    make_folder(wanted.output)
    paths = {name: wanted.output / name for name in BEAD_FILES}
    write_stack(paths[BEAD], found)
    write_text(paths[OPTICS], bead_optics_text(found, measured=not found.gaussian))
    write_text(paths[BEAD_OPTICS], bead_optics_text(found, measured=True))
    write_bytes(paths[FIGURE], figure_of_beads(found))
    write_text(paths[RECORD], record_text(plain_beads(found)))
    return CalibratedBeads(found, paths)


def _write(done: Calibrated, wanted: Wanted, folder: Path) -> dict[str, Path]:
    make_folder(folder)
    files = {"camera": folder / CAMERA}
    write_text(folder / CAMERA, camera_text(done.measured, stated=wanted.camera is not None))
    if optics := optics_text(done.measured):
        files["optics"] = folder / OPTICS
        write_text(folder / OPTICS, optics)
    if (drift := done.measured.drift) is not None and len(drift.frame):
        files["drift"] = folder / DRIFT
        write_drift(drift, folder / DRIFT)
    if not isinstance(done.check, str):
        files["figure"] = folder / FIGURE
        write_bytes(folder / FIGURE, figure_of(done.measured, done.check))
    files["record"] = folder / RECORD
    write_text(folder / RECORD, record_text(done.plain()))
    for name in FILES:  # of an earlier command, which found what this one did not
        if folder / name not in files.values():
            (folder / name).unlink(missing_ok=True)
    return files
