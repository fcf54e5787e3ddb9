"""Phase in a pupil from a z-stack of a bead, by gradient descent on its image.

First aberrations by Zernike polynomials from each of several starts, then, from the best, a free phase in every cell.
The brightness of every plane is the one of least squares. Pixels that are 0 because they were below a threshold, as in
frames whose background was taken away, only say that the model must lie below it. Source of the approach: Ferdman et
al. 2020, doi:10.1364/OE.388248 (pixel-wise phase retrieval through a differentiable pupil).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from smlmbench.optics.imaging import Pixels, image
from smlmbench.optics.pupil import Pupil
from smlmbench.optics.zernike import polynomial

MODES = tuple(range(2, 37))  # Noll's indices
FIRST_RATE, FREE_RATE = 0.1, 0.02  # radians in a step, and the blur in
BLUR_NM = 100.0
NOISE = 0.02  # of the brightest pixel: what a dark pixel is trusted to

Blur = float | torch.Tensor
Fields = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # of depths and a phase, (n, m, side, side)


@dataclass(frozen=True, slots=True)
class Stack:
    """Frames (n, rows, columns) of one bead at depths (n,) nm, pixels in nm, and the value below which they are 0."""

    frames: torch.Tensor
    z_nm: torch.Tensor
    pixel_size_nm: float
    threshold: float = 0.0

    def part(self, rows: slice) -> "Stack":
        """Some of its planes."""
        return Stack(self.frames[rows], self.z_nm[rows], self.pixel_size_nm, self.threshold)


@dataclass(frozen=True, slots=True)
class Retrieved:
    """Phase (side, side) in radians, a blur, and the residual: what is left of the light, 0 at best."""

    phase: torch.Tensor
    blur_nm: float
    residual: float


def model(fields: Fields, pupil: Pupil, stack: Stack, phase: torch.Tensor, blur_nm: Blur) -> torch.Tensor:
    """Frames of a stack behind a phase, each as bright as its plane, without threshold; (n, rows, columns)."""
    rows, columns = (_centred(size, stack.pixel_size_nm) for size in stack.frames.shape[1:])
    pixels = Pixels(columns, rows, stack.pixel_size_nm, blur_nm)
    light = image(fields(stack.z_nm, phase), pupil.period_nm).at(pixels)
    seen = light * (stack.frames > 0)
    bright = (seen * stack.frames).sum(dim=(1, 2)) / (seen**2).sum(dim=(1, 2))
    return light * bright[:, None, None]


def retrieve(
    fields: Fields,
    pupil: Pupil,
    stack: Stack,
    starts: Sequence[dict[int, float]],
    *,
    steps: tuple[int, int] = (60, 120),
    blur_nm: float = 80.0,
) -> Retrieved:
    """Fit a phase and a blur.

    Args:
        fields: Optics, such as `Scalar.fields`.
        pupil: Their pupil.
        stack: What to fit.
        starts: Aberrations to start from, radians rms by Noll's index.
        steps: Of the first stage from every start, and of the second.
        blur_nm: Standard deviation of the Gaussian blur to start from.
    """
    radius = pupil.radius.clamp(max=1.0)
    modes = torch.stack([polynomial(index, radius, pupil.angle) for index in MODES])

    def loss(phase: torch.Tensor, blur: torch.Tensor) -> torch.Tensor:
        return _misfit(model(fields, pupil, stack, phase, blur * BLUR_NM), stack)

    def of_modes(shares: torch.Tensor, blur: torch.Tensor) -> torch.Tensor:
        return loss(torch.einsum("k,kyx->yx", shares, modes), blur)

    found, blur = [], torch.tensor(blur_nm / BLUR_NM, dtype=torch.float64)
    for start in starts:
        first = torch.tensor([start.get(index, 0.0) for index in MODES], dtype=torch.float64)
        found.append(_descend(of_modes, [first, blur], steps[0], FIRST_RATE))
    (shares, blur), _ = min(found, key=lambda one: one[1])
    (phase, blur), left = _descend(loss, [torch.einsum("k,kyx->yx", shares, modes), blur], steps[1], FREE_RATE)
    return Retrieved(phase, abs(float(blur)) * BLUR_NM, left)


def _misfit(expected: torch.Tensor, stack: Stack) -> torch.Tensor:
    """Squares of differences over their expected variances, as a share of those of dark frames."""
    dark = stack.frames <= 0
    far = torch.where(dark, (expected - stack.threshold).clamp(min=0), expected - stack.frames)
    scale = stack.frames + NOISE * stack.frames.amax(dim=(1, 2), keepdim=True)
    return (far**2 / scale).sum() / (stack.frames**2 / scale).sum()


def _descend(
    loss: Callable[..., torch.Tensor], start: Sequence[torch.Tensor], steps: int, rate: float
) -> tuple[list[torch.Tensor], float]:
    places = [one.clone().requires_grad_() for one in start]
    adam = torch.optim.Adam(places, lr=rate)
    best, least = list(start), float("inf")
    for _ in range(steps):
        adam.zero_grad()
        value = loss(*places)
        if float(value.detach()) < least:
            best, least = [one.detach().clone() for one in places], float(value.detach())
        value.backward()  # type: ignore[no-untyped-call]
        adam.step()
    return best, least


def _centred(size: int, pixel_size_nm: float) -> torch.Tensor:
    return (torch.arange(size, dtype=torch.float64) - (size - 1) / 2) * pixel_size_nm
