"""N-STORM molecule lists (Nikon): tab-separated text, `Channel Name`, `X`, `Y`, `Xc`, `Yc`, ..., `Frame`, ..., in nm.

No source says where (0, 0) lies in the first pixel or which number the first frame has: both must be stated
(`origin`, `first_frame`). Positions are `X`, `Y`, `Z`; those corrected for drift (`Xc`, `Yc`, `Zc`) are other places
wherever they differ, and are read where `columns` names them: {x_nm: Xc, y_nm: Yc}. `Photons` are taken as detected.
The claimed accuracy is not read, as its meaning is not stated. Rows of several channels are refused; rows of a
molecule that is on for several frames (`Length`) lie in its first one, which a LossWarning tells.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from smlmbench.errors import FormatError, LossWarning, printable
from smlmbench.formats.options import TableOptions
from smlmbench.formats.text import Head, read_head, read_numbers
from smlmbench.formats.units import Column, localizations, our_unit
from smlmbench.predictions import Localizations

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "N-STORM molecule list (Nikon text); origin and first frame are stated by the user.",
    "facts": {
        "holds": "table",
        "suffixes": [".txt"],
        "writes": False,
        "first_frame": None,
        "origin": "corner",
        "known_by": "Channel Name, X, Y, Xc, Yc, Frame",
        "takes_columns": True,
    },
}

NEEDED = ("channel name", "x", "y", "xc", "yc", "frame")
AXES = ("x", "y", "z")
NEAR_NM = 0.005  # files have two decimals or one


def recognises(path: Path) -> bool:
    """The header has `Channel Name`, `X`, `Y`, `Xc`, `Yc` and `Frame`."""
    return read_head(path).names.keys() >= set(NEEDED)


def read_table(path: Path, options: TableOptions) -> Localizations:
    """Read a list (FormatError: origin or first frame are not stated, several channels, or drift moved positions)."""
    head = read_head(path)
    places = head.names
    if missing := [name for name in NEEDED if name not in places]:
        raise FormatError(f"table '{path.name}' is no N-STORM list: it has no {', '.join(missing)}; export it again")
    if options.first_frame is None or options.origin is None:
        raise FormatError(
            f"table '{path.name}': N-STORM's files do not say which number the first frame has and where (0, 0) lies in"
            " the first pixel; state first_frame (0 or 1) and origin (corner or centre); smlmbench convert takes both"
        )
    _check_channels(path, head)
    lateral = _lateral(path, options)
    chosen = {f"{axis}_nm": axis + lateral for axis in AXES if axis + lateral in places}
    picked = {**chosen, "frame": "frame", **({"photons": "photons"} if "photons" in places else {})}
    further = [name for name in (*AXES, *(f"{axis}c" for axis in AXES), "length") if name in places]
    wanted = {places[name] for name in (*picked.values(), *further)}
    numbers = read_numbers(path, head, sorted(wanted))
    values = {name: numbers.columns[places[name]] for name in further}
    if not options.columns:
        _check_drift(path, values)
    long = values.get("length", np.empty(0)) > 1
    if long.any():
        said = f"{long.sum()} of {len(long)} rows are of molecules in several frames (Length), set into their first"
        warnings.warn(f"table '{path.name}': {said}", LossWarning, stacklevel=3)
    columns = [Column(t, places[name], head.headers[places[name]].text, our_unit(t)) for t, name in picked.items()]
    scale = {column.target: 1.0 for column in columns}
    return localizations(path, columns, numbers, options, scale=scale, first_frame=options.first_frame)


def unread(path: Path, options: TableOptions) -> list[str]:  # noqa: ARG001  the rooms' signature
    """Columns of the file that `read_table` does not keep, of X and Xc ... those for which it takes the others."""
    kept = {*AXES, *(f"{axis}c" for axis in AXES), "frame", "photons"}
    return [header.text for header in read_head(path).headers if header.name not in kept]


def _lateral(path: Path, options: TableOptions) -> str:
    """What follows the name of an axis: nothing, or `c` where the user names the corrected columns."""
    named = {target: " ".join(str(name).split()).lower() for target, name in (options.columns or {}).items()}
    for ending in ("", "c"):
        if named.items() <= {(f"{axis}_nm", axis + ending) for axis in AXES}:
            return ending
    raise FormatError(
        f"table '{path.name}': columns {dict(options.columns or {})} do not fit; N-STORM's columns have fixed names,"
        " only {x_nm: X, y_nm: Y} or {x_nm: Xc, y_nm: Yc} can be stated"
    )


def _check_drift(path: Path, values: dict[str, Any]) -> None:
    for axis in AXES:
        if axis not in values or f"{axis}c" not in values:
            continue
        apart = np.abs(values[axis] - values[f"{axis}c"])
        if np.nanmax(apart, initial=0.0) > NEAR_NM:
            upper = axis.upper()
            raise FormatError(
                f"table '{path.name}': {upper} and {upper}c differ by up to {np.nanmax(apart):g} nm; say which are"
                " meant with columns: {x_nm: X, y_nm: Y}, places in the movie, or {x_nm: Xc, y_nm: Yc}, without drift"
            )


def _check_channels(path: Path, head: Head) -> None:
    """Refuse rows of several channels, such as rejected ones beside the others."""
    import csv

    place, counts = head.names["channel name"], dict[str, int]()
    try:
        with path.open(encoding=head.encoding, errors="replace", newline="") as file:
            for _ in range(head.lines):
                file.readline()
            for row in csv.reader(file, delimiter=head.delimiter, skipinitialspace=True):
                name = row[place].strip() if len(row) > place else ""
                if name:
                    counts[name] = counts.get(name, 0) + 1
    except (OSError, csv.Error) as error:
        raise FormatError(f"table '{path.name}' cannot be read: {error}; save it again") from None
    if len(counts) > 1:
        shown = ", ".join(f"'{printable(name[:40])}' {count}" for name, count in list(counts.items())[:4])
        more = " ..." if len(counts) > 4 else ""
        raise FormatError(f"table '{path.name}' has rows of {len(counts)} channels ({shown}{more}); export one alone")
