"""SMAP tables: nm, first frame 1, detected photons; columns named as SMAP's fields.

SMAP's text import multiplies by factors and shifts nothing, and the challenge's own converters took its tables
without a shift (formats.md 2.4, 2.6): the origin is the outer corner of pixel (0, 0), `SHIFT_NM` says so in one place.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.formats import text
from smlmbench.formats.options import TableOptions
from smlmbench.formats.units import check_needed, columns_of, read_columns, unkept
from smlmbench.predictions import Localizations

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "SMAP csv (frame, xnm, ynm, ...).",
    "facts": {
        "holds": "table",
        "suffixes": [".csv"],
        "writes": True,
        "first_frame": 1,
        "origin": "corner",
        "known_by": "frame, xnm, ynm",
        "keeps": ["channel"],
    },
}

FIRST_FRAME = 1
SHIFT_NM = 0.0
NEEDED = ("frame", "xnm", "ynm")
# A later name wins: `locprecnm` is one number for both axes, `xnmerr` and `ynmerr` are one for each.
TARGETS = (
    ("frame", "frame"),
    ("xnm", "x_nm"),
    ("ynm", "y_nm"),
    ("znm", "z_nm"),
    ("phot", "photons"),
    ("bg", "background_photons"),
    ("locprecnm", "sigma_x_nm"),
    ("locprecnm", "sigma_y_nm"),
    ("locprecznm", "sigma_z_nm"),
    ("xnmerr", "sigma_x_nm"),
    ("ynmerr", "sigma_y_nm"),
    ("znmerr", "sigma_z_nm"),
    ("channel", "channel"),
)


def recognises(path: Path) -> bool:
    """The header has `frame`, `xnm` and `ynm`."""
    return text.read_head(path).names.keys() >= set(NEEDED)


def read_table(path: Path, options: TableOptions) -> Localizations:
    """Read a table by SMAP's names."""
    head = text.read_head(path)
    check_needed(path, head, NEEDED, head.names, "SMAP table")
    shift = {"x_nm": -SHIFT_NM, "y_nm": -SHIFT_NM}
    return read_columns(path, head, columns_of(head, TARGETS), options, first_frame=FIRST_FRAME, shift=shift)


def unread(path: Path, options: TableOptions) -> list[str]:  # noqa: ARG001  the rooms' signature
    """Columns of the file that `read_table` does not keep."""
    head = text.read_head(path)
    return unkept(head.headers, columns_of(head, TARGETS))


def write_table(locs: Localizations, path: Path, options: TableOptions) -> None:  # noqa: ARG001  the rooms' signature
    """Write what is known: columns that are NaN throughout are left out; `locprecnm` is the rms of both axes."""
    columns: dict[str, NDArray[Any]] = {
        "frame": locs.frame + FIRST_FRAME,
        "xnm": locs.x_nm + SHIFT_NM,
        "ynm": locs.y_nm + SHIFT_NM,
        "znm": locs.z_nm,
        "phot": locs.photons,
        "bg": locs.background_photons,
        "locprecnm": np.hypot(locs.sigma_x_nm, locs.sigma_y_nm) / math.sqrt(2),
        "locprecznm": locs.sigma_z_nm,
        "xnmerr": locs.sigma_x_nm,
        "ynmerr": locs.sigma_y_nm,
    }
    if locs.channel is not None:
        columns["channel"] = locs.channel
    text.write_table(path, columns, always=(*NEEDED, "channel"))
