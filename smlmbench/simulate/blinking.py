"""Molecules that persist: who is on when, and how much of each frame.

On-times begin at a steady rate, so every frame of a movie is like every other, however long the dark times are: each
on-time in the movie's span is drawn as if it were a molecule's first one there, which it is unless the on-time before
it, drawn backwards, lies in the span, too; then it is left out, since that molecule is drawn from its first on-time.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch

from smlmbench.psf.draws import quantile
from smlmbench.simulate.chance import Chance
from smlmbench.simulate.emitters import plain
from smlmbench.study.sources import Blinking, SimulateSource

LEAD = 30.0  # mean on-times before a movie in which one may begin that still shines in it
NODES = 4096  # of the photon law, for the number of frames that an on-time is seen in


class OnTimes(NamedTuple):
    """On-times in the order of their begin: molecule (n,) int64, begin and end (n,) float64 in frames."""

    molecule: torch.Tensor
    begin: torch.Tensor
    end: torch.Tensor


@dataclass(frozen=True, slots=True)
class Span:
    """The time in which on-times may begin, in frames."""

    begin: float
    end: float

    @classmethod
    def of(cls, track: Blinking, first: int, stop: int) -> "Span":
        """That of the frames first .. stop - 1: on-times from before them reach into them."""
        return cls(first - LEAD * track.on_frames, float(stop))

    @property
    def frames(self) -> float:
        """Its length."""
        return self.end - self.begin


def seen_frames(source: SimulateSource, track: Blinking) -> float:
    """Mean number of frames in which one on-time has at least `min_photons`.

    An on-time of length d covers at least a share q of d + 1 - 2 q frames on average, of none where d < q; with d
    exponential of mean t that is exp(-q / t) (t + 1 - q). q = min_photons / photons of a whole frame, at most 1.
    """
    unit = (torch.arange(NODES, dtype=torch.float64) + 0.5) / NODES
    needed = source.min_photons / quantile(plain(source.photons), unit)
    frames = torch.exp(-needed / track.on_frames) * (track.on_frames + 1 - needed)
    return float(torch.where(needed <= 1, frames, torch.zeros_like(frames)).mean())


def on_times(track: Blinking, anchors: int, span: Span, chance: Chance) -> OnTimes:
    """On-times of molecules of which `anchors` on-times begin anywhere in the span.

    An anchor is left out where its molecule was on before in the span, so that some of the numbers are nobody's.
    """
    again = 1 - 1 / track.bleach_after  # a geometric number of on-times has no memory, forwards or backwards
    begin = span.begin + chance.uniform(anchors) * span.frames
    end = begin + _exponential(track.on_frames, anchors, chance)
    before = begin - _dark(track, anchors, chance) - _exponential(track.on_frames, anchors, chance)
    first = (chance.uniform(anchors) >= again) | (before < span.begin)
    molecule = torch.arange(anchors)[first]
    rows = [OnTimes(molecule, begin[first], end[first])]
    while again > 0 and len(rows[-1].molecule):
        last = rows[-1]
        n = len(last.molecule)
        begin = last.end + _dark(track, n, chance)
        end = begin + _exponential(track.on_frames, n, chance)
        kept = (chance.uniform(n) < again) & (begin < span.end)
        rows.append(OnTimes(last.molecule[kept], begin[kept], end[kept]))
    joined = OnTimes(*(torch.cat(parts) for parts in zip(*rows, strict=True)))
    order = joined.begin.argsort(stable=True)
    return OnTimes(*(column[order] for column in joined))


class Shining(NamedTuple):
    """Who shines in each frame, by frame and molecule; `share` of the frame (n,) float64, above 0."""

    frame: torch.Tensor
    molecule: torch.Tensor
    share: torch.Tensor


def shining(times: OnTimes, first: int, stop: int) -> Shining:
    """On-times as shares of the frames first .. stop - 1, which count from 0; those of one molecule are added."""
    until = int(torch.searchsorted(times.begin, float(stop)))
    kept = times.end[:until] > first
    molecule, begin, end = (column[:until][kept] for column in times)
    low = begin.floor().long().clamp_min(first)
    high = (end.ceil().long()).clamp_max(stop)
    each = high - low
    row = torch.repeat_interleave(each)
    frame = low[row] + torch.arange(len(row)) - (each.cumsum(0) - each)[row]
    share = torch.minimum(end[row], frame + 1.0) - torch.maximum(begin[row], frame.double())
    most = int(molecule.max()) + 1 if len(molecule) else 1
    key, where = torch.unique((frame - first) * most + molecule[row], return_inverse=True)
    shares = torch.zeros(len(key), dtype=torch.float64).index_add_(0, where, share)
    return Shining(key // most, key % most, shares)


def _exponential(mean: float, n: int, chance: Chance) -> torch.Tensor:
    return -mean * torch.log1p(-chance.uniform(n))


def _dark(track: Blinking, n: int, chance: Chance) -> torch.Tensor:
    if track.off_law == "exponential":
        return _exponential(track.off_frames, n, chance)
    return track.off_frames / (1 - chance.uniform(n)).square()  # P(t > x) = (off_frames / x)^0.5


def rate_per_um2(source: SimulateSource, track: Blinking, density: float) -> float:
    """On-times that begin per frame and area so that `density` emitters of `min_photons` are seen; inf: none is."""
    seen = seen_frames(source, track)
    return density / seen if seen > 0 else math.inf
