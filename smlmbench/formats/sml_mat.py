"""SMAP's own files, `*_sml.mat`: the columns of `saveloc.loc`, in MATLAB files of version 5 to 7 or 7.3 (HDF5).

Names, units, first frame and origin are those of SMAP's csv (`smap_csv`). Files that Picasso exports for SMAP keep
Picasso's origin, the centre of the first pixel (its source, version 0.11.3); they are known by `saveloc.info`, which
states the pixel size, beside no `saveloc.file`, and are moved by half a pixel. Localizations of several movies in one
file (`filenumber`) are refused: their frames would be mixed.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import FormatError, unreadable
from smlmbench.formats import hdf5
from smlmbench.formats.options import TableOptions
from smlmbench.formats.smap_csv import FIRST_FRAME, NEEDED, SHIFT_NM, TARGETS
from smlmbench.formats.text import Numbers
from smlmbench.formats.units import Column, localizations, our_unit
from smlmbench.predictions import Localizations

if TYPE_CHECKING:
    import h5py

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "SMAP's own file (_sml.mat, MATLAB 5 to 7.3).",
    "facts": {
        "holds": "table",
        "suffixes": [".mat"],
        "writes": False,
        "first_frame": 1,
        "origin": "corner",
        "known_by": "a variable saveloc",
    },
}

HDF5_AT = 512  # bytes of MATLAB's own head before the HDF5 file
MAGIC = b"\x89HDF\r\n\x1a\n"
GRID = "cam_pixelsize_um"
Found = Mapping[str, Any]


def recognises(path: Path) -> bool:
    """A MATLAB file with a variable `saveloc`."""
    try:
        return "saveloc" in _names(path)
    except Exception:  # no MATLAB file, or a broken one
        return False


def read_table(path: Path, options: TableOptions) -> Localizations:
    """Read `saveloc.loc` (FormatError: it is absent, or holds several movies)."""
    found = _saveloc(path)
    loc = found.get("loc")
    if not isinstance(loc, Mapping) or any(name not in loc for name in NEEDED):
        shown = ", ".join(list(loc)[:12]) if isinstance(loc, Mapping) else "absent"
        raise FormatError(
            f"table '{path.name}' is no SMAP table: saveloc.loc ({shown}) has no {', '.join(NEEDED)}; save it with SMAP"
        )
    given = {name: _column(path, name, loc[name]) for name in (*dict(TARGETS), "filenumber") if name in loc}
    if len(set(map(len, given.values()))) > 1:
        raise FormatError(f"table '{path.name}' has columns of different length; save it with SMAP again")
    movies = np.unique(given.pop("filenumber", np.empty(0)))
    if len(movies) > 1:
        raise FormatError(
            f"table '{path.name}' holds localizations of {len(movies)} movies (filenumber); save each alone in SMAP"
        )
    columns = list({t: Column(t, list(given).index(n), n, our_unit(t)) for n, t in TARGETS if n in given}.values())
    numbers = Numbers(dict(enumerate(given.values())), np.arange(1, len(given["frame"]) + 1))
    moved = {axis: _origin_nm(path, found, at) - SHIFT_NM for at, axis in enumerate(("x_nm", "y_nm"))}
    scale = {column.target: 1.0 for column in columns}
    return localizations(path, columns, numbers, options, scale=scale, first_frame=FIRST_FRAME, shift=moved)


def unread(path: Path, options: TableOptions) -> list[str]:  # noqa: ARG001  the rooms' signature
    """Columns of the file that `read_table` does not keep."""
    return [name for name in _saveloc(path).get("loc", {}) if name not in {*dict(TARGETS), "filenumber"}]


def _origin_nm(path: Path, found: Found, axis: int) -> float:
    """What must be added to have our origin: half a pixel in files that Picasso wrote."""
    info = found.get("info")
    if not isinstance(info, Mapping) or "file" in found or "history" in found or GRID not in info:
        return 0.0
    pixel_um = _column(path, GRID, info[GRID])
    if len(pixel_um) not in (1, 2) or not (np.isfinite(pixel_um) & (pixel_um > 0)).all():
        raise FormatError(f"table '{path.name}' states {GRID} {pixel_um.tolist()}; save it again")
    return float(pixel_um[min(axis, len(pixel_um) - 1)]) * 500.0


def _column(path: Path, name: str, given: Any) -> NDArray[np.float64]:
    values = np.asarray(given)
    if values.dtype.kind not in "buif" or values.size != max(values.shape, default=1):
        raise FormatError(
            f"table '{path.name}': {name} is no column of numbers but {values.dtype} of shape {values.shape};"
            " save it with SMAP again"
        )
    return values.reshape(-1).astype(np.float64)


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(HDF5_AT)
        return file.read(len(MAGIC)) == MAGIC


def _names(path: Path) -> list[str]:
    """Names of the variables."""
    if _is_hdf5(path):
        with hdf5.opened(path) as file:
            return list(file)
    from scipy import io

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # scipy warns of numbers that it cannot read, and gives them
        return [name for name, *_ in io.whosmat(path)]


def _saveloc(path: Path) -> Found:
    """The variable as nested mappings of arrays."""
    try:
        if "saveloc" not in _names(path):  # which also sees broken files on which scipy's reader of arrays dies
            raise KeyError("it has no variable saveloc")
        if _is_hdf5(path):
            with hdf5.opened(path) as file:
                group = file["saveloc"]
                return {name: _arrays(path, group[name]) if name in ("loc", "info") else None for name in group}
        from scipy import io

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = io.loadmat(path, variable_names=["saveloc"], simplify_cells=True)["saveloc"]
    except FormatError:
        raise
    except Exception as error:
        raise unreadable(path, "SMAP file", error, "save it with SMAP again") from None
    if not isinstance(found, Mapping):
        raise FormatError(f"table '{path.name}': saveloc is no struct; save it with SMAP again")
    return found


def _arrays(path: Path, group: "h5py.Group") -> dict[str, Any]:
    """Numbers by name; None for anything else. MATLAB keeps of an empty array its shape."""
    import h5py

    found: dict[str, Any] = {}
    for name, item in group.items():
        numeric = isinstance(item, h5py.Dataset) and item.dtype.kind in "buif"
        found[name] = (np.empty(0) if item.attrs.get("MATLAB_empty") else hdf5.values(path, item)) if numeric else None
    return found
