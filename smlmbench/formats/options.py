"""What a caller knows about a table beyond what the file says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from smlmbench.camera import Camera


@dataclass(frozen=True, slots=True)
class TableOptions:
    """Facts for reading and writing tables; None where nothing is known.

    Attributes:
        pixel_size_nm: Camera pixel; needed for columns in px, and rounds an inferred field up to whole pixels.
        camera: Needed for columns in ADU; its quantum efficiency turns incident photons into detected ones and back.
        columns: Own names of columns, e.g. {frame: f, x_nm: "pos x"}; the unit is the key's.
        first_frame: Number of the first frame in the file; None takes the format's. Reading only.
        n_frames, field_nm: Frames and extent along x and y of the movie; None takes those of the table.
        origin: Where (0, 0) is in a table of any program: `corner` of the first pixel (None too), or its `centre`.
    """

    pixel_size_nm: float | None = None
    camera: Camera | None = None
    columns: Mapping[str, str] | None = None
    first_frame: int | None = None
    n_frames: int | None = None
    field_nm: tuple[float, float] | None = None
    origin: Literal["corner", "centre"] | None = None
