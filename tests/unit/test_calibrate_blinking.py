"""On-times and dark times of simulated movies, and what is said where there are none."""

import numpy as np
import pytest
from test_calibrate_spots import movie

from smlmbench.calibrate.contracts import Number, SpotsFound
from smlmbench.calibrate.molecules.blinking import _dark, measure_blinking
from smlmbench.camera import Noise
from smlmbench.data.contracts import ArrayFrames


def spots(density, sigma_nm=130.0):
    """What is known of the spots beforehand."""
    known, none = (lambda value: Number(value, value, value)), Number.unknown("")
    return SpotsFound(known(sigma_nm), none, known(1000.0), (500.0, 2000.0), known(density), none, none)


def found(density=0.15, seed=3, frames=500, **track):
    """On-time and dark time that are measured where molecules blink."""
    told = {"track": {"name": "blinking", **track}} if track else {}
    described = {"photons": 2000.0, "background_photons": 20.0, "field_px": 48, **told}
    pixels, noise, density, _ = movie(frames, seed, density_per_um2=density, **described)
    return measure_blinking(pixels, 100.0, noise, spots(density))


@pytest.mark.parametrize(("on_frames", "off_frames"), [(3.0, 30.0), (8.0, 40.0)])
def test_times_are_those_of_the_simulation(on_frames, off_frames):
    on, off = found(on_frames=on_frames, off_frames=off_frames, bleach_after=10)
    assert on.value == pytest.approx(on_frames, rel=0.2)
    assert off.value == pytest.approx(off_frames, rel=0.2)
    assert on.low < on_frames < on.high
    assert off.low < off_frames < off.high


def test_independent_frames_have_molecules_that_are_on_for_one():
    on, off = found(density=0.5, frames=150)
    assert (on.value, on.low, on.high) == (1.0, 1.0, 1.0)
    assert not off.known
    assert "do not come back" in off.why


def test_molecules_that_bleach_do_not_come_back():
    on, off = found(on_frames=3.0)
    assert on.value == pytest.approx(3.0, rel=0.2)
    assert not off.known
    assert "by chance" in off.why


def test_few_molecules_that_are_on_for_long_are_no_independent_frames():
    on, _ = found(density=0.1, frames=300, on_frames=40.0, off_frames=100.0, bleach_after=3)
    assert not on.known or on.value > 15


def test_waits_are_told_from_newcomers_from_the_end_and_from_who_never_comes():
    draws = np.random.default_rng(1)
    count, mean, chance = 4000, 40.0, 0.004
    back = np.where(draws.uniform(size=count) < 0.5, draws.exponential(mean, count), np.inf)
    wait = np.floor(np.minimum(back, draws.exponential(1 / chance, count)))
    left = draws.uniform(1, 200, count)
    wait[wait >= left] = np.inf
    told = _dark(wait, left, chance, 0.0)
    assert told.value == pytest.approx(mean, rel=0.1)


def test_crowds_are_not_linked():
    draws = np.random.default_rng(1)
    frames = ArrayFrames(draws.poisson(20.0, (40, 32, 32)).astype(np.float32))
    pixels, noise, density, _ = movie(30, 1, density_per_um2=3.0, photons=300.0, background_photons=30.0)
    on, off = measure_blinking(pixels, 100.0, noise, spots(density, 300.0))
    assert "merge with others" in on.why
    assert on == off
    nothing, _ = measure_blinking(frames, 100.0, Noise(), spots(0.1))
    assert nothing.why == "0 localizations in 40 successive frames; more are needed"


@pytest.mark.parametrize("count", [150, 3000])
def test_dark_times_of_a_power_law_have_no_mean(count):
    draws = np.random.default_rng(2)
    wait = np.floor(2 * draws.uniform(size=count) ** -2.0)  # t^-1.5 from 2 frames on
    left = draws.uniform(1, 2000, count)
    found = _dark(np.where(wait < left, wait, np.inf), left, 1e-6, 0.0)
    assert not found.known
    assert "not exponential" in found.why
