"""Smooth curves across a field, and the directions around them: what filaments and tubes are made of."""

import math
from dataclasses import dataclass

import torch

from smlmbench.simulate.chance import Chance
from smlmbench.simulate.places import Parts, Region

STEP_NM = 100.0  # of a polyline; the arc of a curl of 0.3 per um leaves its chord by 1 nm at most


@dataclass(frozen=True, slots=True)
class Course:
    """How curves run: their number in a field, and the standard deviation of the direction's change per um, in radians.

    Those that climb change their slope alike, and turn back `room_nm` before the region's lowest and highest depth;
    others lie level.
    """

    number: int
    curl: float
    climbs: bool = False
    room_nm: float = 0.0


@dataclass(frozen=True, slots=True)
class Curves:
    """Straight pieces of the curves of all structures: begin and way to the end, (m, 3) float64 in nm."""

    start: torch.Tensor
    step: torch.Tensor
    parts: Parts


def grow(course: Course, region: Region, n: int, chance: Chance) -> Curves:
    """Draw n structures: each curve passes a random point of the field and runs both ways out of the region."""
    each = course.number
    length = math.ceil((1.5 if course.climbs else 1.0) * region.side_nm * math.sqrt(2) / STEP_NM)
    through = chance.uniform(n, each, 1, 2) * region.field_nm
    heading = chance.uniform(n, each, 1, 1) * 2 * math.pi
    # two arms leave the point in opposite directions; curvature runs on through it
    angle = heading + torch.tensor([0.0, math.pi], dtype=torch.float64)[:, None] + _turned(course, n, length, chance)
    step = torch.stack((angle.cos(), angle.sin()), dim=-1) * STEP_NM
    low, high = region.depth_nm
    z_nm = torch.full((n, each, 2, length + 1), (low + high) / 2, dtype=torch.float64)
    if region.deep:
        low, high = low + course.room_nm, high - course.room_nm
        z_nm = (low + (high - low) * chance.uniform(n, each, 1, 1)).expand_as(z_nm)
        if course.climbs:
            slope = _turned(course, n, length, chance)
            step = step * slope.cos()[..., None]
            rise = torch.nn.functional.pad((slope.sin() * STEP_NM).cumsum(dim=-1), (1, 0))
            z_nm = folded(z_nm + rise, low, high)
    start = through[..., None, :] + step.cumsum(dim=-2) - step
    middle = start + step / 2
    kept = region.inside(middle[..., 0], middle[..., 1], margin_nm=region.margin_nm).flatten(1)
    in_field = region.inside(middle[..., 0], middle[..., 1]).flatten(1).sum(dim=1).double()
    count = kept.sum(dim=1)
    parts = Parts(count.cumsum(0) - count, count, in_field, each * region.field_nm / STEP_NM)
    start = torch.cat((start, z_nm[..., :-1, None]), dim=-1).flatten(1, 3)[kept]
    return Curves(start, torch.cat((step, z_nm.diff(dim=-1)[..., None]), dim=-1).flatten(1, 3)[kept], parts)


def _turned(course: Course, n: int, length: int, chance: Chance) -> torch.Tensor:
    """Angles by which both arms of each curve have turned after each step."""
    turns = chance.normal(n, course.number, 2, length)
    return (turns * course.curl * math.sqrt(STEP_NM / 1000)).cumsum(dim=-1)


def folded(z_nm: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Depths that turn back at both ends instead of leaving them."""
    span = high - low
    if span <= 0:
        return torch.full_like(z_nm, low)
    back: torch.Tensor = ((z_nm - low).remainder(2 * span) - span).abs()
    return high - back


def around(way: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """Unit vectors across ways (..., 3) at angles (...) around them; 0 is level and to the left of the way."""
    way = way / way.norm(dim=-1, keepdim=True)
    level = torch.stack((-way[..., 1], way[..., 0], torch.zeros_like(way[..., 0])), dim=-1)
    level = level / level.norm(dim=-1, keepdim=True)
    across = torch.linalg.cross(way, level)
    turned: torch.Tensor = angle.cos()[..., None] * level + angle.sin()[..., None] * across
    return turned
