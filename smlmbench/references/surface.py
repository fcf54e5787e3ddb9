"""A smooth background of each frame: planes fitted around every place to what emitters leave.

Local linear regression (Cleveland 1979, doi:10.1080/01621459.1979.10481038) with Gaussian weights; planes come back as
they are, up to the borders. Pixels are summed in cells first, and the cells' levels are interpolated.
"""

import torch

WIDE = 5.0  # in sigma of the PSF: standard deviation of the weights
CELL = 3.0  # in sigma: side of a cell
RIDGE = 1e-6  # of the whole weight: where all of it lies on one line


class Surface:
    """Surfaces on frames of one size (height, width)."""

    def __init__(self, height: int, width: int, sigma_px: float, device: torch.device) -> None:
        side = max(1, round(CELL * sigma_px))
        axes = [_axis(size, side, WIDE * sigma_px / side) for size in (height, width)]
        self._sums, self._moments, self._between = zip(
            *([each.to(device) for each in axis] for axis in axes), strict=True
        )

    def fitted(self, values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Surfaces through values (F, H, W), weighted each."""
        down, across = self._sums
        weight, weighed = (down @ each.double() @ across.T for each in (weights, weights * values))

        def moment(cells: torch.Tensor, along_y: int, along_x: int) -> torch.Tensor:
            return self._moments[0][along_y] @ cells @ self._moments[1][along_x].T

        one, y, x = moment(weight, 0, 0).clamp_min(1e-30), moment(weight, 1, 0), moment(weight, 0, 1)
        yy, xx = (moment(weight, *power) + RIDGE * one for power in ((2, 0), (0, 2)))
        xy = moment(weight, 1, 1)
        minors = yy * xx - xy**2, x * xy - y * xx, y * xy - x * yy
        told = (moment(weighed, *power) for power in ((0, 0), (1, 0), (0, 1)))
        whole, by_y, by_x = minors
        level = whole * next(told) + by_y * next(told) + by_x * next(told)
        level = level / (one * whole + y * by_y + x * by_x)
        found: torch.Tensor = (self._between[0] @ level @ self._between[1].T).to(values.dtype)
        return found


def _axis(size: int, side: int, wide: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of one axis: sums in cells (cells, size), moments around them (3, cells, cells), interpolation (size, cells).

    Weights have the standard deviation `wide` in cells.
    """
    count = -(-size // side)
    pixel = torch.arange(size)
    sums = (pixel // side == torch.arange(count)[:, None]).double()
    middle = (sums @ pixel.double()) / sums.sum(dim=1)
    away = (middle[None] - middle[:, None]) / side
    moments = torch.stack([away**power * torch.exp(-((away / wide) ** 2) / 2) for power in range(3)])
    between = torch.zeros(size, count, dtype=torch.float64)
    if count == 1:
        return sums, moments, between + 1
    left = (torch.searchsorted(middle, pixel.double()) - 1).clamp(0, count - 2)
    share = (pixel - middle[left]) / (middle[left + 1] - middle[left])
    between[pixel, left], between[pixel, left + 1] = 1 - share, share
    return sums, moments, between
