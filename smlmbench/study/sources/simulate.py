"""Frames drawn from a physical model of emitters, optics and camera."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from smlmbench.camera import Camera, Noise
from smlmbench.camera.reading import unused_pixel
from smlmbench.errors import SmlmBenchError
from smlmbench.registry import Catalog
from smlmbench.study.digests import file_digest
from smlmbench.study.sources.description import (
    TEST_UNITS,
    Description,
    Form,
    Look,
    NonNegative,
    Note,
    Positive,
    Role,
    missing,
    unfit_maps,
    unreadable,
)
from smlmbench.study.sources.laws import Column, Depth, Law, Range
from smlmbench.study.sources.scenes import Background, Frozen, OutOfFocus, Share, Track
from smlmbench.study.sources.structures import notes_on, structure_content

VAL_EMITTERS = 5_000  # PROTOCOL section 4: enough to place one threshold
# fields that the first stores do not have, with their defaults as in plain JSON
LATER: Mapping[str, Any] = {
    "z_nm": 0,
    "background": None,
    "hot_pixels": 0,
    "empty_frames": 0,
    "draws": "fast",
    "frozen": None,
    "more_cameras": [],
    "read_as": None,
    "told_sigma_nm": None,
}


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
    photons: Law = Range(min=500, max=3000)
    background_photons: NonNegative | Range = 10.0
    z_nm: float | Depth = 0.0
    pixel_size_nm: Positive = 100.0
    psf: dict[str, Any] = {"name": "gaussian"}
    camera: Camera = Camera()  # written as a list, each frame is seen by one of them; movies to predict by the first
    more_cameras: tuple[Camera, ...] = ()  # the others of the list; not written in a study
    field_px: Annotated[int, Field(ge=8, le=4096)] = 32
    frames: Annotated[int, Field(ge=1)] | None = None
    min_photons: NonNegative = 100.0
    track: Track = "iid"
    background: Background | None = None
    hot_pixels: Share = 0.0  # the same ones in all frames of a movie
    empty_frames: Share = 0.0  # without emitters; the density is that of the others
    read_as: Camera | None = None  # the camera that the user states, where it is another one
    told_sigma_nm: Positive | None = None  # the width that rows are told, where it is not that of the PSF
    draws: Literal["fast", "frozen"] = "fast"
    frozen: Frozen | None = None  # of a named condition; not written in a study

    @model_validator(mode="before")
    @classmethod
    def _states_its_pixel(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and "pixel_size_nm" not in given and (size := unused_pixel(given.get("camera"))):
            raise ValueError(f"px_size {size} of DECODE's block Camera is not taken over; state pixel_size_nm")
        return given

    @model_validator(mode="before")
    @classmethod
    def _several_cameras(cls, given: Any) -> Any:
        if not isinstance(given, Mapping) or not isinstance(cameras := given.get("camera"), list):
            return given
        if not cameras or any(isinstance(one, Mapping) and "maps" in one for one in cameras):
            raise ValueError("a list of cameras holds at least one, and none with maps; give it, or one camera alone")
        return {**given, "camera": cameras[0], "more_cameras": cameras[1:]}

    @field_validator("structure", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @classmethod
    def form(cls) -> Form:
        """How it is written."""
        files = {"photons.table": "table"}
        return Form(
            cls,
            "{simulate: {...}}",
            cls.written("frozen", "more_cameras"),
            inside="a simulation",
            own=("frames",),
            files=files,
        )

    def identity(self, catalog: Catalog) -> dict[str, Any]:
        """Also the structure's code, where it is not the first version of one of ours."""
        name = str(self.structure["name"])
        code = {"version": catalog.card("structures", name).version, "plugin": catalog.plugin_hash("structures", name)}
        first = code == {"version": 1, "plugin": None}
        return super().identity(catalog) | ({} if first else {"structure_code": code})

    def content(self) -> dict[str, Any]:
        """Its description; what came later than the first stores stands in it only where it is not the default."""
        described = super().content()
        if isinstance(self.photons, Column):
            described["photons"] = {"table_sha256": file_digest(self.photons.table)}
        if self.frozen is not None:
            described["frozen"] = self.frozen.model_dump(include={"seed", "sha256"})
        described["structure"] = structure_content(described["structure"])
        return {key: told for key, told in described.items() if key not in LATER or told != LATER[key]}

    def check(self, look: Look) -> list[Note]:
        """Depths that the PSF does not know, photons of no table or of nobody counted, structures, maps."""
        placed = notes_on(self.structure, self.field_px * self.pixel_size_nm, self.depths_nm, look.catalog)
        shapes, read_as = [(self.field_px, self.field_px)], () if self.read_as is None else (self.read_as,)
        maps = [note for camera in (*self.cameras, *read_as) for note in unfit_maps(camera, (), shapes)]
        notes = [*self._check_depth(look), *(self._check_table() or self._check_track()), *placed, *maps]
        return [((self.kind, *place), said) for place, said in notes]

    def _check_depth(self, look: Look) -> list[Note]:
        name, depth = str(self.psf.get("name", "")), self.z_nm
        if name not in look.catalog.names("psf"):
            return []
        low, high = self.depths_nm
        if (setting := look.catalog.card("psf", name).facts.get("depth")) is None and depth == 0:
            return []
        if setting is None:
            return [(("z_nm",), f"PSF '{name}' is the same at every depth; leave z_nm out, or choose another PSF")]
        names = setting if isinstance(setting, list) else [setting]
        least, most = self.psf[names[0]] if len(names) > 1 else -self.psf[names[0]], self.psf[names[-1]]
        if low < least or high > most:
            said = f"{low:g} to {high:g} nm leaves the depths of PSF '{name}', {least:g} to {most:g} nm"
            wider = f"a larger {setting}" if len(names) == 1 else f"other {' and '.join(names)}"
            return [(("z_nm",), f"{said}; give {wider}, or fewer depths")]
        return []

    def _check_table(self) -> list[Note]:
        if not isinstance(self.photons, Column):
            return []
        said = missing(self.photons.table, "table")
        if said is None:
            try:
                self.photons.values()
            except (SmlmBenchError, OSError) as error:
                said = unreadable(self.photons.table, error)
        return [] if said is None else [(("photons", "table"), said)]

    def _check_track(self) -> list[Note]:
        law = self.photons
        most = max(law.values()) if isinstance(law, Column) else law.max if isinstance(law, Range) else law
        if self.track == "iid" or not isinstance(most, float) or most >= self.min_photons:
            return []
        said = f"no molecule reaches min_photons {self.min_photons:g}, by which density is counted"
        return [(("photons",), f"{said}; give brighter photons or a smaller min_photons")]

    @property
    def cameras(self) -> tuple[Camera, ...]:
        """All its cameras."""
        return (self.camera, *self.more_cameras)

    def read_by(self, camera: Camera) -> Camera:
        """By which camera frames of this one are read back."""
        return camera if self.read_as is None else self.read_as

    @property
    def noise(self) -> Noise:
        """Of a pixel, in the mean over its cameras as they are stated."""
        noises = [self.read_by(camera).noise for camera in self.cameras]
        excess, added = (sum(parts) / len(noises) for parts in zip(*((n.excess, n.added) for n in noises), strict=True))
        return Noise(excess, added)

    @property
    def depths_nm(self) -> tuple[float, float]:
        """Its lowest and its highest depth."""
        return (self.z_nm.min, self.z_nm.max) if isinstance(self.z_nm, Depth) else (self.z_nm, self.z_nm)

    @property
    def area_um2(self) -> float:
        """Area of one frame in square micrometres."""
        return (self.field_px * self.pixel_size_nm / 1000) ** 2

    @property
    def haze_photons(self) -> float:
        """Mean photo-electrons per pixel that out-of-focus emitters add to the background."""
        haze = self.background
        pixel_um2 = (self.pixel_size_nm / 1000) ** 2
        return haze.density_per_um2 * haze.photons * pixel_um2 if isinstance(haze, OutOfFocus) else 0.0

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
        """Its size and density, and by name what makes its frames another world than those of a sweep."""
        made = {"psf": self.psf["name"], "structure": self.structure["name"], "camera": self.camera.kind}
        size = {"frames": self.frames, "field_px": self.field_px, "pixel_size_nm": self.pixel_size_nm}
        return {
            "kind": self.kind,
            "truth_kind": "simulated",
            "density_per_um2": self.mean_density_per_um2,
            **size,
            **made,
        }

    def seen_in(self, train: Description) -> dict[str, Any]:
        """Points of one table are the same wherever they are drawn."""
        path = self.structure.get("path")
        if not path or not isinstance(train, SimulateSource) or not (trained := train.structure.get("path")):
            return {}
        return {"shared_structure": file_digest(Path(path)) == file_digest(Path(trained))}
