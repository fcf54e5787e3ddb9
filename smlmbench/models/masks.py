"""Phase masks of networks that see through them: learned ones, and the fixed ones that they are held against."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from smlmbench.models.microscope import Light, Microscope, depth_bounds
from smlmbench.optics.masks import mask
from smlmbench.optics.pupil import Pupil
from smlmbench.optics.zernike import polynomial

FIXED = ("flat", "astigmatic", "tetrapod")
ASTIGMATISM = 6  # Noll's index
MODES = tuple(range(4, 67))  # Noll's indices from defocus up to the radial order 10; tilts only move the image
STRENGTHS = (0.15, 0.25, 0.35, 0.5, 0.7, 1.0, 1.4)
LIGHT = (3000.0, 10.0)  # photons and background at which the best strength is looked for


class Mask(nn.Module):
    """A phase in the cells of a pupil, fixed or learned from a start; `forward()` gives it in radians.

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

    def forward(self) -> Tensor:
        """Phase (side, side) float64."""
        if self.weights is None:
            return self.start
        weights = self.gain * self.weights.double()
        if self.modes.ndim == 3:
            return self.start + torch.einsum("k,kyx->yx", weights, self.modes)
        return self.start + weights * self.modes


def fixed(kind: str, pupil: Pupil, strength: float = 1.0) -> Tensor:
    """Phase of a mask that is not learned, (side, side) radians; astigmatic: 1 radian rms of vertical astigmatism."""
    if kind == "astigmatic":
        return strength * polynomial(ASTIGMATISM, pupil.radius.clamp(max=1.0), pupil.angle)
    return mask(kind, pupil, strength=strength)


def best_strength(kind: str, microscope: Microscope, pixel_size_nm: float) -> float:
    """Of some strengths the one whose product of the bounds of x, y and z is least over the depths; 1 of a flat one."""
    if kind == "flat":
        return 1.0
    volumes = {}
    for strength in STRENGTHS:
        phase = fixed(kind, microscope.pupil, strength)
        bounds = depth_bounds(microscope, phase, Light(*LIGHT, pixel_size_nm))[1]
        volumes[strength] = float(bounds.log().sum(dim=1).mean())
    return min(volumes, key=lambda one: volumes[one])
