"""What is measured of a movie: numbers with their intervals, by camera, background, spots and drift."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Number:
    """A measured number and its 95 % interval; NaN and a reason where it cannot be measured."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    why: str = ""  # in words, where it has no value

    @classmethod
    def unknown(cls, why: str) -> "Number":
        """A number that cannot be measured, and why."""
        return cls(why=why)

    @property
    def known(self) -> bool:
        """Whether there is a value."""
        return math.isfinite(self.value)


@dataclass(frozen=True, slots=True)
class CameraFound:
    """What counts say of the camera that made them.

    `baseline_adu` and `read_noise_e` are known with dark frames alone. `e_per_adu` is electrons per count after the
    gain register's excess is taken out, which is that of `excess` (1, or 2 for a register; stated, never measured).
    `baseline_e` is the product of both: what a pixel without light would hold in electrons, which a movie alone bounds.
    """

    baseline_adu: Number
    e_per_adu: Number
    read_noise_e: Number
    baseline_e: Number
    excess: float = 1.0
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BackgroundFound:
    """Light without spots, photo-electrons per pixel and frame.

    `level` is the median over pixels and frames; `over_frames` and `over_field` are its 5th and 95th percentile from
    frame to frame and from place to place (places of about 10 px); `structure` is the standard deviation of the places
    over the level, beyond what noise makes.
    """

    level: Number
    over_frames: tuple[float, float]
    over_field: tuple[float, float]
    structure: Number


@dataclass(frozen=True, slots=True)
class SpotsFound:
    """Spots of a movie.

    `sigma_nm`: standard deviation of the PSF (Gaussian fit); `sigma_spread` the standard deviation of widths over their
    mean beyond noise. `photons`: median per frame, `photons_range` 5th and 95th percentile, of spots that stand alone;
    `density_per_um2` emitters per frame and area, those that merge counted. `on_frames`, `off_frames`: mean lengths.
    `counted`: spots that the numbers are of; `missed` the share of emitters that are too dim to be seen, estimated.
    """

    sigma_nm: Number
    sigma_spread: Number
    photons: Number
    photons_range: tuple[float, float]
    density_per_um2: Number
    on_frames: Number
    off_frames: Number
    counted: int = 0
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DriftFound:
    """Way of the sample over the movie: position (n,) in nm at frames (n,), relative to the first, and its errors."""

    frame: NDArray[np.int64]
    x_nm: NDArray[np.float64]
    y_nm: NDArray[np.float64]
    error_nm: Number
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Measured:
    """All that a movie says.

    `camera_facts` are what counts were turned into photons with: a study's `camera`, as stated or as found.
    """

    name: str
    n_frames: int
    height: int
    width: int
    pixel_size_nm: float
    camera_facts: dict[str, object]
    camera: CameraFound
    background: BackgroundFound
    spots: SpotsFound
    drift: DriftFound | None = None
    doubts: tuple[str, ...] = field(default=())
