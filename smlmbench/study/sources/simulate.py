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
)

VAL_EMITTERS = 5_000  # PROTOCOL section 4: enough to place one threshold
LATER = {"z_nm": 0}  # fields that the first stores do not have, with their defaults as in plain JSON
FIRST = {"filaments": 12, "width_nm": 15, "curl": 0.3}  # of a structure without settings of its own, in those stores


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


class Depth(Strict):
    """Depths drawn uniformly between min and max, in nm; 0 is in focus."""

    min: float
    max: float

    @model_validator(mode="after")
    def _ordered(self) -> "Depth":
        if not -math.inf < self.min <= self.max < math.inf:
            raise ValueError(f"min {self.min:g} and max {self.max:g}: min must be at most max")
        return self


class SimulateSource(Description):
    """Frames drawn from a physical model (`{simulate: {...}}`)."""

    STATED: ClassVar[Mapping[str, Any]] = {
        "truth": "emitters",
        "knows": ["psf", "photon prior", "density", "background", "camera"],
        "drawn_anew": True,
    }

    kind: Literal["simulate"] = "simulate"
    structure: dict[str, Any] = {"name": "uniform"}
    density_per_um2: Positive | Range = 1.0
    photons: Positive | Range = Range(min=500, max=3000)
    background_photons: NonNegative | Range = 10.0
    z_nm: float | Depth = 0.0
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

    def content(self) -> dict[str, Any]:
        """Its description; what came later than the first stores stands in it only where it is not the default."""
        described = super().content()
        if described["structure"].keys() <= {"name", *FIRST}:
            described["structure"] = FIRST | described["structure"]
        return {key: told for key, told in described.items() if key not in LATER or told != LATER[key]}

    def check(self, look: Look) -> list[Note]:
        """Depths that the PSF does not know."""
        name, depth = str(self.psf.get("name", "")), self.z_nm
        if depth == 0 or name not in look.catalog.names("psf"):
            return []
        low, high = (depth.min, depth.max) if isinstance(depth, Depth) else (depth, depth)
        if (setting := look.catalog.card("psf", name).facts.get("depth")) is None:
            return [(("z_nm",), f"PSF '{name}' is the same at every depth; leave z_nm out, or choose another PSF")]
        if max(-low, high) > (most := self.psf[setting]):
            said = f"{low:g} to {high:g} nm leaves the depths of PSF '{name}', {-most:g} to {most:g} nm"
            return [(("z_nm",), f"{said}; give a larger {setting}, or fewer depths")]
        return []

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
