"""Picasso tables: records `locs` in HDF5 with a YAML sidecar; camera px, origin at a pixel's centre, frames from 0.

Facts of the format's own program (formats.md 2.3): its photons are taken as detected ones. `z` is nm in files of
recent versions and was px before; where the sidecar names no recent version, say `columns: {z_nm: z}` or
`{z_px: z}`. On load it drops every row with a number that is not finite, a negative position, precision or photon
number, or a position at or beyond the field; what it would drop of a table written here is told as a warning.
"""

import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import FormatError, LossWarning, unreadable, unwritable
from smlmbench.formats.options import TableOptions
from smlmbench.formats.sidecar import Documents, last_of, read_documents, whole
from smlmbench.formats.text import Numbers
from smlmbench.formats.units import Column, factors, localizations
from smlmbench.predictions import Localizations

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Picasso localizations (.hdf5 with .yaml beside it).",
    "facts": {
        "holds": "table",
        "suffixes": [".hdf5"],
        "writes": True,
        "first_frame": 0,
        "origin": "centre",
        "takes_columns": True,
        "sidecars": [".yaml"],
    },
}

FIRST_FRAME = 0
CENTRE_PX = 0.5
MAGIC = b"\x89HDF\r\n\x1a\n"
TARGETS = {
    "frame": ("frame", ""),
    "x": ("x_nm", "px"),
    "y": ("y_nm", "px"),
    "z": ("z_nm", "z"),
    "photons": ("photons", "photon"),
    "bg": ("background_photons", "photon"),
    "lpx": ("sigma_x_nm", "px"),
    "lpy": ("sigma_y_nm", "px"),
    "lpz": ("sigma_z_nm", "z"),
}
NEVER_NEGATIVE = ("x", "y", "photons", "lpx", "lpy", "lpz")
NM_SINCE = (0, 9)  # cautious: the unit of z changed in several steps, all before this version
# Steps that make z; a movie's own document, also one typed by hand, says nothing about it.
FITTER = re.compile(r"\b(Localize(?! \(manual)|Fit)\b", re.IGNORECASE)
VERSION = re.compile(r"(\d+)\.(\d+)")
OURS = "smlmbench"


def recognises(path: Path) -> bool:
    """The first bytes are those of HDF5."""
    with path.open("rb") as file:
        return file.read(8) == MAGIC


def read_table(path: Path, options: TableOptions) -> Localizations:
    """Read `locs`; frames, field and pixel size come from the sidecar where options do not say them.

    A table without pixel size, or with z of unknown unit, is refused.
    """
    records, documents = _records(path), read_documents(path)
    names = list(records.dtype.names or ())
    if missing := [name for name in ("frame", "x", "y") if name not in names]:
        raise FormatError(
            f"table '{path.name}' has no {', '.join(missing)} in 'locs'; its columns are {', '.join(names)};"
            " save it with Picasso again"
        )
    picked = [name for name in names if name in TARGETS]
    z_unit = _z_unit(path, picked, documents, options)
    columns = [Column(TARGETS[n][0], names.index(n), n, TARGETS[n][1].replace("z", z_unit)) for n in picked]
    options = _stated(path, documents, options)
    values = {column.position: records[column.text].astype(np.float64) for column in columns}
    numbers = Numbers(values, np.arange(1, len(records) + 1))
    scale, shift = factors(path, columns, options, incident=False), {"x_nm": CENTRE_PX, "y_nm": CENTRE_PX}
    return localizations(path, columns, numbers, options, scale=scale, first_frame=FIRST_FRAME, shift=shift)


def _records(path: Path) -> NDArray[np.void]:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            data = file.get("locs")
            found = isinstance(data, h5py.Dataset) and data.dtype.names is not None and data.ndim == 1
            records: NDArray[np.void] | None = data[()] if found else None
    except (OSError, RuntimeError, ValueError) as error:
        raise unreadable(path, "HDF5 file", error) from None
    if records is None:
        raise FormatError(f"'{path.name}' has no table 'locs'; give localizations of Picasso")
    return records


def unread(path: Path) -> list[str]:
    """Columns of `locs` that `read_table` does not keep."""
    return [name for name in _records(path).dtype.names or () if name not in TARGETS]


def _z_unit(path: Path, picked: list[str], documents: Documents, options: TableOptions) -> str:
    """Say nm or px: as the user states, else nm where every fit is by a recent version."""
    stated = dict(options.columns or {})
    unit = {"z_nm": "nm", "z_px": "px"}.get(next(iter(stated), ""), "")
    if stated and (not unit or len(stated) > 1 or stated[f"z_{unit}"] != "z" or "z" not in picked):
        raise FormatError(
            f"table '{path.name}': columns {stated} do not fit; Picasso's columns have fixed names,"
            " only {z_nm: z} or {z_px: z} can be stated, and only where there is z"
        )
    if unit or not {"z", "lpz"} & set(picked):
        return unit or "nm"
    programs = [str(document.get("Generated by", "")) for document in documents]
    theirs = [name for name in programs if FITTER.search(name) and not name.startswith(OURS)]
    versions = [found and (int(found[1]), int(found[2])) for found in map(VERSION.search, theirs)]
    ours = any(name.startswith(OURS) for name in programs)
    if not (ours or theirs) or not all(version and version >= NM_SINCE for version in versions):
        raise FormatError(
            f"table '{path.name}': z may be nm or px, its sidecar names no fit by Picasso of version"
            f" {'.'.join(map(str, NM_SINCE))} or later; say columns: {{z_nm: z}} or {{z_px: z}}"
        )
    return "nm"


def _stated(path: Path, documents: Documents, options: TableOptions) -> TableOptions:
    """Fill pixel size, number of frames and field from the sidecar."""
    pixel_nm = last_of(documents, "Pixelsize") if options.pixel_size_nm is None else options.pixel_size_nm
    if isinstance(pixel_nm, bool) or not isinstance(pixel_nm, int | float) or not 0 < pixel_nm < math.inf:
        why = f"states Pixelsize {pixel_nm!r}" if documents else "is absent"
        raise FormatError(
            f"table '{path.name}' is in px and its sidecar '{path.stem}.yaml' {why}; put it beside the table,"
            " or give pixel_size_nm"
        )
    n_frames, wide, high = (whole(path, documents, key) for key in ("Frames", "Width", "Height"))
    field_nm = options.field_nm or ((wide * float(pixel_nm), high * float(pixel_nm)) if wide and high else None)
    n_frames = n_frames if options.n_frames is None else options.n_frames
    return replace(options, pixel_size_nm=float(pixel_nm), n_frames=n_frames, field_nm=field_nm, columns=None)


def write_table(locs: Localizations, path: Path, options: TableOptions) -> None:
    """Write `locs` and the sidecar; a column with numbers that are not finite is left out (Picasso would drop rows).

    Positions are float32, as Picasso writes them. Probability, molecule and channel have no place in the format.
    LossWarning says which columns are left out, and how many of the rows written Picasso will drop.

    Raises:
        FormatError: No `pixel_size_nm`, or a file cannot be written.
    """
    import h5py
    import yaml

    pixel_nm = options.pixel_size_nm
    if pixel_nm is None or not pixel_nm > 0:
        raise FormatError(f"table '{path.name}': Picasso's positions are in camera px; give pixel_size_nm")
    known = {
        "x": locs.x_nm / pixel_nm - CENTRE_PX,
        "y": locs.y_nm / pixel_nm - CENTRE_PX,
        "z": locs.z_nm,
        "photons": locs.photons,
        "bg": locs.background_photons,
        "lpx": locs.sigma_x_nm / pixel_nm,
        "lpy": locs.sigma_y_nm / pixel_nm,
        "lpz": locs.sigma_z_nm,
    }
    kept = {name: values for name, values in known.items() if name in "xy" or np.isfinite(values).all()}
    left_out = [name for name, values in known.items() if name not in kept and not np.isnan(values).all()]
    columns = {
        "frame": (locs.frame + FIRST_FRAME).astype(np.uint32),
        **{n: v.astype(np.float32) for n, v in kept.items()},
    }
    fields = [(name, values.dtype) for name, values in columns.items()]
    width, height = (max(1, math.ceil(length / pixel_nm - 1e-6)) for length in locs.field_nm)
    facts = {"Generated by": OURS, "Width": width, "Height": height, "Frames": locs.n_frames, "Pixelsize": pixel_nm}
    try:
        with h5py.File(path, "w") as file:
            file.create_dataset("locs", data=np.rec.fromarrays(list(columns.values()), dtype=fields))
        path.with_suffix(".yaml").write_text(yaml.safe_dump(facts, sort_keys=False), encoding="utf-8")
    except OSError as error:
        raise unwritable("table", path, error) from None
    _warn(path, columns, left_out, width, height)


def _warn(path: Path, columns: Mapping[str, NDArray[Any]], left_out: list[str], width: int, height: int) -> None:
    """Tell of columns left out, and of the rows that Picasso drops when it loads a table of a field in camera px."""
    wrong = (columns["x"] >= width) | (columns["y"] >= height)
    for name, values in columns.items():
        wrong |= ~np.isfinite(values)
        if name in NEVER_NEGATIVE:
            wrong |= values < 0
    said = []
    if left_out:
        said.append(f"{', '.join(left_out)} left out, not all rows have finite numbers there")
    if count := int(wrong.sum()):
        said.append(
            f"{count} of {len(wrong)} rows will be dropped by Picasso (outside 0 ... {width} x {height} px"
            " from the first pixel's centre, or a negative number)"
        )
    if said:
        warnings.warn(f"table '{path.name}': {'; '.join(said)}", LossWarning, stacklevel=3)
