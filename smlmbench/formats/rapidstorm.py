"""rapidSTORM tables: a first line `# <localizations ...>` names the columns and their units, then numbers and blanks.

Positions count from the centre of the first pixel (the 2016 challenge adds half a pixel to them), so that the pixel
size is needed; frames count from 0 (formats.md 2.1). Amplitudes are in A/D counts: without a camera photons stay
unknown, which a LossWarning tells. The local background is left out, because nothing says whether the camera's
baseline is part of it.
"""

import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import FormatError, LossWarning, printable, unwritable
from smlmbench.formats.options import TableOptions
from smlmbench.formats.text import ROWS_AT_ONCE, Head, Header, read_head
from smlmbench.formats.units import Column, read_columns
from smlmbench.predictions import Localizations

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "rapidSTORM text (# <localizations ...>).",
    "facts": {
        "holds": "table",
        "suffixes": [".txt"],
        "writes": True,
        "first_frame": 0,
        "origin": "centre",
        "known_by": "a first line '# <localizations ...>'",
    },
}

FIRST_FRAME = 0
NEEDED = ("Position-0-0", "Position-1-0", "ImageNumber-0-0")
TARGETS = {
    "Position-0-0": "x_nm",
    "Position-1-0": "y_nm",
    "Position-2-0": "z_nm",
    "ImageNumber-0-0": "frame",
    "Amplitude-0-0": "photons",
    "Position-0-0-uncertainty": "sigma_x_nm",
    "Position-1-0-uncertainty": "sigma_y_nm",
    "Position-2-0-uncertainty": "sigma_z_nm",
}
UNITS = {"nanometer": "nm", "micrometer": "um", "pixel": "px", "a/d count": "adu"}
WORDS = {"nm": "nanometer", "photon": "A/D count", "": "frame"}
FIELD = re.compile(r"<field\b([^>]*)>")
STATED = re.compile(r'(\w+)\s*=\s*"([^"]*)"')


def recognises(path: Path) -> bool:
    """The first line is a comment that begins with `<localizations`."""
    return _comment(read_head(path)).startswith("<localizations")


def read_table(path: Path, options: TableOptions) -> Localizations:
    """Read a table by the identifiers of its first line.

    Raises:
        FormatError: A column that is needed or its unit is absent, tracks, or no pixel size is known.
    """
    head = _head(path)
    places = head.names
    picked = {name: target for name, target in TARGETS.items() if name in places}
    units = {name: head.headers[places[name]].unit for name in picked}
    if missing := [name for name in NEEDED if name not in picked]:
        raise FormatError(f"table '{path.name}' names no column {', '.join(missing)}; export it from rapidSTORM again")
    if options.pixel_size_nm is None:
        raise FormatError(
            f"table '{path.name}': rapidSTORM counts from the centre of the first pixel; give pixel_size_nm"
        )
    unit = units.get("Amplitude-0-0", "photon")
    if unit not in ("adu", "photon") or (unit == "adu" and options.camera is None):
        why = "in A/D counts and no camera is known" if unit == "adu" else f"in '{unit}'"
        said = f"'Amplitude-0-0' is {printable(why)}, so photons are left out"
        warnings.warn(f"table '{path.name}': {said}", LossWarning, stacklevel=3)
        del picked["Amplitude-0-0"]
    columns = [Column(target, places[name], name, units[name]) for name, target in picked.items()]
    nm = {"nm": 1.0, "um": 1000.0, "px": options.pixel_size_nm}
    moved = {
        target: options.pixel_size_nm / 2 / nm.get(units[name], 1.0)
        for name, target in picked.items()
        if target in ("x_nm", "y_nm")
    }
    return read_columns(path, head, columns, options, first_frame=FIRST_FRAME, shift=moved)


def unread(path: Path, options: TableOptions) -> list[str]:  # noqa: ARG001  the rooms' signature
    """Columns of the file that `read_table` does not keep."""
    return [header.text for header in _head(path).headers if header.name not in TARGETS]


def write_table(locs: Localizations, path: Path, options: TableOptions) -> None:
    """Write places, frames and claimed deviations, and with a camera the photons as A/D counts.

    Raises:
        FormatError: No `pixel_size_nm`, or the file cannot be written.
    """
    if options.pixel_size_nm is None:
        raise FormatError(f"table '{path.name}': rapidSTORM counts from a pixel's centre; give pixel_size_nm")
    given: dict[str, NDArray[Any]] = {name: getattr(locs, target) for name, target in TARGETS.items()}
    for name in NEEDED[:2]:
        given[name] = given[name] - options.pixel_size_nm / 2
    if options.camera is not None:
        given["Amplitude-0-0"] = given["Amplitude-0-0"] * options.camera.adu_per_photon
    elif not np.isnan(given.pop("Amplitude-0-0")).all():
        said = "photons are left out: rapidSTORM's are A/D counts, and no camera is known"
        warnings.warn(f"table '{path.name}': {said}", LossWarning, stacklevel=3)
    kept = {name: values for name, values in given.items() if name in NEEDED or np.isfinite(values).any()}
    units = {name: _unit_of(TARGETS[name]) for name in kept}
    fields = "".join(f'<field identifier="{name}" unit="{unit}" />' for name, unit in units.items())
    try:
        with path.open("w", encoding="utf-8", newline="\n") as file:
            file.write(f'# <localizations insequence="true" repetitions="variable">{fields}</localizations>\n')
            for start in range(0, len(locs), ROWS_AT_ONCE):
                cells = (map(repr, values[start : start + ROWS_AT_ONCE].tolist()) for values in kept.values())
                file.writelines(f"{' '.join(row)}\n" for row in zip(*cells, strict=True))
    except OSError as error:
        raise unwritable("table", path, error) from None


def _unit_of(target: str) -> str:
    return WORDS["nm" if target.endswith("_nm") else "photon" if target == "photons" else ""]


def _comment(head: Head) -> str:
    return head.comments[0] if head.comments else ""


def _head(path: Path) -> Head:
    """The columns that the first line names, each with its unit."""
    head = read_head(path)
    stated: list[Mapping[str, str]] = [dict(STATED.findall(field)) for field in FIELD.findall(_comment(head))]
    if _comment(head).count("<localizations") != 1 or not all("identifier" in field for field in stated):
        raise FormatError(
            f"table '{path.name}' is no rapidSTORM table of localizations: its first line is no"
            " '# <localizations ...>' with a list of fields (tracks are not read); export it from rapidSTORM again"
        )
    names = [printable(field["identifier"]) for field in stated]
    units = [UNITS.get(field.get("unit", "").lower(), field.get("unit", "").lower()) for field in stated]
    headers = [Header(name, name, unit) for name, unit in zip(names, units, strict=True)]
    return replace(head, headers=headers, lines=1, delimiter=" ", decimal=".")
