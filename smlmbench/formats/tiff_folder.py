"""A folder of TIFF files with one frame each, in natural order (9 before 10), as one movie.

Names may differ in one number only, and that number must grow in equal steps: otherwise a file that was not copied
would shift all later frames, and nobody would see it. Files whose names begin with a dot do not count.
"""

import re
from collections.abc import Sequence
from contextlib import closing
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import FormatError
from smlmbench.formats import tiff
from smlmbench.movies import check_block

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Folder of single-frame TIFF files, numbered in their names.",
    "facts": {
        "holds": "movie",
        "suffixes": [],
        "writes": False,
        "first_frame": 0,
        "origin": "corner",
        "takes_folders": True,
    },
}

SUFFIXES = (".tif", ".tiff")


class FolderMovie:
    """An open folder (a `Movie`); each frame's file is opened when it is read."""

    def __init__(self, path: Path) -> None:
        """List and check all files (FormatError: none, doubtful names, or one that is not one frame like the first)."""
        self.path = path
        self._files = _ordered(path, _frames(path))
        self.n_frames = len(self._files)
        with closing(tiff.open_movie(self._files[0])) as first:
            self.height, self.width, self.dtype, self._look = first.height, first.width, first.dtype, first.look
        for file in self._files:
            self._one(file).close()

    def _one(self, file: Path) -> tiff.TiffMovie:
        movie = tiff.open_movie(file)
        if movie.n_frames == 1 and movie.look == self._look:
            return movie
        movie.close()
        said = f"is {movie.look}, '{self._files[0].name}' is {self._look}; give files of one shape"
        if movie.n_frames != 1:
            said = f"has {movie.n_frames} pages; give one frame per file, or that file alone"
        raise FormatError(f"folder '{self.path.name}': '{file.name}' {said}")

    def read(self, start: int, stop: int) -> NDArray[np.generic]:
        """As every movie (SizeError: outside it; FormatError: a file has changed since the folder was opened)."""
        check_block(start, stop, self.n_frames)
        out = np.empty((stop - start, self.height, self.width), dtype=self.dtype)
        for number in range(start, stop):
            with closing(self._one(self._files[number])) as movie:
                out[number - start] = movie.read(0, 1)[0]
        return out

    def close(self) -> None:
        """Nothing stays open between two reads."""


def recognises(path: Path) -> bool:
    """A folder with at least one TIFF file."""
    return path.is_dir() and bool(_frames(path))


def open_movie(path: Path) -> FolderMovie:
    """Open a folder; see `FolderMovie`."""
    if not path.is_dir():
        raise FormatError(f"'{path}' is a file; tiff_folder takes a folder, leave the format out")
    return FolderMovie(path)


def _frames(path: Path) -> list[Path]:
    return [f for f in path.iterdir() if f.suffix.lower() in SUFFIXES and f.is_file() and not f.name.startswith(".")]


def _ordered(path: Path, files: Sequence[Path]) -> list[Path]:
    """Sort by the one number in which the names differ, without gaps."""
    if not files:
        raise FormatError(f"folder '{path}' has no TIFF files; accepted: {' '.join(SUFFIXES)}; give a folder of frames")
    parts = {file: re.split(r"(\d+)", file.name) for file in files}
    names = sorted(parts.values())
    pairs = (pair for other in names for pair in enumerate(zip_longest(names[0], other)))
    differing = {place for place, (first, other) in pairs if first != other}
    if any(place % 2 == 0 for place in differing) or len(differing) > 1:
        raise FormatError(
            f"folder '{path}': the order of '{''.join(names[0])}' and '{''.join(names[-1])}' is in doubt; names may"
            " differ in one number only, move or rename the others"
        )
    if not differing:
        return list(files)
    place = differing.pop()
    ordered = sorted(files, key=lambda file: int(parts[file][place]))
    steps = np.diff([int(parts[file][place]) for file in ordered])
    odd = np.flatnonzero(steps != steps.min())
    if len(odd) or steps.min() < 1:
        at = int(odd[0]) if len(odd) else int(steps.argmin())
        raise FormatError(
            f"folder '{path}': '{ordered[at].name}' is followed by '{ordered[at + 1].name}', other steps are of"
            f" {steps.min()}; copy the missing files, or number the files without gaps"
        )
    return ordered
