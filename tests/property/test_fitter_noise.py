"""The classical fitter in pure noise: as few false positives per pixel in any small frame as in a usual one."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from smlmbench.data.contracts import ArrayFrames, Condition
from smlmbench.registry import Catalog

CATALOG = Catalog()
PIXELS = 1_000_000
MOST = 9  # frames of 64 x 64 px have 1.5 in these at most; ten or more have a chance of 4e-6 then


def false_positives(height: int, width: int, *, normal: bool, seed: int, **told: object) -> int:
    rng, shape = np.random.default_rng(seed), (PIXELS // (height * width), height, width)
    frames = rng.normal(100, 5, shape) if normal else rng.poisson(30, shape)
    known = {"pixel_size_nm": 100.0}
    condition = Condition("noise", ArrayFrames(frames.astype(np.float32)), None, "digest", facts={}, told=known)
    filled = CATALOG.card("references", "peaks_gaussian").fill("peaks_gaussian", told)
    return len(CATALOG.module("references", "peaks_gaussian").predict(condition, filled, {}, 0).table)


@pytest.mark.slow
@given(
    height=st.integers(5, 20),
    width=st.integers(5, 80),
    turned=st.booleans(),
    normal=st.booleans(),
    free_sigma=st.booleans(),
    sigma_nm=st.sampled_from([100.0, 130.0, 200.0]),
    seed=st.integers(0, 2**16),
)
@example(height=5, width=64, turned=True, normal=False, free_sigma=True, sigma_nm=130.0, seed=0)
@example(height=5, width=5, turned=False, normal=False, free_sigma=True, sigma_nm=130.0, seed=0)
@example(height=16, width=16, turned=False, normal=False, free_sigma=True, sigma_nm=130.0, seed=0)
@example(height=64, width=64, turned=False, normal=False, free_sigma=True, sigma_nm=130.0, seed=0)
@settings(max_examples=12)
def test_noise_gives_no_more_in_small_frames(height, width, turned, normal, free_sigma, sigma_nm, seed) -> None:  # type: ignore[no-untyped-def]
    shape = (width, height) if turned else (height, width)
    found = false_positives(*shape, normal=normal, seed=seed, free_sigma=free_sigma, sigma_nm=sigma_nm)
    assert found <= MOST
