"""Pairs of emitters at a chosen distance, both on in the same frame, far from every other pair.

The field is cut into square cells of at least `apart_nm`, and a cell holds one pair or none. Density is the number of
emitters as everywhere, so a cell is filled with the chance (expected emitters in the field) / (2 x cells in it): at
2 / apart_nm^2 or less than one cell each, every cell has exactly one. All places are new in every sample; both of a
pair are at one depth.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch

from smlmbench.errors import ConfigError
from smlmbench.psf.draws import quantile
from smlmbench.simulate.chance import Chance
from smlmbench.simulate.places import Grid, Placed, Region

CARD = {
    "version": 1,
    "summary": "Pairs of emitters at a distance, for what two close ones do to each other",
    "settings": {
        "distance_nm": {
            "default": 300.0,
            "min": 0.0,
            "max": 5000.0,
            "ranged": True,
            "help": "Between the two, in a random direction; a range is drawn per pair",
        },
        "apart_nm": {
            "default": 3200.0,
            "min": 100.0,
            "max": 100000.0,
            "help": "Side of the cell of a pair; emitters of two pairs are half of it apart or more",
        },
    },
}


def place(
    settings: Mapping[str, Any], region: Region, expected: torch.Tensor, chance: Chance, structure_chance: Chance | None
) -> Placed:
    """Places of both emitters of each pair, one after the other.

    Raises:
        ConfigError: A distance above half of `apart_nm`, or more emitters than two in every cell.
    """
    del structure_chance
    apart_nm, distance = settings["apart_nm"], settings["distance_nm"]
    longest = float(quantile(distance, torch.ones(1, dtype=torch.float64)))
    if longest > apart_nm / 2:
        raise ConfigError(
            f"structure pairs: a distance of {longest:g} nm is above half of apart_nm {apart_nm:g}; give a longer one"
        )
    grid = Grid.within(region, apart_nm)
    filled = expected / (2 * grid.in_field)
    if float(filled.max()) > 1 + 1e-9:
        most, asked = (number / region.area_um2 for number in (2.0 * grid.in_field, float(expected.max())))
        raise ConfigError(
            f"structure pairs: {asked:.4g} emitters per um2, but pairs {apart_nm:g} nm apart have {most:.4g} at most;"
            " give fewer, or a smaller apart_nm"
        )
    sample, cell = (chance.uniform(len(expected), grid.side_cells**2) < filled[:, None]).nonzero().unbind(dim=1)
    unit = chance.uniform(5, len(sample))
    distance_nm, turn = quantile(distance, unit[2]), 2 * math.pi * unit[3]
    middle = grid.corners[:, cell] + (apart_nm / 2 + distance_nm) / 2
    middle = middle + unit[:2] * (grid.cell_nm - apart_nm / 2 - distance_nm)
    half = torch.stack((turn.cos(), turn.sin())) * distance_nm / 2
    ends = torch.stack((middle - half, middle + half), dim=-1)  # (2, pairs, 2)
    kept = region.inside(ends[0], ends[1], margin_nm=region.margin_nm).all(dim=1)
    x_nm, y_nm = (at[kept].flatten() for at in ends)
    low, high = region.depth_nm
    z_nm = (low + (high - low) * unit[4])[kept].repeat_interleave(2)
    return Placed(sample[kept].repeat_interleave(2), x_nm, y_nm, z_nm if region.deep else None)
