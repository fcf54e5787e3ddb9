"""Activation tables of the SMLM Challenge 2016: nm, origin at the outer corner, first frame 1, incident photons.

Source: Sage et al. 2019, doi:10.1038/s41592-019-0364-4; the last header cell of the original files ends in a blank.
"""

from pathlib import Path
from typing import Any

from smlmbench.formats.options import TableOptions
from smlmbench.formats.text import read_head, read_numbers
from smlmbench.formats.units import Column, check_required, factors, localizations
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
    },
}

FIRST_FRAME = 1
TARGETS = {
    "frame": ("frame", ""),
    "xnano": ("x_nm", "nm"),
    "ynano": ("y_nm", "nm"),
    "znano": ("z_nm", "nm"),
    "intensity": ("photons", "photon"),
}


def recognises(path: Path) -> bool:
    """The header has `frame`, `xnano` and `ynano`."""
    return {"frame", "xnano", "ynano"} <= {header.name for header in read_head(path).headers}


def read_table(path: Path, options: TableOptions) -> Localizations:
    """Read the activations; with a camera, photons are multiplied by its quantum efficiency.

    Raises:
        FormatError: A column is absent or a cell is odd.
    """
    head = read_head(path)
    columns = [
        Column(TARGETS[header.name][0], position, header.text, TARGETS[header.name][1])
        for position, header in enumerate(head.headers)
        if header.name in TARGETS
    ]
    check_required(path, head, columns, "challenge table", "Ground-truth, frame, xnano, ynano, znano, intensity")
    scale = factors(path, columns, options, incident=True)
    numbers = read_numbers(path, head, [column.position for column in columns])
    return localizations(path, columns, numbers, options, scale=scale, first_frame=FIRST_FRAME)
