import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from smlmbench.outputs import raster
from smlmbench.registry import Catalog

FILLED = {**Catalog().card("outputs", "raster").fill("raster", {}), "pixel_size_nm": 100.0}


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), radius=st.integers(1, 4), levels=st.sampled_from([2, 5, 1000]))
def test_no_mass_is_counted_twice(seed, radius, levels):
    """Also with many equal values; where all positive values are equal, each is counted."""
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randint(0, levels, (2, 1, 12, 12), generator=generator)
    raw *= torch.rand(2, 1, 12, 12, generator=generator) > 0.7
    found = raster.decode(raw.float(), {**FILLED, "radius": radius}, 0.0)
    total = float(raw.sum()) / 100
    assert found.probability.sum() <= total * (1 + 1e-5) + 1e-9
    assert (np.diff(found.frame) >= 0).all()
    if levels == 2:
        assert found.probability.sum() == pytest.approx(total)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), low=st.floats(0, 0.5), more=st.floats(0, 1))
def test_a_threshold_only_selects(seed, low, more):
    raw = 100 * torch.randn(2, 1, 24, 24, generator=torch.Generator().manual_seed(seed))
    loose, strict = (raster.decode(raw, FILLED, threshold) for threshold in (low, low + more))
    kept = loose.select(loose.probability > low + more)
    assert kept.x_nm.tolist() == strict.x_nm.tolist()
    assert kept.frame.tolist() == strict.frame.tolist()
