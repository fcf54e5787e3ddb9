"""Structured background, hot pixels, empty frames: by hand and by their means."""

import math

import numpy as np
import pytest
import torch

from smlmbench import psf
from smlmbench.data.contracts import Asked
from smlmbench.data.simulate import condition
from smlmbench.registry import Catalog
from smlmbench.run.using.drawing import described
from smlmbench.simulate import Movie, draw
from smlmbench.simulate.background import hot_pixels, sloped, structured
from smlmbench.simulate.chance import Fast
from smlmbench.study.sources.scenes import OutOfFocus, Perlin, Slope

CATALOG = Catalog()
OPTICS = psf.build({"name": "gaussian", "sigma_nm": 130.0}, CATALOG)


def light(haze, n=200, size=32, level=20.0, seed=1):
    return structured(haze, torch.full((n,), level, dtype=torch.float64), size, 100.0, Fast.of(seed))


def test_a_slope_is_a_plane_of_its_mean():
    made = light(Slope(change=0.4))
    assert made.shape == (200, 32, 32)
    assert float((made.mean(dim=(1, 2)) - 20).abs().max()) < 1e-5
    assert float(made.diff(dim=1).diff(dim=1).abs().max()) < 1e-5
    reach = made.amax(dim=(1, 2))
    # the outermost pixel's centre lies half a pixel inside
    assert float(reach.max()) <= 20 * 1.4
    assert float(reach.min()) == pytest.approx(20 * (1 + 0.4 * 31 / 32), rel=1e-4)


def test_gradient_noise_keeps_its_mean_its_bound_and_its_cells():
    made = light(Perlin(change=0.5, cell_um=0.8, octaves=1), n=2000)
    away = made / 20 - 1
    assert float(away.abs().max()) <= 0.5
    assert float(away.abs().max()) > 0.3
    assert float(away.mean()) == pytest.approx(0, abs=0.003)
    # smooth within a cell of 8 pixels, unrelated beyond two
    near, far = (float((away[:, :, :-d] * away[:, :, d:]).mean() / away.square().mean()) for d in (1, 17))
    assert near > 0.9
    assert abs(far) < 0.05


def test_gradient_noise_has_no_direction():
    made = light(Perlin(cell_um=0.8, octaves=1), n=1000)
    right, down = made.diff(dim=2)[:, :-1], made.diff(dim=1)[:, :, :-1]
    size = float(right.square().mean())
    assert float(down.square().mean()) == pytest.approx(size, rel=0.05)
    assert float((right * down).mean()) == pytest.approx(0, abs=0.05 * size)


def test_octaves_add_finer_structure():
    made = [light(Perlin(octaves=octaves), n=300) for octaves in (1, 3)]
    rough = [float(each.diff(dim=2).square().mean() / each.var()) for each in made]
    assert rough[1] > 1.5 * rough[0]


def test_haze_adds_its_photons_everywhere_and_smoothly():
    haze = OutOfFocus(density_per_um2=0.5, photons=2000.0, sigma_um=0.5)
    made = light(haze, n=400) - 20
    assert float(made.min()) >= 0
    # 0.5 per um2 of 2000 photons on pixels of 0.01 um2
    assert float(made.mean()) == pytest.approx(10, rel=0.05)
    rim = torch.cat((made[:, 0], made[:, -1], made[:, :, 0], made[:, :, -1]), dim=1)
    assert float(rim.mean()) == pytest.approx(10, rel=0.08)
    assert float(made.diff(dim=2).abs().max()) < 2000 / (2 * math.pi * 25) / 5 * 4


def test_hot_pixels_are_the_same_in_all_frames():
    level = torch.full((5, 64, 64), 100.0, dtype=torch.float64)
    extra = hot_pixels(level, 0.01, Fast.of(1))
    assert extra.shape == (5, 64, 64)
    assert bool((extra == extra[0]).all())
    hot = extra[0][extra[0] > 0]
    assert len(hot) == pytest.approx(41, abs=4 * math.sqrt(41))
    assert float(hot.min()) >= 50
    assert float(hot.max()) <= 300


def test_planes_have_every_direction():
    made = sloped(400, 8, 0.5, Fast.of(1))
    right = (made[:, 4, 7] > made[:, 4, 0]).double().mean()
    down = (made[:, 7, 4] > made[:, 0, 4]).double().mean()
    assert 0.35 < float(right) < 0.65
    assert 0.35 < float(down) < 0.65


@pytest.mark.parametrize("haze", ["slope", "perlin", "out_of_focus"])
def test_the_truth_knows_the_background_at_its_emitters(haze):
    source = described({"background": haze, "background_photons": 400.0, "density_per_um2": 0.2, "photons": 1.0})
    frames, emitters = draw(source, OPTICS, 1, 400)
    background = emitters.background_photons
    assert len(torch.unique(background)) > 50
    around = frames[emitters.frame, (emitters.y_nm / 100).long(), (emitters.x_nm / 100).long()]
    # photon noise alone is left between both
    apart = (around - background) / background.sqrt()
    assert float(apart.mean()) == pytest.approx(0, abs=4 / math.sqrt(len(apart)))
    assert float(apart.std()) == pytest.approx(1, abs=0.1)


def test_a_condition_is_told_the_mean_of_its_background():
    haze = {"name": "out_of_focus", "density_per_um2": 0.5, "photons": 2000.0}
    given = {"background": haze, "background_photons": 5.0, "frames": 10, "field_px": 16, "psf": {"name": "gaussian"}}
    made = condition("t", described(given), {"d": 1}, Asked("test", 7), CATALOG)
    assert made.told["background_photons"] == pytest.approx(15.0)


def test_a_share_of_the_frames_is_empty():
    source = described({"empty_frames": 0.3, "density_per_um2": 5.0, "field_px": 16})
    _, emitters = draw(source, OPTICS, 1, 600)
    empty = 600 - len(torch.unique(emitters.frame))
    assert empty == pytest.approx(180, abs=4 * math.sqrt(600 * 0.21))
    blinking = described({"empty_frames": 0.3, "density_per_um2": 5.0, "field_px": 16, "track": "blinking"})
    _, emitters = draw(blinking, OPTICS, 1, 600)
    assert 600 - len(torch.unique(emitters.frame)) == pytest.approx(180, abs=4 * math.sqrt(600 * 0.21))


def test_hot_pixels_stay_where_they_are_over_the_blocks_of_a_movie():
    source = described({"hot_pixels": 0.02, "background_photons": 100.0, "density_per_um2": 0.01})
    movie = Movie(source, OPTICS, (0, 128), 3)
    first, second = (movie.block(start, start + 64, start)[0].mean(dim=0).numpy() for start in (0, 64))
    hot = first > 140
    assert 8 <= hot.sum() <= 40
    assert np.array_equal(hot, second > 140)
