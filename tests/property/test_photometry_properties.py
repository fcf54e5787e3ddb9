"""Photons at known places do not depend on the order of emitters, on where the frame begins, nor on its neighbours."""

import numpy as np
from emitting import SIGMA_PX, expected, places
from hypothesis import given, settings
from hypothesis import strategies as st

from smlmbench.camera import Noise
from smlmbench.references.photometry import Light, measure

COLUMNS = ("photons", "background", "x_bound_px", "y_bound_px")
NOISE = Noise(1.0, 2.0)


@st.composite
def scenes(draw):
    """Noisy frames (3, 24, 30) with emitters anywhere in them."""
    count = draw(st.integers(1, 25))
    random = np.random.default_rng(draw(st.integers(0, 2**31)))
    at = places(random.uniform(0, 30, count), random.uniform(0, 24, count), random.integers(0, 3, count))
    mean = expected(at, random.uniform(200, 2000, count), 8, (3, 24, 30))
    return random.poisson(mean).astype(np.float32), at, random


def unlike(one: Light, other: Light, rows=slice(None)) -> list[str]:
    """Columns that differ."""
    pairs = {name: (getattr(one, name)[rows], getattr(other, name)) for name in COLUMNS}
    return [name for name, pair in pairs.items() if not np.allclose(*pair, rtol=1e-4, atol=1e-3, equal_nan=True)]


@settings(max_examples=40)
@given(scenes())
def test_the_order_of_emitters_is_nothing(scene):
    frames, at, random = scene
    order = random.permutation(len(at))
    assert unlike(measure(frames, at, SIGMA_PX, NOISE), measure(frames, at.rows(order), SIGMA_PX, NOISE), order) == []


@settings(max_examples=40)
@given(scenes(), st.integers(0, 9), st.integers(0, 9))
def test_a_larger_frame_around_shifts_nothing_that_was_inside(scene, right, down):
    frames, at, _ = scene
    inside = (at.x_px >= 6) & (at.x_px < 24) & (at.y_px >= 6) & (at.y_px < 18)
    at = at.rows(np.flatnonzero(inside))
    moved = places(at.x_px + right, at.y_px + down, at.frame)
    around = np.pad(frames, ((0, 0), (down, 9 - down), (right, 9 - right)), constant_values=-1e3)
    assert unlike(measure(frames, at, SIGMA_PX, NOISE), measure(around, moved, SIGMA_PX, NOISE)) == []


@settings(max_examples=40)
@given(scenes())
def test_frames_and_axes_are_measured_alike(scene):
    frames, at, _ = scene
    whole = measure(frames, at, SIGMA_PX, NOISE)
    for number in range(3):
        rows = np.flatnonzero(at.frame == number)
        one = places(at.x_px[rows], at.y_px[rows])
        assert unlike(whole, measure(frames[number : number + 1], one, SIGMA_PX, NOISE), rows) == []
    turned = measure(frames.transpose(0, 2, 1), places(at.y_px, at.x_px, at.frame), SIGMA_PX, NOISE)
    assert unlike(whole, Light(turned.photons, turned.background, turned.y_bound_px, turned.x_bound_px)) == []
