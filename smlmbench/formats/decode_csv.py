"""DECODE tables: px or nm as the file's comment lines say, origin at a pixel's centre, frames from 0, detected photons.

DECODE's x runs along the first axis of an image, that is along rows: x and y are swapped here (formats.md 2.5).
`id` is a number of the program and `.._cr` are bounds, not claims; they are not kept.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smlmbench.formats.decode_axes import TARGETS, placed
from smlmbench.formats.options import TableOptions
from smlmbench.formats.text import Head, read_head, read_numbers
from smlmbench.formats.units import Column, check_required
from smlmbench.predictions import Localizations

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "DECODE csv; unit and pixel size stand in its comment lines.",
    "facts": {"holds": "table", "suffixes": [".csv"], "writes": False, "first_frame": 0, "origin": "centre"},
}

FIRST_FRAME = 0


def recognises(path: Path) -> bool:
    """The header has `frame_ix`, `x` and `y`."""
    return {"frame_ix", "x", "y"} <= {header.name for header in read_head(path).headers}


def read_table(path: Path, options: TableOptions) -> Localizations:
    """Read a table; a pixel size of `options` wins over the one in the comment lines.

    Raises:
        FormatError: A column is absent, the unit or the pixel size is not stated, or a cell is odd.
    """
    head = read_head(path)
    columns = [
        Column(TARGETS[header.name], position, header.text)
        for position, header in enumerate(head.headers)
        if header.name in TARGETS
    ]
    check_required(path, head, columns, "DECODE table", "x, y, frame_ix, ...")
    numbers = read_numbers(path, head, [column.position for column in columns])
    return placed(path, columns, numbers, _facts(head), options, first_frame=FIRST_FRAME)


def unread(path: Path) -> list[str]:
    """Columns of the file that `read_table` does not keep."""
    return [header.text for header in read_head(path).headers if header.name not in {*TARGETS, "id"}]


def _facts(head: Head) -> Mapping[str, Any]:
    """The comment line that states unit and pixel size; empty where there is none."""
    for line in head.comments:
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and "xy_unit" in found:
            return found
    return {}
