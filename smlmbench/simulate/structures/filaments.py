"""Smooth curves across the field, with normal distances of the emitters from their axes.

Each passes a random point of the field and runs both ways out of the region; its direction is a Brownian motion along
the arc. Where the region has depths each filament lies level at one of its own, uniform among them.
"""

from collections.abc import Mapping
from typing import Any

import torch

from smlmbench.simulate.chance import Chance
from smlmbench.simulate.curves import STEP_NM, Course, grow
from smlmbench.simulate.places import Placed, Region, per_structure

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


def place(
    settings: Mapping[str, Any], region: Region, expected: torch.Tensor, chance: Chance, structure_chance: Chance | None
) -> Placed:
    """Places along filaments with normal distances from their axis.

    The number per sample is Poisson with the expected mean inside the field, whatever the length of filament there.
    """
    course = Course(per_structure(settings["filaments"], region), settings["curl"])
    n = len(expected) if structure_chance is None else 1
    curves = grow(course, region, n, chance if structure_chance is None else structure_chance)
    sample, piece, unit = curves.parts.choose(expected, chance, 1)
    start, step = curves.start[piece], curves.step[piece]
    away = chance.normal(len(sample)) * settings["width_nm"] / STEP_NM
    x_nm = start[:, 0] + unit[0] * step[:, 0] - away * step[:, 1]
    y_nm = start[:, 1] + unit[0] * step[:, 1] + away * step[:, 0]
    return Placed(sample, x_nm, y_nm, start[:, 2] if region.deep else None)
