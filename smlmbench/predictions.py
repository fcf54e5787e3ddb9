"""What every model ends in: Localizations, Raster, Parameters or ClassScores.

Coordinates are nm, origin at the outer corner of pixel (0, 0), x along the last axis of an image; frames count
from 0; photons are detected photo-electrons per frame. NaN means unknown.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smlmbench.errors import SizeError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

COLUMNS = (
    "x_nm",
    "y_nm",
    "z_nm",
    "photons",
    "background_photons",
    "probability",
    "sigma_x_nm",
    "sigma_y_nm",
    "sigma_z_nm",
)


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

    def __len__(self) -> int:
        return len(self.frame)

    @classmethod
    def of(
        cls,
        columns: Mapping[str, ArrayLike],
        *,
        n_frames: int,
        field_nm: tuple[float, float],
    ) -> "Localizations":
        """Build from named columns; the absent ones are NaN (None for molecule and channel).

        Raises:
            SizeError: Columns of different length, or a name that is not a column.
        """
        unknown = set(columns) - {"frame", "molecule", "channel", *COLUMNS}
        if unknown:
            raise SizeError(
                f"unknown columns {sorted(unknown)}; accepted: frame, molecule, channel, {', '.join(COLUMNS)}"
            )
        frame = np.asarray(columns["frame"], dtype=np.int64).reshape(-1)
        arrays: dict[str, Floats] = {}
        for name in COLUMNS:
            given = columns.get(name)
            arrays[name] = (
                np.full(len(frame), np.nan) if given is None else np.array(given, dtype=np.float64).reshape(-1)
            )
        extra: dict[str, Ints | None] = {"molecule": None, "channel": None}
        for name in extra:
            if columns.get(name) is not None:
                extra[name] = np.asarray(columns[name], dtype=np.int64).reshape(-1)
        lengths = {len(frame), *(len(a) for a in arrays.values()), *(len(a) for a in extra.values() if a is not None)}
        if len(lengths) > 1:
            raise SizeError(f"columns have different lengths {sorted(lengths)}; give one value per emitter")
        return cls(
            frame=frame,
            n_frames=int(n_frames),
            field_nm=field_nm,
            molecule=extra["molecule"],
            channel=extra["channel"],
            **arrays,
        )

    @classmethod
    def empty(cls, *, n_frames: int, field_nm: tuple[float, float]) -> "Localizations":
        """A table without rows."""
        return cls.of({"frame": [], "x_nm": [], "y_nm": []}, n_frames=n_frames, field_nm=field_nm)

    def columns(self) -> dict[str, NDArray[np.float64] | Ints]:
        """All present columns by name, frame first."""
        out: dict[str, NDArray[np.float64] | Ints] = {"frame": self.frame}
        out.update({name: getattr(self, name) for name in COLUMNS})
        if self.molecule is not None:
            out["molecule"] = self.molecule
        if self.channel is not None:
            out["channel"] = self.channel
        return out

    def select(self, rows: NDArray[np.bool_] | Ints) -> "Localizations":
        """Keep the rows that a mask or an index array names."""
        picked = {name: column[rows] for name, column in self.columns().items()}
        return Localizations.of(picked, n_frames=self.n_frames, field_nm=self.field_nm)

    def shifted(self, frames: int, *, n_frames: int | None = None) -> "Localizations":
        """Add an offset to the frame numbers (decoders count from 0 in their batch)."""
        return replace(self, frame=self.frame + frames, n_frames=self.n_frames if n_frames is None else n_frames)


def concatenate(parts: Sequence[Localizations], *, n_frames: int, field_nm: tuple[float, float]) -> Localizations:
    """Join tables; molecule and channel are kept only where all parts have them."""
    if not parts:
        return Localizations.empty(n_frames=n_frames, field_nm=field_nm)
    names = [name for name in parts[0].columns() if all(name in part.columns() for part in parts)]
    joined = {name: np.concatenate([part.columns()[name] for part in parts]) for name in names}
    return Localizations.of(joined, n_frames=n_frames, field_nm=field_nm)


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
    """

    table: Localizations | None = None
    image: Raster | None = None
    grid_nm: float = math.nan
    label_rule: str = "floor"
