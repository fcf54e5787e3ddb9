"""What every model ends in: Localizations, Raster, Parameters or ClassScores.

Coordinates are nm, origin at the outer corner of pixel (0, 0), x along the last axis of an image; frames count
from 0; photons are detected photo-electrons per frame. NaN means unknown.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smlmbench.errors import SizeError

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

POSITION, SIGMA = ("x_nm", "y_nm", "z_nm"), ("sigma_x_nm", "sigma_y_nm", "sigma_z_nm")
COLUMNS = (*POSITION, "photons", "background_photons", "probability", *SIGMA)
WHOLE = ("molecule", "channel")
FIXED = ("frame", *COLUMNS, *WHOLE)


@dataclass(frozen=True, slots=True)
class Localizations:
    """Emitters of a movie, one row each; build with `Localizations.of`.

    Attributes:
        frame: 0-based frame index, int64 (n,).
        x_nm, y_nm, z_nm: Position, float64 (n,); z is 0 in focus.
        photons: Detected photo-electrons per frame.
        background_photons: Background per camera pixel.
        probability: Score of a detection; any monotone scale, 0 .. 1 where it is a probability.
        sigma_x_nm, sigma_y_nm, sigma_z_nm: Claimed standard deviation of the position.
        n_frames: Number of frames of the movie (also those without emitters).
        field_nm: Extent of the field (along x, along y) in nm.
        molecule: Identity over frames, int64 (n,), or None.
        channel: Colour channel, int64 (n,), or None.
        more: Further columns by name, float64 (n,) each, in no unit that we know (e.g. `llr`); only to be read.
    """

    frame: Ints
    x_nm: Floats
    y_nm: Floats
    z_nm: Floats
    photons: Floats
    background_photons: Floats
    probability: Floats
    sigma_x_nm: Floats
    sigma_y_nm: Floats
    sigma_z_nm: Floats
    n_frames: int
    field_nm: tuple[float, float]
    molecule: Ints | None = None
    channel: Ints | None = None
    more: Mapping[str, Floats] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.frame)

    @classmethod
    def of(
        cls,
        columns: Mapping[str, ArrayLike],
        *,
        n_frames: int,
        field_nm: tuple[float, float],
        more: Mapping[str, ArrayLike] | None = None,
    ) -> "Localizations":
        """Build from columns with fixed names, `frame` among them, and `more` under other names of one line.

        Absent ones are NaN, molecule and channel None.

        Raises:
            SizeError: Columns of different length, a name that is not a column, or an odd name of a further one.
        """
        unknown = set(columns) - set(FIXED)
        if unknown:
            raise SizeError(f"unknown columns {sorted(unknown)}; accepted: {', '.join(FIXED)}, others as more")
        further = {name: np.array(given, dtype=np.float64).reshape(-1) for name, given in (more or {}).items()}
        odd = [name for name in further if name in FIXED or not name or name != " ".join(name.split())]
        if odd:
            raise SizeError(
                f"further columns cannot be named {odd}; give words with single blanks, none of {', '.join(FIXED)}"
            )
        given = {name: values for name, values in columns.items() if values is not None}
        frame = np.asarray(given["frame"], dtype=np.int64).reshape(-1)
        molecule, channel = (
            np.asarray(given[name], dtype=np.int64).reshape(-1) if name in given else None for name in WHOLE
        )
        nowhere = np.full(len(frame), np.nan)
        floats = {name: np.array(given.get(name, nowhere), dtype=np.float64).reshape(-1) for name in COLUMNS}
        present = (each for each in (frame, molecule, channel, *floats.values(), *further.values()) if each is not None)
        lengths = set(map(len, present))
        if len(lengths) > 1:
            raise SizeError(f"columns have different lengths {sorted(lengths)}; give one value per emitter")
        return cls(
            frame, **floats, n_frames=int(n_frames), field_nm=field_nm, molecule=molecule, channel=channel, more=further
        )

    @classmethod
    def empty(cls, *, n_frames: int, field_nm: tuple[float, float]) -> "Localizations":
        """A table without rows."""
        return cls.of({"frame": [], "x_nm": [], "y_nm": []}, n_frames=n_frames, field_nm=field_nm)

    def columns(self) -> dict[str, NDArray[np.float64] | Ints]:
        """All present columns by name, frame first."""
        fixed = {name: getattr(self, name) for name in FIXED}
        return {name: values for name, values in fixed.items() if values is not None} | dict(self.more)

    def select(self, rows: NDArray[np.bool_] | Ints) -> "Localizations":
        """Keep the rows that a mask or an index array names."""
        return _of_all({name: column[rows] for name, column in self.columns().items()}, self.n_frames, self.field_nm)

    def shifted(self, frames: int, *, n_frames: int | None = None) -> "Localizations":
        """Add an offset to the frame numbers (decoders count from 0 in their batch)."""
        return replace(self, frame=self.frame + frames, n_frames=self.n_frames if n_frames is None else n_frames)

    def to_pandas(self) -> "pd.DataFrame":
        """All present columns by name, frame first; `n_frames` and `field_nm` are in its `attrs`."""
        import pandas as pd

        table = pd.DataFrame(self.columns())
        table.attrs.update(n_frames=self.n_frames, field_nm=self.field_nm)
        return table

    @classmethod
    def from_pandas(
        cls, table: "pd.DataFrame", *, n_frames: int | None = None, field_nm: tuple[float, float] | None = None
    ) -> "Localizations":
        """Take a table of `to_pandas` back; columns in our units, those whose names are not fixed ones become `more`.

        Raises:
            SizeError: Number of frames or field (nm) is stated neither here nor in the table's `attrs`, or as in `of`.
        """
        n_frames = table.attrs.get("n_frames") if n_frames is None else n_frames
        field_nm = table.attrs.get("field_nm") if field_nm is None else field_nm
        if n_frames is None or field_nm is None:
            raise SizeError("the table's attrs do not state n_frames and field_nm; give both")
        return _of_all({str(name): values.to_numpy() for name, values in table.items()}, n_frames, field_nm)


def concatenate(parts: Sequence[Localizations], *, n_frames: int, field_nm: tuple[float, float]) -> Localizations:
    """Join tables; molecule, channel and further columns are kept only where all parts have them."""
    if not parts:
        return Localizations.empty(n_frames=n_frames, field_nm=field_nm)
    names = [name for name in parts[0].columns() if all(name in part.columns() for part in parts)]
    joined = {name: np.concatenate([part.columns()[name] for part in parts]) for name in names}
    return _of_all(joined, n_frames, field_nm)


def _of_all(columns: Mapping[str, ArrayLike], n_frames: int, field_nm: tuple[float, float]) -> Localizations:
    """Take every column whose name is not a fixed one as a further one."""
    fixed = {name: values for name, values in columns.items() if name in FIXED}
    more = {name: values for name, values in columns.items() if name not in FIXED}
    return Localizations.of(fixed, n_frames=n_frames, field_nm=field_nm, more=more)


@dataclass(frozen=True, slots=True)
class Raster:
    """Fine image(s): values (K, H, W) float32, pixel size in nm, origin at the outer corner.

    K is 1 for the summed image of a movie, the number of frames for frame images.
    """

    values: NDArray[np.float32]
    pixel_nm: float

    def __post_init__(self) -> None:
        if self.values.ndim != 3:
            raise SizeError(f"a raster has shape (K, H, W), got {self.values.shape}")


@dataclass(frozen=True, slots=True)
class Parameters:
    """Regressed physical parameters of crops: one array (n,) per name, with optional standard deviations."""

    values: Mapping[str, Floats]
    sigmas: Mapping[str, Floats] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClassScores:
    """Scores (n, classes) of crops or spectra."""

    scores: NDArray[np.float32]
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Prediction:
    """All that a row says about one condition; a part that it cannot give is None.

    Attributes:
        table: Localizations, or None where the row makes only an image.
        image: Summed fine image (1, H, W), or None where it makes only a table (the task renders it).
        grid_nm: Pitch of the grid on which its table is drawn for image numbers; NaN where unknown.
        label_rule: Rule by which the truth is rasterised for it: floor, or ds for files of Deep-STORM.
        context: Frames that it saw at once.
    """

    table: Localizations | None = None
    image: Raster | None = None
    grid_nm: float = math.nan
    label_rule: str = "floor"
    context: int = 1
