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

from smlmbench.errors import FormatError
from smlmbench.formats.options import TableOptions
from smlmbench.formats.text import Head, read_head, read_numbers
from smlmbench.formats.text import write_table as write_text
from smlmbench.formats.units import Column, check_needed, factors, localizations, our_unit
from smlmbench.predictions import COLUMNS, FIXED, Localizations

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Table of smlmbench: nothing is lost between writing and reading.",
    "facts": {
        "holds": "table",
        "suffixes": [".csv"],
        "writes": True,
        "first_frame": 0,
        "origin": "corner",
        "keeps_more": True,
        "known_by": "frame, x_nm, y_nm",
    },
}

FIRST_FRAME = 0
NEEDED = ("frame", "x_nm", "y_nm")


def recognises(path: Path) -> bool:
    """The header has `frame`, `x_nm` and `y_nm`, as written here."""
    return {header.text for header in read_head(path).headers} >= set(NEEDED)


def read_table(path: Path, options: TableOptions) -> Localizations:
    """Read a table written by `write_table`; options win over the comment lines."""
    head = read_head(path)
    places = _places(head)
    check_needed(path, head, NEEDED, places, "table of smlmbench")
    columns = [Column(name, place, name, our_unit(name)) for name, place in places.items() if name in FIXED]
    scale = factors(path, columns, options, incident=False)
    others = {name: place for name, place in places.items() if name not in FIXED}
    numbers = read_numbers(path, head, [column.position for column in columns], tried=others.values())
    options = _stated(path, head, options)
    locs = localizations(path, columns, numbers, options, scale=scale, first_frame=FIRST_FRAME)
    return replace(locs, more={name: numbers.columns[at] for name, at in others.items() if at in numbers.columns})


def unread(path: Path, options: TableOptions) -> list[str]:  # noqa: ARG001  the rooms' signature
    """Columns of the file that `read_table` does not keep: they hold other things than numbers, or have no name."""
    head = read_head(path)
    places = _places(head)
    others = [place for name, place in places.items() if name not in FIXED]
    kept = {place for name, place in places.items() if name in FIXED}
    kept |= read_numbers(path, head, (), tried=others).columns.keys() if others else set()
    return [header.text for at, header in enumerate(head.headers) if at not in kept]


def _places(head: Head) -> dict[str, int]:
    """Place of each column that has a name; of two of one name, the last."""
    return {header.text: place for place, header in enumerate(head.headers) if header.text}


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


def write_table(locs: Localizations, path: Path, options: TableOptions, rows: int = 0) -> None:  # noqa: ARG001
    """Write all columns that are known somewhere, and all further ones.

    To a table that has `rows`, further ones are added in the columns that the first ones know; each part states the
    frames and field of the whole movie.
    """
    columns = locs.columns()
    along_x, along_y = locs.field_nm
    above = [f"# n_frames: {locs.n_frames}", f"# field_nm: {along_x!r} {along_y!r}"]
    write_text(path, columns, always=columns.keys() - COLUMNS[2:], above=above, rows=rows)


append_table = write_table
