"""Our own table: columns named as in `Localizations`, frames from 0, detected photons.

Two comment lines come before the header, because a table alone says neither how long the movie is nor how wide:

    # n_frames: 400
    # field_nm: 6400 6400
    frame,x_nm,y_nm,photons

Both may be absent when reading; the last frame and the extent of the table are then taken. Columns under other names
are kept as they are where they hold nothing but numbers.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import FormatError
from smlmbench.formats.options import TableOptions
from smlmbench.formats.text import Head, read_head, read_numbers, write_rows
from smlmbench.formats.units import Column, check_required, factors, localizations
from smlmbench.predictions import COLUMNS, FIXED, Localizations

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Table of smlmbench: nothing is lost between writing and reading.",
    "facts": {"holds": "table", "suffixes": [".csv"], "writes": True, "first_frame": 0, "origin": "corner"},
}

FIRST_FRAME = 0


def recognises(path: Path) -> bool:
    """The header has `frame`, `x_nm` and `y_nm`, as written here."""
    return {"frame", "x_nm", "y_nm"} <= {header.text for header in read_head(path).headers}


def read_table(path: Path, options: TableOptions) -> Localizations:
    """Read a table written by `write_table`; options win over the comment lines.

    Raises:
        FormatError: x_nm, y_nm or frame is absent, or a cell is odd.
    """
    head = read_head(path)
    columns = [
        Column(header.text, position, header.text, "nm" if header.text.endswith("_nm") else "")
        for position, header in enumerate(head.headers)
        if header.text in FIXED
    ]
    check_required(path, head, columns, "table of smlmbench", "frame, x_nm, y_nm")
    scale = factors(path, columns, options, incident=False)
    others = {header.text: at for at, header in enumerate(head.headers) if header.text and header.text not in FIXED}
    numbers = read_numbers(path, head, [column.position for column in columns], tried=others.values())
    options = _stated(path, head, options)
    locs = localizations(path, columns, numbers, options, scale=scale, first_frame=FIRST_FRAME)
    return replace(locs, more={name: numbers.columns[at] for name, at in others.items() if at in numbers.columns})


def unread(path: Path) -> list[str]:
    """Columns of the file that `read_table` does not keep: they hold other things than numbers."""
    head = read_head(path)
    numbers = read_numbers(path, head, (), tried=range(len(head.headers)))
    return [header.text for at, header in enumerate(head.headers) if at not in numbers.columns]


def _stated(path: Path, head: Head, options: TableOptions) -> TableOptions:
    """Fill number of frames and field from the comment lines."""
    facts = dict(line.split(":", 1) for line in head.comments if ":" in line)
    try:
        if options.n_frames is None and "n_frames" in facts:
            options = replace(options, n_frames=int(facts["n_frames"]))
        if options.field_nm is None and "field_nm" in facts:
            along_x, along_y = map(float, facts["field_nm"].split())
            options = replace(options, field_nm=(along_x, along_y))
    except ValueError:
        raise FormatError(
            f"table '{path.name}': comment lines {head.comments} are odd;"
            " write '# n_frames: 400' and '# field_nm: 6400 6400'"
        ) from None
    return options


def write_table(locs: Localizations, path: Path, options: TableOptions) -> None:
    """Write all columns that are known somewhere, and all further ones.

    Raises:
        FormatError: The file cannot be written.
    """
    append_table(locs, path, options, 0)


def append_table(locs: Localizations, path: Path, options: TableOptions, rows: int) -> None:  # noqa: ARG001
    """Add rows to a table that `append_table` began; a first call on an absent or empty file writes its header.

    Args:
        locs: Further rows, with the frames and field of the whole movie.
        path: The table; its columns are those that the first rows know.
        options: Not used.
        rows: Rows that it has.

    Raises:
        FormatError: The file cannot be written.
    """
    given: dict[str, NDArray[Any]] = dict(locs.columns())
    if rows == 0:
        known = [name for name, values in given.items() if name not in COLUMNS[2:] or not np.isnan(values).all()]
        cells = [name if name.isidentifier() else '"' + name.replace('"', '""') + '"' for name in known]
        along_x, along_y = locs.field_nm
        head = [f"# n_frames: {locs.n_frames}", f"# field_nm: {along_x!r} {along_y!r}", ",".join(cells)]
    else:
        known, head = [header.text for header in read_head(path).headers], []
    unknown = np.full(len(locs), np.nan)
    write_rows(path, head, {name: given.get(name, unknown) for name in known}, append=rows > 0)
