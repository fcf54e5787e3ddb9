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

from smlmbench.formats import text
from smlmbench.formats.options import TableOptions
from smlmbench.formats.units import Column, check_needed, read_columns, unkept
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
        "known_by": "frame, x [..], y [..]",
    },
}

FIRST_FRAME = 1
ALWAYS = ("id", "frame", "x [nm]", "y [nm]")
SIGNS = ("sigma", "sigma1", "intensity", "offset", "bkgstd", "uncertainty", "uncertainty_xy")
NEEDED = ("frame", "x", "y")
TARGETS = (
    ("frame", "frame"),
    ("x", "x_nm"),
    ("y", "y_nm"),
    ("z", "z_nm"),
    ("intensity", "photons"),
    ("offset", "background_photons"),
    ("uncertainty", "sigma_x_nm"),
    ("uncertainty", "sigma_y_nm"),
    ("uncertainty_xy", "sigma_x_nm"),
    ("uncertainty_xy", "sigma_y_nm"),
    ("uncertainty_z", "sigma_z_nm"),
)


def recognises(path: Path) -> bool:
    """The header has `frame`, and `x [..]` and `y [..]` in square brackets; without commas also a name of its own."""
    head = text.read_head(path)
    bracketed = {header.name for header in head.headers if header.text.endswith("]")}
    own = head.delimiter == "," or not head.names.keys().isdisjoint(SIGNS)
    return own and {"x", "y"} <= bracketed and "frame" in head.names


def read_table(path: Path, options: TableOptions) -> Localizations:
    """Read any variant of the table."""
    head = text.read_head(path)
    check_needed(path, head, NEEDED, head.names, "ThunderSTORM table (frame, x [nm], y [nm], ...)")
    return read_columns(path, head, _columns(head), options, first_frame=FIRST_FRAME, incident=True)


def unread(path: Path, options: TableOptions) -> list[str]:  # noqa: ARG001  the rooms' signature
    """Columns of the file that `read_table` does not keep; `id` numbers the rows."""
    head = text.read_head(path)
    return unkept(head.headers, _columns(head), ("id",))


def _columns(head: text.Head) -> list[Column]:
    generated = "bkgstd" in head.names and not any(name.startswith("uncertainty") for name in head.names)
    columns: dict[str, Column] = {}
    for position, header in enumerate(head.headers):
        if header.name == "offset" and generated:
            continue
        for name, target in TARGETS:
            if name == header.name and (not target.endswith("photons") or header.unit in ("photon", "adu")):
                columns[target] = Column(target, position, header.text, header.unit)
    return list(columns.values())


def write_table(locs: Localizations, path: Path, options: TableOptions, rows: int = 0) -> None:
    """Write what is known: columns that are NaN throughout are left out.

    `uncertainty_xy` is the root mean square of both axes. With a camera, photons are divided by its quantum efficiency.
    To a table that has `rows`, further ones are added in the columns that the first ones know.
    """
    efficiency = 1.0 if options.camera is None else options.camera.quantum_efficiency
    columns = {
        "id": np.arange(rows + 1, rows + 1 + len(locs)),
        "frame": locs.frame + FIRST_FRAME,
        "x [nm]": locs.x_nm,
        "y [nm]": locs.y_nm,
        "z [nm]": locs.z_nm,
        "intensity [photon]": locs.photons / efficiency,
        "offset [photon]": locs.background_photons / efficiency,
        "uncertainty_xy [nm]": np.hypot(locs.sigma_x_nm, locs.sigma_y_nm) / math.sqrt(2),
        "uncertainty_z [nm]": locs.sigma_z_nm,
    }
    text.write_table(path, columns, always=ALWAYS, quoted=True, rows=rows)


append_table = write_table
