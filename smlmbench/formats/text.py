"""Text tables: their head, their numbers, and writing them."""

import csv
import math
import re
from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import FormatError

Floats = NDArray[np.float64]

UNITS = {"µm": "um", "μm": "um", "pixel": "px", "pixels": "px", "photons": "photon", "counts": "adu"}
QUOTED = re.compile(r'"[^"]*"')
WITH_UNIT = re.compile(r"^(?P<name>.*?)\s*[\[(]\s*(?P<unit>[^\])]*?)\s*[\])]$")
EMPTY = (None, "", "NA", "N/A", "null")
SPELLING = ((".0,", ","), (".0\n", "\n"), ("nan", "NaN"), ("inf", "Infinity"))  # as Java and Python both read it
ROWS_AT_ONCE = 50_000  # bounds the memory of writing a long table
MAX_LINE = 1 << 16
SHOWN_COLUMNS, SHOWN_CHARACTERS = 12, 40


@dataclass(frozen=True, slots=True)
class Header:
    """One header cell.

    Attributes:
        text: As written, outer blanks removed.
        name: Lower case, without unit.
        unit: Lower case (`nm`, `um`, `px`, `photon`, `adu`, ...), empty where none is stated.
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
    """The lines of a text table above its numbers.

    Attributes:
        comments: Leading lines that begin with `#`, without it.
        headers: Header cells.
        lines: Number of lines up to and including the header.
        delimiter: Comma, semicolon or tab.
        decimal: Decimal sign of the first row of numbers.
    """

    comments: list[str]
    headers: list[Header]
    lines: int
    delimiter: str
    decimal: str


def printable(text: str) -> str:
    """A text of a file for a message, without characters that a terminal would obey."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def shown_columns(headers: Sequence[Header]) -> str:
    """Names of columns for a message: the first few, shortened."""
    names = [printable(header.text[:SHOWN_CHARACTERS]) or "(no name)" for header in headers[:SHOWN_COLUMNS]]
    more = ", ..." if len(headers) > SHOWN_COLUMNS else ""
    return f"{', '.join(names)}{more}" if names else "none"


def read_head(path: Path) -> Head:
    """Read comments and header; an empty file has no headers.

    Raises:
        FormatError: The file cannot be opened.
    """
    comments: list[str] = []
    lines = 0
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline=None) as file:
            while line := file.readline(MAX_LINE):
                lines += 1
                if line.startswith("#"):
                    comments.append(line[1:].strip())
                elif line.strip():
                    break
            following = file.readline(MAX_LINE)
    except OSError as error:
        raise FormatError(f"table '{path.name}' cannot be opened: {error.strerror}; check path and rights") from None
    delimiter = max(",;\t", key=QUOTED.sub("", line).count)
    cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    decimal = "," if delimiter == ";" and "," in following else "."
    return Head(comments, [Header.of(cell) for cell in cells], lines, delimiter, decimal)


@dataclass(frozen=True, slots=True)
class Numbers:
    """Columns of a table.

    Attributes:
        columns: Float64 (n,) by position in the file; NaN where a cell is empty.
        line: Line (or row of a sheet) that each entry comes from, counted from 1 as editors do.
    """

    columns: dict[int, Floats]
    line: NDArray[np.int64]


def read_numbers(path: Path, head: Head, picked: Collection[int], tried: Collection[int] = ()) -> Numbers:
    """Read columns by position; lines without any cell are skipped.

    Args:
        path: The table.
        head: Of `read_head`.
        picked: Columns to read.
        tried: Further ones, each left out if one of its cells is no number.

    Raises:
        FormatError: A cell that is not a number, or a row with more or fewer cells than the header.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
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
    path: Path,
    headers: Sequence[Header],
    picked: Collection[int],
    rows: Iterable[tuple[int, Sequence[Any]]],
    *,
    decimal: str = ".",
    tried: Collection[int] = (),
) -> Numbers:
    """Turn (line, cells) into columns of numbers.

    Raises:
        FormatError: As `read_numbers`.
    """
    values = {position: array("d") for position in sorted({*picked, *tried})}
    odd = set()
    lines = array("q")
    width = len(headers)
    for line, row in rows:
        if all(cell in EMPTY for cell in row):
            continue
        if len(row) != width and (len(row) < width or any(cell not in EMPTY for cell in row[width:])):
            raise FormatError(
                f"table '{path.name}', line {line}: {len(row)} cells under {width} headers; give every row as many"
            )
        for position, column in values.items():
            try:
                column.append(_number(row[position], decimal))
            except (ValueError, TypeError):
                if position in picked:
                    raise FormatError(
                        f"table '{path.name}', line {line}: '{row[position]}' in column '{headers[position].text}'"
                        " is not a number; mend or remove the row"
                    ) from None
                odd.add(position)
        lines.append(line)
    columns = {at: np.array(column, dtype=np.float64) for at, column in values.items() if at not in odd}
    return Numbers(columns, np.array(lines, dtype=np.int64))


def _number(cell: Any, decimal: str) -> float:
    if cell in EMPTY:
        return math.nan
    if isinstance(cell, bool):
        raise TypeError("true and false are not numbers")
    if decimal != "." and isinstance(cell, str):
        cell = cell.replace(decimal, ".")
    return float(cell)


def write_rows(path: Path, head: Sequence[str], columns: Mapping[str, NDArray[Any]], *, append: bool = False) -> None:
    """Write lines of a head, then one comma-separated row per entry; floats read back as the same number.

    Raises:
        FormatError: The file cannot be written.
    """
    count = min((len(column) for column in columns.values()), default=0)
    try:
        with path.open("a" if append else "w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{line}\n" for line in head)
            for start in range(0, count, ROWS_AT_ONCE):
                cells = [map(repr, column[start : start + ROWS_AT_ONCE].tolist()) for column in columns.values()]
                text = "".join(f"{','.join(row)}\n" for row in zip(*cells, strict=True))
                for python, both in SPELLING:
                    text = text.replace(python, both)
                file.write(text)
    except OSError as error:
        reason = f"table '{path}' cannot be written: {error.strerror}; give a path in an existing folder"
        raise FormatError(reason) from None
