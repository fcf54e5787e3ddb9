"""Sparse deconvolution: what it separates, what it leaves empty, and that it follows the noise of each pixel."""

import numpy as np
import pytest
import torch
from emitting import CAMERAS, expected, places, seen

from smlmbench.camera import Noise
from smlmbench.data.contracts import ArrayFrames, Condition
from smlmbench.errors import SizeError
from smlmbench.references.deconvolving import Blur, clusters, deconvolve
from smlmbench.registry import Catalog

CATALOG = Catalog()
SCMOS = CAMERAS["scmos"]


def held(frames, noise_map=None, **told):
    told = {"pixel_size_nm": 100.0, "psf_sigma_nm": 130.0, **SCMOS.noise.told(), **told}
    return Condition("t", ArrayFrames(frames.astype(np.float32)), None, told=told, noise_map=noise_map)


def found(condition, **settings):
    filled = CATALOG.card("references", "sparse_deconvolution").fill("sparse_deconvolution", settings)
    return CATALOG.module("references", "sparse_deconvolution").predict(condition, filled, {}, 0).table


def pair(apart_px, shape=(20, 24), n=4):
    """Two emitters in each of n frames."""
    frame = np.repeat(np.arange(n), 2)
    at = places(np.tile([12 - apart_px / 2, 12 + apart_px / 2], n), np.full(2 * n, 10.3), frame)
    return at, seen(expected(at, 1000.0, 10.0, (n, *shape)), SCMOS)


def test_two_emitters_three_sigma_apart_are_separated():
    at, frames = pair(3 * 1.3)
    table = found(held(frames))
    assert np.array_equal(table.frame, at.frame)
    away = np.hypot(np.sort(table.x_nm.reshape(-1, 2), axis=1).ravel() - 100 * at.x_px, table.y_nm - 1030)
    assert away.max() < 40
    assert table.photons == pytest.approx(1000, abs=200)
    assert table.background_photons == pytest.approx(10, abs=2)
    assert np.hypot(table.sigma_x_nm, table.sigma_y_nm) == pytest.approx(9.5, abs=2)  # 6.7 nm per axis


def test_two_emitters_at_one_place_are_one():
    table = found(held(pair(0.0)[1]))
    assert np.array_equal(table.frame, np.arange(4))
    assert table.photons == pytest.approx(2000, abs=250)


@pytest.mark.parametrize("camera", sorted(CAMERAS))
def test_frames_without_emitters_are_empty_be_they_flat_sloping_or_hot(camera):
    mean = np.full((12, 32, 32), 10.0)
    mean[4:8] *= np.linspace(0.5, 1.5, 32)
    mean[8:, 12, 20] += 60
    table = found(held(seen(mean, CAMERAS[camera]), **CAMERAS[camera].noise.told()))
    assert len(table) == 0


def test_frames_without_noise_or_light_are_empty():
    table = found(held(np.full((3, 12, 14), 7.0)))
    assert len(table) == 0
    assert table.n_frames == 3


def test_a_pixel_of_much_noise_tells_little():
    at = places(10.5, 10.5)
    mean, noise_map = expected(at, 400.0, 10.0, (1, 20, 20)), np.full((20, 20), 2.25)
    noise_map[4:7, 14:17] = 900.0
    frames = seen(mean, SCMOS)
    frames[0, 4:7, 14:17] += 30.0  # one standard deviation there, nine elsewhere
    alike, mapped = found(held(frames)), found(held(frames, noise_map))
    assert len(mapped) == 1
    assert mapped.x_nm == pytest.approx(1050, abs=60)
    assert len(alike) > 1


def test_counts_of_a_camera_that_nobody_knows_have_the_same_places():
    at, frames = pair(6.0)
    table = found(
        Condition("t", ArrayFrames((3 * frames + 100).astype(np.float32)), None, told={"pixel_size_nm": 100.0})
    )
    known = found(held(frames))
    assert len(table) == len(known) == len(at)
    assert np.abs(np.sort(table.x_nm) - np.sort(known.x_nm)).max() < 10


def test_large_frames_are_cut_into_tiles_whose_seams_do_not_show():
    numbers = np.random.default_rng(2)
    x_px, y_px = (numbers.uniform(6, side - 6, 60) for side in (130, 100))
    x_px[:4], y_px[:4] = [42.9, 43.0, 86.9, 20.0], [20.0, 40.0, 80.0, 50.0]  # on the seams
    near = np.hypot(x_px[:, None] - x_px[:4], y_px[:, None] - y_px[:4]) < 6
    alone = ~near.any(axis=1) | (np.arange(60) < 4)
    x_px, y_px = x_px[alone], y_px[alone]
    at = places(x_px, y_px)
    frames = seen(expected(at, 1500.0, 5.0, (1, 100, 130)), SCMOS)
    table = found(held(frames))
    apart = np.hypot(table.x_nm[:, None] / 100 - x_px, table.y_nm[:, None] / 100 - y_px)
    assert (apart[:, :4].min(axis=0) < 0.3).all()
    assert ((apart[:, :4] < 3).sum(axis=0) == 1).all()
    assert len(table) > 0.85 * alone.sum()


def test_the_grid_and_its_clusters_bring_a_place_back():
    blur = Blur(16, 20, 1.3, 4)
    light = torch.zeros(1, *(4 * (side + 4) for side in (16, 20)))
    light[0, 4 * (2 + 7) + 1, 4 * (2 + 11) + 2] = 500.0
    frames = blur(light) + 3.0
    made = deconvolve(frames, torch.zeros(16, 20), Noise(), blur, 5.0)
    spots = clusters(made.light, 4)
    assert len(spots.frame) == 1
    assert spots.x_px.item() == pytest.approx(11 + 2.5 / 4, abs=0.02)
    assert spots.y_px.item() == pytest.approx(7 + 1.5 / 4, abs=0.02)
    assert (
        420 < spots.photons.item() <= made.light.sum().item() < 500
    )  # what still is penalised is dimmer than the truth
    assert made.background.numpy() == pytest.approx(3.0, abs=0.3)


def test_frames_that_are_too_small_are_refused_in_one_line():
    with pytest.raises(SizeError, match="at least 5 x 5"):
        found(held(np.zeros((2, 4, 9))))
