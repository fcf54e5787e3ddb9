"""A folder of TIFF files as one movie, in natural order (9 before 10): one frame each, or stacks one after the other.

Names may differ in one number only, and that number must grow in equal steps: otherwise a file that was not copied
would shift all later frames, and nobody would see it. Stacks are numbered without gaps from the first one on, and one
without a number may come before them (`in_parts`). Files whose names begin with a dot do not count.
"""

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import FormatError
from smlmbench.formats import ome_tiff, tiff
from smlmbench.formats.numbered import in_parts, ordered
from smlmbench.formats.tiff_parts import PartsMovie, pages_of
from smlmbench.movies import Movie, check_block

CARD: dict[str, Any] = {
    "version": 2,
    "summary": "Folder of TIFF files, numbered in their names: single frames, or the stacks of one movie.",
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
    """An open folder of single frames (a `Movie`); each frame's file is opened when it is read."""

    def __init__(self, path: Path) -> None:
        """List and check all files (FormatError: doubtful names, or one that is not one frame like the first)."""
        self.path = path
        self._files = ordered(path, _frames(path))
        self.n_frames = len(self._files)
        with closing(tiff.TiffMovie(self._files[0])) as first:
            self.height, self.width, self.dtype, self._look = first.height, first.width, first.dtype, first.look
        for file in self._files:
            self._one(file).close()

    def _one(self, file: Path) -> tiff.TiffMovie:
        movie = tiff.TiffMovie(file)
        if movie.n_frames == 1 and movie.look == self._look:
            return movie
        movie.close()
        said = f"is {movie.look}, '{self._files[0].name}' is {self._look}; give files of one shape"
        if movie.n_frames != 1:
            said = f"has {movie.n_frames} pages, others have one; give one frame per file, or that file alone"
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


def open_movie(path: Path) -> Movie:
    """Open a folder; where its first file is a stack, all of them as one movie.

    Raises:
        FormatError: A file, no TIFF files, doubtful names, or files that do not belong together.
    """
    if not path.is_dir():
        raise FormatError(f"'{path}' is a file; tiff_folder takes a folder, leave the format out")
    files = _frames(path)
    if not files:
        raise FormatError(f"folder '{path}' has no TIFF files; accepted: {' '.join(SUFFIXES)}; give a folder of frames")
    with closing(tiff.TiffMovie(files[0])) as first:
        stacks = first.n_frames > 1
    if not stacks:
        return FolderMovie(path)
    parts = in_parts(path, files)
    told = [file.name for file in parts if ome_tiff.recognises(file)]
    if told:
        raise FormatError(f"folder '{path}': '{told[0]}' itself tells which files are its movie; give that file")
    return PartsMovie(path, pages_of(parts))


def _frames(path: Path) -> list[Path]:
    found = [f for f in path.iterdir() if f.suffix.lower() in SUFFIXES and f.is_file() and not f.name.startswith(".")]
    return sorted(found)
