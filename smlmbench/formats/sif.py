"""Andor movies (.sif), mapped into memory by the package `sif_parser` of the extra `microscopes`.

Counts are float32, as the camera's program stores them; rows come in the order of the file. Several regions of the
sensor in one frame are refused.
"""

import io
import math
from pathlib import Path
from typing import Any

import numpy as np

from smlmbench.errors import FormatError
from smlmbench.formats.framewise import FramewiseMovie, Source, library

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Andor movie (.sif); needs the extra microscopes.",
    "facts": {"holds": "movie", "suffixes": [".sif"], "writes": False, "first_frame": 0, "origin": "corner"},
}

MAGIC = b"Andor Technology Multi-Channel File\n"
LONGEST_TEXT = 1 << 24  # bytes of one text of the head


class _Ending(io.BufferedReader):
    """A file whose head must not end within a word, which the package would wait for without end."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > LONGEST_TEXT:
            raise ValueError(f"a text of {size:,} bytes in its head")
        content = super().read(size)
        if size and not content:
            raise EOFError("its head ends too early")
        return content


def recognises(path: Path) -> bool:
    """The first line is that of Andor's files."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def open_movie(path: Path) -> FramewiseMovie:
    """Open a movie.

    Raises:
        MissingExtraError: The package is not installed.
        FormatError: Several regions, or the file is broken or cut short.
    """
    sif_parser = library(path, "sif_parser")
    return FramewiseMovie(path, "SIF file", lambda: _opened(path, sif_parser))


def _opened(path: Path, sif_parser: Any) -> Source:
    file = _Ending(io.FileIO(path))
    try:
        frames, facts = sif_parser.np_open(file, lazy="memmap")
        regions = int(facts["NumberOfSubImages"])
        if regions != 1:
            raise FormatError(f"'{path.name}' has {len(frames)} frames x {regions} regions; save one region as a movie")
        n_frames, height, width = frames.shape
        if math.prod(frames.shape) != int(facts["TotalLength"]):
            raise FormatError(
                f"'{path.name}' states {facts['TotalLength']} pixels and has {n_frames} frames of {width} x {height};"
                " save it as TIFF"
            )
    except BaseException:
        file.close()
        raise
    return Source((n_frames, height, width), np.dtype("<f4"), frames.__getitem__, file.close)
