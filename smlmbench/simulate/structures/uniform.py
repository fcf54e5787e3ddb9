"""Independent places in Poisson numbers: no structure."""

from collections.abc import Mapping
from typing import Any

import torch

from smlmbench.simulate.chance import Chance
from smlmbench.simulate.places import Placed, Region, per_sample

CARD = {"version": 1, "summary": "Emitters anywhere in the field and at any of its depths"}


def place(
    settings: Mapping[str, Any], region: Region, expected: torch.Tensor, chance: Chance, structure_chance: Chance | None
) -> Placed:
    """Places uniform over the region; depths are left to whoever draws the emitters."""
    del settings, structure_chance
    sample = per_sample(expected * region.ratio, chance)
    places = chance.uniform(2, len(sample)) * region.side_nm - region.margin_nm
    return Placed(sample, places[0], places[1])
