"""DECODE tables: px or nm as the file's comment lines say, origin at a pixel's centre, frames from 0, detected photons.

DECODE's x runs along the first axis of an image, that is along rows: x and y are swapped here (formats.md 2.5).
`id` is a number of the program and `.._cr` are bounds, not claims; they are not kept.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from smlmbench.errors import FormatError
from smlmbench.formats.options import TableOptions
from smlmbench.formats.text import Head, Numbers, read_head, read_numbers
from smlmbench.formats.units import Column, check_needed, columns_of, localizations, unkept
from smlmbench.predictions import Localizations

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "DECODE csv; unit and pixel size stand in its comment lines.",
    "facts": {
        "holds": "table",
        "suffixes": [".csv"],
        "writes": False,
        "first_frame": 0,
        "origin": "centre",
        "known_by": "frame_ix, x, y",
    },
}

FIRST_FRAME = 0
CENTRE_PX = 0.5
Facts = Mapping[str, Any]
NEEDED = ("frame_ix", "x", "y")
TARGETS = {
    "frame_ix": "frame",
    "x": "y_nm",
    "y": "x_nm",
    "z": "z_nm",
    "phot": "photons",
    "bg": "background_photons",
    "prob": "probability",
    "x_sig": "sigma_y_nm",
    "y_sig": "sigma_x_nm",
    "z_sig": "sigma_z_nm",
}


def recognises(path: Path) -> bool:
    """The header has `frame_ix`, `x` and `y`."""
    return read_head(path).names.keys() >= set(NEEDED)


def read_table(path: Path, options: TableOptions) -> Localizations:
    """Read a table; a pixel size of `options` wins over the one in the comment lines."""
    head = read_head(path)
    check_needed(path, head, NEEDED, head.names, "DECODE table")
    columns = columns_of(head, TARGETS.items())
    numbers = read_numbers(path, head, [column.position for column in columns])
    return placed(path, columns, numbers, _facts(head), options, first_frame=FIRST_FRAME)


def unread(path: Path, options: TableOptions) -> list[str]:  # noqa: ARG001  the rooms' signature
    """Columns of the file that `read_table` does not keep."""
    head = read_head(path)
    return unkept(head.headers, columns_of(head, TARGETS.items()), ("id",))


def _facts(head: Head) -> Facts:
    """The comment line that states unit and pixel size; empty where there is none."""
    for line in head.comments:
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and "xy_unit" in found:
            return found
    return {}


def placed(
    path: Path, columns: Sequence[Column], numbers: Numbers, facts: Facts, options: TableOptions, *, first_frame: int
) -> Localizations:
    """Build the table from columns with our targets (FormatError: `facts` lack unit or pixel size, or an odd cell)."""
    unit = facts.get("xy_unit")
    if unit not in ("px", "nm"):
        raise FormatError(
            f"table '{path.name}' states xy_unit {unit!r}; accepted: px, nm; export it again,"
            " or use format: table and columns"
        )
    x_pixel_nm, y_pixel_nm = _pixel_nm(path, facts, options)
    scale = {column.target: 1.0 for column in columns}
    shift = {"x_nm": CENTRE_PX * x_pixel_nm, "y_nm": CENTRE_PX * y_pixel_nm}
    if unit == "px":
        scale |= {"x_nm": x_pixel_nm, "y_nm": y_pixel_nm, "sigma_x_nm": x_pixel_nm, "sigma_y_nm": y_pixel_nm}
        shift = {"x_nm": CENTRE_PX, "y_nm": CENTRE_PX}
    if x_pixel_nm == y_pixel_nm:
        options = replace(options, pixel_size_nm=x_pixel_nm)
    return localizations(path, columns, numbers, options, scale=scale, first_frame=first_frame, shift=shift)


def _pixel_nm(path: Path, facts: Facts, options: TableOptions) -> tuple[float, float]:
    """Pixel size along columns and rows; the file states rows first."""
    if options.pixel_size_nm is not None:
        return options.pixel_size_nm, options.pixel_size_nm
    given = facts.get("px_size")
    if isinstance(given, list) and [isinstance(v, int | float) and 0 < v < math.inf for v in given] == [True, True]:
        return float(given[1]), float(given[0])
    raise FormatError(
        f"table '{path.name}' states px_size {given!r}; two numbers in nm are needed to move its origin by half a"
        " pixel; give pixel_size_nm"
    )
