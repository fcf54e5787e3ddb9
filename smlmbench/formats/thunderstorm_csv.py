"""ThunderSTORM tables: header cells `name [unit]`, first frame 1, origin at the outer corner, incident photons.

Two facts of the format's own program (formats.md 2.2): its photons are divided by the quantum efficiency, so a given
camera turns them into detected ones; `offset` is the background of a fit, but in a table of its generator (which
has `bkgstd` and no uncertainty) it is the camera's base level, and is left unknown. `sigma`, `sigma1` and `sigma2` are
widths of the image of an emitter, not uncertainties of its position; they are not kept.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import FormatError
from smlmbench.formats.options import TableOptions
from smlmbench.formats.text import Head, read_head, read_numbers, shown_columns, write_rows
from smlmbench.formats.units import Column, factors, localizations
from smlmbench.predictions import Localizations

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "ThunderSTORM csv, the common denominator of localization tables.",
    "facts": {
        "holds": "table",
        "suffixes": [".csv"],
        "writes": True,
        "first_frame": 1,
        "origin": "corner",
        "photons": "incident",
    },
}

FIRST_FRAME = 1
ALWAYS = ("id", "frame", "x [nm]", "y [nm]")
TARGETS = {
    "frame": ["frame"],
    "x": ["x_nm"],
    "y": ["y_nm"],
    "z": ["z_nm"],
    "intensity": ["photons"],
    "offset": ["background_photons"],
    "uncertainty": ["sigma_x_nm", "sigma_y_nm"],
    "uncertainty_xy": ["sigma_x_nm", "sigma_y_nm"],
    "uncertainty_z": ["sigma_z_nm"],
}


def recognises(path: Path) -> bool:
    """Comma-separated, with `frame`, `x [..]` and `y [..]` in square brackets."""
    head = read_head(path)
    bracketed = {header.name for header in head.headers if header.text.endswith("]")}
    return head.delimiter == "," and {"x", "y"} <= bracketed and any(header.name == "frame" for header in head.headers)


def read_table(path: Path, options: TableOptions) -> Localizations:
    """Read any variant of the table.

    Raises:
        FormatError: A column is absent, or in px or ADU without pixel size or camera; an odd cell.
    """
    head = read_head(path)
    columns = _columns(head)
    missing = {"frame", "x_nm", "y_nm"} - {column.target for column in columns}
    if missing:
        shown = shown_columns(head.headers)
        raise FormatError(
            f"table '{path.name}' has no {', '.join(sorted(missing))} column; its columns are {shown};"
            " ThunderSTORM tables have frame, x [nm], y [nm]; name others with format: table and columns"
        )
    scale = factors(path, columns, options, incident=True)
    numbers = read_numbers(path, head, [column.position for column in columns])
    return localizations(path, columns, numbers, options, scale=scale, first_frame=FIRST_FRAME)


def unread(path: Path) -> list[str]:
    """Columns of the file that `read_table` does not keep."""
    head = read_head(path)
    kept = {column.position for column in _columns(head)}
    return [header.text for at, header in enumerate(head.headers) if at not in kept and header.name != "id"]


def _columns(head: Head) -> list[Column]:
    names = {header.name for header in head.headers}
    generated = "bkgstd" in names and not any(name.startswith("uncertainty") for name in names)
    columns: dict[str, Column] = {}
    for position, header in enumerate(head.headers):
        if header.name == "offset" and generated:
            continue
        if header.name in ("intensity", "offset") and header.unit not in ("photon", "adu"):
            continue
        for target in TARGETS.get(header.name, []):
            columns[target] = Column(target, position, header.text, "" if target == "frame" else header.unit)
    return list(columns.values())


def write_table(locs: Localizations, path: Path, options: TableOptions) -> None:
    """Write what is known: columns that are NaN throughout are left out.

    `uncertainty_xy` is the root mean square of both axes. With a camera, photons are divided by its quantum efficiency.

    Raises:
        FormatError: The file cannot be written.
    """
    append_table(locs, path, options, 0)


def append_table(locs: Localizations, path: Path, options: TableOptions, rows: int) -> None:
    """Add rows to a table that `append_table` began; a first call on an absent or empty file writes its header.

    Args:
        locs: Further rows.
        path: The table; its columns are those that the first rows know.
        options: As in `write_table`.
        rows: Rows that it has.

    Raises:
        FormatError: The file cannot be written.
    """
    columns = _cells(locs, options, rows + 1)
    if rows == 0:
        known = [name for name, values in columns.items() if name in ALWAYS or not np.isnan(values).all()]
        head = [",".join(f'"{name}"' for name in known)]
    else:
        known, head = [header.text for header in read_head(path).headers], []
    write_rows(path, head, {name: columns[name] for name in known}, append=rows > 0)


def _cells(locs: Localizations, options: TableOptions, first_id: int) -> dict[str, NDArray[Any]]:
    efficiency = 1.0 if options.camera is None else options.camera.quantum_efficiency
    lateral_nm = np.hypot(locs.sigma_x_nm, locs.sigma_y_nm) / math.sqrt(2)
    return {
        "id": np.arange(first_id, first_id + len(locs)),
        "frame": locs.frame + FIRST_FRAME,
        "x [nm]": locs.x_nm,
        "y [nm]": locs.y_nm,
        "z [nm]": locs.z_nm,
        "intensity [photon]": locs.photons / efficiency,
        "offset [photon]": locs.background_photons / efficiency,
        "uncertainty_xy [nm]": lateral_nm,
        "uncertainty_z [nm]": locs.sigma_z_nm,
    }
