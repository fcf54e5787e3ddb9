"""Tables of Zeiss Elyra (ZEN): tab-separated text, lengths in nm, frames from 1, photons taken as detected ones.

Where (0, 0) lies in the first pixel is not known of the vendor: it is taken as the outer corner unless `origin` says
otherwise. Below the table, after an empty line, stand facts of the image (`VoxelSizeX : 0.1`) without units; they are
not read. `Index` numbers the rows. A row may be of several frames (`Number Frames`): it is kept in its first one.
"""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from smlmbench.errors import LossWarning
from smlmbench.formats.options import TableOptions
from smlmbench.formats.text import Head, read_head, read_numbers
from smlmbench.formats.units import Column, check_needed, factors, localizations, our_unit, unkept
from smlmbench.predictions import Localizations

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Zeiss Elyra text (First Frame, Position X [nm], ...).",
    "facts": {
        "holds": "table",
        "suffixes": [".txt", ".csv"],
        "writes": False,
        "first_frame": 1,
        "origin": "corner",
        "known_by": "First Frame, Position X [nm], Position Y [nm]",
    },
}

FIRST_FRAME = 1
NEEDED = ("first frame", "position x", "position y")
FRAMES = "number frames"
TARGETS = (
    ("first frame", "frame"),
    ("position x", "x_nm"),
    ("position y", "y_nm"),
    ("position z", "z_nm"),
    ("number photons", "photons"),
    ("precision", "sigma_x_nm"),
    ("precision", "sigma_y_nm"),
    ("precision z", "sigma_z_nm"),
    ("channel", "channel"),
)


def recognises(path: Path) -> bool:
    """The header has the columns that every such table has."""
    return read_head(path).names.keys() >= set(NEEDED)


def read_table(path: Path, options: TableOptions) -> Localizations:
    """Read a table; LossWarning says how many rows are of several frames."""
    head = read_head(path)
    check_needed(path, head, NEEDED, head.names, "table of Zeiss Elyra")
    columns = _columns(head)
    several = [head.names[FRAMES]] if FRAMES in head.names else []
    numbers = read_numbers(path, head, [column.position for column in columns], tried=several)
    scale = factors(path, columns, options, incident=False)
    counts = [numbers.columns[at] for at in several if at in numbers.columns]
    grouped = int(np.count_nonzero(counts[0] > 1)) if counts else 0
    if grouped:
        said = f"table '{path.name}': {grouped} of {len(numbers.line)} rows are of several frames, with their photons"
        warnings.warn(f"{said} added; each is kept in its first frame", LossWarning, stacklevel=2)
    numbers = replace(numbers, below=0)
    return localizations(path, columns, numbers, options, scale=scale, first_frame=FIRST_FRAME)


def unread(path: Path, options: TableOptions) -> list[str]:  # noqa: ARG001  the rooms' signature
    """Columns of the file that `read_table` does not keep."""
    head = read_head(path)
    return unkept(head.headers, _columns(head), ("index", FRAMES))


def _columns(head: Head) -> list[Column]:
    return [
        Column(target, head.names[name], head.headers[head.names[name]].text, _unit(head, name, target))
        for name, target in TARGETS
        if name in head.names
    ]


def _unit(head: Head, name: str, target: str) -> str:
    stated = head.headers[head.names[name]].unit
    return stated if our_unit(target) == "nm" else our_unit(target)
