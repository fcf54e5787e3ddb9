"""Nikon movies (.nd2), read frame by frame by the package `nd2` of the extra `microscopes`.

A movie has one axis in time. Several channels, positions, planes or colours are refused, and frames that were never
written, which the package would give as zeros. Of an acquisition that was stopped the frames that it has are the movie.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import FormatError
from smlmbench.formats.framewise import FramewiseMovie, Source, library

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Nikon movie (.nd2); needs the extra microscopes.",
    "facts": {"holds": "movie", "suffixes": [".nd2"], "writes": False, "first_frame": 0, "origin": "corner"},
}

MAGIC = (b"\xda\xce\xbe\x0a", b"\0\0\0\x0c")  # since 2006, and JPEG 2000 before
AXES = {"C": "channels", "P": "positions", "Z": "planes", "S": "colours"}


def recognises(path: Path) -> bool:
    """The first four bytes are those of an ND2 file of either kind."""
    with path.open("rb") as file:
        return file.read(4) in MAGIC


def open_movie(path: Path) -> FramewiseMovie:
    """Open a movie.

    Raises:
        MissingExtraError: The package is not installed.
        FormatError: Not one movie, or the file is broken.
    """
    nd2 = library(path, "nd2")
    if not recognises(path):
        raise FormatError(f"'{path.name}' is no ND2 file; its first bytes are others")
    return FramewiseMovie(path, "ND2 file", lambda: _opened(path, nd2.ND2File(path)))


def _opened(path: Path, file: Any) -> Source:
    try:
        sizes = {str(axis): int(size) for axis, size in file.sizes.items()}
        written, stated = int(file.attributes.sequenceCount), sizes.get("T", 1)
        others = [f"{size} {AXES.get(axis, axis)}" for axis, size in sizes.items() if axis not in "TYX" and size > 1]
        if others:
            said = f"has {stated} frames x {' x '.join(others)}, not one movie; save the one with the emitters alone"
            raise FormatError(f"'{path.name}' {said}")
        if written > stated:
            raise FormatError(
                f"'{path.name}' holds {written} images and states {stated} frames in time; save the movie as TIFF"
            )
        shape = (min(written, stated), sizes.get("Y", 1), sizes.get("X", 1))
        dtype = np.dtype(file.dtype)
    except BaseException:
        file.close()
        raise

    def frame(number: int) -> NDArray[Any]:
        pixels = np.asarray(file.read_frame(number))
        if not pixels.any():
            raise FormatError(
                f"'{path.name}': frame {number + 1} (counted from 1) is absent or zero throughout; copy the file again,"
                " or save the frames that it has"
            )
        return pixels

    return Source(shape, dtype, frame, file.close)
