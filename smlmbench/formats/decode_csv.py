"""DECODE tables: px or nm as the file's comment lines say, origin at a pixel's centre, frames from 0, detected photons.

DECODE's x runs along the first axis of an image, that is along rows: x and y are swapped here (formats.md 2.5).
`id` is a number of the program and `.._cr` are bounds, not claims; they are not kept.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from smlmbench.errors import FormatError
from smlmbench.formats.options import TableOptions
from smlmbench.formats.text import Head, Numbers, read_head, read_numbers
from smlmbench.formats.units import Column, localizations
from smlmbench.predictions import Localizations

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "DECODE csv; unit and pixel size stand in its comment lines.",
    "facts": {"holds": "table", "suffixes": [".csv"], "writes": False, "first_frame": 0, "origin": "centre"},
}

FIRST_FRAME = 0
CENTRE_PX = 0.5
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
    return {"frame_ix", "x", "y"} <= {header.name for header in read_head(path).headers}


def read_table(path: Path, options: TableOptions) -> Localizations:
    """Read a table; a pixel size of `options` wins over the one in the comment lines.

    Raises:
        FormatError: A column is absent, the unit or the pixel size is not stated, or a cell is odd.
    """
    head = read_head(path)
    columns = [
        Column(TARGETS[header.name], position, header.text)
        for position, header in enumerate(head.headers)
        if header.name in TARGETS
    ]
    missing = {"frame", "x_nm", "y_nm"} - {column.target for column in columns}
    if missing:
        shown = ", ".join(header.text for header in head.headers)
        raise FormatError(
            f"table '{path.name}' is not a DECODE table: its columns are {shown}; expected x, y, frame_ix, ...;"
            " name others with format: table and columns"
        )
    facts = _facts(head)
    unit = facts.get("xy_unit")
    if unit not in ("px", "nm"):
        raise FormatError(
            f"table '{path.name}': its comment lines state xy_unit {unit!r}; accepted: px, nm; export it again,"
            " or use format: table and columns"
        )
    x_pixel_nm, y_pixel_nm = _pixel_nm(path, facts, options)
    pixel_nm = {"x_nm": x_pixel_nm, "y_nm": y_pixel_nm}
    scale = {column.target: 1.0 for column in columns}
    if unit == "px":
        scale |= {**pixel_nm, "sigma_x_nm": x_pixel_nm, "sigma_y_nm": y_pixel_nm}
    numbers = read_numbers(path, head, [column.position for column in columns])
    values = dict(numbers.columns)
    for column in columns:
        if column.target in pixel_nm:
            half = CENTRE_PX if unit == "px" else CENTRE_PX * pixel_nm[column.target]
            values[column.position] = values[column.position] + half
    if x_pixel_nm == y_pixel_nm:
        options = replace(options, pixel_size_nm=x_pixel_nm)
    numbers = Numbers(values, numbers.line)
    return localizations(path, columns, numbers, options, scale=scale, first_frame=FIRST_FRAME)


def _facts(head: Head) -> Mapping[str, Any]:
    """The comment line that states unit and pixel size; empty where there is none."""
    for line in head.comments:
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and "xy_unit" in found:
            return found
    return {}


def _pixel_nm(path: Path, facts: Mapping[str, Any], options: TableOptions) -> tuple[float, float]:
    """Pixel size along columns and rows; the file states rows first."""
    if options.pixel_size_nm is not None:
        return options.pixel_size_nm, options.pixel_size_nm
    given = facts.get("px_size")
    numbers = isinstance(given, list) and all(isinstance(v, int | float) and 0 < v < math.inf for v in given)
    if not isinstance(given, list) or not numbers or len(given) != 2:
        raise FormatError(
            f"table '{path.name}': its comment lines state px_size {given!r}; two numbers in nm are needed"
            " to move its origin by half a pixel; give pixel_size_nm"
        )
    return float(given[1]), float(given[0])
