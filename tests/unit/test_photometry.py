"""Photons, background and bounds at known places, against hand-made numbers, another optimiser and published bounds."""

import math

import numpy as np
import pytest
from emitting import CAMERAS, SIGMA_PX, expected, places, seen, share
from scipy.optimize import minimize

from smlmbench.camera import Camera, Noise
from smlmbench.references import photometry
from smlmbench.references.photometry import measure

PLAIN = Noise()
MANY = 2000


def scattered(count=MANY, side=21, seed=1):
    """One emitter a frame, anywhere in the middle pixel."""
    draws = np.random.default_rng(seed)
    middle = side // 2
    return places(middle + draws.uniform(0, 1, count), middle + draws.uniform(0, 1, count), np.arange(count))


def bound_of_photons(photons, background, noise, half=5):
    """Least standard deviation of the photons of a known place in a window, the background unknown."""
    one = share(half + 0.5, SIGMA_PX, 2 * half + 1)
    light = np.outer(one, one).ravel()
    slopes = np.column_stack([light, np.ones_like(light)])
    weights = 1 / (noise.excess * (photons * light + background) + noise.added)
    return math.sqrt(np.linalg.inv(slopes.T @ (slopes * weights[:, None]))[0, 0])


def test_a_spot_without_noise_is_what_it_was_made_of():
    # erf(0.5 / (sqrt 2 * 1.3)) = 0.299482 of the light in a line falls on its middle pixel, its square on the pixel.
    frames = expected(places(10.5, 10.5), 1000, 7, (1, 21, 21))
    assert frames[0, 10, 10] == pytest.approx(7 + 1000 * 0.299482**2, abs=1e-2)
    found = measure(frames, places(10.5, 10.5), SIGMA_PX, PLAIN)
    assert found.photons == pytest.approx([1000])
    assert found.background == pytest.approx([7])


@pytest.mark.parametrize("seed", range(12))
def test_photons_are_those_of_greatest_likelihood(seed):
    """Crowded and dim, so that some have no light; against a general optimiser with bounds."""
    draws = np.random.default_rng(seed)
    at = places(10 + draws.uniform(-2.5, 2.5, 6), 10 + draws.uniform(-2.5, 2.5, 6))
    frames = seen(expected(at, draws.uniform(0, 300, 6), 4, (1, 21, 21)), CAMERAS["ideal"], seed)
    found = measure(frames, at, SIGMA_PX, PLAIN)
    window = np.zeros((21, 21), dtype=bool)
    for x_px, y_px in zip(at.x_px, at.y_px, strict=True):
        window[int(y_px) - 5 : int(y_px) + 6, int(x_px) - 5 : int(x_px) + 6] = True
    both = zip(at.x_px, at.y_px, strict=True)
    shapes = [np.outer(share(y_px, SIGMA_PX, 21), share(x_px, SIGMA_PX, 21))[window] for x_px, y_px in both]
    data, design = frames[0][window].astype(float), np.column_stack([*shapes, np.ones(window.sum())])

    def loss(values):
        mean = np.maximum(design @ values, 1e-3)
        return (mean - data * np.log(mean)).sum(), design.T @ (1 - data / mean)

    bounds = [(0, None)] * 6 + [(0.1, None)]
    options = {"maxiter": 9000, "maxfun": 99_000, "ftol": 1e-15, "gtol": 1e-9}
    best = minimize(loss, [100.0] * 6 + [4.0], jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    own, least = loss(np.append(found.photons, found.background[0]))[0], best.fun
    # In units of the likelihood: a hundredth of a standard deviation along every direction is 5e-5 of it.
    assert own - least < 3e-3
    assert found.photons.sum() == pytest.approx(best.x[:6].sum(), rel=2e-3)


@pytest.mark.parametrize("camera", CAMERAS, ids=str)
@pytest.mark.parametrize("photons", [500, 2000])
@pytest.mark.parametrize("background", [1, 10])
def test_photons_are_unbiased_and_scatter_as_the_bound_says(camera, photons, background):
    at, one = scattered(), CAMERAS[camera]
    frames = seen(expected(at, photons, background, (MANY, 21, 21)), one)
    found = measure(frames, at, SIGMA_PX, one.noise)
    error = found.photons.std() / MANY**0.5
    assert abs(found.photons.mean() - photons) < min(0.02 * photons, 4 * error)
    # The standard deviation of 2000 numbers is known to 1.6 %.
    assert found.photons.std() == pytest.approx(bound_of_photons(photons, background, one.noise), rel=0.07)
    assert found.background.mean() == pytest.approx(background, rel=0.02, abs=0.02)


@pytest.mark.parametrize(
    ("photons", "background", "noise", "bound_nm"),
    [
        (200, 10, PLAIN, 18.346),
        (1000, 10, PLAIN, 5.626),
        (5000, 1, PLAIN, 1.927),
        (1000, 10, Noise(2.0, 0.0), 7.956),
        (1000, 10, Noise(1.0, 1.6**2), 5.852),
    ],
)
def test_uncertainty_is_the_known_bound(photons, background, noise, bound_nm):
    """Bounds of evaluation.md 5.2: 130 nm, pixels of 100 nm, x, y, photons and background unknown."""
    at = places(10.5, 10.5)
    found = measure(expected(at, photons, background, (1, 21, 21)), at, SIGMA_PX, noise)
    assert 100 * found.x_bound_px == pytest.approx([bound_nm], rel=0.01)
    assert 100 * found.y_bound_px == pytest.approx([bound_nm], rel=0.01)


@pytest.mark.parametrize(
    ("photons", "apart_nm", "along_nm", "across_nm"),
    [
        (1000, 130, 31.2, 9.8),
        (1000, 260, 10.65, 6.53),
        (1000, 390, 6.99, 5.83),
        (5000, 195, 5.86, 2.84),
        (5000, 780, 2.11, 2.10),
    ],
)
def test_uncertainty_of_two_is_that_beside_each_other(photons, apart_nm, along_nm, across_nm):
    """Joint bounds of evaluation.md 5.2; alone it would be 5.63 and 2.10 nm."""
    at = places([15.5, 15.5 + apart_nm / 100], [15.5, 15.5])
    found = measure(expected(at, photons, 10, (1, 31, 40)), at, SIGMA_PX, PLAIN)
    assert 100 * found.x_bound_px == pytest.approx(np.full(2, along_nm), rel=0.04)
    assert 100 * found.y_bound_px == pytest.approx(np.full(2, across_nm), rel=0.02)


def test_neighbours_are_measured_together():
    """1.5 sigma apart: together unbiased; alone, each counts most of the other's light as its own."""
    at = places(np.tile([9.6, 9.6 + 1.5 * SIGMA_PX], MANY), np.full(2 * MANY, 10.3), np.repeat(np.arange(MANY), 2))
    mean = expected(at.rows(np.arange(2)), [1000, 500], 10, (1, 21, 21))
    frames = seen(np.broadcast_to(mean, (MANY, 21, 21)).copy(), CAMERAS["ideal"])
    both = measure(frames, at, SIGMA_PX, PLAIN).photons.reshape(-1, 2)
    assert both.mean(axis=0) == pytest.approx([1000, 500], rel=0.01)
    alone = measure(frames, at.rows(np.arange(0, 2 * MANY, 2)), SIGMA_PX, PLAIN).photons
    assert alone.mean() > 1200


def test_a_wrong_width_makes_wrong_photons():
    at = places(10.5, 10.5)
    frames = expected(at, 500, 10, (1, 21, 21))
    assert measure(frames, at, 1.1 * SIGMA_PX, PLAIN).photons == pytest.approx([500 * 1.069], rel=0.005)
    assert measure(frames, at, 0.9 * SIGMA_PX, PLAIN).photons == pytest.approx([500 * 0.919], rel=0.005)


def test_nothing_is_measured_where_nothing_is():
    found = measure(np.zeros((2, 8, 8)), places([], []), SIGMA_PX, PLAIN)
    assert [len(column) for column in (found.photons, found.background, found.x_bound_px)] == [0, 0, 0]


def test_at_the_border_and_beyond():
    at = places([0.0, 20.999, 10.5, -0.4, -9.0, 10.5], [10.5, 20.999, 0.2, 4.5, 5.0, 60.0])
    frames = expected(at, 1000, 5, (1, 21, 21))
    found = measure(frames, at, SIGMA_PX, PLAIN)
    assert found.photons[:4] == pytest.approx(np.full(4, 1000), rel=1e-3)
    assert np.isnan(found.photons[4:]).all()
    assert np.isnan(found.x_bound_px[4:]).all()
    # Half of the light, and the place along x from one flank alone.
    assert found.x_bound_px[0] > 1.4 * found.y_bound_px[0]


@pytest.mark.parametrize("shape", [(1, 1, 40), (1, 40, 1), (1, 2, 3)], ids=str)
def test_frames_of_one_line(shape):
    at = places(min(10.3, shape[2] / 2), min(10.3, shape[1] / 2))
    found = measure(expected(at, 3000, 4, shape), at, SIGMA_PX, PLAIN)
    assert found.photons == pytest.approx([3000], rel=1e-3)
    assert np.isfinite(found.x_bound_px).all()


def test_a_single_pixel_says_nothing():
    found = measure(np.full((1, 1, 1), 50.0), places(0.5, 0.5), SIGMA_PX, PLAIN)
    assert np.isnan([found.photons, found.background, found.x_bound_px, found.y_bound_px]).all()


def test_pixels_below_zero_and_no_background_leave_photons_unbiased():
    noisy = Camera(kind="scmos", baseline_adu=1000, e_per_adu=0.1, read_noise_e=5)
    at = scattered()
    frames = seen(expected(at, 800, 0, (MANY, 21, 21)), noisy)
    assert (frames < 0).mean() > 0.3
    found = measure(frames, at, SIGMA_PX, noisy.noise)
    assert found.photons.mean() == pytest.approx(800, rel=0.01)
    assert found.photons.std() == pytest.approx(bound_of_photons(800, 0, noisy.noise), rel=0.07)
    dark = measure(np.zeros((1, 21, 21)), places(10.5, 10.5), SIGMA_PX, PLAIN)
    assert dark.photons == pytest.approx([0], abs=1e-6)


def test_photons_are_never_negative_and_uncertainty_never_endless():
    at = scattered()
    frames = seen(expected(at, 0, 10, (MANY, 21, 21)), CAMERAS["ideal"])
    found = measure(frames, at, SIGMA_PX, PLAIN)
    assert found.photons.min() == 0
    assert 0.4 < (found.photons == 0).mean() < 0.6
    # That it is in its window is known: half a side of 11 pixels.
    assert found.x_bound_px.max() == pytest.approx(5.5, rel=1e-3)
    # The dark one of a close pair leaves the bright one unbiased.
    both = places(np.tile([9.6, 11.0], MANY), np.full(2 * MANY, 10.3), np.repeat(np.arange(MANY), 2))
    mean = expected(both.rows(np.arange(2)), [1000, 0], 10, (1, 21, 21))
    pair = measure(seen(np.repeat(mean, MANY, axis=0), CAMERAS["ideal"]), both, SIGMA_PX, PLAIN)
    light = pair.photons.reshape(-1, 2)
    held = light[:, 1] == 0
    alone = measure(
        seen(np.repeat(mean, MANY, axis=0), CAMERAS["ideal"]), both.rows(np.arange(0, 2 * MANY, 2)), SIGMA_PX, PLAIN
    )
    assert 0.4 < held.mean() < 0.6
    assert light[held, 0] == pytest.approx(alone.photons[held], rel=0.02)


def test_two_at_one_place_share_their_light():
    draws = np.random.default_rng(0)
    for count in (2, 3, 4):
        for x_px, y_px in draws.uniform(8, 13, (20, 2)):
            at = places(np.full(count, x_px), np.full(count, y_px))
            found = measure(expected(at, 7e5, 5, (1, 21, 21)), at, SIGMA_PX, PLAIN)
            assert found.photons == pytest.approx(np.full(count, 7e5), rel=1e-2)
            # Which of them is where is unknown, but all are in the window, and their mean is known.
            assert found.x_bound_px == pytest.approx(np.full(count, 5.5 * (1 - 1 / count) ** 0.5), rel=0.01)


def test_a_crowd_shares_its_light_and_ten_thousand_in_a_frame_are_measured():
    light = 1000.0 * np.arange(1, 7)
    crowd = places([8.1, 8.3, 9.7, 9.1, 8.9, 20.5], [10.2, 11.4, 11.7, 10.9, 10.4, 10.5])
    found = measure(expected(crowd, light, 5, (1, 21, 30)), crowd, SIGMA_PX, PLAIN)
    assert found.photons[:5] == pytest.approx(np.full(5, 3000), rel=0.05)
    assert found.photons[5] == pytest.approx(6000, rel=0.01)
    assert (found.x_bound_px[:5] >= 1).all()
    draws = np.random.default_rng(0)
    many = places(draws.uniform(0, 64, 10_000), draws.uniform(0, 64, 10_000))
    noisy = draws.poisson(50, (1, 64, 64)).astype(np.float32)
    noisy[0, 30:34, 30:34] += 1000
    found = measure(noisy, many, SIGMA_PX, PLAIN)
    assert np.isfinite(found.photons).all()
    # A frame full of emitters may as well be one of background, but where it is brighter they are.
    bright = np.hypot(many.x_px - 32, many.y_px - 32) < 3
    assert found.photons[bright].mean() > 3 * found.photons[~bright].mean()
    assert found.photons[bright].sum() > 8000


def test_a_background_may_change_across_a_chain_of_neighbours():
    x_px = np.arange(6.0, 120, 4)
    at = places(x_px, 10 + np.sin(x_px))
    slope = np.broadcast_to(np.linspace(5, 25, 128), (1, 21, 128))
    found = measure(expected(at, 1000, 0, (1, 21, 128)) + slope, at, SIGMA_PX, PLAIN)
    assert found.photons == pytest.approx(np.full(len(at), 1000), rel=0.08)
    assert found.photons.mean() == pytest.approx(1000, rel=0.01)
    assert found.background == pytest.approx(np.interp(x_px, np.arange(128) + 0.5, slope[0, 0]), abs=2.5)


def test_a_frame_in_parts_is_a_frame_as_a_whole(monkeypatch):
    draws = np.random.default_rng(3)
    at = places(draws.uniform(0, 96, 400), draws.uniform(0, 96, 400), draws.integers(0, 2, 400))
    light = draws.uniform(500, 3000, 400)
    frames = seen(expected(at, light, 10, (2, 96, 96)), CAMERAS["ideal"])
    whole = measure(frames, at, SIGMA_PX, PLAIN)
    monkeypatch.setattr(photometry, "AT_ONCE", 40 * 11**2)
    cut = []
    real = photometry._solve
    monkeypatch.setattr(photometry, "_solve", lambda *given: cut.append(len(given[1])) or real(*given))
    parts = measure(frames, at, SIGMA_PX, PLAIN)
    assert len(cut) >= 10
    # Only where the background changes from one constant to the next is another choice.
    error, other = whole.photons - light, parts.photons - light
    assert np.median(np.abs(other)) == pytest.approx(np.median(np.abs(error)), rel=0.1)
    assert np.median(np.abs(other - error)) < 0.3 * np.median(np.abs(error))
    assert np.corrcoef(error, other)[0, 1] > 0.8
    assert np.median(parts.x_bound_px / whole.x_bound_px) == pytest.approx(1, abs=0.01)


def test_the_noise_of_a_camera():
    assert CAMERAS["ideal"].noise == Noise(1.0, 0.0)
    assert CAMERAS["scmos"].noise == Noise(1.0, pytest.approx(2.56))
    emccd = CAMERAS["emccd"].noise
    assert (emccd.excess, emccd.added) == (pytest.approx(2, abs=0.01), pytest.approx((74.4 / 300) ** 2))
    assert Camera(kind="emccd").noise == Noise(1.0, 0.0)
    assert Camera(kind="scmos", spurious_e=0.5).noise == Noise(1.0, 0.5)
    assert Noise.of(emccd.told()) == emccd
    assert Noise.of({"pixel_size_nm": 100.0}) is None
    # What the chain gives: 20 photons a pixel.
    for name, camera in CAMERAS.items():
        noisy = seen(np.full((1, 300, 300), 20.0), camera)
        assert noisy.var() == pytest.approx(camera.noise.excess * 20 + camera.noise.added, rel=0.03), name
