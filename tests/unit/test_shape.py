"""The shape test of spots: its law holds on simulated frames of every camera, and odd shapes stand out."""

import numpy as np
import pytest
import torch
from scipy.special import erf
from scipy.stats import kstest

from smlmbench.camera import Camera, Noise
from smlmbench.data.contracts import ArrayFrames
from smlmbench.references.deviance import deviance, moments
from smlmbench.references.photometry import Places
from smlmbench.references.shape import shapes

CAMERAS = {
    "ideal": Camera(),
    "scmos": Camera(kind="scmos", baseline_adu=100, e_per_adu=0.5, read_noise_e=1.6),
    "emccd": Camera(kind="emccd", baseline_adu=100, e_per_adu=45, em_gain=300, read_noise_e=74.4),
}
SIDE, SIGMA = 21, 1.3


def share(place, sigma):
    return np.diff(0.5 * erf((np.arange(SIDE + 1) - place[:, None]) / (sigma * 2**0.5)), axis=1)


def frames(count, camera, photons=1000.0, background=10.0, apart=0.0, sigma=SIGMA, seed=1):
    """One spot in each frame, of two emitters `apart` px; the numbers with which the frames were made are known."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(9, 12, (2, count))
    across = (share(x, sigma) + share(x + apart, sigma)) / 2
    mean = photons * share(y, sigma)[:, :, None] * across[:, None, :] + background
    counts = camera.expose(torch.from_numpy(mean).float(), torch.Generator().manual_seed(seed)).numpy()
    return camera.to_photons(counts).astype(np.float32), Places(np.arange(count), x, y)


@pytest.mark.parametrize("camera", list(CAMERAS))
@pytest.mark.parametrize(("photons", "background"), [(1000, 10), (500, 50), (20000, 200)])
def test_ranks_of_spots_of_one_shape_are_even_for_every_camera(camera, photons, background):
    pixels, places = frames(1500, CAMERAS[camera], photons, background)
    found = shapes(ArrayFrames(pixels), places, SIGMA, CAMERAS[camera].noise)
    assert kstest(found.rank, "uniform").pvalue > 1e-3
    assert (found.rank > 0.95).mean() == pytest.approx(0.05, abs=4 * (0.05 * 0.95 / 1500) ** 0.5)
    assert found.sigma_px == pytest.approx(SIGMA, abs=max(0.04, 5 * found.sigma_error_px))
    assert (found.given, found.alone, len(found.rank)) == (1500, 1500, 1500)


def test_two_emitters_in_one_spot_and_wide_spots_stand_out():
    ideal = CAMERAS["ideal"]
    one, places = frames(600, ideal)
    two, _ = frames(150, ideal, apart=2.0, seed=2)
    wide, _ = frames(150, ideal, sigma=1.2 * SIGMA, photons=4000, seed=3)
    for odd, least_width in ((two, 0.0), (wide, 0.9)):
        number = np.concatenate([np.arange(600), 600 + np.arange(150)])
        rng_two, rng_three = (frames(150, ideal, seed=seed)[1] for seed in (2, 3))
        more = rng_two if odd is two else rng_three
        both = Places(number, np.concatenate([places.x_px, more.x_px]), np.concatenate([places.y_px, more.y_px]))
        found = shapes(ArrayFrames(np.concatenate([one, odd])), both, SIGMA, ideal.noise)
        assert (found.rank[600:] > 0.95).mean() > 0.5
        assert (found.rank[:600] > 0.95).mean() < 0.09
        assert (found.narrower[600:] > 3.841).mean() >= least_width


def test_places_without_light_are_known_by_it():
    ideal = CAMERAS["ideal"]
    one, places = frames(200, ideal)
    dark, _ = frames(100, ideal, photons=0.0, seed=4)
    number = np.arange(300)
    both = Places(number, np.resize(places.x_px, 300), np.resize(places.y_px, 300))
    found = shapes(ArrayFrames(np.concatenate([one, dark])), both, SIGMA, ideal.noise)
    assert (found.light[:200] > 10).all()
    assert np.median(found.light[200:]) < 3


def test_crowded_and_cut_spots_are_left_out_and_few_have_a_reason():
    pixels, places = frames(200, CAMERAS["ideal"])
    frame = np.concatenate([places.frame, places.frame[:100], places.frame[100:150]])
    x = np.concatenate([places.x_px, places.x_px[:100] + 4, np.full(50, 1.0)])
    y = np.concatenate([places.y_px, places.y_px[:100], places.y_px[100:150]])
    found = shapes(ArrayFrames(pixels), Places(frame, x, y), SIGMA, Noise())
    assert (found.given, found.alone) == (350, 100)
    few = shapes(ArrayFrames(pixels), places.rows(np.arange(49)), SIGMA, Noise())
    assert few == "49 of 49 spots stand alone inside the frames; needs 50"


def test_a_width_that_is_far_off_does_not_matter():
    pixels, places = frames(400, CAMERAS["ideal"])
    found = shapes(ArrayFrames(pixels), places, 0.8 * SIGMA, Noise())
    assert found.sigma_px == pytest.approx(SIGMA, rel=0.02)
    assert kstest(found.rank, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("noise", [Noise(), Noise(1.0, 2.0), Noise(2.0, 0.06)])
@pytest.mark.parametrize("mu", [0.3, 1.0, 5.0, 100.0])
def test_moments_of_the_deviance_are_those_of_drawn_pixels(noise, mu):
    rng = np.random.default_rng(0)
    electrons = rng.poisson(mu, 200_000).astype(float)
    if noise.excess > 1:
        electrons = np.where(electrons > 0, rng.gamma(np.maximum(electrons, 1e-9)), 0.0)
    pixels = electrons + rng.normal(0, noise.added**0.5, len(electrons))
    drawn = deviance(pixels, np.full(len(pixels), mu), noise)
    mean, variance, third = moments(noise).at(np.array([mu]))
    assert mean[0] == pytest.approx(drawn.mean(), rel=0.03)
    assert variance[0] == pytest.approx(drawn.var(), rel=0.08)
    assert third[0] == pytest.approx(((drawn - drawn.mean()) ** 3).mean(), rel=0.25)


def test_deviance_of_a_pixel_by_hand():
    # 2 (3 ln(3 / 2) - 1), and of a dark pixel twice what it lacks
    found = deviance(np.array([3.0, 0.0, 2.0]), np.array([2.0, 2.0, 2.0]), Noise())
    np.testing.assert_allclose(found, [2 * (3 * np.log(1.5) - 1), 4.0, 0.0], atol=1e-12)
