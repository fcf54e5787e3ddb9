"""Joint maximum-likelihood fits of several emitters in one window, many windows at once, on any device.

mu = known + sum_k N_k E_k, with E the pixel-integrated Gaussian (Smith et al. 2010, doi:10.1038/nmeth.1449) and `known`
the light of whatever is held fixed. The likelihood is that of Poisson numbers shifted by the read noise and scaled by
the excess of a register (Huang et al. 2013, doi:10.1038/nmeth.2488). Method: Fisher scoring, damped per window; windows
that have settled drop out.
"""

import math
from dataclasses import dataclass

import torch

ROUNDS = 30
SETTLED = 0.01  # of the deviance
DAMPING = (1e-3, 1e-6, 1e6)
STEP_PX = 1.0  # that a position moves at most in one round
LEAST = 0.1  # photo-electrons that an emitter has at least, and what a pixel expects at least, read noise counted
AT_ONCE = {"cpu": 2**19, "other": 2**25}  # values of derivatives
X, Y, PHOTONS = range(3)


@dataclass(frozen=True, slots=True)
class Windows:
    """Square windows of frames in photo-electrons, (n, side, side) each.

    Attributes:
        seen: What was read, with `noise.added / noise.excess` of each pixel added to it.
        known: What is expected of everything that is not fitted, with the same added.
        trust: 1 / `noise.excess`; 0 outside the frame.
    """

    seen: torch.Tensor
    known: torch.Tensor
    trust: torch.Tensor

    def __len__(self) -> int:
        return len(self.seen)

    @property
    def side(self) -> int:
        """In pixels."""
        return int(self.seen.shape[-1])

    def rows(self, chosen: torch.Tensor | slice) -> "Windows":
        """Some of them."""
        return Windows(self.seen[chosen], self.known[chosen], self.trust[chosen])


@dataclass(frozen=True, slots=True)
class Fitted:
    """One joint fit per window.

    Attributes:
        values: x and y in pixels from the outer corner of the window and photons, (n, k, 3).
        lost: -2 log likelihood, but for what no parameter changes, (n,).
    """

    values: torch.Tensor
    lost: torch.Tensor


def fit(windows: Windows, start: torch.Tensor, sigma_px: float, rounds: int = ROUNDS) -> Fitted:
    """Fit k emitters to each window from a start (n, k, 3); of width `sigma_px`, which stays."""
    values, lost = start.clone(), start.new_zeros(len(start))
    for rows in _chunks(start, windows.side):
        values[rows], lost[rows] = _fit(windows.rows(rows), start[rows], sigma_px, rounds)
    return Fitted(values, lost)


def lost(windows: Windows, values: torch.Tensor, sigma_px: float) -> torch.Tensor:
    """-2 log likelihood (n,) of emitters (n, k, 3) as they are."""
    found = values.new_zeros(len(values))
    for rows in _chunks(values, windows.side):
        part = windows.rows(rows)
        found[rows] = _lost(part, mean(part, values[rows], sigma_px))
    return found


def variances(windows: Windows, values: torch.Tensor, sigma_px: float) -> torch.Tensor:
    """Bounds of x, y and photons of each emitter beside the others of its window (n, k, 3), squared."""
    found = torch.empty_like(values)
    for rows in _chunks(values, windows.side):
        part = windows.rows(rows)
        model, slopes = _slopes(part, values[rows], sigma_px)
        normal, _ = _normal(part, model, slopes)
        scale = normal.diagonal(dim1=1, dim2=2).clamp_min(1e-12).rsqrt()
        scaled = normal * scale[:, :, None] * scale[:, None, :]
        scaled.diagonal(dim1=1, dim2=2).copy_(torch.full_like(scale, 1 + 1e-5))
        inverse = torch.linalg.inv(scaled).diagonal(dim1=1, dim2=2) * scale**2
        found[rows] = inverse.view(len(model), -1, 3)
    return found


def shares(place: torch.Tensor, side: int, sigma_px: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Share of the light in each of `side` pixels along one axis (..., side), and its slope by the place (...)."""
    scaled = (torch.arange(side + 1, dtype=place.dtype, device=place.device) - place[..., None]) / sigma_px
    below = torch.erf(scaled * math.sqrt(0.5)) / 2
    bell = torch.exp(-(scaled**2) / 2) / (sigma_px * math.sqrt(2 * math.pi))
    return below.diff(dim=-1), -bell.diff(dim=-1)


def light(values: torch.Tensor, side: int, sigma_px: float) -> torch.Tensor:
    """Light of all emitters of a window together, (n, side, side)."""
    across, down = (shares(values[..., at], side, sigma_px)[0] for at in (X, Y))
    return (down * values[..., PHOTONS, None]).transpose(1, 2) @ across


def mean(windows: Windows, values: torch.Tensor, sigma_px: float) -> torch.Tensor:
    """What windows expect, read noise added, (n, side, side)."""
    return (windows.known + light(values, windows.side, sigma_px)).clamp_min(LEAST)


def _chunks(values: torch.Tensor, side: int) -> list[slice]:
    room = AT_ONCE["cpu" if values.device.type == "cpu" else "other"]
    each = max(1, room // (3 * max(1, values.shape[1]) * side**2))
    return [slice(first, first + each) for first in range(0, len(values), each)]


def _fit(windows: Windows, start: torch.Tensor, sigma_px: float, rounds: int) -> tuple[torch.Tensor, torch.Tensor]:
    values = start.clone()
    losses = _lost(windows, mean(windows, values, sigma_px))
    damping = torch.full_like(losses, DAMPING[0])
    rows, part = torch.arange(len(values), device=values.device), windows
    for _ in range(rounds):
        trial = values[rows] + _step(part, values[rows], damping[rows], sigma_px)
        trial[..., PHOTONS].clamp_(min=LEAST)
        after = _lost(part, mean(part, trial, sigma_px))
        gained = losses[rows] - after
        better = gained >= 0
        taken = rows[better]
        values[taken], losses[taken] = trial[better], after[better]
        damping[rows] = (damping[rows] * torch.where(better, 0.2, 10.0)).clamp(*DAMPING[1:])
        open_ = (better & (gained > SETTLED)) | (~better & (damping[rows] < DAMPING[2]))
        rows = rows[open_]
        if not len(rows):
            break
        part = part.rows(open_)
    return values, losses


def _lost(windows: Windows, model: torch.Tensor) -> torch.Tensor:
    # less what `seen` itself loses, so that sums of single precision stay exact
    seen = windows.seen
    apart = model - seen - seen * (model / seen.clamp_min(LEAST)).log()
    return 2 * (windows.trust * apart).sum(dim=(1, 2))


def _slopes(windows: Windows, values: torch.Tensor, sigma_px: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Expected pixels (n, side, side) and derivatives (n, 3 k, side * side)."""
    (across, by_x), (down, by_y) = (shares(values[..., at], windows.side, sigma_px) for at in (X, Y))
    photons = values[..., PHOTONS, None]
    along_y = torch.stack([down * photons, by_y * photons, down], dim=2)
    along_x = torch.stack([by_x, across, across], dim=2)
    slopes = along_y[..., :, None] * along_x[..., None, :]
    model = windows.known + (along_y[:, :, 0].transpose(1, 2) @ across)
    return model.clamp_min(LEAST), slopes.view(len(values), -1, windows.side**2)


def _normal(windows: Windows, model: torch.Tensor, slopes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Fisher matrix (n, 3 k, 3 k) and gradient (n, 3 k)."""
    weight = windows.trust / model
    weighed = slopes * weight.view(len(model), 1, -1)
    gradient = weighed @ (windows.seen - model).view(len(model), -1, 1)
    return weighed @ slopes.transpose(1, 2), gradient[:, :, 0]


def _step(windows: Windows, values: torch.Tensor, damping: torch.Tensor, sigma_px: float) -> torch.Tensor:
    """Damped step of Fisher scoring (n, k, 3)."""
    model, slopes = _slopes(windows, values, sigma_px)
    normal, gradient = _normal(windows, model, slopes)
    scale = normal.diagonal(dim1=1, dim2=2).clamp_min(1e-12).rsqrt()
    scaled = normal * scale[:, :, None] * scale[:, None, :]
    scaled.diagonal(dim1=1, dim2=2).copy_((1 + damping)[:, None].expand_as(scale))
    step = torch.linalg.solve(scaled, gradient * scale) * scale
    step = step.view(values.shape)
    longest = step[..., :PHOTONS].abs().amax(dim=(1, 2), keepdim=True)
    held: torch.Tensor = step * (STEP_PX / longest.clamp_min(STEP_PX))
    return held
