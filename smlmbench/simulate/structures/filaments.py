"""Smooth curves across the field, with normal distances of the emitters from their axes.

Each passes a random point of the field and runs both ways out of the region; its direction is a Brownian motion along
the arc. Where the region has depths each filament lies level at one of its own, uniform among them.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from smlmbench.simulate.chance import Chance
from smlmbench.simulate.places import Parts, Placed, Region, per_structure

CARD = {
    "version": 1,
    "summary": "Smooth level curves that cross the field",
    "settings": {
        "filaments": {
            "default": 12.0,
            "min": 1e-3,
            "help": "Their number in a field of 6.4 x 6.4 um; scaled with the area",
        },
        "width_nm": {
            "default": 15.0,
            "min": 0.0,
            "help": "Standard deviation of an emitter's distance from the axis",
        },
        "curl": {
            "default": 0.3,
            "min": 0.0,
            "help": "Standard deviation of the direction's change per um, in radians",
        },
    },
}

STEP_NM = 100.0  # of a filament's polyline; the arc of the default curl leaves its chord by 1 nm at most


class Filaments(NamedTuple):
    """Straight pieces of all structures, in the order of the structures.

    Attributes:
        start, step: (m, 2) float64, where a piece begins and the way to its end, nm.
        z_nm: (m,) float64 depths; None in a flat region.
        parts: Which pieces belong to which structure.
    """

    start: torch.Tensor
    step: torch.Tensor
    z_nm: torch.Tensor | None
    parts: Parts


def place(
    settings: Mapping[str, Any], region: Region, expected: torch.Tensor, chance: Chance, structure_chance: Chance | None
) -> Placed:
    """Places along filaments with normal distances from their axis.

    The number per sample is Poisson with the expected mean inside the field, whatever the length of filament there.
    """
    curves = (
        grow(settings, region, len(expected), chance)
        if structure_chance is None
        else grow(settings, region, 1, structure_chance)
    )
    sample, piece, unit = curves.parts.choose(expected, chance, 1)
    start, step = curves.start[piece], curves.step[piece]
    away = chance.normal(len(sample)) * settings["width_nm"] / STEP_NM
    x_nm = start[:, 0] + unit[0] * step[:, 0] - away * step[:, 1]
    y_nm = start[:, 1] + unit[0] * step[:, 1] + away * step[:, 0]
    return Placed(sample, x_nm, y_nm, None if curves.z_nm is None else curves.z_nm[piece])


def grow(settings: Mapping[str, Any], region: Region, n: int, chance: Chance) -> Filaments:
    """Draw n structures."""
    each = per_structure(settings["filaments"], region.area_um2)
    length = math.ceil(region.side_nm * math.sqrt(2) / STEP_NM)
    through = chance.uniform(n, each, 1, 2) * region.field_nm
    heading = chance.uniform(n, each, 1, 1) * 2 * math.pi
    # two arms leave the point in opposite directions; curvature runs on through it
    turns = chance.normal(n, each, 2, length)
    turns = (turns * settings["curl"] * math.sqrt(STEP_NM / 1000)).cumsum(dim=-1)
    angle = heading + torch.tensor([0.0, math.pi], dtype=torch.float64)[:, None] + turns
    step = torch.stack((angle.cos(), angle.sin()), dim=-1) * STEP_NM
    start = through[..., None, :] + step.cumsum(dim=-2) - step
    middle = start + step / 2
    kept = region.inside(middle[..., 0], middle[..., 1], margin_nm=region.margin_nm).flatten(1)
    in_field = region.inside(middle[..., 0], middle[..., 1]).flatten(1).sum(dim=1).double()
    count = kept.sum(dim=1)
    parts = Parts(count.cumsum(0) - count, count, in_field, each * region.field_nm / STEP_NM)
    z_nm = None
    if region.deep:
        low, high = region.depth_nm
        z_nm = low + (high - low) * chance.uniform(n, each, 1, 1)
        z_nm = z_nm.expand(angle.shape).flatten(1)[kept]
    return Filaments(start.flatten(1, 3)[kept], step.flatten(1, 3)[kept], z_nm, parts)
