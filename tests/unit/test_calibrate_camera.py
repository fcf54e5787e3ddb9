"""The camera of simulated movies, of dark frames, and of movies that tell nothing."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from smlmbench.calibrate.pixels.camera import facts, measure_camera
from smlmbench.camera import Camera
from smlmbench.movies import ArrayMovie, calibrated
from smlmbench.registry import Catalog
from smlmbench.run.using.drawing import described, draw_frames

SCMOS = {"kind": "scmos", "baseline_adu": 100, "e_per_adu": 0.46, "read_noise_e": 1.6}
EMCCD = {"kind": "emccd", "baseline_adu": 100, "e_per_adu": 45, "em_gain": 300, "read_noise_e": 74.4}


def frames_of(counts):
    return calibrated(ArrayMovie(counts), None)


def movie(camera, frames=200, seed=3, **more):
    told = {"density_per_um2": 1.0, "background_photons": 20.0, "photons": {"min": 500, "max": 3000}, "field_px": 64}
    source = described({**told, "psf": {"name": "gaussian", "sigma_nm": 120.0}, "camera": camera, **more})
    return draw_frames(source, frames, seed, Catalog())[0]


def darkness(camera, frames=60, side=48):
    return Camera(**camera).expose(torch.zeros(frames, side, side), torch.Generator().manual_seed(1)).numpy()


@pytest.fixture(scope="module")
def counts():
    return movie(SCMOS)


@pytest.fixture(scope="module")
def multiplied():
    return movie(EMCCD)


def test_with_dark_frames_baseline_gain_and_read_noise_are_within_five_percent(counts):
    found = measure_camera(frames_of(counts), frames_of(darkness(SCMOS)))
    assert found.baseline_adu.value == pytest.approx(100, rel=0.005)
    assert found.e_per_adu.value == pytest.approx(0.46, rel=0.03)
    assert found.read_noise_e.value == pytest.approx(1.6, rel=0.05)
    assert found.e_per_adu.low < 0.46 < found.e_per_adu.high
    assert found.doubts == ()


def test_a_movie_alone_bounds_gain_and_baseline(counts):
    found = measure_camera(frames_of(counts))
    assert found.e_per_adu.value == pytest.approx(0.46, rel=0.06)
    assert found.e_per_adu.low < 0.46 < found.e_per_adu.high < 1.15 * found.e_per_adu.low
    assert found.baseline_e.low < 46 < found.baseline_e.high < found.baseline_e.low + 15
    assert not found.baseline_adu.known
    assert "dark frames" in found.baseline_adu.why
    assert not found.read_noise_e.known


def test_behind_a_register_the_number_is_photo_electrons_per_count(multiplied):
    found = measure_camera(frames_of(multiplied), frames_of(darkness(EMCCD)), 2 - 1 / 300)
    assert found.e_per_adu.value == pytest.approx(45 / 300, rel=0.04)
    assert found.read_noise_e.value == pytest.approx(74.4 / 300, rel=0.06)
    assert measure_camera(frames_of(multiplied), frames_of(darkness(EMCCD))).e_per_adu.value < 0.6 * 45 / 300


def test_noise_that_lifts_mean_and_variance_together_makes_no_slope():
    dim = {"density_per_um2": 0.05, "background_photons": 2.0, "photons": {"min": 200, "max": 1000}}
    found = [measure_camera(frames_of(movie(EMCCD, seed=seed, **dim)), None, 2.0).e_per_adu for seed in range(4)]
    assert np.mean([number.value for number in found]) == pytest.approx(0.15, rel=0.06)
    assert sum(number.low < 0.15 < number.high for number in found) >= 3


def test_a_pattern_that_is_fixed_to_the_pixels_is_no_noise(counts):
    pattern = np.random.default_rng(0).integers(0, 21, counts.shape[1:]).astype(np.uint16)
    plain, shifted = measure_camera(frames_of(counts)), measure_camera(frames_of(counts + pattern))
    assert shifted.e_per_adu.value == pytest.approx(plain.e_per_adu.value, rel=0.1)
    assert shifted.baseline_e.low < 0.46 * 110 < shifted.baseline_e.high


@pytest.mark.parametrize("em_gain", [None, 120.0])
def test_facts_make_a_camera_that_turns_counts_into_the_same_photons(multiplied, em_gain):
    found = measure_camera(frames_of(multiplied), frames_of(darkness(EMCCD)), 2.0)
    made = Camera(**facts(found, em_gain))
    assert made.em_gain == (em_gain or 300)
    assert 1 / made.adu_per_photon == pytest.approx(found.e_per_adu.value)
    real = Camera(**EMCCD).to_photons(multiplied[:4])
    assert float(made.to_photons(multiplied[:4]).mean()) == pytest.approx(float(real.mean()), rel=0.05)
    assert made.noise.added == pytest.approx(Camera(**EMCCD).noise.added, rel=0.15)


def test_facts_without_dark_frames_hold_the_baseline_in_counts(counts):
    made = Camera(**facts(measure_camera(frames_of(counts))))
    assert made.kind == "scmos"
    assert made.baseline_adu == pytest.approx(100, abs=10)
    assert facts(measure_camera(frames_of(counts[:1]))) == {}


@pytest.mark.parametrize(
    ("values", "word"),
    [
        (np.zeros((1, 64, 64), np.uint16), "single frame"),
        (np.full((50, 64, 64), 107, np.uint16), "constant"),
        (np.tile(np.arange(64, dtype=np.uint16), (50, 64, 1)), "constant or equal"),
        (np.random.default_rng(0).poisson(9, (50, 8, 64)).astype(np.uint16), "too small"),
        (np.random.default_rng(0).poisson(9, (3, 16, 16)).astype(np.uint16), "fewer than"),
        (np.random.default_rng(0).poisson(900, (60, 64, 64)).astype(np.uint16), "dark frames"),
    ],
)
def test_what_says_nothing_of_a_gain_is_no_number(values, word):
    found = measure_camera(frames_of(values))
    for number in (found.e_per_adu, found.baseline_e):
        assert not number.known
        assert word in number.why


def test_smoothed_and_compressed_frames_are_no_measurement(counts):
    smooth = (counts[:, :-1] / 2 + counts[:, 1:] / 2).astype(np.float32)
    found = measure_camera(frames_of(smooth))
    assert not found.e_per_adu.known
    assert "smoothed" in found.e_per_adu.why
    phone = {"kind": "phone", "baseline_adu": 10, "e_per_adu": 4, "read_noise_e": 4, "jpeg_quality": 60}
    pressed = measure_camera(frames_of(movie(phone, frames=60)))
    assert not pressed.e_per_adu.known
    assert any("8 bits" in said for said in pressed.doubts)


def test_saturated_pixels_are_left_out_and_said(counts):
    cut = np.minimum(counts, 400)
    found = measure_camera(frames_of(cut))
    assert found.e_per_adu.low < 0.46 < found.e_per_adu.high
    assert any("cut off at 400" in said for said in found.doubts)


def test_dark_frames_of_another_setting_are_not_used(counts):
    found = measure_camera(frames_of(counts), frames_of(darkness({**SCMOS, "baseline_adu": 400})))
    assert any("other settings" in said for said in found.doubts)
    assert not found.baseline_adu.known
    assert found.e_per_adu.low < 0.46 < found.e_per_adu.high
    other = measure_camera(frames_of(counts), frames_of(darkness({**SCMOS, "baseline_adu": 60})))
    assert any("settings or the stated excess" in said for said in other.doubts)


def test_hot_pixels_and_a_fixed_pattern_do_not_move_the_baseline(counts):
    dark = darkness(SCMOS)
    draws = np.random.default_rng(2)
    dark += np.rint(draws.normal(0, 3, dark.shape[1:]))
    dark[:, draws.random(dark.shape[1:]) < 0.01] += 500
    found = measure_camera(frames_of(counts), frames_of(dark))
    assert found.baseline_adu.value == pytest.approx(100, abs=0.5)
    assert any("offset map" in said and " 3 counts" in said for said in found.doubts)
    assert any("hot" in said for said in found.doubts)


def test_a_single_dark_frame_gives_a_baseline_and_says_what_it_lacks(counts):
    found = measure_camera(frames_of(counts), frames_of(darkness(SCMOS, frames=1, side=64)))
    assert found.baseline_adu.value == pytest.approx(100, abs=0.5)
    assert any("single dark frame" in said for said in found.doubts)


def test_only_a_part_of_a_long_movie_is_read(counts):
    read = []

    class Long:
        n_frames, height, width = 100_000, 512, 512

        def read(self, start, stop):
            read.append(stop - start)
            noise = np.random.default_rng(start).poisson(20 + 10 * (np.arange(512) > 255), (stop - start, 512, 512))
            return noise.astype(np.float32) + 100

    found = measure_camera(Long())
    assert found.e_per_adu.low < 1 < found.e_per_adu.high
    assert sum(read) <= 16


def test_intervals_of_drawn_movies_hold_the_truth():
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    try:
        from calibration import cases, measured
    finally:
        sys.path.pop(0)
    held = []
    for case in cases(movies=6, frames=100, size=48, seed=5):
        for number, true in measured(case).values():
            if number.known:
                held.append(number.low <= true <= number.high)
    assert len(held) >= 24
    assert np.mean(held) >= 0.85
