"""OME-TIFF movies that are spread over several files: the metadata of each file name all of them.

The order of the frames is that of the metadata; every file must lie beside the given one. One file alone is read where
its format is named as `tiff`. OME-TIFF in a single file is an ordinary TIFF movie.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import FormatError, SmlmBenchError, unreadable
from smlmbench.formats import tiff
from smlmbench.movies import check_block

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "OME-TIFF movie of several files, given by one of them.",
    "facts": {
        "holds": "movie",
        "suffixes": [".tif", ".tiff"],
        "writes": False,
        "first_frame": 0,
        "origin": "corner",
        "has_companions": True,
    },
}

FILE_NAME = re.compile(r'<(?:\w+:)?UUID\b[^>]*\bFileName="([^"]+)"')


class SetMovie:
    """An open set of files (a `Movie`); `path` is the one that was given."""

    def __init__(self, path: Path) -> None:
        """Open and check all files (FormatError: one is absent or of another shape, or no single grey movie)."""
        self.path, self._places = path, _places(path)
        self._files: dict[Path, tiff.TiffMovie] = {}
        try:
            for file, page in self._places:
                if file not in self._files:
                    self._files[file] = tiff.open_movie(file)
                self._check(self._files[file], page)
        except SmlmBenchError:
            self.close()
            raise
        first = self._files[self._places[0][0]]
        self.n_frames, self.height, self.width, self.dtype = len(self._places), first.height, first.width, first.dtype

    def _check(self, movie: tiff.TiffMovie, page: int) -> None:
        name, first = movie.path.name, self._files[self._places[0][0]]
        if movie.look != first.look:
            raise FormatError(
                f"'{name}' is {movie.look}, '{first.path.name}' is {first.look}; a movie has frames of one shape"
            )
        if page >= movie.n_frames:
            raise FormatError(
                f"'{self.path.name}' names page {page} of '{name}', which has {movie.n_frames}; copy all files again"
            )

    def read(self, start: int, stop: int) -> NDArray[np.generic]:
        """As every movie (SizeError: outside the movie; FormatError: a file has changed since it was opened)."""
        check_block(start, stop, self.n_frames)
        out = np.empty((stop - start, self.height, self.width), dtype=self.dtype)
        at = start
        while at < stop:
            file, page = self._places[at]
            count = 1
            while at + count < stop and self._places[at + count] == (file, page + count):
                count += 1
            out[at - start : at - start + count] = self._files[file].read(page, page + count)
            at += count
        return out

    def close(self) -> None:
        """Release the files."""
        for movie in self._files.values():
            movie.close()


def recognises(path: Path) -> bool:
    """Its OME metadata name more than one file."""
    return len(_named(path)) > 1


def open_movie(path: Path) -> SetMovie:
    """Open all files of a set; see `SetMovie`."""
    return SetMovie(path)


def companions(path: Path) -> list[Path]:
    """The other files that the movie is made of, sorted by name; those that are absent are left out."""
    others = sorted(name for name in _named(path) if name != path.name)
    return [path.parent / name for name in others if (path.parent / name).is_file()]


def _named(path: Path) -> set[str]:
    """Names of the files in the metadata; empty for what is no OME-TIFF, or cannot be read."""
    import tifffile

    if not tiff.recognises(path):
        return set()
    try:
        with tifffile.TiffFile(path) as file:
            text = file.ome_metadata if file.is_ome else None
    except Exception:  # whatever is wrong with the file, the reader of plain TIFF says it
        return set()
    return {name.replace("\\", "/").rsplit("/", 1)[-1] for name in FILE_NAME.findall(text or "")}


def _places(path: Path) -> list[tuple[Path, int]]:
    """File and page of every frame, in the order of the metadata."""
    import tifffile

    missing = sorted(name for name in _named(path) if not (path.parent / name).is_file())
    if missing:
        raise FormatError(
            f"'{path.name}' is part of a movie whose other files are not beside it: {', '.join(missing[:3])}"
            f"{' ...' if len(missing) > 3 else ''}; copy them there, or convert this one with --from tiff"
        )
    try:
        with tifffile.TiffFile(path) as file:
            if len(file.series) != 1:
                raise FormatError(f"'{path.name}' holds {len(file.series)} images; save each as a movie of its own")
            pages = list(file.series[0].pages)
            found = [None if page is None else (page.parent.filehandle.name, int(page.index)) for page in pages]
    except FormatError:
        raise
    except Exception as error:
        raise unreadable(path, "OME-TIFF", error) from None
    places = [(path.parent / place[0], place[1]) for place in found if place is not None]
    if len(places) < len(found) or not places:
        raise FormatError(
            f"the metadata of '{path.name}' state {len(found)} frames but {len(found) - len(places)} are in no file;"
            " copy all files again, or convert this one with --from tiff"
        )
    return places
