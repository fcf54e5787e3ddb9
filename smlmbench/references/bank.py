"""Where emitters may be, and how deep: maxima of matched filters, one for each of some depths of a PSF.

Around every pixel the PSF of each depth on a constant background is fitted by weighted least squares; both are linear.
The depth that explains most is the pixel's, and its photons over their standard error are the height. Noise makes of
the heights a normal field over place and depth: how many of its maxima are above a height follows from the field's
roughness (Adler 1981, The geometry of random fields; expected Euler characteristic).
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import brentq

from smlmbench.psf.contracts import Psf, Window
from smlmbench.references.splined import lit

NEAR = 1  # px: a maximum is the highest of the pixels around it
MISFIT = 0.05  # of the light of found emitters: as wrong as the PSF may be, which must not become new ones


@dataclass(frozen=True, slots=True)
class Bank:
    """Filters: light in a window around an emitter in the middle of its middle pixel, (depths, side, side)."""

    templates: torch.Tensor
    z_nm: torch.Tensor

    @property
    def side(self) -> int:
        """Of the window."""
        return int(self.templates.shape[-1])


@dataclass(frozen=True, slots=True)
class Maxima:
    """Maxima, (n,) each: which pixel, photons over their error at every depth (n, depths), photons and background."""

    frame: torch.Tensor
    row: torch.Tensor
    column: torch.Tensor
    heights: torch.Tensor
    photons: torch.Tensor
    background: torch.Tensor

    def __len__(self) -> int:
        return len(self.frame)


def bank_of(optics: Psf, pixel_size_nm: float, side: int, depths: int) -> Bank:
    """Filters for depths evenly over those of the PSF, without its lowest and highest."""
    low, high = optics.depth_nm or (0.0, 0.0)
    z_nm = low + (high - low) * (np.arange(depths) + 0.5) / depths
    middle = side / 2 * pixel_size_nm
    light = lit(optics, (middle, middle), z_nm, Window(side, pixel_size_nm)).sum(dim=1)
    return Bank(light.float(), torch.from_numpy(z_nm))


def seen(
    frames: torch.Tensor, bank: Bank, excess: float, added: torch.Tensor, known: torch.Tensor, height: float
) -> Maxima:
    """Maxima above a height in frames (F, H, W) in photo-electrons, beside light that is known there already.

    `added` (1, H, W) and `excess` make the variance of a pixel, as in `Noise`.
    """
    rest = frames - known
    level = _level(rest, bank.side)
    weight = 1 / (excess * (level + known) + added + (MISFIT * known).square())
    flat, own = torch.ones_like(bank.templates[:1]), bank.templates
    ones, light, square = (_summed(weight, each) for each in (flat, own, own.square()))
    told, told_light = (_summed(weight * rest, each) for each in (flat, own))
    whole = ones * square - light.square()
    photons = (ones * told_light - light * told) / whole
    heights = photons * (whole / ones).sqrt()
    best, depth = heights.max(dim=1)
    around = torch.nn.functional.max_pool2d(best, 2 * NEAR + 1, stride=1, padding=NEAR)
    frame, row, column = ((best == around) & (best > height)).nonzero(as_tuple=True)
    at = (frame, depth[frame, row, column], row, column)
    background = ((square * told - light * told_light) / whole)[at]
    return Maxima(frame, row, column, heights[frame, :, row, column], photons[at], background)


def height_for(bank: Bank, false_per_px: float) -> float:
    """Height above which noise makes as many maxima per pixel of a frame as are asked, in standard deviations."""
    flat, face = _roughness(bank)

    def excess(height: float) -> float:
        faces = face * height * (2 * math.pi) ** -1.5
        return math.log((faces + flat * (height**2 - 1) * (2 * math.pi) ** -2) / false_per_px) - height**2 / 2

    return float(brentq(excess, 1.5, 40.0)) if excess(1.5) > 0 else 1.5


def _roughness(bank: Bank) -> tuple[float, float]:
    """Of the field over place and all depths, and of its planes at the lowest and highest in the mean; per px^2."""
    own = bank.templates.double()
    own = torch.nn.functional.pad(own - own.mean(dim=(1, 2), keepdim=True), (1, 1, 1, 1))
    own = own / own.square().sum(dim=(1, 2), keepdim=True).sqrt()
    lateral = torch.ones(len(own), dtype=torch.float64)
    for axis in (1, 2):
        lateral *= 2 * (1 - (own * own.roll(1, axis)).sum(dim=(1, 2)))
    lateral = lateral.clamp_min(0).sqrt()
    steps = (2 * (1 - (own[1:] * own[:-1]).sum(dim=(1, 2)))).clamp_min(0).sqrt()
    return float((steps * (lateral[1:] + lateral[:-1]) / 2).sum()), float((lateral[0] + lateral[-1]) / 2)


def _level(rest: torch.Tensor, side: int) -> torch.Tensor:
    """Mean of the window around each pixel, not below a tenth of a photo-electron."""
    mean = torch.nn.functional.avg_pool2d(rest[:, None], side, stride=1, padding=side // 2, count_include_pad=False)
    return mean[:, 0].clamp_min(0.1)


def _summed(image: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
    """Sums of images (F, H, W) over windows, weighed by each kernel; (F, kernels, H, W); nothing outside the frame."""
    return torch.nn.functional.conv2d(image[:, None], kernels[:, None], padding=kernels.shape[-1] // 2)
