"""Checks of a format: what it writes comes back, and what is not its own is refused in one line."""

import tempfile
import warnings
from pathlib import Path

import numpy as np

from smlmbench.conformance.checks import NotApplicable, Subject, require
from smlmbench.errors import UserError
from smlmbench.formats import TableOptions
from smlmbench.movies import ArrayMovie
from smlmbench.predictions import Localizations

PIXEL_NM = 100.0
NEAR_NM = 0.01
KNOWN = TableOptions(pixel_size_nm=PIXEL_NM)
NOISE = np.random.default_rng(5).integers(0, 256, 4096, dtype=np.uint8).tobytes()
FRAMES = np.random.default_rng(6).integers(0, 4000, (3, 9, 12), dtype=np.uint16)


def written_files_come_back(subject: Subject) -> str:
    """What is written is recognised, and read again: places, frames (also where none is in the first), pixels."""
    if not subject.card.facts.get("writes"):
        raise NotApplicable("the format is only read (fact writes)")
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / f"written{subject.card.facts['suffixes'][0]}"
        said = {"table": _table, "movie": _movie, "image": _image}[_holds(subject)](subject, path)
        require(subject.module.recognises(path), "recognises does not know what was written just now")
    return said


def foreign_files_are_refused(subject: Subject) -> str:
    """Noise under its suffix is not claimed, and reading it is an error of one line.

    Fallbacks, and formats without a head of their own (fact `sidecars`), may claim it.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"noise{next(iter(subject.card.facts['suffixes']), '')}"
        if subject.card.facts.get("takes_folders"):
            path.mkdir()
            (path / "noise.tif").write_bytes(NOISE)
        else:
            path.write_bytes(NOISE)
            claimed = bool(subject.module.recognises(path))
            may = any(subject.card.facts.get(fact) for fact in ("fallback", "sidecars"))
            require(may or not claimed, "recognises claims a file of noise")
        try:
            _read(subject, path)
        except UserError as error:
            require("\n" not in str(error), "the error about a file of noise has several lines")
            return str(error).replace(str(folder), "").lstrip("/")[:80]
    raise NotApplicable("it reads noise as values; nothing in such a file could tell")


def _holds(subject: Subject) -> str:
    return str(subject.card.facts["holds"])


def _read(subject: Subject, path: Path) -> None:
    """Read a file, or the first frame of a movie, and forget it."""
    if _holds(subject) == "table":
        subject.module.read_table(path, KNOWN)
    elif _holds(subject) == "movie":
        subject.module.open_movie(path).read(0, 1)
    else:
        subject.module.read_image(path, subject.settings({}))


def _table(subject: Subject, path: Path) -> str:
    places = {"x_nm": [550.0, 1234.5, 60.25], "y_nm": [350.0, 777.0, 2399.0]}
    columns: dict[str, list[float]] = {"frame": [7, 9, 9], **places}
    given = Localizations.of(columns, n_frames=12, field_nm=(3200.0, 2400.0))
    subject.module.write_table(given, path, KNOWN)
    back = subject.module.read_table(path, KNOWN)
    require(back.frame.tolist() == columns["frame"], f"frames {columns['frame']} come back as {back.frame.tolist()}")
    for name, there in places.items():
        away = float(np.abs(getattr(back, name) - np.array(there)).max())
        require(away <= NEAR_NM, f"{name}: comes back {away:.3g} nm away")
    return f"{len(back)} rows"


def _movie(subject: Subject, path: Path) -> str:
    subject.module.write_movie(ArrayMovie(FRAMES), path, PIXEL_NM, None)
    movie = subject.module.open_movie(path)
    try:
        require(movie.n_frames == len(FRAMES), f"{len(FRAMES)} frames come back as {movie.n_frames}")
        require(np.array_equal(movie.read(0, len(FRAMES)), FRAMES), "other pixels come back")
    finally:
        movie.close()
    return f"{len(FRAMES)} frames"


def _image(subject: Subject, path: Path) -> str:
    image = FRAMES[0].astype(np.float32) / 7
    subject.module.write_image(path, image, PIXEL_NM)
    back = subject.module.read_image(path, subject.settings({}))
    require(np.array_equal(back, image), "other pixels come back")
    return f"{image.shape[1]} x {image.shape[0]} px"
