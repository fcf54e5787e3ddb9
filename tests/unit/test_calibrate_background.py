"""Light without spots in movies whose background is known."""

import numpy as np
import pytest

from smlmbench.calibrate.pixels.background import measure_background
from smlmbench.camera import Camera
from smlmbench.movies import ArrayMovie, calibrated
from smlmbench.registry import Catalog
from smlmbench.run.using.drawing import described, draw_frames

IDEAL = Camera()


def movie(frames=40, **more):
    told = {"density_per_um2": 1.0, "background_photons": 10.0, "photons": {"min": 500, "max": 3000}, "field_px": 64}
    source = described({**told, "psf": {"name": "gaussian", "sigma_nm": 130.0}, **more})
    return calibrated(ArrayMovie(draw_frames(source, frames, 4, Catalog())[0]), source.camera)


def poisson(light, frames=40, seed=0):
    return calibrated(ArrayMovie(np.random.default_rng(seed).poisson(light, (frames, *light.shape))), IDEAL)


@pytest.mark.parametrize("background", [2.0, 10.0, 100.0])
@pytest.mark.parametrize("density", [0.02, 1.0])
def test_the_level_is_found_under_many_spots(background, density):
    found = measure_background(movie(density_per_um2=density, background_photons=background), 1.3)
    assert found.level.value == pytest.approx(background, rel=0.06)
    assert found.level.low < background < found.level.high


def test_small_pixels_and_a_noisy_camera_do_not_move_it():
    camera = {"kind": "emccd", "e_per_adu": 45, "em_gain": 300, "read_noise_e": 74.4, "baseline_adu": 100}
    found = measure_background(movie(camera=camera, pixel_size_nm=160.0, background_photons=20.0), 130 / 160)
    assert found.level.value == pytest.approx(20, rel=0.08)


def test_structure_is_what_stays_at_its_place():
    flat = measure_background(poisson(np.full((64, 64), 20.0)), 1.3)
    assert flat.structure.value < 0.02
    assert flat.structure.low == 0
    wave = 20 * (1 + 0.5 * np.sin(np.arange(96) * 2 * np.pi / 48))[None, :] * np.ones((96, 1))
    found = measure_background(poisson(wave), 1.3)
    # places are quarters of a period, over which a sine is 2 / pi of its height
    assert found.structure.value == pytest.approx(0.5 * 2 / np.pi, rel=0.06)
    assert found.over_field == pytest.approx((20 - 20 / np.pi, 20 + 20 / np.pi), abs=0.8)
    assert found.over_frames[1] - found.over_frames[0] < 2


def test_light_that_changes_over_frames_is_seen_there():
    light = np.linspace(10, 30, 60)[:, None, None] * np.ones((1, 48, 48))
    counts = np.random.default_rng(0).poisson(light)
    found = measure_background(calibrated(ArrayMovie(counts), IDEAL), 1.0)
    assert found.level.value == pytest.approx(20, rel=0.04)
    assert found.over_frames == pytest.approx((11, 29), abs=0.8)
    assert found.structure.value < 0.03


def test_frames_too_small_or_too_few_say_so():
    small = measure_background(poisson(np.full((6, 40), 20.0)), 1.3)
    assert not small.level.known
    assert "too small" in small.level.why
    single = measure_background(poisson(np.full((64, 64), 20.0), frames=1), 1.3)
    assert single.level.value == pytest.approx(20, rel=0.05)
    assert "too few" in single.structure.why
    dark = measure_background(calibrated(ArrayMovie(np.zeros((20, 32, 32), np.uint16)), IDEAL), 1.3)
    assert dark.level.value == 0
    assert not dark.structure.known
