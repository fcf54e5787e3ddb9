"""From the columns of any table to Localizations: names, units, first frame, extent."""

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import FormatError, LossWarning, PairingError
from smlmbench.formats.options import TableOptions
from smlmbench.formats.text import Head, Header, Numbers, listed, read_numbers
from smlmbench.predictions import Localizations

LENGTHS_NM = {"nm": 1.0, "um": 1000.0}
WHOLE = ("frame", "molecule", "channel")
LARGEST_WHOLE = 2**53  # beyond, they are no longer exact as floats
Numeric = NDArray[np.float64] | NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Column:
    """One column to read."""

    target: str  # what it becomes: `frame`, `x_nm`, `photons`, ...
    position: int  # place in the file, from 0
    text: str  # its header as written
    unit: str = ""  # nm, um, px, photon, adu, or empty for numbers without unit


def our_unit(target: str) -> str:
    """The unit of one of our columns: nm, photon or none."""
    return "nm" if target.endswith("_nm") else "photon" if target.endswith("photons") else ""


def check_needed(path: Path, head: Head, needed: Sequence[str], given: Iterable[str], kind: str) -> None:
    """Refuse a table without one of the headers that every table of a kind has."""
    missing = [name for name in needed if name not in given]
    if missing:
        raise FormatError(
            f"table '{path.name}' is not a {kind}: its columns are {listed([header.text for header in head.headers])},"
            f" without {', '.join(missing)} of {', '.join(needed)}; name others with format: table and columns"
        )


def columns_of(head: Head, targets: Iterable[tuple[str, str]]) -> list[Column]:
    """The columns of a format in our units, by its headers' names and what each becomes; of one target the last."""
    places = head.names
    return list(
        {
            target: Column(target, places[name], head.headers[places[name]].text, our_unit(target))
            for name, target in targets
            if name in places
        }.values()
    )


def unkept(headers: Sequence[Header], columns: Iterable[Column], meaningless: Iterable[str] = ()) -> list[str]:
    """Headers of a text table that are no column of ours, but for numbers of rows and such, in lower case."""
    kept = {column.position for column in columns}
    return [header.text for at, header in enumerate(headers) if at not in kept and header.name not in meaningless]


def factors(path: Path, columns: Sequence[Column], options: TableOptions, *, incident: bool) -> dict[str, float]:
    """Factor from each column's unit to ours, by target.

    `incident`: the file's photons are those that reach the camera, so that its quantum efficiency counts.

    Raises:
        FormatError: All columns whose unit is not a unit of the quantity, or cannot be converted with what is known.
    """
    camera = options.camera
    photons = {
        "photon": camera.quantum_efficiency if incident and camera is not None else 1.0,
        "adu": None if camera is None else 1.0 / camera.adu_per_photon,
    }
    out: dict[str, float] = {}
    lacking: dict[str, list[str]] = {}
    for column in columns:
        if column.target.endswith("_nm"):
            factor = options.pixel_size_nm if column.unit == "px" else LENGTHS_NM.get(column.unit)
            need = "pixel_size_nm" if column.unit == "px" else "a unit: nm, um or px"
        else:
            factor, need = photons.get(column.unit, 1.0), "camera"
        if factor is None:
            lacking.setdefault(need, []).append(f"'{column.text}'")
        else:
            out[column.target] = factor
    if lacking:
        needs = [f"{', '.join(names)} {'need' if names[1:] else 'needs'} {need}" for need, names in lacking.items()]
        raise FormatError(f"table '{path.name}': {'; '.join(needs)}; state what is missing")
    return out


def read_columns(
    path: Path,
    head: Head,
    columns: Sequence[Column],
    options: TableOptions,
    *,
    first_frame: int,
    incident: bool = False,
    shift: Mapping[str, float] | None = None,
) -> Localizations:
    """Read columns of a text table; `incident` as in `factors`, all else as in `localizations`."""
    scale = factors(path, columns, options, incident=incident)
    numbers = read_numbers(path, head, [column.position for column in columns])
    return localizations(path, columns, numbers, options, scale=scale, first_frame=first_frame, shift=shift)


def localizations(
    path: Path,
    columns: Sequence[Column],
    numbers: Numbers,
    options: TableOptions,
    *,
    scale: Mapping[str, float],
    first_frame: int,
    shift: Mapping[str, float] | None = None,
) -> Localizations:
    """Build the table; frames are shifted by the first frame, never by the smallest one found.

    Args:
        path: Table, for messages.
        columns: At most one per target, frame, x and y among them.
        numbers: What the file holds.
        options: May hold first frame, number of frames, field and pixel size.
        scale: By target, of `factors`.
        first_frame: The format's.
        shift: By target, what is added in the file's unit to have our origin.

    Raises:
        FormatError: An empty or odd cell in x, y, frame, molecule or channel; a frame before the first one.
        PairingError: A frame after the last one of the movie.

    LossWarning says where a file goes on below its table.
    """
    first = first_frame if options.first_frame is None else options.first_frame
    values: dict[str, Numeric] = {}

    def refuse(column: Column, wrong: NDArray[np.bool_], why: str) -> None:
        if wrong.any():
            row = int(wrong.argmax())
            given = f"{numbers.columns[column.position][row]:g}"
            raise FormatError(f"table '{path.name}', line {numbers.line[row]}: {given} in column '{column.text}' {why}")

    for column in columns:
        given = numbers.columns[column.position]
        if column.target in ("x_nm", "y_nm", *WHOLE):
            refuse(column, ~np.isfinite(given), "is empty or not finite; mend or remove the row")
        if column.target in WHOLE:
            refuse(column, given != np.rint(given), "is not a whole number; mend the row")
            refuse(column, np.abs(given) > LARGEST_WHOLE, "is too large for a whole number; mend or remove the row")
            values[column.target] = given.astype(np.int64)
        else:
            moved = given + shift[column.target] if shift and column.target in shift else given
            values[column.target] = moved * scale[column.target]
    if options.timeless and "frame" not in values:
        columns, values["frame"] = [*columns, Column("frame", 0, "frame")], np.full(len(values["x_nm"]), first)
    frame_column = next(column for column in columns if column.target == "frame")
    zero = ": 0" if first == 1 and int(values["frame"].min(initial=1)) == 0 else ""
    refuse(frame_column, values["frame"] < first, f"is before the first frame {first}; state first_frame{zero}")
    values["frame"] = values["frame"] - first
    n_frames = _n_frames(path, int(values["frame"].max(initial=-1)), first, options)
    if numbers.below:
        said = f"table '{path.name}' ends above line {numbers.below}; what stands from there on is not read"
        warnings.warn(said, LossWarning, stacklevel=2)
    field_nm = options.field_nm or (_extent(values["x_nm"], options), _extent(values["y_nm"], options))
    return Localizations.of(values, n_frames=n_frames, field_nm=field_nm)


def at_origin(path: Path, locs: Localizations, own: str, options: TableOptions) -> Localizations:
    """A table that was read with its format's `own` origin (corner or centre of the first pixel), as the user states.

    Raises:
        FormatError: Another origin than the format's, without the pixel size.
    """
    if options.origin in (None, own):
        return locs
    if options.pixel_size_nm is None:
        raise FormatError(f"table '{path.name}': another origin than the pixel's {own} needs pixel_size_nm; state it")
    half_nm = options.pixel_size_nm / 2 * (1 if own == "corner" else -1)
    x_nm, y_nm = locs.x_nm + half_nm, locs.y_nm + half_nm
    field_nm = options.field_nm or (_extent(x_nm, options), _extent(y_nm, options))
    return replace(locs, x_nm=x_nm, y_nm=y_nm, field_nm=field_nm)


def _n_frames(path: Path, last: int, first: int, options: TableOptions) -> int:
    """Of the movie, where it is stated, else up to the last one of the table."""
    if options.n_frames is not None and last >= options.n_frames:
        raise PairingError(
            f"table '{path.name}' goes to frame {last + first} (counted from {first}) but the movie has"
            f" {options.n_frames}; give the table of this movie, or first_frame"
        )
    return last + 1 if options.n_frames is None else options.n_frames


def _extent(positions_nm: Numeric, options: TableOptions) -> float:
    """The end of the pixel (or whole nm) that holds the farthest position, so that all lie inside the field."""
    step = options.pixel_size_nm or 1.0
    farthest = float(positions_nm.max(initial=0.0))
    return (math.floor(farthest / step) + 1) * step
