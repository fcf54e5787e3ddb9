"""Activation tables of the SMLM Challenge 2016: nm, origin at the outer corner, first frame 1, incident photons.

Source: Sage et al. 2019, doi:10.1038/s41592-019-0364-4; the last header cell of the original files ends in a blank.
`Ground-truth` numbers the rows and is not kept.
"""

from pathlib import Path
from typing import Any

from smlmbench.formats.options import TableOptions
from smlmbench.formats.text import read_head
from smlmbench.formats.units import check_needed, columns_of, read_columns, unkept
from smlmbench.predictions import Localizations

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Ground truth of the SMLM Challenge 2016 (activations.csv).",
    "facts": {
        "holds": "table",
        "suffixes": [".csv"],
        "writes": False,
        "first_frame": 1,
        "origin": "corner",
        "photons": "incident",
        "known_by": "frame, xnano, ynano",
    },
}

FIRST_FRAME = 1
NEEDED = ("frame", "xnano", "ynano")
TARGETS = (("frame", "frame"), ("xnano", "x_nm"), ("ynano", "y_nm"), ("znano", "z_nm"), ("intensity", "photons"))


def recognises(path: Path) -> bool:
    """The header has `frame`, `xnano` and `ynano`."""
    return read_head(path).names.keys() >= set(NEEDED)


def read_table(path: Path, options: TableOptions) -> Localizations:
    """Read the activations; with a camera, photons are multiplied by its quantum efficiency."""
    head = read_head(path)
    check_needed(path, head, NEEDED, head.names, "challenge table (Ground-truth, frame, xnano, ..., znano, intensity)")
    columns = columns_of(head, TARGETS)
    return read_columns(path, head, columns, options, first_frame=FIRST_FRAME, incident=True)


def unread(path: Path, options: TableOptions) -> list[str]:  # noqa: ARG001  the rooms' signature
    """Columns of the file that `read_table` does not keep."""
    head = read_head(path)
    return unkept(head.headers, columns_of(head, TARGETS), ("ground-truth",))
