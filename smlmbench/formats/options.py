"""What a caller knows about a table beyond what the file says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from smlmbench.camera import Camera


@dataclass(frozen=True, slots=True)
class TableOptions:
    """Facts for reading and writing tables; None where nothing is known."""

    pixel_size_nm: float | None = None  # of the camera, for columns in px; an inferred field has whole pixels of it
    camera: Camera | None = None  # for columns in ADU; its quantum efficiency turns incident photons into detected ones
    columns: Mapping[str, str] | None = None  # own names, e.g. {frame: f, x_nm: "pos x"}; the unit is the key's
    first_frame: int | None = None  # its number in the file, else the format's; reading only
    n_frames: int | None = None  # of the movie, else those of the table
    field_nm: tuple[float, float] | None = None  # extent along x and y, else that of the table
    origin: Literal["corner", "centre"] | None = None  # place of (0, 0) in the first pixel; None: the format's corner
    timeless: bool = False  # a table of points needs no frames: all are of frame 0 where it has none
