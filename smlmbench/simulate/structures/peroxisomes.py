"""Spheres that are labelled on their membrane or all through, anywhere in the region, each of a radius of its own.

A larger sphere has more emitters, by its surface or its volume. Spheres may overlap. Where the region has depths, all
of a sphere lies within them.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch

from smlmbench.psf.draws import quantile
from smlmbench.simulate.chance import Chance
from smlmbench.simulate.places import Parts, Placed, Region, per_structure

CARD = {
    "version": 1,
    "summary": "Spheres, labelled on the surface or in the volume",
    "settings": {
        "spheres": {
            "default": 12.0,
            "min": 1e-3,
            "help": "Their number in a field of 6.4 x 6.4 um; scaled with the area",
        },
        "radius_nm": {
            "default": 150.0,
            "min": 20.0,
            "max": 1000.0,
            "ranged": True,
            "help": "Radius; a range is drawn per sphere. Peroxisomes have 50 to 250 nm",
        },
        "labelled": {"default": "surface", "choices": ["surface", "volume"], "help": "Membrane, or matrix"},
    },
    "variants": {"labelled=volume": {}},
    "facts": {"thickness_nm": {"radius_nm": 2.0}},
}

WAYS = 64  # along which a sphere is felt for how much of it lies in the field


def place(
    settings: Mapping[str, Any], region: Region, expected: torch.Tensor, chance: Chance, structure_chance: Chance | None
) -> Placed:
    """Places on or in spheres."""
    solid = settings["labelled"] == "volume"
    n = len(expected) if structure_chance is None else 1
    number = per_structure(settings["spheres"], region)
    drawn = chance if structure_chance is None else structure_chance
    each = max(number, round(number * region.ratio))
    unit = drawn.uniform(4, n, each)
    at = unit[:2] * region.side_nm - region.margin_nm
    at[:, :, 0] = unit[:2, :, 0] * region.field_nm  # one at least is in the field
    radius_nm = quantile(settings["radius_nm"], unit[2])
    low, high = region.depth_nm
    z_nm = low + radius_nm + (high - low - 2 * radius_nm) * unit[3] if region.deep else torch.zeros_like(radius_nm)
    power = 3 if solid else 2
    weight = radius_nm**power
    felt = _ways(solid)[:, :, None, None] * radius_nm
    seen = region.inside(at[0] + felt[0], at[1] + felt[1]).double().mean(dim=0)
    usual = number * float(
        quantile(settings["radius_nm"], (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000).pow(power).mean()
    )
    count = torch.full((n,), each)
    parts = Parts(torch.arange(n) * each, count, (weight * seen).sum(dim=1), usual, weight.flatten())
    sample, sphere, free = parts.choose(expected, chance, 3)
    up = 2 * free[0] - 1
    across, turn = (1 - up * up).sqrt(), 2 * math.pi * free[1]
    reach = radius_nm.flatten()[sphere] * (free[2] ** (1 / 3) if solid else 1.0)
    x_nm, y_nm = (centre.flatten()[sphere] for centre in at)
    x_nm, y_nm = x_nm + reach * across * turn.cos(), y_nm + reach * across * turn.sin()
    return Placed(sample, x_nm, y_nm, z_nm.flatten()[sphere] + reach * up if region.deep else None)


def _ways(solid: bool) -> torch.Tensor:
    """Points (2, WAYS) that lie evenly on, or in, a sphere of radius 1, without their heights."""
    number = torch.arange(WAYS, dtype=torch.float64) + 0.5
    up, turn = 1 - 2 * number / WAYS, math.pi * (1 + math.sqrt(5)) * number
    reach = (number * 37 % WAYS / WAYS) ** (1 / 3) if solid else torch.ones(WAYS, dtype=torch.float64)
    return torch.stack((turn.cos(), turn.sin())) * reach * (1 - up * up).sqrt()
