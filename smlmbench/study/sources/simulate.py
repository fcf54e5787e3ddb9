"""Frames drawn from a physical model of emitters, optics and camera."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from smlmbench.camera import Camera
from smlmbench.camera.reading import unused_pixel
from smlmbench.registry.cards import Strict
from smlmbench.study.sources.description import (
    TEST_UNITS,
    Description,
    Form,
    Look,
    NonNegative,
    Note,
    Positive,
    Role,
    unfit_maps,
)

VAL_EMITTERS = 5_000  # PROTOCOL section 4: enough to place one threshold


class Range(Strict):
    """Values drawn between min and max; `law` uniform (default) or log_uniform."""

    min: NonNegative
    max: Positive
    law: Literal["uniform", "log_uniform"] = "uniform"

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if self.min > self.max or (self.law == "log_uniform" and self.min == 0):
            said = f"min {self.min:g} and max {self.max:g}"
            raise ValueError(f"{said}: min must be at most max, and above 0 for log_uniform")
        return self

    @property
    def mean(self) -> float:
        """Middle of the range on its own scale (used to size validation sets)."""
        return (self.min + self.max) / 2 if self.law == "uniform" else float((self.min * self.max) ** 0.5)


class Structure(Strict):
    """Where emitters may sit: `uniform`, or `filaments` (smooth curves across the field, drawn per structure seed)."""

    name: Literal["uniform", "filaments"] = "uniform"
    filaments: Annotated[float, Field(gt=0)] = 12.0  # in a field of 6.4 x 6.4 um; scaled with the area
    width_nm: NonNegative = 15.0  # standard deviation of the distance from the filament's axis
    curl: NonNegative = 0.3  # standard deviation of the direction's change per um, in radians


class SimulateSource(Description):
    """Frames drawn from a physical model (`{simulate: {...}}`)."""

    STATED: ClassVar[Mapping[str, Any]] = {
        "truth": "emitters",
        "knows": ["psf", "photon prior", "density", "background", "camera"],
        "drawn_anew": True,
    }

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

    @model_validator(mode="before")
    @classmethod
    def _states_its_pixel(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and "pixel_size_nm" not in given and (size := unused_pixel(given.get("camera"))):
            raise ValueError(f"px_size {size} of DECODE's block Camera is not taken over; state pixel_size_nm")
        return given

    @field_validator("structure", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @classmethod
    def form(cls) -> Form:
        """How it is written."""
        return Form(cls, "{simulate: {...}}", cls.written(), inside="a simulation", own=("frames",))

    def check(self, look: Look) -> list[Note]:
        """Whether the camera's maps are of its field."""
        del look
        return unfit_maps(self.camera, ("simulate",), [(self.field_px, self.field_px)])

    @property
    def area_um2(self) -> float:
        """Area of one frame in square micrometres."""
        return (self.field_px * self.pixel_size_nm / 1000) ** 2

    @property
    def mean_density_per_um2(self) -> float:
        """Its density, or the middle of its range."""
        density = self.density_per_um2
        return density.mean if isinstance(density, Range) else density

    def sized(self, role: Role) -> Self:
        """For validation as many frames as hold 5,000 emitters on average."""
        if self.frames is not None:
            return self
        for_emitters = math.ceil(VAL_EMITTERS / (self.mean_density_per_um2 * self.area_um2) - 1e-9)
        return self.model_copy(update={"frames": for_emitters if role == "val" else TEST_UNITS})

    def condition_facts(self) -> dict[str, Any]:
        """Its size and density."""
        size = {"frames": self.frames, "field_px": self.field_px, "pixel_size_nm": self.pixel_size_nm}
        return {"kind": self.kind, "truth_kind": "simulated", "density_per_um2": self.mean_density_per_um2, **size}
