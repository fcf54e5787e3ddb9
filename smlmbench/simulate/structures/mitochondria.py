"""Curved tubes with round ends, some with a branch, whose outer membrane carries the labels.

The axis is a worm-like chain as that of a microtubule; the middle of each tube is a random point of the field. All of a
tube lies within the region's depths; in a flat region it lies level and is seen in projection. Membrane inside the same
mitochondrion, where a branch leaves or a bend is too tight, carries nothing; different ones may overlap.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from smlmbench.psf.draws import quantile
from smlmbench.simulate.chance import Chance
from smlmbench.simulate.curves import STEP_NM, around, folded
from smlmbench.simulate.places import Parts, Placed, Region, per_structure

CARD = {
    "version": 1,
    "summary": "Curved, branched tubes of 200 to 500 nm radius, labelled on the outer membrane",
    "settings": {
        "tubes": {
            "default": 4.0,
            "min": 1e-3,
            "help": "Their number in a field of 6.4 x 6.4 um; scaled with the area",
        },
        "radius_nm": {
            "default": 250.0,
            "min": 50.0,
            "max": 1000.0,
            "ranged": True,
            "help": "Radius; a range is drawn per mitochondrion. Mitochondria have 200 to 500 nm",
        },
        "length_um": {
            "default": 4.0,
            "min": 0.2,
            "max": 30.0,
            "ranged": True,
            "help": "Of the axis without its round ends; a range is drawn per mitochondrion, a branch has half of it",
        },
        "branched": {"default": 0.5, "min": 0.0, "max": 1.0, "help": "Share of them that have a branch"},
        "persistence_um": {
            "default": 8.0,
            "min": 1.0,
            "max": 10000.0,
            "help": "Length over which the direction is kept; no source, chosen by eye",
        },
    },
    "facts": {"thickness_nm": {"radius_nm": 2.0}},
}

SIDES = 16  # patches around a tube; those of a step of it are hidden or not as a whole
RINGS = 4  # of patches on a round end
HIDDEN = 0.97  # in radii: patches nearer to another axis than this lie inside


@dataclass(frozen=True, slots=True)
class Spans:
    """Straight spans of the axes of m mitochondria: begin, end, direction at both, (m, s, 3) in nm; which exist (m, s).

    A round end is a span without length, whose direction leaves the tube.
    """

    start: torch.Tensor
    stop: torch.Tensor
    way: torch.Tensor
    way_on: torch.Tensor
    there: torch.Tensor

    @classmethod
    def along(cls, nodes: torch.Tensor, there: torch.Tensor) -> "Spans":
        """Of polylines (m, s + 1, 3) of which the spans (m, s) exist, one run of them each."""
        step = nodes.diff(dim=1)
        before = torch.cat((step[:, :1], step), dim=1)
        after = torch.cat((step, step[:, -1:]), dim=1)
        way = (before + after) / 2
        return cls(nodes[:, :-1], nodes[:, 1:], way[:, :-1], way[:, 1:], there)

    def ends(self, *, both: bool) -> "Spans":
        """Round ends of each run, or only that behind it."""
        number = torch.arange(self.there.shape[1])
        first = torch.where(self.there, number, len(number)).amin(dim=1).clamp_max(len(number) - 1)
        last = torch.where(self.there, number, -1).amax(dim=1).clamp_min(0)
        m = torch.arange(len(first))
        at = [self.stop[m, last], self.start[m, first]][: 1 + both]
        way = [self.way_on[m, last], -self.way[m, first]][: 1 + both]
        there = self.there.any(dim=1, keepdim=True).expand(-1, 1 + both)
        place, leaves = torch.stack(at, dim=1), torch.stack(way, dim=1)
        return Spans(place, place, leaves, leaves, there)


def place(
    settings: Mapping[str, Any], region: Region, expected: torch.Tensor, chance: Chance, structure_chance: Chance | None
) -> Placed:
    """Places on the membranes, uniform over their area."""
    n = len(expected) if structure_chance is None else 1
    drawn = chance if structure_chance is None else structure_chance
    each = per_structure(settings["tubes"], region)
    radius_nm = quantile(settings["radius_nm"], drawn.uniform(n * each))
    tubes, caps = _grown(settings, region, radius_nm, drawn)
    parts, patch = _membrane(region, radius_nm, tubes, caps, each)
    sample, part, unit = parts.choose(expected, chance, 3)
    at = patch.points(part, unit)
    return Placed(sample, at[:, 0], at[:, 1], at[:, 2] if region.deep else None)


def _grown(settings: Mapping[str, Any], region: Region, radius_nm: torch.Tensor, chance: Chance) -> tuple[Spans, Spans]:
    """Axes of as many mitochondria as there are radii, and their round ends."""
    m = len(radius_nm)
    longest_um = float(quantile(settings["length_um"], torch.ones(1, dtype=torch.float64)))
    half = max(1, math.ceil(longest_um * 1000 / 2 / STEP_NM))
    length_nm = quantile(settings["length_um"], chance.uniform(m)) * 1000
    middle, heading = chance.uniform(m, 2) * region.field_nm, chance.uniform(m, 1) * 2 * math.pi
    level = chance.uniform(m, 1)
    turns = [_walk(settings, m, half, chance) for _ in range(3)]
    slopes = [_walk(settings, m, half, chance) for _ in range(3)]
    on, back = (_polyline(middle, heading + math.pi * k, turns[k], slopes[k] * region.deep) for k in range(2))
    nodes = torch.cat((back.flip(1), on[:, 1:]), dim=1)
    away = (torch.arange(2 * half) - half + 0.5).abs() * STEP_NM
    there = away < (length_nm / 2).clamp_min(STEP_NM)[:, None]
    unit = chance.uniform(4, m, 1)
    at = (half + (unit[0] - 0.5) * length_nm[:, None] * 0.6 / STEP_NM).long().clamp(1, 2 * half - 1)[:, 0]
    rows = torch.arange(m)
    way = (nodes[rows, at + 1] - nodes[rows, at - 1])[:, :2]
    turned = torch.atan2(way[:, 1:], way[:, :1]) + (unit[1] < 0.5).double().mul(2).sub(1) * (1 + unit[2]) * math.pi / 4
    branch = _polyline(nodes[rows, at, :2], turned, turns[2], slopes[2] * region.deep)
    branch[..., 2] += nodes[rows, at, 2:]
    grows = (torch.arange(half) + 0.5) * STEP_NM < (length_nm / 2)[:, None]
    grows &= unit[3] < settings["branched"]
    for one in (nodes, branch):
        one[..., 2] = _within(one[..., 2], level, region, radius_nm[:, None])
    trunk, twig = Spans.along(nodes, there), Spans.along(branch, grows)
    return _joined(trunk, twig), _joined(trunk.ends(both=True), twig.ends(both=False))


def _walk(settings: Mapping[str, Any], m: int, steps: int, chance: Chance) -> torch.Tensor:
    return (chance.normal(m, steps) * math.sqrt(STEP_NM / 1000 / settings["persistence_um"])).cumsum(dim=1)


def _polyline(start: torch.Tensor, heading: torch.Tensor, turns: torch.Tensor, slopes: torch.Tensor) -> torch.Tensor:
    """Nodes (m, steps + 1, 3) from a point at depth 0."""
    angle = heading + turns
    step = torch.stack((angle.cos() * slopes.cos(), angle.sin() * slopes.cos(), slopes.sin()), dim=-1) * STEP_NM
    origin = torch.nn.functional.pad(start, (0, 1))[:, None]
    return torch.cat((origin, origin + step.cumsum(dim=1)), dim=1)


def _within(z_nm: torch.Tensor, level: torch.Tensor, region: Region, radius_nm: torch.Tensor) -> torch.Tensor:
    """Depths of axes around a level (0 to 1) that turn back a radius before the region's ends."""
    if not region.deep:
        return torch.zeros_like(z_nm)
    low, high = region.depth_nm[0] + radius_nm, region.depth_nm[1] - radius_nm
    span = (high - low).clamp_min(1e-9)
    return low + span * folded(level + z_nm / span, 0.0, 1.0)


def _joined(one: Spans, two: Spans) -> Spans:
    names = ("start", "stop", "way", "way_on", "there")
    return Spans(*(torch.cat((getattr(one, name), getattr(two, name)), dim=1) for name in names))


@dataclass(frozen=True, slots=True)
class Patches:
    """Pieces of membrane: of which span, around which angles, and of a round end how high; (k,) each."""

    spans: Spans
    radius_nm: torch.Tensor
    owner: torch.Tensor
    span: torch.Tensor
    side: torch.Tensor
    ring: torch.Tensor  # -1 on the tube itself

    def points(self, part: torch.Tensor, unit: torch.Tensor) -> torch.Tensor:
        """Points (n, 3) of patches (n,) at shares (3, n) of their length, their angle and their height."""
        at = self.owner[part], self.span[part]
        start, stop, way, way_on = (getattr(self.spans, name)[at] for name in ("start", "stop", "way", "way_on"))
        along, angle = unit[0, :, None], (self.side[part] + unit[1]) * 2 * math.pi / SIDES
        way = way + along * (way_on - way)
        ring = self.ring[part]
        up = torch.where(ring < 0, 0.0, (ring + unit[2]) / RINGS)[:, None]
        across = around(way, angle) * (1 - up * up).sqrt() + way / way.norm(dim=1, keepdim=True) * up
        points: torch.Tensor = start + along * (stop - start) + self.radius_nm[at[0], None] * across
        return points


def _membrane(region: Region, radius_nm: torch.Tensor, tubes: Spans, caps: Spans, each: int) -> tuple[Parts, Patches]:
    """The patches that do not lie inside the same mitochondrion, by their area."""
    spans, n_tubes = _joined(tubes, caps), tubes.there.shape[1]
    shape = (*spans.there.shape, SIDES, RINGS)
    number = torch.arange(shape[1])[:, None, None]
    real = spans.there[:, :, None, None] & ((number >= n_tubes) | (torch.arange(RINGS) == 0))
    owner, span, side, ring = real.expand(shape).nonzero().unbind(dim=1)
    whole = Patches(spans, radius_nm, owner, span, side, torch.where(span < n_tubes, -1, ring))
    middle = whole.points(torch.arange(len(owner)), torch.full((3, len(owner)), 0.5, dtype=torch.float64))
    radius = radius_nm[owner]
    # of a bent tube the outer side is longer than the inner one
    bend = spans.way_on[owner, span] - spans.way[owner, span]
    longer = (STEP_NM - (bend * (middle - spans.start[owner, span])).sum(dim=1) / STEP_NM).clamp_min(0)
    area = radius * torch.where(whole.ring < 0, longer, radius / RINGS)
    area = area * ~_hidden(middle, owner, radius, tubes)
    structure, x_nm, y_nm = owner // each, middle[:, 0], middle[:, 1]
    count = torch.bincount(structure, minlength=len(radius_nm) // each)
    in_field, whole_area = (
        torch.bincount(structure, one, minlength=len(count)) for one in (area * region.inside(x_nm, y_nm), area)
    )
    area = area * region.inside(x_nm, y_nm, margin_nm=region.margin_nm)
    return Parts(count.cumsum(0) - count, count, in_field, whole_area / region.ratio, area), whole


def _hidden(middle: torch.Tensor, owner: torch.Tensor, radius: torch.Tensor, tubes: Spans) -> torch.Tensor:
    """Which points lie inside the tubes of their own mitochondrion."""
    nodes = torch.where(tubes.there[..., None], (tubes.start + tubes.stop) / 2, math.inf)
    each = torch.bincount(owner, minlength=len(nodes)).tolist()
    nearest = [
        torch.cdist(at, own, compute_mode="donot_use_mm_for_euclid_dist").amin(dim=1)
        for at, own in zip(torch.split(middle, each), nodes, strict=True)
    ]
    return torch.cat(nearest) < HIDDEN * radius
