"""Offset, gain and read noise of every pixel of an sCMOS chip: from files of a calibration, or drawn.

Source of the model: Huang et al. 2013, doi:10.1038/nmeth.2488.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from smlmbench.errors import FormatError, SizeError, unreadable

Floats = NDArray[np.float64]
FILES = ("offset_adu", "gain_adu_per_e", "variance_adu2")
SIZES = ("offset_sd_adu", "gain_sd", "read_noise_log_sd", "hot_share")  # what is drawn, each from its own stream
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
MOST_BYTES = 2**31  # of one file
GRID = 2**20  # drawn values are whole parts of it, so that they do not depend on how a processor rounds


@dataclass(frozen=True, slots=True)
class Chip:
    """Each pixel of a frame, all (height, width); None where all pixels are as the camera says."""

    offset_adu: Floats | None
    adu_per_e: Floats | None
    variance_e2: Floats | None  # of the read noise


class Maps(BaseModel):
    """Three files (.npy, .tif), or a seed and the sizes of what is drawn around the camera's own values.

    Drawn read noise is log-normal with the camera's `read_noise_e` as its median, and `hot_share` of the pixels have
    `hot_read_noise_e` instead. The same seed gives every frame of one size the same chip.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    offset_adu: Path | None = None
    gain_adu_per_e: Path | None = None
    variance_adu2: Path | None = None
    seed: Annotated[int, Field(ge=0)] | None = None
    offset_sd_adu: NonNegative = 0.0
    gain_sd: Annotated[float, Field(ge=0, le=0.5)] = 0.0  # of the logarithm, so of the ratio to the camera's own gain
    read_noise_log_sd: Annotated[float, Field(ge=0, le=2)] = 0.0
    hot_share: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    hot_read_noise_e: NonNegative = 0.0

    @property
    def files(self) -> dict[str, Path]:
        """The files that are named."""
        return {name: path for name in FILES if (path := getattr(self, name)) is not None}

    @model_validator(mode="after")
    def _one_way(self) -> "Maps":
        drawn = [name for name in (*SIZES, "hot_read_noise_e") if getattr(self, name)]
        if self.files and (drawn or self.seed is not None):
            raise ValueError(f"maps are either files ({', '.join(FILES)}) or drawn (seed, ...); keep one of them")
        if not self.files and (self.seed is None or not drawn):
            raise ValueError(f"maps need files ({', '.join(FILES)}), or seed and one of {', '.join(SIZES)}")
        if (self.hot_share > 0) != (self.hot_read_noise_e > 0):
            raise ValueError("hot_share and hot_read_noise_e need each other; give both or none")
        return self

    def shape(self) -> tuple[int, int] | None:
        """Height and width of the files; None where maps are drawn to the size that is asked for.

        Raises:
            FormatError, SizeError: A file is no map, or they differ in size.
        """
        shapes = {name: _read(path, path.stat().st_mtime_ns if path.is_file() else 0, name).shape
                  for name, path in self.files.items()}  # fmt: skip
        if len(set(shapes.values())) > 1:
            told = ", ".join(f"{name} {shape[1]} x {shape[0]}" for name, shape in shapes.items())
            raise SizeError(f"maps of a camera differ in size ({told} px); give maps of one chip")
        return next(iter(shapes.values()), None)

    def chip(self, shape: tuple[int, ...], *, baseline_adu: float, e_per_adu: float, read_noise_e: float) -> Chip:
        """The pixels of frames (height, width).

        Raises:
            FormatError, SizeError: A file is no map, or not of this size.
        """
        if (own := self.shape()) is not None and own != shape:
            given = " x ".join(map(str, reversed(shape)))
            raise SizeError(
                f"the camera's maps are {own[1]} x {own[0]} px, frames {given} px; cut the maps to the region read out"
            )
        return _chip(self, shape, baseline_adu, e_per_adu, read_noise_e, self._stamps())

    def _stamps(self) -> tuple[int, ...]:
        return tuple(path.stat().st_mtime_ns for path in self.files.values())

    def mean_variance_e2(self, read_noise_e: float, e_per_adu: float) -> float:
        """Mean variance of the read noise over the chip; of drawn maps that of their law."""
        if (shape := self.shape()) is not None:
            chip = self.chip(shape, baseline_adu=0, e_per_adu=e_per_adu, read_noise_e=read_noise_e)
            return read_noise_e**2 if chip.variance_e2 is None else float(chip.variance_e2.mean())
        usual = read_noise_e**2 * math.exp(2 * self.read_noise_log_sd**2)
        return (1 - self.hot_share) * usual + self.hot_share * self.hot_read_noise_e**2


@lru_cache(maxsize=8)
def _chip(
    maps: Maps, shape: tuple[int, int], baseline_adu: float, e_per_adu: float, read_noise_e: float, stamps: object
) -> Chip:
    del stamps
    if maps.files:
        read = {name: _read(path, path.stat().st_mtime_ns, name) for name, path in maps.files.items()}
        gain, variance = read.get("gain_adu_per_e"), read.get("variance_adu2")
        if variance is not None:
            variance = variance / (1 / e_per_adu if gain is None else gain) ** 2
        return Chip(read.get("offset_adu"), gain, variance)
    assert maps.seed is not None  # noqa: S101 (its validator sees to that)
    shift, ratio, noise, hot = (np.random.default_rng([maps.seed, number]) for number in range(len(SIZES)))
    sigma = read_noise_e * np.exp(maps.read_noise_log_sd * noise.standard_normal(shape))
    sigma[hot.random(shape) < maps.hot_share] = maps.hot_read_noise_e
    drawn = (
        baseline_adu + maps.offset_sd_adu * shift.standard_normal(shape),
        np.exp(maps.gain_sd * ratio.standard_normal(shape)) / e_per_adu,
        sigma**2,
    )
    return Chip(*(np.round(each * GRID) / GRID for each in drawn))


@lru_cache(maxsize=12)
def _read(path: Path, stamp: int, name: str) -> Floats:
    """A map's values (height, width), each checked."""
    del stamp
    if not path.is_file():
        raise FormatError(f"maps: {name}: '{path}' does not exist; give a .npy or .tif file")
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError("above 2 GB")
        if path.suffix.lower() == ".npy":
            values = np.load(path, allow_pickle=False)
        else:
            import tifffile

            values = tifffile.imread(path)
    except Exception as error:
        raise unreadable(path, f"map ({name}), .npy or .tif", error) from None
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        raise FormatError(
            f"maps: {name}: '{path.name}' holds {values.dtype} of shape {values.shape}; give one image of numbers"
        )
    values = np.asarray(values, np.float64).copy()
    low = {"offset_adu": -np.inf, "gain_adu_per_e": np.nextafter(0, 1), "variance_adu2": 0.0}[name]
    if len(bad := np.argwhere(~(np.isfinite(values) & (values >= low)))):
        row, column = bad[0]
        needed = {"offset_adu": "finite", "gain_adu_per_e": "above 0", "variance_adu2": "0 or more"}[name]
        raise FormatError(
            f"maps: {name}: '{path.name}' is {values[row, column]:g} at row {row}, column {column} "
            f"({len(bad)} such); every pixel must be {needed}"
        )
    values.setflags(write=False)
    return np.asarray(values)
