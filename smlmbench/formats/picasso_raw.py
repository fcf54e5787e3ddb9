"""Picasso raw movies: headerless frames; the YAML sidecar states size, number format and byte order."""

from pathlib import Path
from typing import Any

import numpy as np

from smlmbench.errors import FormatError
from smlmbench.formats.flat import FlatMovie
from smlmbench.formats.sidecar import last_of, read_documents, shown, whole
from smlmbench.formats.tiff import DTYPES

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Picasso raw movie (.raw with .yaml beside it).",
    "facts": {
        "holds": "movie",
        "suffixes": [".raw"],
        "writes": False,
        "first_frame": 0,
        "origin": "corner",
        "sidecars": [".yaml"],
    },
}

NEEDED = ("Byte Order", "Data Type", "Frames", "Height", "Width")


def recognises(path: Path) -> bool:
    """Ends in `.raw`; without a header there is nothing else to see, and `open_movie` names an absent sidecar."""
    return path.suffix.lower() == ".raw"


def open_movie(path: Path) -> FlatMovie:
    """Open a movie as its sidecar says (FormatError: none, it lacks something, or the file has another size)."""
    documents = read_documents(path)
    beside = f"{path.stem}.yaml"
    missing = [key for key in NEEDED if last_of(documents, key) is None]
    if missing:
        why = f"does not state {', '.join(missing)}" if documents else "is absent"
        raise FormatError(f"'{path.name}' has no header and its sidecar '{beside}' {why}; put the sidecar beside it")
    order, kind = (last_of(documents, key) for key in NEEDED[:2])
    if order not in ("<", ">") or kind not in DTYPES:
        raise FormatError(
            f"sidecar '{beside}' states Byte Order {shown(order)}, Data Type {shown(kind)}; accepted: < or >,"
            f" {', '.join(DTYPES)}; convert the movie to TIFF"
        )
    n_frames, height, width = (whole(path, key, last_of(documents, key)) or 0 for key in NEEDED[2:])
    return FlatMovie(path, (n_frames, height, width), np.dtype(order + np.dtype(kind).str[1:]), beside)
