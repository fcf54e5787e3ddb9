"""Where emitters may be: local maxima of a matched filter whose height noise alone reaches as rarely as is asked.

In the window around every pixel a PSF on a constant background is fitted by weighted least squares; both are linear, so
sums over the window tell the photons of the PSF and their standard error (the test of each pixel in Smith et al. 2015,
doi:10.1091/mbc.e15-06-0448). The weights are 1 / variance of pixels that expect the window's mean light. Noise makes a
normal field of the ratio; how many of its maxima are above a height follows from the field's roughness (Adler 1981, The
geometry of random fields; expected Euler characteristic).
"""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from scipy.optimize import brentq

LEAST_COUNT = 1.0  # photo-electrons that a window is expected to hold beside those that it does
WINDOW_SIGMAS = 2.3
NEAR = 1  # px: a maximum is the highest of the pixels around it
PIXELS_AT_ONCE = 2**16  # that stay in the cache


@dataclass(frozen=True, slots=True)
class Candidates:
    """Maxima, (n,) each, in the order of frames and lines.

    Attributes:
        frame, row, column: Which pixel.
        width: Which of the widths fits best there.
        significance: Photons over their standard error.
        photons, background: What least squares say of a PSF in the middle of that pixel.
    """

    frame: torch.Tensor
    row: torch.Tensor
    column: torch.Tensor
    width: torch.Tensor
    significance: torch.Tensor
    photons: torch.Tensor
    background: torch.Tensor

    def __len__(self) -> int:
        return len(self.frame)


@dataclass(frozen=True, slots=True)
class Response:
    """What the filter makes of frames, (F, H, W) each: photons of a PSF there, its background and significance."""

    photons: torch.Tensor
    background: torch.Tensor
    significance: torch.Tensor


def detect(
    frames: torch.Tensor,
    widths_px: list[tuple[float, float]],
    excess: torch.Tensor,
    added: torch.Tensor,
    height: float,
    known: torch.Tensor | None = None,
) -> Candidates:
    """The maxima of frames (F, H, W) above a height (`height_for`), some at a time; the rest as for `respond`.

    Of several widths the one that is most significant in a pixel counts there.
    """
    each = max(1, PIXELS_AT_ONCE // max(1, frames[:1].numel()))
    found: list[Candidates] = []
    for start in range(0, len(frames), each):
        part = slice(start, start + each)
        own, noise = (one[part] if len(one) > 1 else one for one in (excess, added))
        beside = None if known is None else known[part]
        seen = [respond(frames[part], width, own, noise, beside) for width in widths_px]
        some = maxima(seen, height)
        found.append(replace(some, frame=some.frame + start))
    return Candidates(*(torch.cat([getattr(some, name) for some in found]) for name in Candidates.__slots__))


def window_side(sigma_px: float) -> int:
    """Side of the window around a spot of this width: 7 px for 1.3 px."""
    return max(5, 2 * math.ceil(WINDOW_SIGMAS * sigma_px) + 1)


def respond(
    frames: torch.Tensor,
    sigma_px: tuple[float, float],
    excess: torch.Tensor | float,
    added: torch.Tensor,
    known: torch.Tensor | None = None,
) -> Response:
    """Fit a PSF of widths along x and y in every pixel of frames (F, H, W) in photo-electrons.

    `excess` and `added` make the variance excess * mean + added and broadcast against the frames; `known` is light that
    is expected already, as of emitters that were found: it is taken off, and counts in the variance.
    """
    side = window_side(max(sigma_px))
    rest = frames if known is None else frames - known
    bells = [_bell(sigma, side) for sigma in sigma_px]
    flat = [1.0] * side
    inside = torch.ones_like(frames[:1])
    level = (_along(rest, flat, flat) + LEAST_COUNT).clamp_min(LEAST_COUNT) / _along(inside, flat, flat)
    weight = 1 / (excess * (level if known is None else level + known) + added)
    squared = [[value * value for value in bell] for bell in bells]
    ones, ones_light, lights = _along(weight, flat, flat), _along(weight, *bells), _along(weight, *squared)
    weighed = weight * rest
    told, told_light = _along(weighed, flat, flat), _along(weighed, *bells)
    whole = ones * lights - ones_light * ones_light
    photons = (ones * told_light - ones_light * told) / whole
    background = (lights * told - ones_light * told_light) / whole
    return Response(photons, background, photons * (whole / ones).sqrt())


def maxima(seen: list[Response], height: float) -> Candidates:
    """Local maxima above a height of significance: of the photons, or of the significance where there are widths."""
    significance, width = torch.stack([one.significance for one in seen]).max(dim=0)
    image = seen[0].photons if len(seen) == 1 else significance
    padded = torch.nn.functional.pad(image, (NEAR,) * 4, value=-math.inf)
    tall, wide = image.shape[1:]
    top = significance > height
    for down in range(2 * NEAR + 1):
        for across in range(2 * NEAR + 1):
            if (down, across) != (NEAR, NEAR):
                other = padded[:, down : down + tall, across : across + wide]
                # of equal pixels the first is the maximum
                top &= image > other if (down, across) < (NEAR, NEAR) else image >= other
    frame, row, column = at = top.nonzero(as_tuple=True)
    best = width[at]
    photons, background = (
        torch.stack([getattr(one, name)[at] for one in seen]).gather(0, best[None])[0]
        for name in ("photons", "background")
    )
    return Candidates(frame, row, column, best, significance[at], photons, background)


def height_for(false_per_px: float, sigma_px: tuple[float, float]) -> float:
    """Height above which noise makes as many maxima per pixel of a frame as are asked, in standard deviations."""
    rough = roughness(sigma_px) * (2 * math.pi) ** -1.5
    top = math.log(rough / false_per_px)

    def excess(height: float) -> float:
        return top + math.log(height) - height**2 / 2

    return 1.0 if excess(1.0) <= 0 else float(brentq(excess, 1.0, 40.0))


def roughness(sigma_px: tuple[float, float]) -> float:
    """Root of the determinant of the covariance of the filtered field's slopes, over its variance, per px^2."""
    side = window_side(max(sigma_px))
    x, y = (torch.tensor(_bell(sigma, side), dtype=torch.float64) for sigma in sigma_px)
    kernel = torch.nn.functional.pad(y[:, None] * x[None] - (y.sum() * x.sum()) / side**2, (1, 1, 1, 1))
    total = kernel.square().sum()
    found = [float(2 * (1 - (kernel * kernel.roll(1, axis)).sum() / total)) for axis in (0, 1)]
    return math.sqrt(found[0] * found[1])


def _bell(sigma_px: float, side: int) -> list[float]:
    """Share of a Gaussian's light in each pixel along one axis, its place the middle."""
    edges = [(k - side / 2) / (sigma_px * math.sqrt(2)) for k in range(side + 1)]
    return [(math.erf(high) - math.erf(low)) / 2 for low, high in pairwise(edges)]


def _along(image: torch.Tensor, across: list[float], down: list[float]) -> torch.Tensor:
    """Sums (F, H, W) over windows, pixels weighed by a product of both axes; nothing lies outside the frame.

    Products and sums are taken one after the other: they give the same bits in every block of frames.
    """
    half, found = len(across) // 2, image
    for axis, factors in ((2, across), (1, down)):
        length = found.shape[axis]
        pad = (half, half) if axis == 2 else (0, 0, half, half)
        padded = torch.nn.functional.pad(found, pad)
        total = torch.zeros_like(found)
        for k, factor in enumerate(factors):
            part = padded.narrow(axis, k, length)
            total += part if factor == 1 else part * factor
        found = total
    return found
