"""One movie over several TIFF files, by the place of each frame."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import FormatError, SmlmBenchError
from smlmbench.formats import tiff
from smlmbench.movies import check_block

Place = tuple[Path, int]  # a file and the number of a page in it


class PartsMovie:
    """An open set of files (a `Movie`); `path` is what was given."""

    def __init__(self, path: Path, places: Sequence[Place]) -> None:
        """Open and check all files (FormatError: one is of another shape or has fewer pages)."""
        self.path, self._places = path, places
        self._files: dict[Path, tiff.TiffMovie] = {}
        try:
            for file, page in places:
                if file not in self._files:
                    self._files[file] = tiff.TiffMovie(file)
                self._check(self._files[file], page)
        except SmlmBenchError:
            self.close()
            raise
        first = self._files[places[0][0]]
        self.n_frames, self.height, self.width, self.dtype = len(places), first.height, first.width, first.dtype

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


def pages_of(files: Sequence[Path]) -> list[Place]:
    """All pages of some files, one file after the other (FormatError: one is no movie)."""
    places: list[Place] = []
    for file in files:
        with closing(tiff.TiffMovie(file)) as movie:
            places += [(file, page) for page in range(movie.n_frames)]
    return places
