"""DECODE tables in HDF5: groups `data`, `meta` (`xy_unit`, `px_size`) and `decode`; otherwise as DECODE's csv.

Positions `xyz` and their claimed deviations `xyz_sig` are (n, 3); columns that are NaN throughout are stored empty.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import FormatError, unreadable
from smlmbench.formats.decode_csv import TARGETS, placed
from smlmbench.formats.hdf5 import check_texts
from smlmbench.formats.options import TableOptions
from smlmbench.formats.text import Numbers
from smlmbench.formats.units import Column
from smlmbench.predictions import Localizations

if TYPE_CHECKING:
    import h5py

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "DECODE h5; unit and pixel size stand in its group `meta`.",
    "facts": {"holds": "table", "suffixes": [".h5"], "writes": False, "first_frame": 0, "origin": "centre"},
}

FIRST_FRAME = 0
MAGIC = b"\x89HDF\r\n\x1a\n"
NEEDED = ("xyz", "frame_ix")
SPREAD = {"xyz": ("x", "y", "z"), "xyz_sig": ("x_sig", "y_sig", "z_sig")}
SINGLE = ("frame_ix", "phot", "bg", "prob")


def recognises(path: Path) -> bool:
    """The first bytes are those of HDF5."""
    with path.open("rb") as file:
        return file.read(8) == MAGIC


def read_table(path: Path, options: TableOptions) -> Localizations:
    """Read a table; a pixel size of `options` wins over the one of the file."""
    import h5py

    try:
        check_texts(path)
        with h5py.File(path, "r") as file:
            data = file.get("data")
            if not isinstance(data, h5py.Group) or any(name not in data for name in NEEDED):
                shown = ", ".join(data) if isinstance(data, h5py.Group) else "none"
                raise FormatError(
                    f"table '{path.name}' is not a DECODE table: it needs data/xyz and data/frame_ix, its data are"
                    f" {shown}; give localizations of DECODE"
                )
            found = _columns(path, data)
            facts = {name: _plain(value) for name, value in file["meta"].attrs.items()} if "meta" in file else {}
    except FormatError:
        raise
    except Exception as error:  # whatever stands where groups and numbers should
        raise unreadable(path, "HDF5 file", error) from None
    columns = [Column(TARGETS[name], position, name) for position, name in enumerate(found)]
    rows = np.arange(1, len(found["frame_ix"]) + 1)
    numbers = Numbers(dict(enumerate(found.values())), rows)
    return placed(path, columns, numbers, facts, options, first_frame=FIRST_FRAME)


def _columns(path: Path, data: "h5py.Group") -> dict[str, NDArray[np.float64]]:
    """Columns by DECODE's csv names; those stored empty are left out."""
    found: dict[str, NDArray[np.float64]] = {}
    for name in (*SPREAD, *SINGLE):
        if name not in data or data[name].shape is None:
            continue
        values = np.asarray(data[name][()], dtype=np.float64)
        if name in SPREAD and values.ndim == 2 and values.shape[1] == 3:
            found |= dict(zip(SPREAD[name], values.T.copy(), strict=True))
        elif name in SINGLE and values.ndim == 1:
            found[name] = values
        else:
            raise FormatError(f"table '{path.name}': data/{name} has shape {values.shape}; export it again")
    rows = {name: len(values) for name, values in found.items()}
    if "x" not in rows or "frame_ix" not in rows:
        raise FormatError(f"table '{path.name}': data/xyz or data/frame_ix is empty; export it again")
    if len(set(rows.values())) > 1:
        raise FormatError(f"table '{path.name}' has columns of different length {rows}; export it again")
    return found


def _plain(value: Any) -> Any:
    """An attribute as text, a number or a list of numbers; None where it is empty."""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value if isinstance(value, str | int | float | list) else None
