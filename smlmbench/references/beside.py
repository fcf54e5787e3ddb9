"""Emitters of frames, each fitted in its own window beside the light that is expected of the others.

Fits one by one and what others shine into each window follow each other in rounds until they agree; then emitters are
looked for in the light that is left (Stetson 1987, doi:10.1086/131977, is the idea). One that its neighbours explain as
well goes: its photons must be above their standard error with the places and photons of the neighbours unknown.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.spatial import cKDTree

from smlmbench.references.doubled import doubled
from smlmbench.references.likelihood import (
    BACKGROUND,
    MOST_STEPS,
    PHOTONS,
    Fits,
    Flat,
    Model,
    Pixels,
    Spot,
    X,
    Y,
    climb,
    solved,
    spiked,
    weighed,
)
from smlmbench.references.windows import Windows

ROUNDS, STEPS, AGREED = 6, 2, 0.03  # and what the light of others may still change, in variances of a pixel
AT_ONCE = 1024  # windows
NEIGHBOURS = 4
CLOSE = 3.5  # in sigma: neighbours whose unknown places widen a bound
DARK = 0.01  # photo-electrons that a fit starts from at least
JOINT = 3  # steps
PASSES = 4  # of taking away what neighbours explain


@dataclass(frozen=True, slots=True)
class Exposed:
    """Frames (F, H, W) float64 in photo-electrons; a pixel's variance is excess * mean + added.

    `excess` is (F, 1, 1) or (1, 1, 1), `added` (1, H, W) or (1, 1, 1).
    """

    frames: torch.Tensor
    excess: torch.Tensor
    added: torch.Tensor

    @property
    def size(self) -> tuple[int, int, int]:
        """Frames, lines, columns."""
        count, height, width = self.frames.shape
        return count, height, width

    def pixels(self, windows: Windows, beside: torch.Tensor) -> Pixels:
        """What was read in windows, beside light of others."""
        excess = self.excess.reshape(-1)[windows.frame if len(self.excess) > 1 else torch.zeros_like(windows.frame)]
        added = windows.cut(self.added) if self.added.numel() > 1 else self.added
        return Pixels(windows.cut(self.frames), excess, added / excess, beside)


@dataclass(frozen=True, slots=True)
class Emitters:
    """In frames: number of the frame (n,), parameters of their spots (p, n), places from the corner of the frame."""

    frame: torch.Tensor
    at: torch.Tensor

    def __len__(self) -> int:
        return len(self.frame)

    def rows(self, chosen: torch.Tensor) -> "Emitters":
        """Some of them."""
        return Emitters(self.frame[chosen], self.at[:, chosen])

    def joined(self, others: "Emitters") -> "Emitters":
        """Both, in the order of frames."""
        frame, at = torch.cat([self.frame, others.frame]), torch.cat([self.at, others.at], dim=1)
        return Emitters(frame, at).rows(frame.argsort(stable=True))


@dataclass(frozen=True, slots=True)
class Judged:
    """What is known of emitters beside each other, (n,) each but the covariance.

    Attributes:
        covariance: Of x, y, photons (and widths or depth) with those of the neighbours unknown, (p - 1, p - 1, n).
        alone: Whether there are no neighbours.
        likely: Root of twice the log-likelihood that the emitter adds to a background beside its neighbours.
        pixels, mean: Their windows, and what is expected of each pixel without others' light.
        spike: Whether one pixel that is bright by itself explains the window better.
        stretched: Chance that noise alone stretches one emitter as much; NaN where the spot is not round.
    """

    covariance: torch.Tensor
    alone: torch.Tensor
    likely: torch.Tensor
    pixels: Pixels
    mean: torch.Tensor
    spike: torch.Tensor
    stretched: torch.Tensor


@dataclass(frozen=True, slots=True)
class Crowd:
    """How the emitters of frames are fitted: frames, spot, side of windows, and reach of a spot's width in pixels."""

    exposed: Exposed
    spot: Spot
    side: int
    sigma_px: float

    def windows(self, emitters: Emitters, side: int | None = None) -> Windows:
        """Around each."""
        line, column = (emitters.at[axis].floor().long() for axis in (Y, X))
        return Windows.around(emitters.frame, line, column, side or self.side, self.exposed.size[1:])

    def light(self, emitters: Emitters) -> torch.Tensor:
        """Of all of them, (F, H, W)."""
        side = min(self.side + 4, *self.exposed.size[1:])
        windows = self.windows(emitters, side - (side + 1) % 2)
        return windows.summed(self.spot.light(_local(emitters, windows), windows.side), self.exposed.size)

    def first(self, emitters: Emitters) -> Emitters:
        """Each fitted as if it were alone."""
        windows = self.windows(emitters)
        return self._fitted(emitters, windows, torch.zeros_like(windows.cut(self.exposed.frames)), MOST_STEPS)

    def refined(self, emitters: Emitters) -> Emitters:
        """Fits and the light of others until they agree."""
        windows, before = self.windows(emitters), torch.zeros(())
        for _ in range(ROUNDS):
            beside = self._beside(emitters, windows)
            pixels = self.exposed.pixels(windows, beside)
            variance = pixels.excess * pixels.expected(emitters.at[BACKGROUND])
            rows = ((beside - before).square() / variance).sum(dim=(0, 1)) > AGREED
            if not rows.any():
                break
            some = rows.nonzero()[:, 0]
            fresh = self._fitted(emitters.rows(some), windows.rows(some), beside[..., some], STEPS)
            at = emitters.at.clone()
            at[:, some] = fresh.at
            emitters, before = replace(emitters, at=at), beside
        return emitters

    def pruned(self, emitters: Emitters, height: float) -> Emitters:
        """Without those whose photons are not `height` standard errors, the least of neighbours first."""
        for _ in range(PASSES):
            near = self.neighbours(emitters)
            errors = self.covariance(emitters, near)[PHOTONS, PHOTONS].sqrt()
            ratio = emitters.at[PHOTONS] / errors
            least = ratio <= torch.where(near >= 0, ratio[near.clamp_min(0)], torch.inf).amin(dim=1)
            gone = (ratio < height) & least & (near >= 0).any(dim=1)
            if not gone.any():
                break
            emitters = self.refined(emitters.rows((~gone).nonzero()[:, 0]))
        return emitters

    def judged(self, emitters: Emitters) -> Judged:
        """How sure each is."""
        windows = self.windows(emitters)
        pixels = self.exposed.pixels(windows, self._beside(emitters, windows))
        local = _local(emitters, windows)
        mean = self.spot.light(local, self.side) + emitters.at[BACKGROUND]
        rest = pixels.values - pixels.beside
        flat = self._climbed(Flat(), pixels, rest.mean(dim=(0, 1)).clamp_min(DARK)[None], MOST_STEPS).at[0]
        without, own = (pixels.deviance(each).sum(dim=(0, 1)) for each in (flat.expand_as(mean), mean))
        near = self.neighbours(emitters)
        likely = (without - own).clamp_min(0.0).sqrt()
        spike, stretched = spiked(pixels, flat, own), torch.full_like(likely, torch.nan)
        if self.spot.round and len(emitters):
            stretched = doubled(self.spot, local, pixels, mean)
        return Judged(self.covariance(emitters, near), (near < 0).all(dim=1), likely, pixels, mean, spike, stretched)

    def neighbours(self, emitters: Emitters) -> torch.Tensor:
        """The nearest in the same frame, (n, most), -1 where there are no more."""
        reach, n = CLOSE * self.sigma_px, len(emitters)
        if n == 0:
            return torch.full((0, NEIGHBOURS), -1, device=emitters.frame.device)
        apart = emitters.frame.double() * (10 * reach + sum(self.exposed.size))
        places = torch.stack([apart, emitters.at[Y].double(), emitters.at[X].double()], dim=1).cpu().numpy()
        _, found = cKDTree(places).query(places, k=NEIGHBOURS + 1, distance_upper_bound=reach)
        own = np.arange(n)[:, None]
        found = np.where((found == own) | (found == n), -1, found)
        order = np.argsort(found < 0, axis=1, kind="stable")
        return torch.from_numpy(np.take_along_axis(found, order, axis=1)[:, :NEIGHBOURS]).to(emitters.frame.device)

    def together(self, emitters: Emitters) -> Emitters:
        """Some steps of each with its neighbours' parameters free too, where there are neighbours."""
        low, high = (torch.tensor(each).to(emitters.at)[:, None] for each in self.spot.limits(max(self.exposed.size)))
        longest = torch.tensor(self.spot.longest()).to(emitters.at)[:, None] / 2
        for _ in range(JOINT):
            near = self.neighbours(emitters)
            _, steps = self._joint(emitters, near)
            steps[:, (near < 0).all(dim=1)] = 0
            emitters = replace(emitters, at=(emitters.at + steps.clamp(-longest, longest)).clamp(low, high))
        return emitters

    def covariance(self, emitters: Emitters, near: torch.Tensor) -> torch.Tensor:
        """Bound of each one's parameters but the background beside neighbours that are unknown too, (p-1, p-1, n)."""
        return self._joint(emitters, near)[0]

    def _joint(self, emitters: Emitters, near: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """That bound, and the step of all parameters (p, n) to the most likely ones, on each one's own window."""
        p = len(emitters.at) - 1
        found, steps = emitters.at.new_empty(p, p, len(emitters)), torch.empty_like(emitters.at)
        windows = self.windows(emitters)
        beside = self._beside(emitters, windows)
        count = (near >= 0).sum(dim=1)
        for many in sorted(set(count.tolist())):
            for some in torch.split((count == many).nonzero()[:, 0], max(64, AT_ONCE // (1 + many))):
                own = windows.rows(some)
                pixels = self.exposed.pixels(own, beside[..., some])
                mean = self.spot.light(_local(emitters.rows(some), own), self.side) + emitters.at[BACKGROUND, some]
                _, weight, residual = weighed(pixels, mean)
                slopes = [torch.ones_like(weight)[None]]
                for member in (some, *near[some, :many].T):
                    slopes.append(self.spot.slopes(_local(emitters.rows(member), own), self.side))
                found[..., some], step = self._solved(torch.cat(slopes[1:] + slopes[:1]), weight, residual, p)
                steps[:BACKGROUND, some], steps[BACKGROUND, some] = step[:BACKGROUND], step[-1]
                steps[BACKGROUND + 1 :, some] = step[BACKGROUND:p]
        return found, steps

    def _solved(
        self, slopes: torch.Tensor, weight: torch.Tensor, residual: torch.Tensor, p: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Covariance of the first p parameters, and the step of all, from derivatives (all, side, side, n)."""
        total, n = len(slopes), weight.shape[-1]
        information = weight.new_empty(total, total, n)
        for k in range(total):
            weighed = slopes[k] * weight
            for m in range(k + 1):
                information[k, m] = information[m, k] = (weighed * slopes[m]).sum(dim=(0, 1))
        # that an emitter lies in its window is known
        for k in range(0, total - 1, p):
            information[k : k + 2, k : k + 2] += torch.eye(2).to(weight)[..., None] * (2 / self.side) ** 2
        information += torch.eye(total).to(weight)[..., None] * 1e-12
        unit = torch.eye(total).to(weight)[:, :p, None].expand(total, p, n)
        gradient = (slopes * residual).sum(dim=(1, 2))[:, None]
        whole = solved(information, torch.cat([unit, gradient], dim=1))
        return whole[:p, :p], whole[:, p]

    def _beside(self, emitters: Emitters, windows: Windows) -> torch.Tensor:
        own = self.spot.light(_local(emitters, windows), windows.side)
        return (windows.cut(self.light(emitters)) - own).clamp_min(0.0)

    def _fitted(self, emitters: Emitters, windows: Windows, beside: torch.Tensor, steps: int) -> Emitters:
        local = _local(emitters, windows)
        fits = self._climbed(self.spot, self.exposed.pixels(windows, beside), local, steps)
        return replace(emitters, at=_shifted(fits.at, windows, 1))

    def _climbed(self, model: Model, pixels: Pixels, start: torch.Tensor, steps: int) -> Fits:
        parts = torch.split(torch.arange(len(pixels), device=start.device), AT_ONCE)
        found = [climb(model, pixels.rows(rows), start[:, rows], steps) for rows in parts]
        return Fits(*(torch.cat([getattr(one, name) for one in found], dim=-1) for name in Fits.__slots__))


def _local(emitters: Emitters, windows: Windows) -> torch.Tensor:
    """Parameters with places from the corner of windows."""
    return _shifted(emitters.at, windows, -1)


def _shifted(at: torch.Tensor, windows: Windows, sign: int) -> torch.Tensor:
    found = at.clone()
    found[X] += sign * windows.left
    found[Y] += sign * windows.top
    return found
