"""From the columns of any table to Localizations: units, first frame, extent."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import FormatError, PairingError
from smlmbench.formats.options import TableOptions
from smlmbench.formats.text import Head, Numbers, shown_columns
from smlmbench.predictions import Localizations

LENGTHS_NM = {"nm": 1.0, "um": 1000.0}
REQUIRED = ("frame", "x_nm", "y_nm")
WHOLE = ("frame", "molecule", "channel")


@dataclass(frozen=True, slots=True)
class Column:
    """One column to read.

    Attributes:
        target: What it becomes: `frame`, `x_nm`, `photons`, ...
        position: Place in the file, from 0.
        text: Its header as written.
        unit: nm, um, px, photon, adu, or empty for numbers without unit.
    """

    target: str
    position: int
    text: str
    unit: str = ""


def check_required(path: Path, head: Head, columns: Sequence[Column], kind: str, expected: str) -> None:
    """Refuse a table without frame, x or y, as what it is not and with the columns that are expected."""
    if not set(REQUIRED) <= {column.target for column in columns}:
        raise FormatError(
            f"table '{path.name}' is not a {kind}: its columns are {shown_columns(head.headers)}; expected {expected};"
            " name others with format: table and columns"
        )


def factors(path: Path, columns: Sequence[Column], options: TableOptions, *, incident: bool) -> dict[str, float]:
    """Factor from each column's unit to ours, by target.

    Args:
        path: Table, for messages.
        columns: Columns with their units.
        options: May hold the pixel size and the camera.
        incident: True where the file's photons are those that reach the camera; its quantum efficiency then counts.

    Raises:
        FormatError: All columns whose unit is not a unit of the quantity, or cannot be converted with what is known.
    """
    out: dict[str, float] = {}
    lacking: dict[str, list[str]] = {}
    for column in columns:
        if column.target.endswith("_nm"):
            factor = options.pixel_size_nm if column.unit == "px" else LENGTHS_NM.get(column.unit)
            need = "pixel_size_nm" if column.unit == "px" else "a unit: nm, um or px"
        elif column.unit in ("photon", "adu"):
            factor, need = _photon_factor(column.unit, options, incident=incident), "camera"
        else:
            factor, need = 1.0, ""
        if factor is None:
            lacking.setdefault(need, []).append(f"'{column.text}'")
        else:
            out[column.target] = factor
    if lacking:
        clauses = [
            f"{', '.join(names)} {'needs' if len(names) == 1 else 'need'} {need}" for need, names in lacking.items()
        ]
        raise FormatError(f"table '{path.name}': {'; '.join(clauses)}; state what is missing")
    return out


def _photon_factor(unit: str, options: TableOptions, *, incident: bool) -> float | None:
    if unit == "adu":
        return None if options.camera is None else 1.0 / options.camera.adu_per_photon
    return options.camera.quantum_efficiency if incident and options.camera is not None else 1.0


def localizations(
    path: Path,
    columns: Sequence[Column],
    numbers: Numbers,
    options: TableOptions,
    *,
    scale: Mapping[str, float],
    first_frame: int,
) -> Localizations:
    """Build the table; frames are shifted by the first frame, never by the smallest one found.

    Args:
        path: Table, for messages.
        columns: Columns, at most one per target, the required ones among them.
        numbers: What the file holds.
        options: May hold first frame, number of frames, field and pixel size.
        scale: Factors by target, of `factors`.
        first_frame: The format's first frame.

    Raises:
        FormatError: An empty or odd cell in x, y, frame, molecule or channel; a frame before the first one.
        PairingError: A frame after the last one of the movie.
    """
    values: dict[str, NDArray[np.float64] | NDArray[np.int64]] = {}
    for column in columns:
        given = numbers.columns[column.position]
        if column.target in (*REQUIRED, *WHOLE):
            where = _first(path, column, numbers, ~np.isfinite(given))
            if where:
                raise FormatError(f"{where} is empty or not finite; mend or remove the row")
        if column.target in WHOLE:
            where = _first(path, column, numbers, given != np.rint(given))
            if where:
                raise FormatError(f"{where} is not a whole number; mend the row")
            values[column.target] = given.astype(np.int64)
        else:
            values[column.target] = given * scale[column.target]
    first = first_frame if options.first_frame is None else options.first_frame
    frame_column = next(column for column in columns if column.target == "frame")
    where = _first(path, frame_column, numbers, values["frame"] < first)
    if where:
        raise FormatError(f"{where} is before the first frame {first}; state first_frame")
    values["frame"] = values["frame"] - first
    last = int(values["frame"].max(initial=-1))
    n_frames = last + 1 if options.n_frames is None else options.n_frames
    if last >= n_frames:
        raise PairingError(
            f"table '{path.name}' goes to frame {last + first} (counted from {first}) but the movie has {n_frames};"
            " give the table of this movie, or first_frame"
        )
    field_nm = options.field_nm or (_extent(values["x_nm"], options), _extent(values["y_nm"], options))
    return Localizations.of(values, n_frames=n_frames, field_nm=field_nm)


def _first(path: Path, column: Column, numbers: Numbers, wrong: NDArray[np.bool_]) -> str:
    """Say where the first odd cell is; empty where there is none."""
    rows = np.flatnonzero(wrong)
    if not len(rows):
        return ""
    row = int(rows[0])
    given = f"{numbers.columns[column.position][row]:g}"
    return f"table '{path.name}', line {numbers.line[row]}: {given} in column '{column.text}'"


def _extent(positions_nm: NDArray[np.float64] | NDArray[np.int64], options: TableOptions) -> float:
    """The end of the pixel (or whole nm) that holds the farthest position, so that all lie inside the field."""
    step = options.pixel_size_nm or 1.0
    farthest = float(positions_nm.max(initial=0.0))
    return (math.floor(farthest / step) + 1) * step
