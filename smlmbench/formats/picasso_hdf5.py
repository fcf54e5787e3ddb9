"""Picasso tables: records `locs` in HDF5 with a YAML sidecar; camera px, origin at a pixel's centre, frames from 0.

Facts of the format's own program (formats.md 2.3): its photons are taken as detected ones. `z` is nm in files of
recent versions and was px before; where the sidecar names no recent version, say `columns: {z_nm: z}` or
`{z_px: z}`. On load it drops every row with a number that is not finite, a negative position, precision or photon
number, or a position at or beyond the field; what it would drop of a table written here is told as a warning.

`locs` are records, or a table that pandas wrote. What is known about them stands in the sidecar, in recent versions
also (as JSON) in `metadata` inside the file. Both are read: where they disagree about a fact that the options do not
state, the table is refused, as one of them is of another file or was mended by hand.
"""

import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import FormatError, LossWarning, unwritable
from smlmbench.formats import hdf5, pandas_hdf5
from smlmbench.formats.options import TableOptions
from smlmbench.formats.sidecar import Documents, Unclear, documents_of, last_of, read_documents, shown, whole
from smlmbench.formats.text import Numbers, listed
from smlmbench.formats.units import Column, factors, localizations
from smlmbench.predictions import Localizations

if TYPE_CHECKING:
    import h5py

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
        "known_by": "a table 'locs'",
        "sidecars": [".yaml"],
    },
}

FIRST_FRAME = 0
CENTRE_PX = 0.5
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
LEAST_NM, MOST_NM = 1, 1e5  # of a camera pixel; other numbers are of another unit
VERSION = re.compile(r"(\d+)\.(\d+)")
OURS = "smlmbench"


def recognises(path: Path) -> bool:
    """HDF5 with `locs`."""
    return hdf5.holds(path, "locs")


def read_table(path: Path, options: TableOptions) -> Localizations:
    """Read `locs`; frames, field and pixel size come from the metadata where options do not say them.

    A table without pixel size, or with z of unknown unit, is refused.
    """
    beside = read_documents(path)
    with hdf5.opened(path) as file:
        places, inside = _places(path, file), _metadata(path, file)
        if missing := [name for name in ("frame", "x", "y") if name not in places]:
            raise FormatError(
                f"table '{path.name}' has no {', '.join(missing)} in 'locs'; its columns are {listed(list(places))};"
                " save it with Picasso again"
            )
        picked = [name for name in places if name in TARGETS]
        z_unit = _z_unit(path, picked, [*inside, *beside], options)
        options = _stated(path, inside, beside, options)
        found = hdf5.columns(path, {name: places[name] for name in picked})
    columns = [Column(TARGETS[n][0], at, n, TARGETS[n][1].replace("z", z_unit)) for at, n in enumerate(picked)]
    numbers = Numbers(dict(enumerate(found.values())), np.arange(1, len(found["frame"]) + 1))
    scale, shift = factors(path, columns, options, incident=False), {"x_nm": CENTRE_PX, "y_nm": CENTRE_PX}
    return localizations(path, columns, numbers, options, scale=scale, first_frame=FIRST_FRAME, shift=shift)


def unread(path: Path, options: TableOptions) -> list[str]:  # noqa: ARG001  the rooms' signature
    """Columns of `locs` that `read_table` does not keep."""
    with hdf5.opened(path) as file:
        return [name for name in _places(path, file) if name not in TARGETS]


def _places(path: Path, file: "h5py.File") -> dict[str, hdf5.Place]:
    import h5py

    node = file.get("locs")
    if isinstance(node, h5py.Group):
        return pandas_hdf5.places(path, node)
    if isinstance(node, h5py.Dataset) and node.dtype.names and node.ndim == 1:
        return {name: hdf5.Place(node, name) for name in node.dtype.names}
    there = f"there are {hdf5.contents(path)}" if node is None else f"it is an array {node.shape} without names"
    raise FormatError(f"'{path.name}' has no table 'locs', {there}; give localizations of Picasso")


def _metadata(path: Path, file: "h5py.File") -> Documents:
    """The documents inside the file; none where what is there under that name is something else."""
    parts = file.attrs.get("metadata", file["locs"].attrs.get("metadata", []))
    held = file.get("metadata")
    if hasattr(held, "dtype") and held.dtype.kind in "OS" and held.shape is not None:
        parts = hdf5.values(path, held)
    texts = [part.decode("utf-8", "replace") if isinstance(part, bytes) else part for part in np.ravel(parts).tolist()]
    return [document for text in texts if isinstance(text, str) for document in documents_of(text)]


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
    told = [document.get("Generated by", "") for document in documents]
    programs = [program if isinstance(program, str) else "Fit" for program in told]  # of a version that nobody knows
    theirs = [name for name in programs if FITTER.search(name) and not name.startswith(OURS)]
    versions = [found and (int(found[1]), int(found[2])) for found in map(VERSION.search, theirs)]
    ours = any(name.startswith(OURS) for name in programs)
    if not (ours or theirs) or not all(version and version >= NM_SINCE for version in versions):
        raise FormatError(
            f"table '{path.name}': z may be nm or px, its sidecar names no fit by Picasso of version"
            f" {'.'.join(map(str, NM_SINCE))} or later; say columns: {{z_nm: z}} or {{z_px: z}}"
        )
    return "nm"


def _stated(path: Path, inside: Documents, beside: Documents, options: TableOptions) -> TableOptions:
    """Fill pixel size, number of frames and field from the metadata."""
    pixel_nm, n_frames, field_nm = options.pixel_size_nm, options.n_frames, options.field_nm
    if pixel_nm is None:
        pixel_nm = _fact(path, inside, beside, "Pixelsize", "pixel_size_nm")
        if isinstance(pixel_nm, bool) or not isinstance(pixel_nm, int | float) or not LEAST_NM <= pixel_nm < MOST_NM:
            stated = "states no Pixelsize" if pixel_nm is None else f"states Pixelsize {shown(pixel_nm)}"
            where = "metadata" if inside and not beside else f"sidecar '{path.stem}.yaml'"
            says = f"{stated}; give" if beside or inside else "is absent; put it beside the table, or give"
            raise FormatError(f"table '{path.name}' is in px and its {where} {says} pixel_size_nm")
    if n_frames is None:
        n_frames = whole(path, "Frames", _fact(path, inside, beside, "Frames", "the number of frames"))
    if field_nm is None:
        sides = [whole(path, name, _fact(path, inside, beside, name, "the field")) for name in ("Width", "Height")]
        field_nm = (sides[0] * pixel_nm, sides[1] * pixel_nm) if sides[0] and sides[1] else None
    return replace(options, pixel_size_nm=float(pixel_nm), n_frames=n_frames, field_nm=field_nm, columns=None)


def _fact(path: Path, inside: Documents, beside: Documents, name: str, option: str) -> Any:
    """What sidecar and file say of a fact, None where neither does (FormatError: they disagree)."""
    told = [value for value in (last_of(beside, name), last_of(inside, name)) if value is not None]
    clear = [value for value in told if not isinstance(value, Unclear)] or told
    if len(clear) > 1 and clear[0] != clear[1]:
        raise FormatError(
            f"table '{path.name}': its sidecar states {name} {shown(clear[0])}, the metadata inside it"
            f" {shown(clear[1])}; mend or remove the sidecar, or state {option}"
        )
    return clear[0] if clear else None


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
