"""Text tables: their head, their numbers, and writing them."""

import codecs
import csv
import math
import re
from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import FormatError, printable, unwritable

Floats = NDArray[np.float64]
Places = Collection[int]  # of columns
Rows = Iterable[tuple[int, Sequence[Any]]]  # line and cells

UNITS = {"µm": "um", "μm": "um", "pixel": "px", "pixels": "px", "photons": "photon", "counts": "adu"}
QUOTED = re.compile(r'"[^"]*"')
WITH_UNIT = re.compile(r"^(?P<name>.*?)\s*[\[(]\s*(?P<unit>[^\])]*?)\s*[\])]$")
EMPTY = (None, "", "NA", "N/A", "null")
ENDS = " \0\x1a"  # of a table or a file, as some programs write them
WITH_COMMA = re.compile(r"[-+]?\d*,\d+(e[-+]?\d+)?", re.IGNORECASE)
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")  # no text has them
SPELLING = ((".0,", ","), (".0\n", "\n"), ("nan", "NaN"), ("inf", "Infinity"))  # as Java and Python both read it
ROWS_AT_ONCE = 50_000  # bounds the memory of writing a long table
MAX_LINE = 1 << 16
LOOKED_AT = 50  # rows
MARKED = 32  # bytes
SHOWN_COLUMNS, SHOWN_CHARACTERS = 12, 40


@dataclass(frozen=True, slots=True)
class Header:
    """One header cell: as written without outer blanks; its name without unit and its unit, both in lower case.

    A unit is `nm`, `um`, `px`, `photon`, `adu`, ..., empty where none is stated.
    """

    text: str
    name: str
    unit: str

    @classmethod
    def of(cls, cell: str) -> "Header":
        """Parse `name [unit]`, `name (unit)` or `name`."""
        text = " ".join(cell.split())
        found = WITH_UNIT.match(text)
        if found is None:
            return cls(text, text.lower(), "")
        unit = found["unit"].lower()
        return cls(text, found["name"].lower(), UNITS.get(unit, unit))


@dataclass(frozen=True, slots=True)
class Head:
    """The lines of a text table above its numbers."""

    comments: list[str]  # leading lines that begin with `#`, without it
    headers: list[Header]
    lines: int  # up to and including the header
    delimiter: str  # comma, semicolon or tab
    decimal: str  # sign in the first rows of numbers
    encoding: str

    @property
    def is_text(self) -> bool:
        """Whether the header has no characters but those of text."""
        return not any(CONTROL.search(header.text) for header in self.headers)

    @property
    def names(self) -> dict[str, int]:
        """Place of each header by its name; of two of one name, the last."""
        return {header.name: place for place, header in enumerate(self.headers)}


def listed(names: Sequence[str]) -> str:
    """Names for a message: the first few, shortened."""
    first = [printable(name[:SHOWN_CHARACTERS]) or "(no name)" for name in names[:SHOWN_COLUMNS]]
    more = f" and {len(names) - SHOWN_COLUMNS} more" if len(names) > SHOWN_COLUMNS else ""
    return f"{', '.join(first)}{more}" if names else "none"


def read_head(path: Path) -> Head:
    """Read comments and header, in whatever encoding; an empty file has no headers (FormatError: it cannot be opened).

    A first line `sep=;`, as spreadsheets write it, is no header; a header that is one quoted cell is taken out of it.
    """
    comments: list[str] = []
    lines, stated = 0, ""
    try:
        encoding = encoding_of(path)
        with path.open(encoding=encoding, errors="replace", newline=None) as file:
            while line := file.readline(MAX_LINE):
                lines += 1
                if line.startswith("#"):
                    comments.append(line[1:].strip())
                elif line.lower().startswith("sep=") and len(line.rstrip("\n")) == 5:
                    stated = line[4]
                elif line.strip():
                    break
            following = [file.readline(MAX_LINE) for _ in range(LOOKED_AT)]
    except OSError as error:
        raise FormatError(f"table '{path.name}' cannot be opened: {error.strerror}; check path and rights") from None
    delimiter, cells = _cells(line, stated)
    if len(cells) == 1:
        delimiter, cells = _cells(cells[0], stated)
    cells_below = (cell.strip(' "\n') for row in following for cell in row.split(delimiter))
    decimal = "," if delimiter != "," and any(map(WITH_COMMA.fullmatch, cells_below)) else "."
    return Head(comments, [Header.of(cell) for cell in cells], lines, delimiter, decimal, encoding)


def encoding_of(path: Path) -> str:
    """UTF-8 where it is that, UTF-16 by its mark or as every other byte is zero, else that of Windows in the West."""
    with path.open("rb") as file:
        start = file.read(MAX_LINE)
    if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    even, odd = start[:MARKED:2], start[1:MARKED:2]
    if odd and any(even) != any(odd) and (all(even) or all(odd)):
        return "utf-16-be" if all(odd) else "utf-16-le"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8-sig"


def _cells(line: str, stated: str) -> tuple[str, list[str]]:
    """Delimiter and cells of a header."""
    delimiter = stated or max(",;\t", key=QUOTED.sub("", line).count)
    return delimiter, next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])


@dataclass(frozen=True, slots=True)
class Numbers:
    """Columns of a table."""

    columns: dict[int, Floats]  # (n,) by position in the file; NaN where a cell is empty
    line: NDArray[np.int64]  # line (or row of a sheet) that each entry comes from, from 1 as editors count
    below: int = 0  # line at which something else begins that is no table, 0 where nothing does


def read_numbers(path: Path, head: Head, picked: Places, tried: Places = ()) -> Numbers:
    """Read the columns at `picked`, and those at `tried` that hold numbers only; lines without any cell are skipped.

    Below such a line, lines of another width without any number at `picked` end the table if none but such follow.

    Raises:
        FormatError: A cell that is not a number, or a row with more or fewer cells than the header.
    """
    try:
        with path.open(encoding=head.encoding, errors="replace", newline="") as file:
            for _ in range(head.lines):
                file.readline()
            below = file.tell()
            columns = _plain(file, head)
            if columns is not None:
                lines = head.lines + 1 + np.arange(len(columns[0]))
                return Numbers({position: columns[position] for position in (*picked, *tried)}, lines)
            file.seek(below)
            reader = csv.reader(file, delimiter=head.delimiter, skipinitialspace=True)
            rows = ((head.lines + reader.line_num, row) for row in reader)
            return collect(path, head.headers, picked, rows, decimal=head.decimal, tried=tried)
    except (OSError, csv.Error) as error:
        raise FormatError(f"table '{path.name}' cannot be read: {error}; save it again") from None


def _plain(file: TextIO, head: Head) -> list[Floats] | None:
    """Every column of a table of nothing but numbers, at the speed of pandas; None where a cell or a row is odd."""
    import pandas as pd

    try:
        table = pd.read_csv(
            file,
            sep=head.delimiter,
            decimal=head.decimal,
            header=None,
            names=range(len(head.headers)),
            dtype=np.float64,
            float_precision=None if pd.__version__ >= "3.1" else "round_trip",  # exact, either way
            keep_default_na=False,
            na_values=["NaN", "nan"],
            skip_blank_lines=False,
            skipinitialspace=True,
            quoting=csv.QUOTE_NONE,
        )
    except ValueError:
        return None
    # A first row that is too long makes an index of its first cells; any other one is an error.
    return [table[column].to_numpy() for column in table] if isinstance(table.index, pd.RangeIndex) else None


def collect(
    path: Path, headers: Sequence[Header], picked: Places, rows: Rows, *, decimal: str = ".", tried: Places = ()
) -> Numbers:
    """`read_numbers` from (line, cells), cell by cell, which names the first odd one."""
    values = {position: array("d") for position in sorted({*picked, *tried})}
    odd = set()
    lines = array("q")
    width, blank, below = len(headers), False, 0
    rows = iter(rows)
    for line, row in rows:
        if all(cell in EMPTY or (isinstance(cell, str) and not cell.strip(ENDS)) for cell in row):
            blank = bool(lines)
            continue
        if len(row) != width and (len(row) < width or any(cell not in EMPTY for cell in row[width:])):
            if blank and not any(_is_row(cells, picked, width, decimal) for _, cells in chain([(line, row)], rows)):
                below = line
                break
            raise FormatError(
                f"table '{path.name}', line {line}: {len(row)} cells under {width} headers; give every row as many"
            )
        for position, column in values.items():
            try:
                column.append(_number(row[position], decimal))
            except (ValueError, TypeError):
                if position in picked:
                    said = printable(str(row[position])[:SHOWN_CHARACTERS])
                    raise FormatError(
                        f"table '{path.name}', line {line}: '{said}' in column '{printable(headers[position].text)}'"
                        " is not a number; mend or remove the row"
                    ) from None
                odd.add(position)
        lines.append(line)
        blank = False
    columns = {at: np.array(column, dtype=np.float64) for at, column in values.items() if at not in odd}
    return Numbers(columns, np.array(lines, dtype=np.int64), below)


def _is_row(cells: Sequence[Any], picked: Places, width: int, decimal: str) -> bool:
    """Whether a line may be one of the table, if only a part of one."""
    return len(cells) == width or any(_is_number(cells[at], decimal) for at in (0, *picked) if at < len(cells))


def _is_number(cell: Any, decimal: str) -> bool:
    try:
        return not math.isnan(_number(cell, decimal))
    except (ValueError, TypeError):
        return False


def _number(cell: Any, decimal: str) -> float:
    if cell in EMPTY:
        return math.nan
    if isinstance(cell, bool):
        raise TypeError("true and false are not numbers")
    if decimal != "." and isinstance(cell, str):
        if "." in cell:
            raise ValueError("a point may be a decimal sign or part thousands, as the comma may in other cells")
        cell = cell.replace(decimal, ".")
    return float(cell)


def write_table(
    path: Path,
    columns: Mapping[str, NDArray[Any]],
    *,
    always: Collection[str] = (),
    above: Sequence[str] = (),
    quoted: bool = False,
    rows: int = 0,
) -> None:
    """Write one comma-separated row per entry; floats read back as the same number.

    Columns that are NaN throughout are left out, but for those written `always`. `above` are lines above the header,
    whose cells are all `quoted`, or those alone that need it. To a table that has `rows`, further ones are added under
    its own header.
    """
    count = min((len(column) for column in columns.values()), default=0)
    if rows:
        names, lines = [header.text for header in read_head(path).headers], []
    else:
        names = [name for name, values in columns.items() if name in always or not np.isnan(values).all()]
        cells = [name if name.isidentifier() and not quoted else '"' + name.replace('"', '""') + '"' for name in names]
        lines = [*above, ",".join(cells)]
    unknown = np.full(count, np.nan)
    known = [columns.get(name, unknown) for name in names]
    try:
        with path.open("a" if rows else "w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{line}\n" for line in lines)
            for start in range(0, count, ROWS_AT_ONCE):
                parts = [map(repr, column[start : start + ROWS_AT_ONCE].tolist()) for column in known]
                text = "".join(f"{','.join(row)}\n" for row in zip(*parts, strict=True))
                for python, both in SPELLING:
                    text = text.replace(python, both)
                file.write(text)
    except OSError as error:
        raise unwritable("table", path, error) from None
