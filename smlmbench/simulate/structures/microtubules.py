"""Hollow tubes whose wall carries the labels, each by a linker that stands off it.

The axis is a worm-like chain: its direction along the field changes by a Brownian motion of variance 1 / persistence
length per length, its slope alike where the region has depths. A tube turns back before the lowest and the highest of
these. In a flat region tubes lie level and are seen in projection.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch

from smlmbench.simulate.chance import Chance
from smlmbench.simulate.curves import Course, around, grow
from smlmbench.simulate.places import Placed, Region, per_structure

CARD = {
    "version": 1,
    "summary": "Hollow tubes of 25 nm with labels on linkers, worm-like, in three dimensions",
    "settings": {
        "tubes": {
            "default": 12.0,
            "min": 1e-3,
            "help": "Their number in a field of 6.4 x 6.4 um; scaled with the area",
        },
        "linkage_nm": {
            "default": 17.5,
            "min": 0.0,
            "max": 50.0,
            "help": "From the wall to the fluorophore: 17.5 with two antibodies, 5 or less with a nanobody",
        },
        "persistence_um": {
            "default": 30.0,
            "min": 1.0,
            "max": 10000.0,
            "help": "Length over which the direction is kept: some 30 in living cells, 5000 in a tube of buffer",
        },
    },
    "paper": "Weber et al. 1978 (antibodies around the wall); Brangwynne et al. 2007 (persistence in cells)",
    "deviations": ["labels stand anywhere on the wall; its 13 protofilaments are not drawn"],
    "facts": {"thickness_nm": {"least": 25.0, "linkage_nm": 2.0}},
}

WALL_NM = 12.5


def place(
    settings: Mapping[str, Any], region: Region, expected: torch.Tensor, chance: Chance, structure_chance: Chance | None
) -> Placed:
    """Places on a cylinder around each axis, uniform along it and around it."""
    radius_nm = WALL_NM + settings["linkage_nm"]
    curl = 1 / math.sqrt(settings["persistence_um"])
    course = Course(per_structure(settings["tubes"], region), curl, climbs=region.deep, room_nm=radius_nm)
    n = len(expected) if structure_chance is None else 1
    curves = grow(course, region, n, chance if structure_chance is None else structure_chance)
    sample, piece, unit = curves.parts.choose(expected, chance, 2)
    step = curves.step[piece]
    at = curves.start[piece] + unit[0, :, None] * step + radius_nm * around(step, 2 * math.pi * unit[1])
    return Placed(sample, at[:, 0], at[:, 1], at[:, 2] if region.deep else None)
