"""A Gaussian spot integrated over camera pixels; z is ignored.

mu = photons * E_x * E_y with E_x(i) = [erf(u+ / (sqrt(2) sigma)) - erf(u- / (sqrt(2) sigma))] / 2, where u are the
distances of the pixel's edges from the emitter.
Source: Smith et al. 2010, doi:10.1038/nmeth.1449.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch

from smlmbench.psf.contracts import BLOCK_VALUES, Canvas, Psf, Shapes, Spots, Stand, Window
from smlmbench.psf.draws import drawn, largest_of, mean_of

CARD = {
    "version": 1,
    "summary": "Two-dimensional Gaussian integrated over pixels",
    "settings": {
        "sigma_nm": {
            "default": 130.0,
            "min": 20.0,
            "max": 1000.0,
            "ranged": True,
            "help": "Standard deviation; a range is drawn per emitter",
        },
    },
    "paper": (
        "Smith et al. 2010, Fast, single-molecule localization that achieves theoretically minimum uncertainty. "
        "Nature Methods"
    ),
    "doi": "10.1038/nmeth.1449",
}

REACH = 4.5  # in sigma: 7e-6 of the light lies beyond it on each axis


class Gaussian(Psf):
    """The PSF with its width."""

    def __init__(self, sigma_nm: float | Mapping[str, Any]) -> None:
        self._sigma_nm = sigma_nm

    @property
    def sigma_nm(self) -> float:
        """Mean width."""
        return mean_of(self._sigma_nm)

    @property
    def reach_nm(self) -> float:
        """4.5 times the largest width."""
        return REACH * largest_of(self._sigma_nm)

    def shapes(self, n: int, generator: Any) -> dict[str, torch.Tensor]:
        """A width per emitter."""
        return {"sigma_nm": drawn(self._sigma_nm, n, generator)}

    def light(self, stand: Stand, shapes: Shapes, window: Window) -> torch.Tensor:
        """The product of both axes."""
        along_x, along_y = (share(at, shapes["sigma_nm"], window) for at in (stand.x_nm, stand.y_nm))
        return (along_y[:, :, None] * along_x[:, None, :])[:, None]

    def slopes(self, stand: Stand, shapes: Shapes, window: Window) -> tuple[torch.Tensor, torch.Tensor]:
        """By the product of both axes, several times as fast; 0 along z."""
        sigma_nm = shapes["sigma_nm"]
        (x, by_x), (y, by_y) = (
            (share(at, sigma_nm, window), share_slope(at, sigma_nm, window)) for at in (stand.x_nm, stand.y_nm)
        )
        light, along_x, along_y = (
            down[:, :, None] * across[:, None, :] for down, across in ((y, x), (y, by_x), (by_y, x))
        )
        return light[:, None], torch.stack([along_x, along_y, torch.zeros_like(light)], dim=1)[:, :, None]

    def render(self, spots: Spots, shapes: Shapes, canvas: Canvas) -> torch.Tensor:
        """Sum all spots, each on a window of at least 4.5 sigma around it: within 1e-4 of the peak of the whole sum."""
        image = torch.zeros(canvas.n_frames * canvas.height * canvas.width, dtype=canvas.dtype)
        if len(spots) == 0:
            return image.view(canvas.n_frames, canvas.height, canvas.width)
        half = math.ceil(REACH * float(shapes["sigma_nm"].max()) / canvas.pixel_size_nm)
        block = max(1, BLOCK_VALUES // (2 * half + 1) ** 2)
        for start in range(0, len(spots), block):
            rows = slice(start, start + block)
            sigma_px = shapes["sigma_nm"][rows] / canvas.pixel_size_nm
            x_px, y_px = (at[rows] / canvas.pixel_size_nm for at in (spots.x_nm, spots.y_nm))
            columns, along_x = _axis(x_px, sigma_px, half, canvas.width, canvas.dtype)
            lines, along_y = _axis(y_px, sigma_px, half, canvas.height, canvas.dtype)
            lines = (spots.sample[rows, None] * canvas.height + lines) * canvas.width
            light = (along_y * spots.photons[rows, None].to(canvas.dtype))[:, :, None] * along_x[:, None, :]
            image.scatter_add_(0, (lines[:, :, None] + columns[:, None, :]).view(-1), light.view(-1))
        return image.view(canvas.n_frames, canvas.height, canvas.width)


def share(place_nm: torch.Tensor, sigma_nm: torch.Tensor, window: Window) -> torch.Tensor:
    """Share of the light in each pixel along one axis of a window, (n, side) in the type of the places."""
    edges = torch.arange(window.side_px + 1, dtype=place_nm.dtype) * window.pixel_size_nm
    return torch.erf((edges - place_nm[:, None]) / (math.sqrt(2) * sigma_nm)[:, None]).diff(dim=1) / 2


def share_slope(place_nm: torch.Tensor, sigma_nm: torch.Tensor, window: Window) -> torch.Tensor:
    """Derivative of `share` by the place, (n, side) per nm."""
    edges = torch.arange(window.side_px + 1, dtype=place_nm.dtype) * window.pixel_size_nm
    scaled = (edges - place_nm[:, None]) / sigma_nm[:, None]
    return -(torch.exp(-(scaled**2) / 2) / (math.sqrt(2 * math.pi) * sigma_nm)[:, None]).diff(dim=1)


def _axis(
    place_px: torch.Tensor, sigma_px: torch.Tensor, half: int, size: int, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixel numbers (n, 2 half + 1) and the share of light in each; pixels outside the frame get none."""
    centre = place_px.floor()
    steps = torch.arange(-half, half + 2)
    # relative to the window, so that float32 keeps its precision far from the corner
    edges = (steps - (place_px - centre)[:, None]) / (math.sqrt(2) * sigma_px)[:, None]
    light = torch.erf(edges.to(dtype)).diff(dim=1) / 2
    pixels = centre.long()[:, None] + steps[:-1]
    light = light * ((pixels >= 0) & (pixels < size))
    return pixels.clamp(0, size - 1), light


def build(settings: Mapping[str, Any]) -> Gaussian:
    """Build it from filled settings."""
    return Gaussian(settings["sigma_nm"])
