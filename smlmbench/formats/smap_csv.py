"""SMAP tables: nm, first frame 1, detected photons; columns named as SMAP's fields.

SMAP's text import multiplies by factors and shifts nothing, and the challenge's own converters took its tables
without a shift (formats.md 2.4, 2.6): the origin is the outer corner of pixel (0, 0), `SHIFT_NM` says so in one place.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import FormatError
from smlmbench.formats.options import TableOptions
from smlmbench.formats.text import Numbers, read_head, read_numbers, shown_columns, write_rows
from smlmbench.formats.units import Column, factors, localizations
from smlmbench.predictions import Localizations

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "SMAP csv (frame, xnm, ynm, ...).",
    "facts": {"holds": "table", "suffixes": [".csv"], "writes": True, "first_frame": 1, "origin": "corner"},
}

FIRST_FRAME = 1
SHIFT_NM = 0.0
# A later name wins: `locprecnm` is one number for both axes, `xnmerr` and `ynmerr` are one for each.
TARGETS = {
    "frame": (["frame"], ""),
    "xnm": (["x_nm"], "nm"),
    "ynm": (["y_nm"], "nm"),
    "znm": (["z_nm"], "nm"),
    "phot": (["photons"], "photon"),
    "bg": (["background_photons"], "photon"),
    "locprecnm": (["sigma_x_nm", "sigma_y_nm"], "nm"),
    "locprecznm": (["sigma_z_nm"], "nm"),
    "xnmerr": (["sigma_x_nm"], "nm"),
    "ynmerr": (["sigma_y_nm"], "nm"),
    "znmerr": (["sigma_z_nm"], "nm"),
    "channel": (["channel"], ""),
}


def recognises(path: Path) -> bool:
    """The header has `frame`, `xnm` and `ynm`."""
    return {"frame", "xnm", "ynm"} <= {header.name for header in read_head(path).headers}


def read_table(path: Path, options: TableOptions) -> Localizations:
    """Read a table by SMAP's names.

    Raises:
        FormatError: A column is absent or a cell is odd.
    """
    head = read_head(path)
    positions = {header.name: position for position, header in enumerate(head.headers)}
    columns: dict[str, Column] = {}
    for name, (targets, unit) in TARGETS.items():
        if name in positions:
            text = head.headers[positions[name]].text
            columns.update({target: Column(target, positions[name], text, unit) for target in targets})
    missing = [name for name in ("frame", "xnm", "ynm") if name not in positions]
    if missing:
        shown = shown_columns(head.headers)
        raise FormatError(
            f"table '{path.name}' has no {', '.join(missing)} column; its columns are {shown};"
            " SMAP tables have frame, xnm, ynm; name others with format: table and columns"
        )
    picked = list(columns.values())
    scale = factors(path, picked, options, incident=False)
    numbers = read_numbers(path, head, [column.position for column in picked])
    shifted = {
        position: values - SHIFT_NM if position in (positions["xnm"], positions["ynm"]) else values
        for position, values in numbers.columns.items()
    }
    numbers = Numbers(shifted, numbers.line)
    return localizations(path, picked, numbers, options, scale=scale, first_frame=FIRST_FRAME)


def unread(path: Path) -> list[str]:
    """Columns of the file that `read_table` does not keep."""
    return [header.text for header in read_head(path).headers if header.name not in TARGETS]


def write_table(locs: Localizations, path: Path, options: TableOptions) -> None:  # noqa: ARG001  the rooms' signature
    """Write what is known: columns that are NaN throughout are left out; `locprecnm` is the rms of both axes.

    Raises:
        FormatError: The file cannot be written.
    """
    known: dict[str, NDArray[np.float64]] = {
        "znm": locs.z_nm,
        "phot": locs.photons,
        "bg": locs.background_photons,
        "locprecnm": np.hypot(locs.sigma_x_nm, locs.sigma_y_nm) / math.sqrt(2),
        "locprecznm": locs.sigma_z_nm,
        "xnmerr": locs.sigma_x_nm,
        "ynmerr": locs.sigma_y_nm,
    }
    columns: dict[str, NDArray[Any]] = {
        "frame": locs.frame + FIRST_FRAME,
        "xnm": locs.x_nm + SHIFT_NM,
        "ynm": locs.y_nm + SHIFT_NM,
        **{name: values for name, values in known.items() if not np.isnan(values).all()},
    }
    if locs.channel is not None:
        columns["channel"] = locs.channel
    write_rows(path, [",".join(columns)], columns)
