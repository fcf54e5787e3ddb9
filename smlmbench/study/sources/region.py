"""The part of a movie that is used: a rectangle of camera pixels and a range of frames."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from smlmbench.registry.cards import Strict

SMALLEST_PX = 8
RANGE = re.compile(r"(\d+)\s*(?::|\.\.)\s*(\d+)")
Shape = tuple[int, int, int]  # frames, height, width


class Roi(Strict):
    """A rectangle in camera pixels, as Fiji gives it: its upper left corner counted from 0, and its sides."""

    x_px: Annotated[int, Field(ge=0)]
    y_px: Annotated[int, Field(ge=0)]
    width_px: Annotated[int, Field(ge=SMALLEST_PX)]
    height_px: Annotated[int, Field(ge=SMALLEST_PX)]


class Range(Strict):
    """Frames `first` to `last`, counted from 1 as in Fiji; written A:B."""

    first: Annotated[int, Field(ge=1)]
    last: int


def _read(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    found = RANGE.fullmatch(given.strip())
    first, last = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= first <= last:
        raise ValueError(f"'{given}' is no range of frames; write A:B with 1 <= A <= B, such as 1:1000")
    return {"first": first, "last": last}


FrameRange = Annotated[Range, BeforeValidator(_read)]


class Acquisition(Strict):
    """A further movie of the same optics and camera, with its table; frames are appended to those before."""

    movie: Path
    truth: Path | None = None
    drift: Path | None = None
    roi: Roi | None = None
    frames: FrameRange | None = None


@dataclass(frozen=True, slots=True)
class Region:
    """First and the one after the last of frames, rows and columns, counted from 0."""

    frames: tuple[int, int]
    rows: tuple[int, int]
    columns: tuple[int, int]

    @property
    def shape(self) -> Shape:
        """Its frames, height and width."""
        frames, rows, columns = (stop - start for start, stop in (self.frames, self.rows, self.columns))
        return frames, rows, columns


def region_of(roi: Roi | None, frames: Range | None, shape: Shape) -> Region:
    """What is used of a movie of this shape, all of it where nothing is stated (ValueError: it leaves the movie)."""
    n_frames, height, width = shape
    within = (0, n_frames) if frames is None else (frames.first - 1, frames.last)
    if within[1] > n_frames:
        raise ValueError(f"frames {within[0] + 1}:{within[1]} are asked for, the movie has {n_frames}; give fewer")
    if roi is None:
        return Region(within, (0, height), (0, width))
    right, lower = roi.x_px + roi.width_px, roi.y_px + roi.height_px
    if right > width or lower > height:
        said = f"the roi goes to x {right}, y {lower} px, the frames have {width} x {height} px"
        raise ValueError(f"{said}; give one inside")
    return Region(within, (roi.y_px, lower), (roi.x_px, right))
