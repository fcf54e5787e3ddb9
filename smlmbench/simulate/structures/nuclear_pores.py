"""Nuclear pores in one envelope: on each of eight corners two labels in the upper and two in the lower ring.

Pores stand upright on a grid, each shifted at random by what keeps neighbours `APART_NM` apart, and turned at random.
Some labels are dark for good. Where the region has depths the envelope is a plane that slopes through them; in a flat
one both rings are seen in projection.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch

from smlmbench.simulate.chance import Chance
from smlmbench.simulate.places import Parts, Placed, Region, shaken

CARD = {
    "version": 1,
    "summary": "Double rings of eight corners with two labels each, as Nup96 has them",
    "settings": {
        "pores_per_um2": {"default": 5.0, "min": 0.01, "max": 40.0, "help": "Of the envelope"},
        "radius_nm": {"default": 53.7, "min": 10.0, "max": 70.0, "help": "Of both rings"},
        "rings_apart_nm": {"default": 50.0, "min": 0.0, "max": 200.0, "help": "From ring to ring along the depth"},
        "dimer_nm": {"default": 12.0, "min": 0.0, "max": 30.0, "help": "Between the two labels of a corner"},
        "efficiency": {"default": 0.6, "min": 0.01, "max": 1.0, "help": "Share of the 32 labels that can be seen"},
    },
    "paper": (
        "Thevathasan et al. 2019, Nuclear pores as versatile reference standards for quantitative "
        "superresolution. Nature Methods"
    ),
    "doi": "10.1038/s41592-019-0574-9",
    "deviations": [
        "the corners of both rings stand above each other; the small twist between them is left out",
        "the dimer of a corner lies along the ring, and pores do not tilt with the envelope",
    ],
    "facts": {"thickness_nm": {"rings_apart_nm": 1.0}},
}

APART_NM = 140.0  # between the centres of pores, at least
CORNERS, COPIES = 8, 2


def place(
    settings: Mapping[str, Any], region: Region, expected: torch.Tensor, chance: Chance, structure_chance: Chance | None
) -> Placed:
    """Places of the labels that are not dark, each with the same chance."""
    n = len(expected) if structure_chance is None else 1
    drawn = chance if structure_chance is None else structure_chance
    at = shaken(region, 1000 / math.sqrt(settings["pores_per_um2"]), APART_NM, n, drawn)
    turn = _corners(settings) + 2 * math.pi * drawn.uniform(1, *at.shape[1:], 1)
    x_nm, y_nm = (at[..., None] + settings["radius_nm"] * torch.stack((turn.cos(), turn.sin()))[:, 0]).unbind()
    half_nm = settings["rings_apart_nm"] / 2
    z_nm = torch.tensor([-half_nm, half_nm], dtype=torch.float64).repeat_interleave(CORNERS * COPIES)
    z_nm = _envelope(at, region, half_nm, drawn)[..., None] + z_nm if region.deep else z_nm.expand_as(x_nm)
    bright = drawn.uniform(*x_nm.shape) < settings["efficiency"]
    kept = bright & region.inside(x_nm, y_nm, margin_nm=region.margin_nm)
    in_field = (bright & region.inside(x_nm, y_nm)).flatten(1).sum(dim=1).double()
    count = kept.flatten(1).sum(dim=1)
    labels = settings["pores_per_um2"] * region.area_um2 * turn.shape[-1] * settings["efficiency"]
    parts = Parts(count.cumsum(0) - count, count, in_field, labels)
    sample, label, _ = parts.choose(expected, chance, 0)
    x_nm, y_nm, z_nm = (values[kept][label] for values in (x_nm, y_nm, z_nm))
    return Placed(sample, x_nm, y_nm, z_nm if region.deep else None)


def _corners(settings: Mapping[str, Any]) -> torch.Tensor:
    """Angles (32,) of the labels of a pore: of each ring eight corners, of each corner both labels."""
    half = math.asin(settings["dimer_nm"] / (2 * settings["radius_nm"]))
    corner = torch.arange(CORNERS, dtype=torch.float64).repeat_interleave(COPIES) * 2 * math.pi / CORNERS
    return (corner + torch.tensor([-half, half], dtype=torch.float64).repeat(CORNERS)).repeat(2)


def _envelope(at: torch.Tensor, region: Region, half_nm: float, chance: Chance) -> torch.Tensor:
    """Depths of pores (2, n, m) on a plane that slopes in a random direction, as far as the depths let it."""
    low, high = region.depth_nm
    turn = 2 * math.pi * chance.uniform(len(at[0]), 1)
    along = (at[0] - region.field_nm / 2) * turn.cos() + (at[1] - region.field_nm / 2) * turn.sin()
    most = region.side_nm * (turn.cos().abs() + turn.sin().abs()) / 2
    rise = (high - low) / 2 - half_nm
    return (low + high) / 2 + rise * (along / most).clamp(-1, 1)
