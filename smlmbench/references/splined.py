"""Any PSF with depth as a spline on small windows, and what its spots look like on pixels: what `spline_mle` fits.

Whatever the PSF is made of, its light on a window is tabulated at offsets and depths and interpolated by cubic splines,
which have exact derivatives and cost the same for every PSF (the cspline of Li et al. 2018, doi:10.1038/nmeth.4661).
"""

import math
from typing import Any

import numpy as np
import torch

from smlmbench.errors import ConfigError
from smlmbench.psf.contracts import Psf, Stand, Window
from smlmbench.psf.tabled import FINE, LEAST, Table, Tabled
from smlmbench.references.likelihood import Look, Model, Pixels, weighed

PITCH_NM = 25.0  # from plane to plane of depth, at most
HELD, MOST_LOST = 0.9, 1.06  # share of the light that a window holds, and standard deviation along z that it costs
SMALLEST_PX, LARGEST_PX = 7, 31  # sides of windows
PHOTONS, BACKGROUND = 1000.0, 10.0  # of an emitter by which windows are measured
BEYOND_PX = 3  # of the table around a window, so that spots may stand off its middle
DEPTHS = 9  # at which it is looked how far light goes
TRIED = 16  # emitters whose shapes are drawn to see whether they differ
PER_SPOT = 4  # parameters: x, y in camera pixels, z in nm, photons


class Splined(Tabled):
    """A PSF's light on windows of a side in camera pixels and a little beyond."""

    def __init__(self, optics: Psf, pixel_size_nm: float, side_px: int) -> None:
        super().__init__()
        if optics.depth_nm is None:
            raise ConfigError("this PSF is the same at every depth, which a spline along z needs; give one with depth")
        self._optics, self._pixel_nm, self._side = optics, pixel_size_nm, side_px + 2 * BEYOND_PX
        self.channels, self.depth_nm = optics.channels, optics.depth_nm

    @property
    def sigma_nm(self) -> float:
        """That of the PSF."""
        return self._optics.sigma_nm

    @property
    def reach_nm(self) -> float:
        """To the border of the table."""
        return self._side * self._pixel_nm / 2

    def side_px(self, pixel_size_nm: float) -> int:
        """Of the table."""
        del pixel_size_nm
        return self._side

    def tabulate(self, pixel_size_nm: float) -> Table:
        """The light at every offset of a quarter pixel and at planes that are at most 25 nm apart."""
        low, high = self.depth_nm or (0.0, 0.0)
        planes = max(LEAST, math.ceil((high - low) / PITCH_NM) + 1)
        z_nm, side = np.linspace(low, high, planes), self._side
        values = np.zeros((planes, self.channels, FINE * side, FINE * side))
        for down in range(FINE):
            for across in range(FINE):
                y, x = ((side + 1) / 2 - step / FINE for step in (down, across))
                light = lit(self._optics, (x * pixel_size_nm, y * pixel_size_nm), z_nm, Window(side, pixel_size_nm))
                values[:, :, down::FINE, across::FINE] = light.numpy()
        return Table(values, low, float(z_nm[1] - z_nm[0]))


def lit(optics: Psf, place_nm: tuple[float, float], z_nm: "np.ndarray[Any, Any]", window: Window) -> torch.Tensor:
    """Light (n, channels, side, side) of an emitter at one place of a window and several depths."""
    n = len(z_nm)
    x, y = (torch.full((n,), at, dtype=torch.float64) for at in place_nm)
    shapes = optics.shapes(n, torch.Generator().manual_seed(0))
    return optics.light(Stand(x, y, torch.from_numpy(np.asarray(z_nm, dtype=np.float64))), shapes, window)


def sides_for(optics: Psf, pixel_size_nm: float) -> tuple[int, int]:
    """Odd sides of windows in px, 7 to 31: one that holds most light, and one that tells nearly all about depth.

    The first holds nine tenths of the light at every depth, which serves to find emitters. In the second a background
    that is fitted too costs 6 % of the bound along z in the mean over depths (1000 photons on 10), which serves to fit.
    """
    low, high = optics.depth_nm or (0.0, 0.0)
    at = torch.full((DEPTHS,), LARGEST_PX / 2 * pixel_size_nm, dtype=torch.float64)
    stand = Stand(at, at, torch.linspace(low, high, DEPTHS, dtype=torch.float64))
    light, along = optics.slopes(stand, optics.shapes(DEPTHS, torch.Generator()), Window(LARGEST_PX, pixel_size_nm))
    slopes = torch.cat([along[:, :, 0] * PHOTONS, light, torch.ones_like(light)], dim=1)
    sides = range(SMALLEST_PX, LARGEST_PX + 1, 2)
    held, error_nm = [], []
    for side in sides:
        cut = slice((LARGEST_PX - side) // 2, (LARGEST_PX + side) // 2)
        own = slopes[..., cut, cut].flatten(2)
        weight = 1 / (PHOTONS * own[:, 3] + BACKGROUND)
        fisher = (own * weight[:, None]) @ own.transpose(1, 2)
        error_nm.append(float(torch.linalg.inv(fisher)[:, 2, 2].sqrt().mean()))
        held.append(float((own[:, 3].sum(dim=1) / light.flatten(1).sum(dim=1)).min()))
    most = error_nm[-1] * MOST_LOST
    first = next(side for side, share in zip(sides, held, strict=True) if share >= HELD or side == LARGEST_PX)
    return first, next(side for side, error in zip(sides, error_nm, strict=True) if error <= most)


def alike(optics: Psf) -> bool:
    """Whether all emitters have one shape."""
    shapes = optics.shapes(TRIED, torch.Generator().manual_seed(0))
    return not any(bool((values != values[:1]).any()) for values in shapes.values())


class Spots(Model):
    """`count` spots of a PSF on a constant background: x, y, z and photons of each, the background last."""

    def __init__(self, optics: Splined, pixel_size_nm: float, count: int) -> None:
        self._optics, self._pixel_nm, self._count = optics, pixel_size_nm, count

    def limits(self, side: int) -> tuple[list[float], list[float]]:
        """Places in the window, the depths of the PSF, some light, no negative background."""
        low, high = self._optics.depth_nm or (0.0, 0.0)
        least, most = [0.0, 0.0, low, 1e-3] * self._count, [side, side, high, math.inf] * self._count
        return [*least, 0.0], [*most, math.inf]

    def longest(self) -> list[float]:
        """A pixel for a place, a quarter of the depths."""
        low, high = self._optics.depth_nm or (0.0, 0.0)
        return [1.0, 1.0, (high - low) / 4, math.inf] * self._count + [math.inf]

    def look(self, at: torch.Tensor, pixels: Pixels) -> Look:
        """Sums over pixels of the splines' own slopes."""
        side, n = pixels.values.shape[0], at.shape[1]
        own = at[:-1].T.reshape(-1, PER_SPOT)
        stand = Stand(own[:, 0] * self._pixel_nm, own[:, 1] * self._pixel_nm, own[:, 2])
        light, along = self._optics.slopes(stand, {}, Window(side, self._pixel_nm))
        scale = torch.tensor([self._pixel_nm, self._pixel_nm, 1.0], dtype=at.dtype)
        slopes = torch.cat([along[:, :, 0] * (own[:, 3:] * scale)[..., None, None], light], dim=1)
        flat = slopes.view(n, self._count * PER_SPOT, side * side)
        photons = at[3:-1:PER_SPOT].T.unsqueeze(1)
        mean = (photons @ flat[:, 3::PER_SPOT])[:, 0] + at[-1][:, None]
        shown = mean.view(n, side, side).permute(1, 2, 0)
        misfit, weight, residual = weighed(pixels, shown)
        weight, residual = (each.permute(2, 0, 1).reshape(n, 1, -1) for each in (weight, residual))
        whole = torch.cat([flat, torch.ones_like(weight)], dim=1)
        information = (whole * weight) @ whole.transpose(1, 2)
        gradient = whole @ residual.transpose(1, 2)
        return Look(shown, misfit, gradient[..., 0].T, information.permute(1, 2, 0))
