"""The table of a PSF that comes from a pupil: what the scalar and the vectorial one have in common."""

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Protocol

import torch

from smlmbench.errors import ConfigError
from smlmbench.optics import zernike
from smlmbench.optics.imaging import Image, Pixels, image
from smlmbench.optics.masks import mask
from smlmbench.optics.pupil import Pupil
from smlmbench.psf.tabled import Table, Tabled, offsets_nm

LEAST_SHARE = 0.8  # of the collected light that must fall within the reach at every depth
LEAST_CELLS = 96  # over the diameter of the pupil
PERIODS = 4  # the image repeats after so many reaches, so that light from far out does not come back
PER_WAVE = 8  # planes along one wavelength in the medium
BEYOND = 3  # planes below and above the depths, away from which the splines are exact
AT_ONCE = 8  # planes


class Objective(Protocol):
    """Optics that give the fields of emitters at depths (n,) behind a phase, (n, m, side, side)."""

    @property
    def pupil(self) -> Pupil:
        """Its cells."""

    def fields(self, z_nm: torch.Tensor, phase: torch.Tensor) -> torch.Tensor:
        """Fields (n, m, side, side), m of which add up as intensities."""


class PupilPsf(Tabled):
    """A PSF by the fields in a pupil; photons are those that fall within the reach, at every depth."""

    def __init__(self, settings: Mapping[str, Any], objective: Objective) -> None:
        super().__init__()
        self.objective = objective
        self.phase = phase_of(settings, objective.pupil)
        self._settings = settings
        self.depth_nm = (float(settings["z_min_nm"]), float(settings["z_max_nm"]))
        self._pitch_nm = objective.pupil.wavelength_nm / (PER_WAVE * float(settings["medium_index"]))

    @cached_property
    def sigma_nm(self) -> float:
        """Width of a Gaussian as bright at its peak as this one in the middle of its sharpest plane."""
        brightest = max(float(part.at(points()).max()) for part in self._images(self._planes()))
        return math.hypot(1.0 / math.sqrt(2 * math.pi * brightest), self._settings["blur_nm"])

    @property
    def reach_nm(self) -> float:
        """As set."""
        return float(self._settings["reach_nm"])

    def exact(self, z_nm: torch.Tensor, pixels: Pixels) -> torch.Tensor:
        """Share of all collected light in pixels around the axis at depths (n,), (n, rows, columns)."""
        return image(self.objective.fields(z_nm, self.phase), self.objective.pupil.period_nm).at(pixels)

    def tabulate(self, pixel_size_nm: float) -> Table:
        """Planes from below the lowest depth to above the highest one.

        Raises:
            ConfigError: Too little light within the reach at some depth.
        """
        side, blur_nm = self.side_px(pixel_size_nm), self._settings["blur_nm"]
        offsets, planes = torch.from_numpy(offsets_nm(side, pixel_size_nm)), self._planes()
        middle = torch.zeros(1, dtype=torch.float64)
        parts, kept = [], []
        for part in self._images(planes):
            whole = part.at(Pixels(middle, middle, side * pixel_size_nm, blur_nm))
            parts.append(part.at(Pixels(offsets, offsets, pixel_size_nm, blur_nm)) / whole)
            kept.append(whole[:, 0, 0])
        share = torch.cat(kept)[BEYOND:-BEYOND]
        if (least := float(share.min())) < LEAST_SHARE:
            z_nm = float(planes[BEYOND:-BEYOND][share.argmin()])
            raise ConfigError(
                f"psf: at z = {z_nm:.0f} nm only {least:.0%} of the light falls within reach_nm {self.reach_nm:g}; "
                f"at least {LEAST_SHARE:.0%} must; give a larger reach_nm, or depths nearer to the focus"
            )
        return Table(torch.cat(parts)[:, None].numpy(), float(planes[0]), self._pitch_nm)

    def _planes(self) -> torch.Tensor:
        low, high = self.depth_nm or (0.0, 0.0)
        count = math.ceil((high - low) / self._pitch_nm) + 1 + 2 * BEYOND
        steps = torch.arange(count, dtype=torch.float64) - BEYOND
        return low + steps * self._pitch_nm

    def _images(self, z_nm: torch.Tensor) -> list[Image]:
        period_nm = self.objective.pupil.period_nm
        return [image(self.objective.fields(part, self.phase), period_nm) for part in torch.split(z_nm, AT_ONCE)]


def points() -> Pixels:
    """Points on the axis and around it, every 40 nm up to 1 um."""
    along = torch.arange(-25, 26, dtype=torch.float64) * 40.0
    return Pixels(along, along, 0.0)


def pupil_of(settings: Mapping[str, Any]) -> Pupil:
    """The pupil of an objective, as fine as its reach wants it."""
    wavelength_nm, na = settings["wavelength_nm"], settings["na"]
    cells = max(LEAST_CELLS, 2 * math.ceil(PERIODS * settings["reach_nm"] * na / wavelength_nm))
    return Pupil(wavelength_nm, na, settings["immersion_index"], cells)


def phase_of(settings: Mapping[str, Any], pupil: Pupil) -> torch.Tensor:
    """Aberrations and mask, (side, side) radians."""
    aberrations = zernike.phase(settings["zernike_mlambda"], pupil.radius.clamp(max=1.0), pupil.angle)
    kind, path = settings["mask"], settings["mask_path"]
    if (kind == "file") != bool(path):
        raise ConfigError(f"psf: mask '{kind}' with mask_path '{path}'; give mask: file and its path, or neither")
    if settings["z_min_nm"] > settings["z_max_nm"]:
        raise ConfigError(f"psf: z_min_nm {settings['z_min_nm']:g} lies above z_max_nm {settings['z_max_nm']:g}")
    made = mask(kind, pupil, strength=settings["mask_strength"], path=path, radius_px=settings["mask_radius_px"])
    return aberrations + made
