"""Drift of a sample over a movie, as a table: where the sample stands in a frame, against where it stood in the first.

Ours is a CSV with `frame` (from 0), `x_nm` and `y_nm`; frames between its rows are interpolated. Picasso's is a text
without header, x and y in camera pixels, one row for each frame. Both are taken away from positions.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import FormatError, SizeError, UnitError, unreadable
from smlmbench.formats.text import Head, read_head, read_numbers, write_table
from smlmbench.predictions import Floats, Ints, Localizations

NAMES = ("frame", "x_nm", "y_nm")
ABOVE = ("# position of the sample in nm against the first frame; frames from 0",)


class Way(Protocol):
    """Positions of a sample: (n,) frames in rising order, and nm."""

    @property
    def frame(self) -> NDArray[np.int64]:
        """Frames from 0."""

    @property
    def x_nm(self) -> NDArray[np.float64]:
        """Along the rows."""

    @property
    def y_nm(self) -> NDArray[np.float64]:
        """Along the columns."""


@dataclass(frozen=True, slots=True)
class Drift:
    """A drift table."""

    frame: Ints
    x_nm: Floats
    y_nm: Floats


def read_drift(path: Path, pixel_size_nm: float | None = None) -> Drift:
    """Read a drift table of ours or of Picasso, which needs the camera pixel.

    Raises:
        FormatError: No such file, other columns, no numbers, or frames that do not rise.
        UnitError: A table in pixels, and no pixel size.
    """
    if not path.is_file():
        raise FormatError(f"drift table '{path}' does not exist; give a CSV with {', '.join(NAMES)}, or Picasso's .txt")
    head = read_head(path)
    drift = _ours(path, head) if set(NAMES) <= {header.text for header in head.headers} else _picasso(path)
    if not len(drift.frame) or not all(np.isfinite(each).all() for each in (drift.x_nm, drift.y_nm)):
        raise FormatError(f"drift table '{path.name}' has no rows, or places that are no numbers; write it again")
    if drift.frame[0] < 0 or (np.diff(drift.frame) <= 0).any():
        raise FormatError(f"drift table '{path.name}': its frames do not rise from 0 on; sort it, each frame once")
    if set(NAMES) <= {header.text for header in head.headers}:
        return drift
    if pixel_size_nm is None:
        raise UnitError(f"drift table '{path.name}' is in camera pixels, as Picasso writes it; state pixel_size_nm")
    return replace(drift, x_nm=drift.x_nm * pixel_size_nm, y_nm=drift.y_nm * pixel_size_nm)


def _ours(path: Path, head: Head) -> Drift:
    places = {header.text: place for place, header in enumerate(head.headers)}
    numbers = read_numbers(path, head, [places[name] for name in NAMES]).columns
    frame, x_nm, y_nm = (numbers[places[name]] for name in NAMES)
    if not np.array_equal(frame, np.rint(frame)):
        raise FormatError(f"drift table '{path.name}': its frames are no whole numbers; count them from 0")
    return Drift(frame.astype(np.int64), x_nm, y_nm)


def _picasso(path: Path) -> Drift:
    try:
        values = np.loadtxt(path, dtype=np.float64, ndmin=2)
    except (ValueError, OSError) as error:
        raise unreadable(path, "drift table", error, f"give a CSV with {', '.join(NAMES)}, or Picasso's .txt") from None
    if values.shape[1] != 2:
        said = f"drift table '{path.name}' has {values.shape[1]} columns of numbers and no header"
        raise FormatError(f"{said}; give a CSV with {', '.join(NAMES)}, or Picasso's two columns")
    return Drift(np.arange(len(values)), values[:, 0], values[:, 1])


def write_drift(drift: Way, path: Path) -> None:
    """Write ours (FormatError: the file cannot be written)."""
    write_table(path, {name: getattr(drift, name) for name in NAMES}, always=NAMES, above=ABOVE)


def at_frames(drift: Way, frame: Ints) -> tuple[Floats, Floats]:
    """Where the sample stands in some frames (n,), nm along x and y.

    Raises:
        SizeError: A frame before the first of the drift or after its last.
    """
    first, last = int(drift.frame[0]), int(drift.frame[-1])
    if len(frame) and (frame.min() < first or frame.max() > last):
        said = f"drift is known of frames {first} to {last} (from 0), positions are of {frame.min()} to {frame.max()}"
        raise SizeError(f"{said}; give the drift of the whole movie")
    return np.interp(frame, drift.frame, drift.x_nm), np.interp(frame, drift.frame, drift.y_nm)


def undrifted(table: Localizations, drift: Way) -> Localizations:
    """Positions as if the sample had stayed where it was in the first frame (SizeError: as `at_frames`)."""
    x_nm, y_nm = at_frames(drift, table.frame)
    return replace(table, x_nm=table.x_nm - x_nm, y_nm=table.y_nm - y_nm)
