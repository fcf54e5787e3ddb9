"""Axes of a robustness sheet: test conditions around a centre, one thing changed at a time (PROTOCOL section 2).

Every condition is a description that a study could write itself. What a user would not know stays as it is at the
centre: rows that are told a width are told the centre's (`told_sigma_nm`), and frames of another gain or baseline are
read back by the centre's camera (`read_as`).

- `photons`, `background`, `density`, `sigma`: factors of the centre's numbers.
- `astigmatism`, `coma`, `spherical` (Noll's 6, 8, 11, mlambda rms), `defocus` (nm): of a pupil. A Gaussian has none, so
  there these axes begin at a condition of their own, a scalar pupil in focus without aberrations, as bright at its peak
  as the Gaussian: sigma = wavelength / (pi sqrt(2) NA). Their change is counted from there, not from the centre.
- `pixel_size`: the true pixel over the stated one. A wrong scale moves every row's positions alike, so frames and truth
  are drawn in the stated scale, where the PSF is 1/f as wide and there are f^2 as many emitters per um2.
- `gain`: the true ADU per photo-electron over the stated one; `baseline`: the true one less the stated one, in ADU.
- `structured`: gradient noise (`perlin`) of this share of the background; `hot_pixels`: share of all pixels.
- `camera`: another one, stated rightly. An EMCCD and an sCMOS of `smlmbench/camera/presets.py`; a phone whose 255 steps
  hold the brightest emitter one and a half times.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import ValidationError

from smlmbench import psf
from smlmbench.camera import PHONE_MOST, Camera
from smlmbench.errors import SmlmBenchError
from smlmbench.registry import Catalog
from smlmbench.study.sources.laws import Range
from smlmbench.study.sources.scenes import Perlin
from smlmbench.study.sources.simulate import SimulateSource

Step = float | str
Changed = Mapping[str, Any]  # fields of a description
FACTOR = "x"
MOST_NA, WAVELENGTH_NM = 1.2, 670.0  # of the pupil that stands for a Gaussian; a narrow one has a shorter wave
WIDTHS = ("sigma_nm", "sigma_x_nm", "sigma_y_nm")
LENGTHS = ("wavelength_nm", "reach_nm", "blur_nm")  # that scale an image in focus
KINDS = {"emccd": "decode-example", "scmos": "hamamatsu-orca-flash4-v3"}
PHONE: dict[str, Any] = {"kind": "phone", "jpeg_quality": 85, "baseline_adu": 5.0, "read_noise_e": 3.0}
HELD = 1.5
DEEPEST_NM = 450.0
CENTRE, PUPIL = "centre", "pupil"  # conditions where axes begin


class SenselessError(Exception):
    """Why an axis or a step of it makes no sense at a centre."""


@dataclass(frozen=True, slots=True)
class Centre:
    """What is changed: a description, its width, and where PSFs are looked up."""

    source: SimulateSource
    catalog: Catalog

    @property
    def sigma_nm(self) -> float:
        """Width that rows are told on every axis; of a PSF that states none to a tenth of a nm."""
        stated = self.source.told_sigma_nm or self.source.psf.get("sigma_nm")
        if isinstance(stated, int | float):
            return float(stated)
        return round(psf.build(self.source.psf, self.catalog).sigma_nm, 1)

    def psf_with(self, **settings: Any) -> dict[str, Any]:
        """Its PSF with other settings; a `UserError` where one does not fit."""
        name, own = self.source.psf["name"], {key: value for key, value in self.source.psf.items() if key != "name"}
        return {"name": name, **self.catalog.card("psf", name).fill("psf", {**own, **settings})}


@dataclass(frozen=True, slots=True)
class Axis:
    """One thing that is changed.

    Attributes:
        change: What a step changes, given the centre.
        steps: Those of PROTOCOL section 2.
        base: The step that changes nothing; None for names, of which it is that of the centre.
        unit: `x` for factors.
        of_pupil: It is an axis of a pupil.
    """

    change: Callable[[Centre, Any], Changed]
    steps: tuple[Step, ...]
    base: float | None
    unit: str
    of_pupil: bool = False


def scaled(value: Any, factor: float) -> Any:
    """A number, or every number of a law but its shape, times a factor."""
    if isinstance(value, int | float):
        return value * factor
    moved = {key: one * factor for key in ("min", "max", "mean", "sd", "median") if (one := getattr(value, key, None))}
    if not moved:
        raise SenselessError("its photons are those of a table")
    return value.model_copy(update=moved)


def wider(centre: Centre, factor: float) -> dict[str, Any]:
    """The centre's PSF, wider by a factor."""
    own = centre.source.psf
    keys = [key for key in WIDTHS if key in own] or [key for key in LENGTHS if key in own]
    if not set(keys) & {*WIDTHS, LENGTHS[0]}:
        raise SenselessError(f"PSF '{own['name']}' has no width to change")
    return centre.psf_with(**{key: scaled(own[key], factor) for key in keys})


def pupil(centre: Centre, deepest_nm: float = 0.0) -> Centre:
    """The centre with a pupil in focus: its own, or the one that stands for its Gaussian, down to some depth."""
    source, own = centre.source, centre.source.psf
    if source.depths_nm != (0.0, 0.0):
        raise SenselessError("its emitters have depths")
    if "zernike_mlambda" in own:
        return centre
    if set(own) != {"name", "sigma_nm"} or not isinstance(own["sigma_nm"], int | float):
        raise SenselessError(f"PSF '{own['name']}' is neither a pupil nor a Gaussian of one width")
    waves = math.pi * math.sqrt(2) * own["sigma_nm"]  # times NA: wavelength
    na = min(MOST_NA, round(WAVELENGTH_NM / waves, 4))
    name, wavelength_nm = "scalar_pupil", WAVELENGTH_NM if na < MOST_NA else round(waves * na, 1)
    depths = {"z_min_nm": 0.0, "z_max_nm": max(DEEPEST_NM, deepest_nm)}
    settings = {"na": na, "wavelength_nm": wavelength_nm, **depths}
    filled = centre.catalog.card("psf", name).fill("psf", settings)
    return Centre(source.model_copy(update={"psf": {"name": name, **filled}}), centre.catalog)


def _times(field: str, centre: Centre, factor: float) -> Changed:
    value = getattr(centre.source, field)
    if value == 0:
        raise SenselessError(f"{field} is 0")
    return {field: scaled(value, factor)}


def _sigma(centre: Centre, factor: float) -> Changed:
    return {"psf": wider(centre, factor), "told_sigma_nm": centre.sigma_nm}


def _aberrated(noll: int, centre: Centre, mlambda: float) -> Changed:
    there = pupil(centre)
    own = there.source.psf["zernike_mlambda"]
    before = float(own.get(noll, own.get(str(noll), 0.0)))
    others = {key: value for key, value in own.items() if str(key) != str(noll)}
    added = {noll: before + mlambda} if before + mlambda else {}
    return {"psf": there.psf_with(zernike_mlambda={**others, **added}), "told_sigma_nm": centre.sigma_nm}


def _defocused(centre: Centre, z_nm: float) -> Changed:
    there = pupil(centre, z_nm)
    own = there.source.psf
    if not own["z_min_nm"] <= z_nm <= own["z_max_nm"]:
        raise SenselessError(f"its PSF ends at {own['z_max_nm']:g} nm")
    return {"psf": own, "z_nm": z_nm, "told_sigma_nm": centre.sigma_nm}


def _pixel(centre: Centre, factor: float) -> Changed:
    source = centre.source
    if source.structure["name"] != "uniform" or source.background is not None or source.depths_nm != (0.0, 0.0):
        raise SenselessError("its structure, background or depths have lengths of their own")
    density = {"density_per_um2": scaled(source.density_per_um2, factor**2)}
    return {"psf": wider(centre, 1 / factor), "told_sigma_nm": centre.sigma_nm, **density}


def _gain(centre: Centre, factor: float) -> Changed:
    own = centre.source.camera
    return {"camera": _camera(own, e_per_adu=own.e_per_adu / factor), "read_as": centre.source.read_by(own)}


def _baseline(centre: Centre, more_adu: float) -> Changed:
    own = centre.source.camera
    if own.baseline_adu + more_adu < 0:
        raise SenselessError(f"its baseline is {own.baseline_adu:g} ADU")
    return {"camera": _camera(own, baseline_adu=own.baseline_adu + more_adu), "read_as": centre.source.read_by(own)}


def _camera(own: Camera, **changed: float) -> Camera:
    if own.maps is not None:
        raise SenselessError("each pixel of its camera has numbers of its own")
    return Camera.model_validate({**own.model_dump(), **changed})


def _structured(centre: Centre, change: float) -> Changed:
    if centre.source.background is not None:
        raise SenselessError("its background is structured already")
    return {"background": Perlin(change=change)}


def _hot(centre: Centre, share: float) -> Changed:
    del centre
    return {"hot_pixels": share}


def _other_camera(centre: Centre, kind: str) -> Changed:
    if kind in KINDS:
        return {"camera": Camera.model_validate({"preset": KINDS[kind]})}
    if kind != PHONE["kind"]:
        raise SenselessError(f"no camera '{kind}' is stated; there are {', '.join((*KINDS, str(PHONE['kind'])))}")
    law, pixel = centre.source.photons, centre.source.pixel_size_nm
    brightest = law if isinstance(law, float) else law.max if isinstance(law, Range) else 5000.0
    share = math.erf(pixel / (2 * math.sqrt(2) * centre.sigma_nm)) ** 2  # of a spot, in its middle pixel
    held = scaled(centre.source.background_photons, 1.0) + HELD * share * brightest
    e_per_adu = float(f"{max(1.0, held / (PHONE_MOST - PHONE['baseline_adu'])):.2g}")
    return {"camera": Camera.model_validate({**PHONE, "e_per_adu": e_per_adu})}


MLAMBDA = (0.0, 30.0, 60.0, 100.0)
AXES: dict[str, Axis] = {
    "photons": Axis(partial(_times, "photons"), (0.2, 0.5, 1.0, 2.0, 5.0), 1.0, FACTOR),
    "background": Axis(partial(_times, "background_photons"), (0.2, 0.5, 1.0, 2.0, 5.0), 1.0, FACTOR),
    "density": Axis(partial(_times, "density_per_um2"), (0.2, 0.5, 1.0, 2.0, 5.0), 1.0, FACTOR),
    "sigma": Axis(_sigma, (0.8, 0.9, 1.0, 1.1, 1.2), 1.0, FACTOR),
    "astigmatism": Axis(partial(_aberrated, 6), MLAMBDA, 0.0, "mλ", of_pupil=True),
    "coma": Axis(partial(_aberrated, 8), MLAMBDA, 0.0, "mλ", of_pupil=True),
    "spherical": Axis(partial(_aberrated, 11), MLAMBDA, 0.0, "mλ", of_pupil=True),
    "defocus": Axis(_defocused, (0.0, 150.0, 300.0, DEEPEST_NM), 0.0, "nm", of_pupil=True),
    "pixel_size": Axis(_pixel, (0.9, 1.0, 1.1), 1.0, FACTOR),
    "gain": Axis(_gain, (0.8, 0.9, 1.0, 1.1, 1.25), 1.0, FACTOR),
    "baseline": Axis(_baseline, (-20.0, -5.0, 0.0, 5.0, 20.0), 0.0, "ADU"),
    "structured": Axis(_structured, (0.0, 0.5, 1.0), 0.0, ""),
    "hot_pixels": Axis(_hot, (0.0, 0.0005, 0.002, 0.01), 0.0, ""),
    "camera": Axis(_other_camera, ("emccd", "scmos", "phone"), None, ""),
}


def not_a_centre(source: SimulateSource) -> str | None:
    """Why a description is no centre, or None: factors are of numbers, not of ranges that a training has."""
    stated: dict[str, Any] = {key: getattr(source, key) for key in ("density_per_um2", "background_photons")}
    stated |= {f"psf.{key}": one for key, one in source.psf.items() if isinstance(one, Mapping) and "min" in one}
    ranges = [key for key, value in stated.items() if not isinstance(value, int | float)]
    ranges += ["camera"] if source.more_cameras else []
    if source.frozen is not None:
        return "is a frozen condition, which is drawn as its file states; write out what it simulates"
    return f"has several values of {' and '.join(ranges)}; state one of each there" if ranges else None


def varied(centre: Centre, name: str, step: Step) -> SimulateSource:
    """The description of one step of an axis.

    Raises:
        SenselessError: There is none at this centre, with the reason.
    """
    fields = {key: getattr(centre.source, key) for key in type(centre.source).model_fields}
    try:
        return SimulateSource.model_validate({**fields, **AXES[name].change(centre, step)})
    except ValidationError as error:
        raise SenselessError(str(error.errors()[0]["msg"])) from None
    except SmlmBenchError as error:
        raise SenselessError(str(error)) from None


def origin_of(centre: Centre, name: str) -> tuple[Step, SimulateSource | None]:
    """The step of an axis that changes nothing, and its condition where that is not the centre itself.

    Raises:
        SenselessError: There is none.
    """
    axis, source = AXES[name], centre.source
    if axis.base is None:
        return source.camera.kind, None
    if not axis.of_pupil or "zernike_mlambda" in source.psf:
        return axis.base, None
    flat = {"psf": pupil(centre).source.psf, "told_sigma_nm": centre.sigma_nm}
    return axis.base, source.model_copy(update=flat)
