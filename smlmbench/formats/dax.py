"""DAX movies: headerless 16-bit frames; a text file `.inf` of the same stem states size and byte order."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from smlmbench.errors import FormatError
from smlmbench.formats.flat import FlatMovie

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "DAX movie (.dax with .inf beside it).",
    "facts": {
        "holds": "movie",
        "suffixes": [".dax"],
        "writes": False,
        "first_frame": 0,
        "origin": "corner",
        "sidecars": [".inf"],
    },
}

# Width comes first in `frame dimensions = 256 x 128`.
FACTS = {
    "frame dimensions": re.compile(r"^\s*frame dimensions\s*=\s*(\d+)\s*x\s*(\d+)", re.MULTILINE),
    "number of frames": re.compile(r"^\s*number of frames\s*=\s*(\d+)", re.MULTILINE),
    "data type": re.compile(r"^\s*data type\s*=.*\b(16)[ -]bit.*\b(big|little) endian", re.MULTILINE),
}


def recognises(path: Path) -> bool:
    """Ends in `.dax`; without a header there is nothing else to see, and `open_movie` names an absent `.inf`."""
    return path.suffix.lower() == ".dax"


def open_movie(path: Path) -> FlatMovie:
    """Open a movie as its `.inf` says (FormatError: none, it lacks something, or the file has another size)."""
    beside = path.with_suffix(".inf")
    try:
        text = beside.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise FormatError(
            f"'{path.name}' has no header and '{beside.name}' cannot be read: {error.strerror}; put it beside the movie"
        ) from None
    stated = {key: match.groups() for key, pattern in FACTS.items() if (match := pattern.search(text))}
    if missing := [key for key in FACTS if key not in stated]:
        raise FormatError(
            f"'{beside.name}' does not state {', '.join(missing)} as expected; write lines such as"
            " 'frame dimensions = 256 x 256', 'number of frames = 10',"
            " 'data type = 16 bit integers (binary, little endian)'"
        )
    width, height = map(int, stated["frame dimensions"])
    n_frames = int(stated["number of frames"][0])
    if min(width, height, n_frames) < 1:
        shape = f"{n_frames} frames of {width} x {height} px"
        raise FormatError(f"'{beside.name}' states {shape}; give a movie with frames")
    stored = np.dtype(">u2" if stated["data type"][1] == "big" else "<u2")
    return FlatMovie(path, (n_frames, height, width), stored, beside.name)
