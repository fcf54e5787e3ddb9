"""Where emitters sit: each structure's geometry by hand, its density, its depths, and the same places from one seed."""

import math

import pytest
import torch

from smlmbench.errors import ConfigError, UnknownNameError
from smlmbench.registry import Catalog
from smlmbench.simulate import places
from smlmbench.simulate.chance import Fast, Frozen
from smlmbench.simulate.places import Region

CATALOG = Catalog()
FLAT, DEEP = Region(9600.0, 600.0), Region(9600.0, 600.0, (-600.0, 600.0))
STREAMS = {"fast": Fast.of, "frozen": Frozen}


def placed(region, expected, one=None, seed=1, stream=Fast.of, **described):
    chance = None if one is None else stream(one)
    return places.build(described, CATALOG)(region, torch.as_tensor(expected).double(), stream(seed), chance)


def test_uniform_places_fill_the_margin_at_the_same_density():
    region = Region(3200.0, 585.0)
    found = placed(region, torch.full((200,), 10.24), name="uniform")
    inside = float(region.inside(found.x_nm, found.y_nm).sum())
    assert inside == pytest.approx(200 * 10.24, abs=5 * math.sqrt(2048))
    assert len(found.sample) == pytest.approx(200 * 10.24 * region.ratio, abs=5 * math.sqrt(2048 * region.ratio))


def test_a_filament_lies_level_at_a_depth_of_its_own():
    found = placed(DEEP, [5000.0], one=3, name="filaments", filaments=4, width_nm=0)
    levels = found.z_nm.unique()
    assert len(levels) == 9  # 4 in 6.4 x 6.4 um, of 9.6 x 9.6 um
    assert float(levels.min()) >= -600
    assert float(levels.max()) < 600
    assert placed(FLAT, [50.0], name="filaments").z_nm is None


def test_a_structure_without_a_name_or_of_another_is_refused():
    with pytest.raises(ConfigError, match=r"has no name; accepted: .*filaments"):
        placed(FLAT, [1.0], filaments=3)
    with pytest.raises(UnknownNameError, match="did you mean 'filaments'"):
        placed(FLAT, [1.0], name="filament")
    with pytest.raises(ConfigError, match=r"structure\.curls: unknown setting, did you mean 'curl'"):
        placed(FLAT, [1.0], name="filaments", curls=3)
