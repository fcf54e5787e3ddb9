"""Sparse nonnegative images on a fine grid whose blurred sum explains frames: least squares with the CEL0 penalty.

With A the light of a Gaussian spot in camera pixels, b a smooth background and w the inverse variance of pixels:

    minimise 1/2 sum w (x - b - A u)^2 + sum_i phi(u_i), u >= 0,
    phi(u) = l - (a_i^2 / 2) (u - sqrt(2 l) / a_i)^2 up to u = sqrt(2 l) / a_i and l above, a_i^2 = sum_k w_k A_ki^2.

phi is the tightest continuous function below l |u|_0 that keeps its minima (Soubies et al. 2015, doi:10.1137/151003714;
for microscopy Gazagnes et al. 2017, doi:10.1109/ISBI.2017.7950460). A spot lowers half of chi^2 by z^2 / 2 where it
stands z standard deviations out of the noise, so l = z^2 / 2 is a false-alarm level. Solved by reweighted l1, each by
FISTA (Beck and Teboulle 2009, doi:10.1137/080716542) with a step of its own for each place.
"""

import math
from dataclasses import dataclass

import torch

from smlmbench.camera import Noise

OUTSIDE_PX = 2  # of the fine grid around the frame: light comes in from there
FIRST, ROUNDS, EACH = 60, 5, 60  # steps of l1, reweightings and the steps after each
EVERY = 5  # steps after which the background follows
DARKEST = 0.05  # photo-electrons
AROUND, FAINTEST = 2, 1e-6  # fine places to each side of a cluster's middle


@dataclass(frozen=True, slots=True)
class Deconvolved:
    """Photons on the fine grid (n, U * (h + 4), U * (w + 4)), and the background (n, h, w); float32."""

    light: torch.Tensor
    background: torch.Tensor


@dataclass(frozen=True, slots=True)
class Clusters:
    """Light that stands together, (n,) each: frame, centroid in camera pixels from the outer corner, photons."""

    frame: torch.Tensor
    x_px: torch.Tensor
    y_px: torch.Tensor
    photons: torch.Tensor


class Blur:
    """The light of places of a fine grid in h x w camera pixels, two of them added on each side."""

    def __init__(self, height: int, width: int, sigma_px: float, upsampling: int) -> None:
        self.down, self.across = (_shares(side, sigma_px, upsampling) for side in (height, width))

    def __call__(self, light: torch.Tensor) -> torch.Tensor:
        """Pixels (n, h, w)."""
        return self.down @ light @ self.across.T

    def back(self, pixels: torch.Tensor) -> torch.Tensor:
        """The transpose."""
        return self.down.T @ pixels @ self.across

    def squared_back(self, pixels: torch.Tensor) -> torch.Tensor:
        """The same with squared shares."""
        return (self.down**2).T @ pixels @ self.across**2


def _shares(side: int, sigma_px: float, upsampling: int) -> torch.Tensor:
    """Along one axis (side, fine)."""
    count = upsampling * (side + 2 * OUTSIDE_PX)
    place = (torch.arange(count, dtype=torch.float64) + 0.5) / upsampling - OUTSIDE_PX
    edges = torch.arange(side + 1, dtype=torch.float64)[:, None]
    return (torch.erf((edges - place) / (math.sqrt(2) * sigma_px)).diff(dim=0) / 2).float()


def deconvolve(frames: torch.Tensor, added: torch.Tensor, noise: Noise, blur: Blur, significance: float) -> Deconvolved:
    """Explain frames (n, h, w) in photo-electrons, whose read noise has variances (h, w), each alone."""
    smooth = _Smooth(*frames.shape[1:])
    near = torch.nn.functional.avg_pool2d(frames[:, None], 5, stride=1, padding=2, count_include_pad=False)[:, 0]
    weights = 1 / _variance(near, added, noise)
    light = torch.zeros(len(frames), blur.down.shape[1], blur.across.shape[1])
    background = smooth.fit(frames, weights)
    for number in range(ROUNDS + 1):
        norm = blur.squared_back(weights).sqrt()
        penalty = (norm * significance - norm**2 * light).clamp_min(0)
        light, background = _fista(
            frames, weights, (light, background), penalty, (blur, smooth), EACH if number else FIRST
        )
        weights = 1 / _variance(blur(light) + background, added, noise)
    return Deconvolved(light, background)


def _variance(mean: torch.Tensor, added: torch.Tensor, noise: Noise) -> torch.Tensor:
    return noise.excess * mean.clamp_min(DARKEST) + added


def _fista(
    frames: torch.Tensor,
    weights: torch.Tensor,
    start: tuple[torch.Tensor, torch.Tensor],
    penalty: torch.Tensor,
    model: tuple[Blur, "_Smooth"],
    steps: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Light and background after some steps of l1 with a penalty for each place."""
    (light, background), (blur, smooth) = start, model
    ones = blur(torch.ones_like(light[:1]))
    step = 1 / blur.back(weights * ones)  # no curvature is larger
    ahead, momentum = light, 1.0
    for number in range(steps):
        blurred = blur(ahead)
        if number % EVERY == 0:
            background = smooth.fit(frames - blurred, weights)
        slope = blur.back(weights * (blurred + background - frames))
        new = (ahead - step * (slope + penalty)).clamp_min_(0)
        further = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        ahead = new + (momentum - 1) / further * (new - light)
        light, momentum = new, further
    return light, smooth.fit(frames - blur(light), weights)


def clusters(light: torch.Tensor, upsampling: int) -> Clusters:
    """Local maxima of light (n, fine, fine) under a small pyramid, each with what lies around it on 5 x 5 places."""
    hill = light[:, None]
    for _ in range(2):
        hill = torch.nn.functional.avg_pool2d(hill, 3, stride=1, padding=1)
    peaks = (hill == torch.nn.functional.max_pool2d(hill, 2 * AROUND + 1, stride=1, padding=AROUND)) & (hill > 0)
    frame, _, row, column = peaks.nonzero(as_tuple=True)
    steps = torch.arange(-AROUND, AROUND + 1)
    padded = torch.nn.functional.pad(light, (AROUND,) * 4)
    lines, columns = (at[:, None] + AROUND + steps for at in (row, column))
    near = padded[frame[:, None, None], lines[:, :, None], columns[:, None, :]].double()
    photons = near.sum(dim=(1, 2))
    off_y, off_x = ((near.sum(dim=axis) * steps).sum(dim=1) / photons.clamp_min(FAINTEST) for axis in (2, 1))
    x_px, y_px = ((at + 0.5 + off) / upsampling - OUTSIDE_PX for at, off in ((column, off_x), (row, off_y)))
    return Clusters(frame, x_px, y_px, photons)


class _Smooth:
    """Surfaces of second degree on h x w pixels, fitted to frames."""

    def __init__(self, height: int, width: int) -> None:
        y, x = (2 * (torch.arange(side) + 0.5) / side - 1 for side in (height, width))
        y, x = torch.meshgrid(y, x, indexing="ij")
        self._basis = torch.stack([torch.ones_like(x), x, y, x * x, x * y, y * y]).view(6, -1)
        self._shape = (height, width)

    def fit(self, frames: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """The nearest, (n, h, w)."""
        flat = weights.reshape(len(frames), 1, -1) * self._basis
        normal = flat @ self._basis.T
        asked = (flat @ frames.reshape(len(frames), -1, 1))[:, :, 0]
        found: torch.Tensor = torch.linalg.solve(normal.double(), asked.double()).float() @ self._basis
        return found.view(-1, *self._shape)
