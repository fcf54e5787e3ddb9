"""How many emitters: those are added, divided and removed that the penalised likelihood asks for.

What is left of a frame when its emitters are taken off shows where more are (Holden et al. 2011,
doi:10.1038/nmeth0411-279): maxima of a matched filter are new ones, the pattern of a second derivative is one emitter
that should be two. Each is tried by a joint fit with those around it and kept where twice the log likelihood rises by
more than `PENALTY`, 3 ln(pixels of a window) (Schwarz 1978; chosen among models in Huang et al. 2011,
doi:10.1364/BOE.2.001377).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from smlmbench.predictions import Ints
from smlmbench.references import joint
from smlmbench.references.crowded import REACH, TOGETHER, Crowd, apart, lone, nearest
from smlmbench.references.joint import PHOTONS, X, Y
from smlmbench.references.matched import height_for

BENT = 2.0  # standard deviations of a second derivative from which a division is tried
HALVES = 0.8  # in sigma: where the two halves start, from the middle
APART = 4.0  # in sigma: what is done at once lies farther from each other
CLOSE = 2.5  # in sigma: neighbours that may be one
UNSURE = 4.0  # times the penalty: emitters without close neighbours that may be none
UNSPIKED = 3.5  # standard deviations that remain without the strongest pixel
TRIES = 6  # rounds of a trial's fit


@dataclass(frozen=True, slots=True)
class Trial:
    """Emitters that take the place of others.

    Attributes:
        frame, middle: Where, (n,) and x, y (n, 2).
        fresh: The new ones (n, m, 3); m may be 0.
        old: Numbers of those that go, (n, 1) or (n, 0).
    """

    frame: torch.Tensor
    middle: torch.Tensor
    fresh: torch.Tensor
    old: torch.Tensor

    def rows(self, chosen: torch.Tensor) -> "Trial":
        """Some of them."""
        return Trial(self.frame[chosen], self.middle[chosen], self.fresh[chosen], self.old[chosen])


def grown(crowd: Crowd, total: torch.Tensor, false_per_px: float) -> torch.Tensor:
    """Add emitters where light is left; the numbers of the frames where that was done.

    One that overlaps no other must stand out as noise alone does only `false_per_px` times in a pixel.
    """
    alone = height_for(false_per_px, (crowd.sigma_px, crowd.sigma_px)) ** 2
    return _tried(crowd, total, _peaks(crowd, total), (max(alone, penalty(crowd)), penalty(crowd)))


def divided(crowd: Crowd, total: torch.Tensor) -> torch.Tensor:
    """Make two of emitters that are wider than one along some direction; the numbers of the frames."""
    return _tried(crowd, total, _bent(crowd, total), (penalty(crowd), penalty(crowd)))


def pruned(crowd: Crowd, total: torch.Tensor) -> torch.Tensor:
    """Remove emitters that others can replace; the numbers of the frames."""
    return _tried(crowd, total, _doubtful(crowd, total), (-penalty(crowd), -penalty(crowd)))


def penalty(crowd: Crowd) -> float:
    """Of one emitter more."""
    return 3 * math.log(crowd.pad**2)


def beside(crowd: Crowd, frame: torch.Tensor, middle: torch.Tensor, old: torch.Tensor, most: int) -> Ints:
    """The nearest emitters that overlap places x, y (n, 2) in frames (n,), without the `old` (n, 0 or 1) there.

    Returns:
        (n, most), the nearest first, -1 where there are no more.
    """
    around = apart(frame, middle, crowd.size[1], crowd.sigma_px)
    found = nearest(crowd.places(), around, REACH * crowd.sigma_px, most + 1)
    found[(found[:, :, None] == old.cpu().numpy()[:, None, :]).any(axis=2)] = -1
    return np.take_along_axis(found, (found < 0).argsort(axis=1, kind="stable"), axis=1)[:, :most]


def by_number(neighbours: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Rows of neighbours (n, most) with equally many, and those (m, k)."""
    counts = (neighbours >= 0).sum(axis=1)
    for count in np.unique(counts):
        rows = np.flatnonzero(counts == count)
        yield rows, neighbours[rows, :count]


def _tried(crowd: Crowd, total: torch.Tensor, trial: Trial, least: tuple[float, float]) -> torch.Tensor:
    """Fit each trial with its neighbours, and do those, far from each other, that gain more than is asked.

    `least` is asked without and with neighbours.
    """
    device, n = trial.frame.device, len(trial.frame)
    gain, done = np.full(n, -np.inf), []
    around = beside(crowd, trial.frame, trial.middle, trial.old, TOGETHER - trial.fresh.shape[1])
    for rows, near in by_number(around):
        here, those = (torch.as_tensor(each, device=device) for each in (rows, near))
        won, values = _fitted(crowd, total, trial.rows(here), those)
        gain[rows] = won.cpu().numpy() - least[near.shape[1] > 0]
        done.append((here, those, values))
    good = np.flatnonzero(gain > 0)
    places = apart(trial.frame, trial.middle, crowd.size[1], crowd.sigma_px)[good]
    chosen = torch.zeros(n, dtype=torch.bool, device=device)
    chosen[good[lone(places, gain[good], APART * crowd.sigma_px)]] = True
    _do(crowd, trial, chosen, done)
    return trial.frame[chosen]


def _fitted(crowd: Crowd, total: torch.Tensor, trial: Trial, near: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """How much less is lost (n,), and the emitters (n, m + k, 3) in the frame; fresh ones first."""
    corner = crowd.corners(trial.middle)
    free = crowd.values[near]
    leaving = torch.cat([crowd.values[trial.old], free], dim=1)
    windows, inner = crowd.windows(total, trial.frame, corner, leaving)
    before = joint.lost(windows, inner, crowd.sigma_px)
    start = torch.cat([trial.fresh, free], dim=1)
    if start.shape[1] == 0:
        return before - joint.lost(windows, start, crowd.sigma_px), start
    shift = torch.zeros(len(corner), 1, 3, dtype=start.dtype, device=start.device)
    shift[:, 0, :2] = corner[:, [1, 0]]
    found = joint.fit(windows, start - shift, crowd.sigma_px, TRIES)
    return before - found.lost, found.values + shift


def _do(
    crowd: Crowd, trial: Trial, chosen: torch.Tensor, done: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]
) -> None:
    """Put the chosen trials' emitters in place, those that were fitted with them too."""
    new = trial.fresh.shape[1]
    frames, fresh = [crowd.frame[:0]], [crowd.values[:0]]
    for rows, those, values in done:
        some = chosen[rows]
        crowd.values[those[some]] = values[some, new:]
        frames.append(trial.frame[rows[some]].repeat_interleave(new))
        fresh.append(values[some, :new].reshape(-1, 3))
    stay = torch.ones(len(crowd), dtype=torch.bool, device=chosen.device)
    stay[trial.old[chosen].reshape(-1)] = False
    crowd.exchange(stay, torch.cat(frames), torch.cat(fresh))


def kernel(sigma_px: float) -> torch.Tensor:
    """Light of an emitter in the middle of a pixel, along one axis."""
    half = math.ceil(REACH * sigma_px)
    return joint.shares(torch.tensor([half + 0.5]), 2 * half + 1, sigma_px)[0][0]


def _filtered(images: torch.Tensor, along: torch.Tensor) -> torch.Tensor:
    """Sums of images (F, H, W) over a window whose weights are a product."""
    half = len(along) // 2
    down = functional.conv2d(images[:, None], along.view(1, 1, -1, 1), padding=(half, 0))
    return functional.conv2d(down, along.view(1, 1, 1, -1), padding=(0, half))[:, 0]


def _peaks(crowd: Crowd, total: torch.Tensor) -> Trial:
    """Maxima of what is left behind a matched filter."""
    left, weight = crowd.surplus(total)
    along = kernel(crowd.sigma_px).to(left)
    asked, told = _filtered(left * weight, along), _filtered(weight, along**2).clamp_min(1e-12)
    height = asked / told.sqrt()
    top = functional.max_pool2d(height[:, None], 3, stride=1, padding=1)[:, 0]
    frame, line, column = ((height == top) & (height > math.sqrt(penalty(crowd) / 2))).nonzero(as_tuple=True)
    trial = Trial(
        frame,
        torch.stack([column, line], dim=1) + 0.5,
        torch.stack([column + 0.5, line + 0.5, (asked / told)[frame, line, column]], dim=1)[:, None],
        frame.new_zeros(len(frame), 0),
    )
    return trial.rows(_spread(left, weight, along, (frame, line, column)))


def _spread(
    left: torch.Tensor, weight: torch.Tensor, along: torch.Tensor, at: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    """Whether the light at places is not that of one pixel alone."""
    half, (frame, line, column) = len(along) // 2, at
    span = torch.arange(len(along), device=left.device)
    padded, weights = (functional.pad(each, (half,) * 4) for each in (left, weight))
    where = (frame[:, None, None], (line[:, None] + span)[:, :, None], (column[:, None] + span)[:, None, :])
    spot = along[:, None] * along
    told = (weights[where] * spot**2).flatten(1)
    asked = (weights[where] * padded[where] * spot).flatten(1)
    most = asked.argmax(dim=1, keepdim=True)
    asked.scatter_(1, most, 0.0)
    told.scatter_(1, most, 0.0)
    return asked.sum(dim=1) > UNSPIKED * told.sum(dim=1).clamp_min(1e-12).sqrt()


def _bent(crowd: Crowd, total: torch.Tensor) -> Trial:
    """Emitters beside which second derivatives are left, in two along the direction of the strongest."""
    corner = crowd.corners(crowd.values[:, :2])
    windows, inner = crowd.windows(total, crowd.frame, corner, crowd.values[:, None])
    score, size = _second(windows, inner[:, 0], crowd.sigma_px)
    # U along a direction (c, s): c^2 Uxx + 2 c s Uxy + s^2 Uyy
    angle = torch.atan2(2 * score[:, 1], score[:, 0] - score[:, 2]) / 2
    mean, half = (score[:, 0] + score[:, 2]) / 2, torch.hypot((score[:, 0] - score[:, 2]) / 2, score[:, 1])
    rows = (mean + half > BENT * size).nonzero()[:, 0]
    way = torch.stack([angle.cos(), angle.sin()], dim=1)[rows] * HALVES * crowd.sigma_px
    one = crowd.values[rows]
    fresh = one[:, None].repeat(1, 2, 1)
    fresh[:, 0, :2] += way
    fresh[:, 1, :2] -= way
    fresh[..., PHOTONS] /= 2
    return Trial(crowd.frame[rows], one[:, :2], fresh, rows[:, None])


def _second(windows: joint.Windows, values: torch.Tensor, sigma_px: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores of second derivatives xx, xy, yy (n, 3) and the standard deviation of that along an axis (n,)."""
    side = windows.side
    model = joint.mean(windows, values[:, None], sigma_px)
    weight = windows.trust / model
    left = (windows.seen - model) * weight
    parts = [_curves(values[:, at], side, sigma_px) for at in (X, Y)]
    (flat_x, slope_x, bend_x), (flat_y, slope_y, bend_y) = parts
    pairs = ((flat_y, bend_x), (slope_y, slope_x), (bend_y, flat_x))
    score = torch.stack([torch.einsum("ny,nyx,nx->n", down, left, across) for down, across in pairs], dim=1)
    flat = flat_y[:, :, None] * flat_x[:, None, :]
    bend = flat_y[:, :, None] * bend_x[:, None, :]
    own, cross, light = ((weight * one * other).sum(dim=(1, 2)) for one, other in
                         ((bend, bend), (bend, flat), (flat, flat)))  # fmt: skip
    return score, (own - cross**2 / light.clamp_min(1e-12)).clamp_min(1e-12).sqrt()


def _curves(place: torch.Tensor, side: int, sigma_px: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Light along an axis with its first and second slope by the place, (n, side) each."""
    flat, slope = joint.shares(place, side, sigma_px)
    scaled = (torch.arange(side + 1, dtype=place.dtype, device=place.device) - place[:, None]) / sigma_px
    bell = torch.exp(-(scaled**2) / 2) / (sigma_px * math.sqrt(2 * math.pi))
    return flat, slope, -(scaled * bell / sigma_px).diff(dim=1)


def _doubtful(crowd: Crowd, total: torch.Tensor) -> Trial:
    """Emitters that are dim or have a close neighbour, without them."""
    places = crowd.places()
    close = nearest(places, places, CLOSE * crowd.sigma_px, 2)[:, -1] >= 0
    corner = crowd.corners(crowd.values[:, :2])
    windows, inner = crowd.windows(total, crowd.frame, corner, crowd.values[:, None])
    bound = joint.variances(windows, inner, crowd.sigma_px)[:, 0, PHOTONS]
    dim = crowd.values[:, PHOTONS] ** 2 < UNSURE * penalty(crowd) * bound
    rows = (torch.as_tensor(close, device=dim.device) | dim).nonzero()[:, 0]
    one = crowd.values[rows]
    return Trial(crowd.frame[rows], one[:, :2], one.new_zeros(len(one), 0, 3), rows[:, None])
