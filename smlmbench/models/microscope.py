"""A microscope whose phase mask is part of a network: scenes become frames that can be differentiated by the mask.

The optics are those of a PSF with a pupil (`scalar_pupil`, `vectorial_pupil`) on a pupil of any number of cells. Noise
is that of Poisson numbers in its normal approximation, rate + sqrt(rate) eps, as Nehme et al. 2020
(doi:10.1038/s41592-020-0853-5) replace it where a mask is learned.
"""

import copy
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from smlmbench import psf
from smlmbench.errors import ConfigError
from smlmbench.limit.inverse import inverses
from smlmbench.limit.scene import Scene
from smlmbench.optics.imaging import Pixels, image
from smlmbench.optics.pupil import Pupil
from smlmbench.optics.scenes import Scenes, field, rates
from smlmbench.psf.contracts import Canvas, Psf, Shapes, Spots, Stand, Window
from smlmbench.psf.pupil import PupilPsf, phase_of
from smlmbench.registry import Catalog

DEPTHS = 11
NOTHING_NM = 1e5  # a bound above says that nothing is told


class Microscope(nn.Module):
    """The fields of a pupil PSF on `pupil_px` cells, as buffers that go where the network goes."""

    bare: Tensor
    axial: Tensor

    def __init__(self, description: Mapping[str, Any], pupil_px: int) -> None:
        super().__init__()
        self.made_of = (json.dumps(description, sort_keys=True), pupil_px)  # with which another one is the same
        settings = {name: value for name, value in description.items() if name != "name"}
        built = psf.build(description, Catalog())
        if not isinstance(built, PupilPsf):
            raise ConfigError(
                f"psf: {description.get('name')!r} has no pupil for a mask; choose scalar_pupil or vectorial_pupil"
            )
        whole: Any = built.objective
        objective = replace(whole, pupil=replace(whole.pupil, side=pupil_px))
        self.pupil: Pupil = objective.pupil
        self.depth_nm, self.reach_nm = built.depth_nm or (0.0, 0.0), built.reach_nm
        self.blur_nm = float(settings["blur_nm"])
        places = torch.tensor([0.0, 1.0], dtype=torch.float64)
        first, second = objective.fields(places, phase_of(settings, self.pupil))
        lit = first.abs() > 0
        # what 1 nm of depth does to every part of a field; their logarithm is small enough to be told from its turns
        turned = torch.where(lit, second / torch.where(lit, first, 1.0), 1.0)
        self.register_buffer("bare", first, persistent=False)  # (m, side, side)
        self.register_buffer("axial", torch.log(turned), persistent=False)

    def light(self, z_nm: Tensor, phase: Tensor, pixels: Pixels) -> Tensor:
        """Share of all collected light in pixels around emitters (n,) behind a phase (side, side) in radians."""
        fields = self.bare * torch.exp(self.axial * z_nm[:, None, None, None] + 1j * phase)
        return image(fields, self.pupil.period_nm).at(pixels)

    def rates(self, scenes: Scenes, phase: Tensor, pixel_size_nm: float) -> Tensor:
        """Expected photo-electrons of scenes, (B, H, W) float64.

        Raises:
            ConfigError: A pupil so coarse that the image repeats within the field.
        """
        height, width = scenes.noise.shape[1:]
        extent = max(height, width) * pixel_size_nm + self.reach_nm
        if self.pupil.period_nm < extent:
            least = math.ceil(extent * self.pupil.side / self.pupil.period_nm)
            raise ConfigError(
                f"pupil_px: {self.pupil.side} cells repeat the image after {self.pupil.period_nm:.0f} nm, a field with "
                f"its reach has {extent:.0f}; give at least {least}"
            )
        pixels = field((height, width), pixel_size_nm, phase, self.blur_nm)
        return rates(scenes, lambda z_nm, around: self.light(z_nm, phase, around), pixels)


@dataclass(frozen=True, slots=True)
class Behind(Psf):
    """A microscope behind a phase as a PSF, exact at every depth; for bounds and pictures."""

    microscope: Microscope
    phase: Tensor

    @property
    def sigma_nm(self) -> float:
        """Of a Gaussian in the place of an Airy disc."""
        pupil = self.microscope.pupil
        return 0.21 * pupil.wavelength_nm / pupil.na

    @property
    def reach_nm(self) -> float:
        """As the description has it."""
        return self.microscope.reach_nm

    def shapes(self, n: int, generator: Any) -> Shapes:
        """Nothing varies."""
        del n, generator
        return {}

    def light(self, stand: Stand, shapes: Shapes, window: Window) -> Tensor:
        """See `Psf.light`; of all collected light."""
        del shapes
        centres = (torch.arange(window.side_px, dtype=torch.float64) + 0.5) * window.pixel_size_nm
        x_nm, y_nm = centres - stand.x_nm[:, None], centres - stand.y_nm[:, None]
        pixels = Pixels(x_nm, y_nm, window.pixel_size_nm, self.microscope.blur_nm)
        return self.microscope.light(stand.z_nm, self.phase, pixels)[:, None]


@dataclass(frozen=True, slots=True)
class Light:
    """What an emitter of a bound has: photons, and background per pixel of `pixel_size_nm`."""

    photons: float
    background: float
    pixel_size_nm: float


def depth_bounds(microscope: Microscope, phase: Tensor, light: Light) -> tuple[Tensor, Tensor]:
    """Depths (n,) over the range and the least standard deviations of x, y and z there, (n, 3) nm, of a lone emitter.

    It stands in the middle of a pixel; infinite where the image tells nothing. On the processor, without gradient.
    """
    at = copy.deepcopy(microscope).cpu()
    low, high = at.depth_nm
    z_nm = torch.linspace(low, high, DEPTHS, dtype=torch.float64)
    side = 2 * math.ceil(at.reach_nm / light.pixel_size_nm) + 1
    middle = torch.full_like(z_nm, side * light.pixel_size_nm / 2)
    spots = Spots(torch.arange(DEPTHS), middle, middle, z_nm, torch.full_like(z_nm, light.photons))
    canvas = Canvas(DEPTHS, side, side, light.pixel_size_nm)
    background = torch.full((DEPTHS,), light.background, dtype=torch.float64)
    optics = Behind(at, phase.detach().cpu())
    with torch.inference_mode(mode=False):
        lone = Scene(spots, {}, canvas, background, optics, lambda mean: 1 / mean, deep=True)
        found = inverses(lone)[0].own.diagonal(dim1=1, dim2=2)[:, :3].sqrt()
    return z_nm, torch.where(found < NOTHING_NM, found, math.inf)
