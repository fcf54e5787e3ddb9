"""Phase masks of networks that see through them: learned ones, and the fixed ones that they are held against."""

import json
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from smlmbench.models.microscope import Light, Microscope, depth_bounds
from smlmbench.optics.masks import mask
from smlmbench.optics.pupil import Pupil
from smlmbench.optics.zernike import polynomial

FIXED = ("flat", "astigmatic", "tetrapod")
ASTIGMATISM = 6  # Noll's index
MOST_V = 5.0
MODES = tuple(range(4, 67))  # Noll's indices from defocus up to the radial order 10; tilts only move the image
STRENGTHS = (0.15, 0.25, 0.35, 0.5, 0.7, 1.0, 1.4)
LIGHT = (3000.0, 10.0)  # photons and background at which the best strength is looked for


class Mask(nn.Module):
    """A phase in the cells of a pupil, fixed or learned from a start; `forward` gives it in radians.

    Learned are the phases of the cells, or the amounts (radians rms) of Zernike modes; a weight of 1 stands for `gain`
    radians, so that one learning rate suits mask and network.
    """

    start: Tensor
    modes: Tensor

    def __init__(self, settings: Mapping[str, Any], microscope: Microscope, pixel_size_nm: float) -> None:
        super().__init__()
        pupil, learned = microscope.pupil, settings["mask"] == "learned"
        kind = str(settings["start"] if learned else settings["mask"])
        strength = float(settings["strength"]) or best_strength(kind, microscope, pixel_size_nm)
        self.gain = float(settings["gain"])
        self.register_buffer("start", fixed(kind, pupil, strength), persistent=False)
        inside = (pupil.radius <= 1).to(torch.float64)
        if settings["basis"] == "zernike":
            radius = pupil.radius.clamp(max=1.0)
            modes = torch.stack([polynomial(index, radius, pupil.angle) for index in MODES]) * inside
        else:
            modes = inside
        self.register_buffer("modes", modes, persistent=False)
        self.weights = nn.Parameter(torch.zeros(len(modes) if modes.ndim == 3 else modes.shape)) if learned else None

    def forward(self, wavelength_nm: float) -> Tensor:
        """Phase (side, side) float64, the same at every wavelength."""
        del wavelength_nm
        return self.learned()

    def learned(self) -> Tensor:
        """The start and what was learned, (side, side) radians."""
        if self.weights is None:
            return self.start
        weights = self.gain * self.weights.double()
        if self.modes.ndim == 3:
            return self.start + torch.einsum("k,kyx->yx", weights, self.modes)
        return self.start + weights * self.modes


class VoltageMap(Mask):
    """Voltages on the cells of a liquid crystal, whose path d(V) gives the phase 2 pi d(V) c(wavelength) / wavelength.

    V lies between 0 and 5 V, d(V) = stroke (1 - cos(pi V / 5)) / 2, and c is Cauchy's 1 + B / wavelength^2 over its
    value at the first wavelength. A mask that stays as it is has the path that makes its phase there.
    """

    def __init__(self, settings: Mapping[str, Any], microscope: Microscope, pixel_size_nm: float) -> None:
        super().__init__(settings, microscope, pixel_size_nm)
        self.first_nm = microscope.pupil.wavelength_nm
        self.stroke_nm, self.cauchy_nm2 = float(settings["stroke_nm"]), float(settings["cauchy_nm2"])

    def voltage(self) -> Tensor:
        """Volts (side, side) that are learned; 2.5 where nothing was learned yet."""
        return MOST_V * torch.sigmoid(self.learned() - self.start)

    def path_nm(self) -> Tensor:
        """Optical path (side, side) at the first wavelength."""
        start = self.start * self.first_nm / (2 * math.pi)
        if self.weights is None:
            return start
        return start + self.stroke_nm * (1 - torch.cos(math.pi * self.voltage() / MOST_V)) / 2

    def forward(self, wavelength_nm: float) -> Tensor:
        """Phase (side, side) radians."""
        dispersion = (1 + self.cauchy_nm2 / wavelength_nm**2) / (1 + self.cauchy_nm2 / self.first_nm**2)
        return 2 * math.pi * self.path_nm() * dispersion / wavelength_nm


def fixed(kind: str, pupil: Pupil, strength: float = 1.0) -> Tensor:
    """Phase of a mask that is not learned, (side, side) radians; astigmatic: 1 radian rms of vertical astigmatism."""
    if kind == "astigmatic":
        return strength * polynomial(ASTIGMATISM, pupil.radius.clamp(max=1.0), pupil.angle)
    return mask(kind, pupil, strength=strength)


def best_strength(kind: str, microscope: Microscope, pixel_size_nm: float) -> float:
    """Of some strengths the one whose product of the bounds of x, y and z is least over the depths; 1 of a flat one."""
    return 1.0 if kind == "flat" else _best(kind, microscope.made_of, pixel_size_nm)


def fixed_bounds(kind: str, microscope: Microscope, light: Light) -> Tensor:
    """`depth_bounds` (n, 3) of a mask that is not learned, at its best strength."""
    return _bounds(kind, microscope.made_of, light, best_strength(kind, microscope, light.pixel_size_nm))


@lru_cache(maxsize=256)
def _best(kind: str, made_of: tuple[str, int], pixel_size_nm: float) -> float:
    light, volumes = Light(*LIGHT, pixel_size_nm), dict[float, float]()
    for strength in STRENGTHS:
        volumes[strength] = float(_bounds(kind, made_of, light, strength).log().sum(dim=1).mean())
    return min(volumes, key=lambda one: volumes[one])


@lru_cache(maxsize=256)
def _bounds(kind: str, made_of: tuple[str, int], light: Light, strength: float) -> Tensor:
    """A training asks for the same ones at each validation."""
    microscope = Microscope(json.loads(made_of[0]), made_of[1])
    return depth_bounds(microscope, fixed(kind, microscope.pupil, strength), light)[1]
