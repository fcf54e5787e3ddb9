"""Light in camera pixels from the fields in a pupil, exact for any pitch, differentiable in the fields and the places.

The pupil is a lattice of `side` cells over its diameter, so fields and intensity repeat after `period_nm` in the image;
the intensity is a finite Fourier series whose coefficients come from samples on 2 side x 2 side places without loss.
Integration over a pixel and a Gaussian blur are factors of these coefficients, and the series is summed at the asked
places by two matrix products (a matrix Fourier transform; Soummer et al. 2007, doi:10.1364/OE.15.015935).
"""

import math
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Pixels:
    """Square pixels centred at x_nm (columns,) and y_nm (rows,) from the optical axis, and the blur before them.

    Centres may differ from image to image, (..., columns) and (..., rows). Side 0: points, whose light is per square of
    1 nm.
    """

    x_nm: torch.Tensor
    y_nm: torch.Tensor
    side_nm: float
    blur_nm: float | torch.Tensor = 0.0


@dataclass(frozen=True, slots=True)
class Image:
    """What `side` x `side` fields in a pupil make of an emitter on the axis: light per cell, all cells together 1."""

    cells: torch.Tensor  # (..., 2 side, 2 side), the axis in cell [0, 0], repeating
    period_nm: float

    def at(self, pixels: Pixels) -> torch.Tensor:
        """Share of the light in each pixel, (..., rows, columns)."""
        twice, device = self.cells.shape[-1], self.cells.device
        high = torch.fft.fftfreq(twice, self.period_nm / twice, dtype=torch.float64, device=device)
        wide = high[: twice // 2 + 1].abs()
        series = torch.fft.rfft2(self.cells) * (_kept(high, pixels)[:, None] * _kept(wide, pixels))
        along_y = torch.exp(2j * math.pi * pixels.y_nm[..., None] * high)
        along_x = torch.exp(2j * math.pi * wide[:, None] * pixels.x_nm[..., None, :])
        half = torch.full((len(wide), 1), 2.0, dtype=torch.float64, device=device)  # the other half is its conjugate
        half[0] = 1.0
        share: torch.Tensor = ((along_y @ series) @ (half * along_x)).real / self.period_nm**2
        return share


def image(fields: torch.Tensor, period_nm: float) -> Image:
    """Add up the intensities of independent fields (..., n, side, side) in a pupil."""
    side = fields.shape[-1]
    there = torch.fft.ifft2(fields, s=(2 * side, 2 * side))
    cells = (there.real**2 + there.imag**2).sum(dim=-3)
    return Image(cells / cells.sum(dim=(-2, -1), keepdim=True), period_nm)


def _kept(frequency: torch.Tensor, pixels: Pixels) -> torch.Tensor:
    kept = torch.exp(-2 * (math.pi * pixels.blur_nm * frequency) ** 2)
    return kept * torch.sinc(frequency * pixels.side_nm) * (pixels.side_nm or 1.0)
