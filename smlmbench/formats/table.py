"""Tables of any program: csv, tsv or xlsx whose columns say what they are, or are named by the user.

Without `columns` a header counts only where it is unambiguous: lengths must state their unit (`x [nm]`, `x (px)`,
`x_um`), intensities `photon` or `ADU`. Photons are taken as detected, the origin as the outer corner of
pixel (0, 0) unless `origin` says otherwise, the first frame as 1 unless `first_frame` does. Of a workbook the
first sheet is read.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from smlmbench.errors import FormatError, suggest, unreadable
from smlmbench.formats.options import TableOptions
from smlmbench.formats.text import Header, collect, listed, read_head, read_numbers
from smlmbench.formats.units import Column, factors, localizations, our_unit, unkept
from smlmbench.predictions import COLUMNS, Localizations

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Any csv, tsv or xlsx table; columns are named by the user where their headers leave doubt.",
    "facts": {
        "holds": "table",
        "suffixes": [".csv", ".tsv", ".txt", ".xlsx"],
        "writes": False,
        "first_frame": 1,
        "origin": "corner",
        "takes_columns": True,
        "fallback": True,
        "known_by": "two or more named columns",
    },
}

FIRST_FRAME = 1
NUMBER = re.compile(r"[-+\d.,eE]*")
WORKBOOKS = (".xlsx", ".xlsm")
# Names that a header may have, by what it becomes.
SYNONYMS = {
    "frame": ("frame", "frames"),
    "x_nm": ("x",),
    "y_nm": ("y",),
    "z_nm": ("z",),
    "photons": ("photons", "intensity"),
    "background_photons": ("background", "background_photons"),
    "probability": ("probability",),
    "sigma_x_nm": ("uncertainty", "uncertainty_xy"),
    "sigma_y_nm": ("uncertainty", "uncertainty_xy"),
    "sigma_z_nm": ("uncertainty_z",),
    "molecule": ("molecule", "emitter"),
    "channel": ("channel",),
}
LENGTHS = [name for name in COLUMNS if name.endswith("_nm")]
LENGTH_UNITS = ("nm", "um", "px")
PHOTON_UNITS = ("photon", "adu")
KEYS: dict[str, tuple[str, str]] = {
    **{name: (name, "") for name in ("frame", "molecule", "channel", "probability")},
    **{f"{name.removesuffix('_nm')}_{unit}": (name, unit) for name in LENGTHS for unit in LENGTH_UNITS},
    **{name: (name, "photon") for name in ("photons", "background_photons")},
    "photons_adu": ("photons", "adu"),
    "background_adu": ("background_photons", "adu"),
}


def recognises(path: Path) -> bool:
    """Text with a header of at least two cells, or a workbook."""
    if path.suffix.lower() in WORKBOOKS:
        with path.open("rb") as file:
            return file.read(2) == b"PK"
    head = read_head(path)
    return head.is_text and len(head.headers) > 1


def read_table(path: Path, options: TableOptions) -> Localizations:
    """Read the columns that the user named, and those whose headers leave no doubt."""
    if path.suffix.lower() in WORKBOOKS:
        headers, rows = _sheet(path)
        columns, scale = _choose(path, headers, options)
        numbers = collect(path, headers, [column.position for column in columns], rows)
    else:
        head = read_head(path)
        columns, scale = _choose(path, head.headers, options)
        numbers = read_numbers(path, head, [column.position for column in columns])
    return localizations(path, columns, numbers, options, scale=scale, first_frame=FIRST_FRAME)


def unread(path: Path, options: TableOptions) -> list[str]:
    """Columns that `read_table` does not keep."""
    headers = _sheet(path)[0] if path.suffix.lower() in WORKBOOKS else read_head(path).headers
    return unkept(headers, _choose(path, headers, options)[0])


def _choose(path: Path, headers: Sequence[Header], options: TableOptions) -> tuple[list[Column], dict[str, float]]:
    """The columns that the user named, those whose header says what and in which unit, and their factors."""
    columns = _named(path, headers, options.columns or {})
    used = {column.position for column in columns.values()}
    free = [(position, *_name_and_unit(header)) for position, header in enumerate(headers) if position not in used]
    for target, names in SYNONYMS.items():
        ours = our_unit(target)
        units = {"nm": LENGTH_UNITS, "photon": PHOTON_UNITS}.get(ours)
        found = [
            Column(target, position, headers[position].text, unit if ours else "")
            for position, name, unit in free
            if name in names and (units is None or unit in units) and target not in columns
        ]
        if len(found) > 1:
            both = " and ".join(f"'{column.text}'" for column in found)
            raise FormatError(
                f"table '{path.name}': {both} could both be {target}; name one with columns: {{{target}: ...}}"
            )
        if found:
            columns[target] = found[0]
    for target in ("x_nm", "y_nm") if options.timeless else ("x_nm", "y_nm", "frame"):
        if target not in columns:
            raise _missing(path, headers, target)
    picked = list(columns.values())
    return picked, factors(path, picked, options, incident=False)


def _named(path: Path, headers: Sequence[Header], given: Mapping[str, str]) -> dict[str, Column]:
    """Columns that the user named."""
    columns: dict[str, Column] = {}
    for key, text in given.items():
        if key not in KEYS:
            raise FormatError(f"columns.{key} is not a column of ours; {suggest(key, KEYS)}")
        target, unit = KEYS[key]
        wanted = " ".join(str(text).split())
        matches = [i for i, header in enumerate(headers) if header.text == wanted]
        if not matches:
            near = suggest(wanted, [header.text for header in headers])
            raise FormatError(f"table '{path.name}' has no column '{wanted}' (columns.{key}); {near}")
        header = headers[matches[0]]
        stated = header.unit if header.unit in (*LENGTH_UNITS, *PHOTON_UNITS) else unit
        if stated != unit and unit:
            raise FormatError(
                f"table '{path.name}': column '{wanted}' states {stated} but columns.{key} means {unit};"
                " use the key of its unit"
            )
        if target in columns:
            raise FormatError(f"columns names {target} twice ('{columns[target].text}' and '{wanted}'); keep one")
        columns[target] = Column(target, matches[0], header.text, unit)
    return columns


def _name_and_unit(header: Header) -> tuple[str, str]:
    """Also understand `x_nm`, and photons that need no unit."""
    if header.unit:
        return header.name, header.unit
    stem, _, unit = header.name.rpartition("_")
    if stem and unit in LENGTH_UNITS:
        return stem, unit
    return header.name, "photon" if header.name.endswith("photons") else ""


def _missing(path: Path, headers: Sequence[Header], target: str) -> FormatError:
    axis = target.removesuffix("_nm")
    bare = next((header.text for header in headers if header.name == axis and not header.unit), None)
    if bare is not None:
        return FormatError(
            f"column '{bare}' of table '{path.name}' states no unit;"
            f" name it with columns: {{{axis}_nm: {bare}}} or {{{axis}_px: {bare}}}"
        )
    if headers and all(NUMBER.fullmatch(header.text) for header in headers):
        return FormatError(f"table '{path.name}' begins with numbers; write the names of its columns above them")
    return FormatError(
        f"table '{path.name}' has no {axis} column; its columns are {listed([header.text for header in headers])};"
        f" name it with columns: {{{target}: ...}}"
    )


def _sheet(path: Path) -> tuple[list[Header], list[tuple[int, tuple[Any, ...]]]]:
    """Header of the first sheet of a workbook, and its other rows with their numbers."""
    import openpyxl

    try:
        with closing(openpyxl.load_workbook(path, read_only=True, data_only=True)) as book:
            rows = list(enumerate(book.worksheets[0].iter_rows(values_only=True), start=1))
    except Exception as error:  # of its archive, its XML, its cells
        raise unreadable(path, "workbook", error, "save it again as .xlsx") from None
    while rows and all(cell is None for cell in rows[0][1]):
        del rows[0]
    if not rows:
        return [], []
    return [Header.of("" if cell is None else str(cell)) for cell in rows[0][1]], rows[1:]
