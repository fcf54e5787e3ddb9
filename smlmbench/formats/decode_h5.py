"""DECODE tables in HDF5: groups `data`, `meta` (`xy_unit`, `px_size`) and `decode`; otherwise as DECODE's csv.

Positions `xyz` and their claimed deviations `xyz_sig` are (n, 3); columns that are NaN throughout are stored empty.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import FormatError
from smlmbench.formats import hdf5
from smlmbench.formats.decode_csv import TARGETS, placed
from smlmbench.formats.options import TableOptions
from smlmbench.formats.text import Numbers
from smlmbench.formats.units import Column
from smlmbench.predictions import Localizations

if TYPE_CHECKING:
    import h5py

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "DECODE h5; unit and pixel size stand in its group `meta`.",
    "facts": {
        "holds": "table",
        "suffixes": [".h5"],
        "writes": False,
        "first_frame": 0,
        "origin": "centre",
        "known_by": "data/xyz, data/frame_ix",
    },
}

FIRST_FRAME = 0
NEEDED = ("xyz", "frame_ix")
SPREAD = {"xyz": ("x", "y", "z"), "xyz_sig": ("x_sig", "y_sig", "z_sig")}
SINGLE = ("frame_ix", "phot", "bg", "prob")


def recognises(path: Path) -> bool:
    """HDF5 with positions and frames."""
    return hdf5.holds(path, *(f"data/{name}" for name in NEEDED))


def read_table(path: Path, options: TableOptions) -> Localizations:
    """Read a table; a pixel size of `options` wins over the one of the file."""
    with hdf5.opened(path) as file:
        data = _data(path, file)
        found = _columns(path, data)
        facts = {name: _plain(value) for name, value in file["meta"].attrs.items()} if "meta" in file else {}
    columns = [Column(TARGETS[name], position, name) for position, name in enumerate(found)]
    rows = np.arange(1, len(found["frame_ix"]) + 1)
    numbers = Numbers(dict(enumerate(found.values())), rows)
    return placed(path, columns, numbers, facts, options, first_frame=FIRST_FRAME)


def unread(path: Path, options: TableOptions) -> list[str]:  # noqa: ARG001  the rooms' signature
    """Columns of the file that `read_table` does not keep, `id` apart; those stored empty hold nothing."""
    with hdf5.opened(path) as file:
        others = {name: node for name, node in _data(path, file).items() if name not in (*SPREAD, *SINGLE, "id")}
        return [f"data/{name}" for name, node in others.items() if getattr(node, "shape", ()) is not None]


def _data(path: Path, file: "h5py.File") -> "h5py.Group":
    if hdf5.has(file, *(f"data/{name}" for name in NEEDED)):
        return file["data"]
    raise FormatError(
        f"table '{path.name}' is not a DECODE table: it needs data/xyz and data/frame_ix but holds"
        f" {hdf5.contents(path)}; give localizations of DECODE"
    )


def _columns(path: Path, data: "h5py.Group") -> dict[str, NDArray[np.float64]]:
    """Columns by DECODE's csv names; those stored empty are left out."""
    places: dict[str, hdf5.Place] = {}
    for name in (*SPREAD, *SINGLE):
        shape = data[name].shape if name in data else None
        if shape is None:
            continue
        if len(shape) != (2 if name in SPREAD else 1) or shape[1:] not in ((), (3,)):
            raise FormatError(f"table '{path.name}': data/{name} has shape {shape}; export it again")
        axes = {axis: hdf5.Place(data[name], at=at) for at, axis in enumerate(SPREAD.get(name, ()))}
        places |= axes or {name: hdf5.Place(data[name])}
    if "x" not in places or "frame_ix" not in places:
        raise FormatError(f"table '{path.name}': data/xyz or data/frame_ix is empty; export it again")
    return hdf5.columns(path, places)


def _plain(value: Any) -> Any:
    """An attribute as text, a number or a list of numbers; None where it is empty."""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value if isinstance(value, str | int | float | list) else None
