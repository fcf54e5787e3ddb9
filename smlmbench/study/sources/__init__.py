"""Descriptions of data sources, as written in a study: what defines the pixels and the truth."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from smlmbench.camera import Camera
from smlmbench.registry.cards import Strict

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]


class Range(Strict):
    """Values drawn between min and max; `law` uniform (default) or log_uniform."""

    min: NonNegative
    max: Positive
    law: Literal["uniform", "log_uniform"] = "uniform"

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if self.min > self.max or (self.law == "log_uniform" and self.min == 0):
            raise ValueError(
                f"min {self.min:g} and max {self.max:g}: min must be at most max, and above 0 for log_uniform"
            )
        return self

    @property
    def mean(self) -> float:
        """Middle of the range on its own scale (used to size validation sets)."""
        return (self.min + self.max) / 2 if self.law == "uniform" else float((self.min * self.max) ** 0.5)


class Structure(Strict):
    """Where emitters may sit: `uniform`, or `filaments` (smooth curves across the field, drawn per structure seed).

    Attributes:
        filaments: Number of filaments in a field of 6.4 x 6.4 um; scaled with the area.
        width_nm: Standard deviation of the distance from the filament's axis.
        curl: Standard deviation of the direction's change per um, in radians.
    """

    name: Literal["uniform", "filaments"] = "uniform"
    filaments: Annotated[float, Field(gt=0)] = 12.0
    width_nm: NonNegative = 15.0
    curl: NonNegative = 0.3


class SimulateSource(Strict):
    """Frames drawn from a physical model (`{simulate: {...}}`)."""

    has_positions: ClassVar[bool] = True
    kind: Literal["simulate"] = "simulate"
    structure: Structure = Structure()
    density_per_um2: Positive | Range = 1.0
    photons: Positive | Range = Range(min=500, max=3000)
    background_photons: NonNegative | Range = 10.0
    pixel_size_nm: Positive = 100.0
    psf: dict[str, Any] = {"name": "gaussian"}
    camera: Camera = Camera()
    field_px: Annotated[int, Field(ge=8, le=4096)] = 32
    frames: Annotated[int, Field(ge=1)] | None = None
    min_photons: NonNegative = 100.0
    track: Literal["iid"] = "iid"

    @field_validator("structure", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @property
    def area_um2(self) -> float:
        """Area of one frame in square micrometres."""
        return (self.field_px * self.pixel_size_nm / 1000) ** 2


class Part(Strict):
    """A part cut from one acquisition (PROTOCOL section 2, splits).

    Attributes:
        role: Which part this is.
        rule: `frames` (contiguous blocks, only for `track: iid`) or `columns` (blocks of columns, whole time).
        val, test: Fractions cut for validation and test; 0 where these come from elsewhere.
        guard_px: Gap between blocks of columns.
    """

    role: Literal["train", "val", "test"]
    rule: Literal["frames", "columns"]
    val: Annotated[float, Field(ge=0, lt=0.5)] = 0.15
    test: Annotated[float, Field(ge=0, lt=0.5)] = 0.15
    guard_px: Annotated[int, Field(ge=0)] = 16


class MovieSource(Strict):
    """A user's movie with an optional truth table (`{movie: a.tif, truth: a.csv, ...}`).

    Attributes:
        movie, truth: Files; `truth` may be absent for movies that are only predicted.
        truth_format: Registered format of the table; by default found from the file.
        columns: Own names of columns: {frame: ..., x_nm: ..., y_nm: ...}; the unit is the key's.
        first_frame: Number of the first frame in the table; by default the format's.
        camera: Facts of the camera, or `uncalibrated` (the network sees counts).
        crop_px: Side of training crops.
        psf: PSF for simulation-based helpers (classical starting sigma, local background rule).
        track: `iid` where every frame has new positions; absent where molecules persist.
        split: How validation and test are cut from it: blocks of frames or of columns; by default frames where the
            track is iid, else columns. Frames of molecules that persist are parted by 10 times their on-time, and a
            test that is cut so is tagged shared-structure and not ranked.
        truth_kind: What the table is (PROTOCOL section 2).
    """

    has_positions: ClassVar[bool] = True
    kind: Literal["movie"] = "movie"
    movie: Path
    truth: Path | None = None
    truth_format: str | None = None
    columns: dict[str, str] | None = None
    first_frame: int | None = None
    pixel_size_nm: Positive
    camera: Camera | Literal["uncalibrated"]
    crop_px: Annotated[int, Field(ge=8)] = 32
    psf: dict[str, Any] | None = None
    track: Literal["iid"] | None = None
    split: Literal["columns", "frames"] | None = None
    truth_kind: Literal["simulated", "pseudo", "designed", "unstated"] = "unstated"
    min_photons: NonNegative = 100.0
    guard_px: Annotated[int, Field(ge=0)] = 16
    part: Part | None = None


RATIOS = (1, 2, 4, 8)


class PairsPart(Strict):
    """A part cut from image pairs.

    Attributes:
        role: Which part this is.
        rule: `files`, or `pages` where every page shows something new (`track: iid`).
        val, test: Fractions cut for validation and test; 0 where these come from elsewhere.
    """

    role: Literal["train", "val", "test"]
    rule: Literal["files", "pages"]
    val: Annotated[float, Field(ge=0, lt=0.5)] = 0.15
    test: Annotated[float, Field(ge=0, lt=0.5)] = 0.15


class ImagesSource(Strict):
    """Images and the images that a network is to make of them (`{images: {input: X/, target: Y/}}`).

    Attributes:
        input, target: Folders; a file of one is paired with the file of the same name, without suffix, in the other.
        pixel_size_nm: Pixel of the inputs; without it lengths on pictures and in files are left out.
        camera: Facts of the camera of the inputs, or `uncalibrated` (the network sees counts).
        crop_px: Side of training crops, in pixels of the input.
        track: `iid` where every page of a stack shows something new, so that stacks may be cut by pages.
        truth_kind: What the targets are (PROTOCOL section 2).
        ratio: Side of a target over that of its input; measured, not written.
        psf: Never written; there is no optics to know.
    """

    has_positions: ClassVar[bool] = False
    kind: Literal["images"] = "images"
    input: Path
    target: Path
    pixel_size_nm: Positive | None = None
    camera: Camera | Literal["uncalibrated"] = "uncalibrated"
    crop_px: Annotated[int, Field(ge=8)] = 32
    track: Literal["iid"] | None = None
    truth_kind: Literal["simulated", "pseudo", "designed", "unstated"] = "unstated"
    part: PairsPart | None = None
    ratio: Literal[1, 2, 4, 8] | None = None
    psf: None = None


Source = SimulateSource | MovieSource | ImagesSource
