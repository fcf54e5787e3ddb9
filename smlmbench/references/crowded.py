"""Frames with the emitters that are believed to be in them: what they expect of every pixel, and who overlaps whom."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from smlmbench.predictions import Floats, Ints
from smlmbench.references.joint import LEAST, Windows, X, Y, light, shares

LIGHT = 4.0  # in sigma: how far an emitter shines
REACH = 3.0  # in sigma: emitters nearer than this overlap
TOGETHER = 5  # emitters that are free at once
OUTSIDE = 1.0  # in sigma: how far out of the frame an emitter may lie


@dataclass(slots=True)
class Crowd:
    """Emitters of a block of frames, and the frames with a margin of `pad` pixels all around.

    Attributes:
        frame: Of each emitter (n,).
        values: x and y in pixels from the outer corner of the frame, and photons (n, 3).
        seen: Photo-electrons that were read, with `shift` added, (F, H + 2 pad, W + 2 pad).
        background: What is expected without emitters, of the same shape.
        shift, trust: `noise.added / noise.excess`, and 1 / excess in the frame, 0 in the margin (H + 2 pad, W + 2 pad).
        sigma_px: Width of the PSF.
        pad: Side of the windows that are fitted.
    """

    frame: torch.Tensor
    values: torch.Tensor
    seen: torch.Tensor
    background: torch.Tensor
    shift: torch.Tensor
    trust: torch.Tensor
    sigma_px: float
    pad: int

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames."""
        return self.seen.shape[1] - 2 * self.pad, self.seen.shape[2] - 2 * self.pad

    def total(self) -> torch.Tensor:
        """What is expected of every pixel of the padded frames, `shift` added."""
        half = math.ceil(LIGHT * self.sigma_px)
        side = 2 * half + 1
        corner = self.values[:, [Y, X]].floor().long() - half + self.pad
        inner = self.values[:, [X, Y]] - (corner[:, [1, 0]] - self.pad)
        across, down = (shares(inner[:, at], side, self.sigma_px)[0] for at in (0, 1))
        spots = (down * self.values[:, 2:])[:, :, None] * across[:, None, :]
        found = self.background + self.shift
        found.view(-1).index_add_(0, self._at(self.frame, corner, side).view(-1), spots.view(-1))
        return found

    def _at(self, frame: torch.Tensor, corner: torch.Tensor, side: int) -> torch.Tensor:
        """Where the pixels of windows lie in the flat padded frames (n, side, side); corners count from the margin."""
        _, tall, wide = self.seen.shape
        span = torch.arange(side, device=frame.device)
        lines, columns = ((corner[:, at, None] + span) for at in (0, 1))
        return (frame[:, None, None] * tall + lines[:, :, None]) * wide + columns[:, None, :]

    def corners(self, middle: torch.Tensor) -> torch.Tensor:
        """First line and column (n, 2), counted from the frame's, of windows around places x, y (n, 2)."""
        return (middle[:, [1, 0]] - (self.pad - 1) / 2).round().long()

    def windows(
        self, total: torch.Tensor, frame: torch.Tensor, corner: torch.Tensor, free: torch.Tensor
    ) -> tuple[Windows, torch.Tensor]:
        """Windows of side `pad` whose emitters `free` (n, k, 3) are not known, and those emitters in the window."""
        at = self._at(frame, corner + self.pad, self.pad)
        inner = free.clone()
        inner[..., :2] -= corner[:, None, [1, 0]]
        trust = self.trust.view(-1)[at - (frame * self.trust.numel())[:, None, None]]
        known = total.view(-1)[at] - light(inner, self.pad, self.sigma_px)
        return Windows(self.seen.view(-1)[at], known, trust), inner

    def exchange(self, rows: torch.Tensor, frame: torch.Tensor, values: torch.Tensor) -> None:
        """Keep some emitters (a mask or numbers) and put others behind them, none of them far outside the frame."""
        self.frame = torch.cat([self.frame[rows], frame])
        self.values = torch.cat([self.values[rows], values])
        self.confine()

    def part(self, frames: torch.Tensor) -> "Crowd":
        """Some frames, in rising order, and their emitters."""
        rows = torch.isin(self.frame, frames)
        numbers = torch.searchsorted(frames, self.frame[rows])
        pixels = self.seen[frames], self.background[frames]
        return Crowd(numbers, self.values[rows], *pixels, self.shift, self.trust, self.sigma_px, self.pad)

    def put(self, frames: torch.Tensor, part: "Crowd") -> None:
        """Take over what became of a `part` of these frames."""
        self.exchange(~torch.isin(self.frame, frames), frames[part.frame], part.values)
        self.background[frames] = part.background

    def confine(self) -> None:
        """Hold emitters in the frame or just outside."""
        out = OUTSIDE * self.sigma_px
        for at, most in ((X, self.size[1]), (Y, self.size[0])):
            self.values[:, at].clamp_(-out, most + out)

    def places(self) -> Floats:
        """Positions (n, 2) with the frames side by side, for searches of neighbours."""
        return apart(self.frame, self.values[:, :2], self.size[1], self.sigma_px)

    def surplus(self, total: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Light beside what is expected and weight of each pixel of the frames (F, H, W)."""
        inside = (..., slice(self.pad, -self.pad), slice(self.pad, -self.pad))
        expected = total[inside].clamp_min(LEAST)
        return self.seen[inside] - expected, self.trust[inside[1:]] / expected


def apart(frame: torch.Tensor, places: torch.Tensor, width: int, sigma_px: float) -> Floats:
    """Positions (n, 2) x, y with frames so far from each other that no two of them are neighbours."""
    found = places.cpu().double().numpy().copy()
    found[:, 0] += frame.cpu().numpy() * (width + 20 * sigma_px + 20)
    return found


def nearest(places: Floats, around: Floats, distance_px: float, most: int) -> Ints:
    """Up to `most` places (n, 2) within a distance of others (m, 2): (m, most), the nearest first, -1 for none."""
    if not len(places) or not len(around):
        return np.full((len(around), most), -1, dtype=np.int64)
    _, found = cKDTree(places).query(around, k=range(1, most + 1), distance_upper_bound=distance_px)
    return np.where(found < len(places), found, -1).astype(np.int64)


def parted(places: Floats, sigma_px: float) -> Iterator[Ints]:
    """Overlapping emitters together, at most five: (groups, k) for every k that occurs.

    The closest join first; a group is no wider than two reaches, so that one size of window holds it.
    """
    parent = list(range(len(places)))
    members = {i: [i] for i in parent}
    box = np.concatenate([places, places], axis=1).tolist()
    reach, widest = REACH * sigma_px, 2 * REACH * sigma_px
    joined = cKDTree(places).query_pairs(reach, output_type="ndarray") if len(places) else np.empty((0, 2), np.int64)
    order = np.hypot(*(places[joined[:, 0]] - places[joined[:, 1]]).T).argsort(kind="stable")
    for one, other in joined[order].tolist():
        a, b = parent[one], parent[other]
        if a == b or len(members[a]) + len(members[b]) > TOGETHER:
            continue
        p, q = box[a], box[b]
        whole = [min(p[0], q[0]), min(p[1], q[1]), max(p[2], q[2]), max(p[3], q[3])]
        if max(whole[2] - whole[0], whole[3] - whole[1]) > widest:
            continue
        if len(members[a]) < len(members[b]):
            a, b = b, a
        for i in members[b]:
            parent[i] = a
        members[a] += members.pop(b)
        box[a] = whole
    groups = list(members.values())
    for k in range(1, TOGETHER + 1):
        if same := [group for group in groups if len(group) == k]:
            yield np.array(same, dtype=np.int64)


def lone(places: Floats, worth: Floats, distance_px: float) -> NDArray[np.bool_]:
    """Which places (n, 2) are worth more than every other within a distance."""
    best = np.ones(len(places), dtype=bool)
    if len(places) > 1:
        one, other = cKDTree(places).query_pairs(distance_px, output_type="ndarray").T
        first = worth[one] >= worth[other]
        best[other[first]] = False
        best[one[~first]] = False
    return best
