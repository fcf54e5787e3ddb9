"""Light that is not the emitters': flat, sloped, as gradient noise, as haze from far out of focus; and hot pixels.

Gradient noise: Perlin 1985, doi:10.1145/325334.325247, with the smooth step 6 t^5 - 15 t^4 + 10 t^3.
"""

import math

import torch

from smlmbench.simulate.chance import Chance
from smlmbench.study.sources.scenes import Haze, OutOfFocus, Perlin, Slope

HOT_SIGMAS = (5.0, 30.0)
HAZE_REACH = 4.0  # in sigma
STRONGEST = math.sqrt(0.5)  # of gradient noise with gradients of length 1


def structured(
    haze: Haze | None, level: torch.Tensor, size: int, pixel_size_nm: float, chance: Chance
) -> torch.Tensor | None:
    """Background per pixel (F, size, size) float64 of frames with mean levels (F,); None where every frame is flat."""
    if haze is None:
        return None
    flat = level[:, None, None]
    match haze:
        case Slope():
            return flat * sloped(len(level), size, haze.change, chance)
        case Perlin():
            return flat * (1 + haze.change * _noise(haze, len(level), size, pixel_size_nm, chance))
    return flat + _blurred(haze, len(level), size, pixel_size_nm, chance)


def sloped(n: int, size: int, change: float, chance: Chance, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Planes (n, size, size) of mean 1 from 1 - change to 1 + change, each in a random direction."""
    angle = chance.uniform(n, 1, 1, dtype=dtype) * 2 * math.pi
    axis = (torch.arange(size) + 0.5) / size * 2 - 1
    along = angle.cos() * axis[None, None, :] + angle.sin() * axis[None, :, None]
    return 1 + change * along / (angle.cos().abs() + angle.sin().abs())


def hot_pixels(background: torch.Tensor, share: float, chance: Chance) -> torch.Tensor:
    """Photo-electrons that hot pixels add to every frame (F, H, W) of a background (F, 1, 1) or (F, H, W).

    The same pixels, on average a share of all, are hot in all frames: 5 to 30 standard deviations of the background.
    """
    size = background.shape[-1]
    low, high = HOT_SIGMAS
    hot = chance.uniform(size, size) < share
    sigmas = low + (high - low) * chance.uniform(size, size)
    return hot * sigmas * background.mean(dim=(1, 2), keepdim=True).clamp_min(1.0).sqrt()


def _noise(perlin: Perlin, n: int, size: int, pixel_size_nm: float, chance: Chance) -> torch.Tensor:
    """Gradient noise (n, size, size) within -1 .. 1, of mean 0 over frames."""
    total, weights = torch.zeros(n, size, size, dtype=torch.float64), 0.0
    for octave in range(perlin.octaves):
        weight = 0.5**octave
        at = (torch.arange(size, dtype=torch.float64) + 0.5) * pixel_size_nm / (1000 * perlin.cell_um * weight)
        cells = int(at[-1]) + 3
        angle = chance.uniform(n, cells, cells) * 2 * math.pi
        # where the lattice stands is random, too: its nodes are zeros of the noise
        shift = chance.uniform(n, 2)
        total += weight * _octave(at, angle, shift)
        weights += weight
    return total / (STRONGEST * weights)


def _octave(at: torch.Tensor, angle: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    n = len(angle)
    y, x = (at + shift[:, axis, None] for axis in (0, 1))
    low_y, low_x = y.long(), x.long()
    frame = torch.arange(n)[:, None, None]
    step_y, step_x = _smooth(y - low_y)[:, :, None], _smooth(x - low_x)[:, None, :]
    corners = []
    for down in (0, 1):
        for right in (0, 1):
            turned = angle[frame, (low_y + down)[:, :, None], (low_x + right)[:, None, :]]
            away_y, away_x = (y - low_y - down)[:, :, None], (x - low_x - right)[:, None, :]
            corners.append(turned.sin() * away_y + turned.cos() * away_x)
    above = corners[0] + step_x * (corners[1] - corners[0])
    below = corners[2] + step_x * (corners[3] - corners[2])
    return above + step_y * (below - above)


def _smooth(t: torch.Tensor) -> torch.Tensor:
    return t * t * t * (t * (t * 6 - 15) + 10)


def _blurred(haze: OutOfFocus, n: int, size: int, pixel_size_nm: float, chance: Chance) -> torch.Tensor:
    sigma_px = haze.sigma_um * 1000 / pixel_size_nm
    reach = HAZE_REACH * sigma_px
    side = size + 2 * reach
    mean = haze.density_per_um2 * (side * pixel_size_nm / 1000) ** 2
    frame = torch.repeat_interleave(chance.poisson(torch.full((n,), mean, dtype=torch.float64)).long())
    x, y = chance.uniform(2, len(frame)) * side - reach
    edges = torch.arange(size + 1, dtype=torch.float64)
    along_x, along_y = (
        torch.erf((edges - place[:, None]) / (sigma_px * math.sqrt(2))).diff(dim=1) / 2 for place in (x, y)
    )
    found = torch.zeros(n, size, size, dtype=torch.float64)
    begins = torch.searchsorted(frame, torch.arange(n + 1))
    for number in range(n):
        rows = slice(int(begins[number]), int(begins[number + 1]))
        found[number] = along_y[rows].T @ along_x[rows]
    return haze.photons * found
