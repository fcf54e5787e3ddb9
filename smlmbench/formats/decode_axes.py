"""What DECODE's csv and h5 tables share: unit, pixel size and axes of their positions (formats.md 2.5)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from smlmbench.errors import FormatError
from smlmbench.formats.options import TableOptions
from smlmbench.formats.text import Numbers
from smlmbench.formats.units import Column, localizations
from smlmbench.predictions import Localizations

CENTRE_PX = 0.5
# DECODE's x runs along the first axis of an image, that is along rows.
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


def placed(
    path: Path,
    columns: Sequence[Column],
    numbers: Numbers,
    facts: Mapping[str, Any],
    options: TableOptions,
    *,
    first_frame: int,
) -> Localizations:
    """Build the table; a pixel size of `options` wins over the one that the file states.

    Args:
        path: Table, for messages.
        columns: Columns with our targets (axes swapped by `TARGETS`).
        numbers: What the file holds.
        facts: `xy_unit` and `px_size` as the file states them.
        options: What is known beyond the file.
        first_frame: The format's first frame.

    Raises:
        FormatError: The unit or the pixel size is not stated, or a cell is odd.
    """
    unit = facts.get("xy_unit")
    if unit not in ("px", "nm"):
        raise FormatError(
            f"table '{path.name}' states xy_unit {unit!r}; accepted: px, nm; export it again,"
            " or use format: table and columns"
        )
    x_pixel_nm, y_pixel_nm = _pixel_nm(path, facts, options)
    pixel_nm = {"x_nm": x_pixel_nm, "y_nm": y_pixel_nm}
    scale = {column.target: 1.0 for column in columns}
    if unit == "px":
        scale |= {**pixel_nm, "sigma_x_nm": x_pixel_nm, "sigma_y_nm": y_pixel_nm}
    values = dict(numbers.columns)
    for column in columns:
        if column.target in pixel_nm:
            half = CENTRE_PX if unit == "px" else CENTRE_PX * pixel_nm[column.target]
            values[column.position] = values[column.position] + half
    if x_pixel_nm == y_pixel_nm:
        options = replace(options, pixel_size_nm=x_pixel_nm)
    shifted = Numbers(values, numbers.line)
    return localizations(path, columns, shifted, options, scale=scale, first_frame=first_frame)


def _pixel_nm(path: Path, facts: Mapping[str, Any], options: TableOptions) -> tuple[float, float]:
    """Pixel size along columns and rows; the file states rows first."""
    if options.pixel_size_nm is not None:
        return options.pixel_size_nm, options.pixel_size_nm
    given = facts.get("px_size")
    numbers = isinstance(given, list) and all(isinstance(v, int | float) and 0 < v < math.inf for v in given)
    if not isinstance(given, list) or not numbers or len(given) != 2:
        raise FormatError(
            f"table '{path.name}' states px_size {given!r}; two numbers in nm are needed"
            " to move its origin by half a pixel; give pixel_size_nm"
        )
    return float(given[1]), float(given[0])
