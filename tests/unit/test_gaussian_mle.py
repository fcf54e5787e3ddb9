import math

import numpy as np
import pytest
import torch
from matched import match
from scipy.stats import kstest

from smlmbench.camera import Noise
from smlmbench.data.contracts import ArrayFrames, Condition
from smlmbench.errors import ConfigError, LossWarning, SizeError
from smlmbench.predictions import Localizations
from smlmbench.psf.astigmatic import Astigmatic
from smlmbench.psf.contracts import Canvas, Spots
from smlmbench.psf.elliptic import Elliptic
from smlmbench.psf.gaussian import Gaussian
from smlmbench.references import matched
from smlmbench.references.likelihood import BACKGROUND, PHOTONS, Flat, Pixels, Spot, X, Y, climb
from smlmbench.registry import Catalog

CATALOG = Catalog()
NAME = "gaussian_mle"
POISSON, SCMOS, EMCCD = Noise(), Noise(1.0, 2.25), Noise(2.0, 0.01)
ONE = torch.ones(1, 1, 1, dtype=torch.float64)


def settings_of(**given):
    return CATALOG.card("references", NAME).fill(NAME, given)


def localize(condition, **settings):
    return CATALOG.module("references", NAME).predict(condition, settings_of(**settings), {}, 0).table


def held(frames, noise=SCMOS, **more):
    told = {"pixel_size_nm": 100.0, "psf_sigma_nm": 130.0, **noise.told()}
    return Condition("t", ArrayFrames(np.asarray(frames, dtype=np.float32)), None, told=told, **more)


def read_out(expected, noise, generator):
    """Photo-electrons as a camera of this noise gives them."""
    drawn = torch.poisson(expected, generator=generator)
    if noise.excess > 1:
        drawn = torch.where(drawn > 0, torch._standard_gamma(drawn.clamp_min(1e-6), generator=generator), 0.0)
    return drawn + math.sqrt(noise.added) * torch.randn(drawn.shape, generator=generator, dtype=torch.float64)


def exposed(places, photons, *, optics=None, noise=SCMOS, side=32, background=10.0, seed=1):
    """Frames (F, side, side) of emitters at places (F, n, 3) in nm."""
    optics, generator = optics or Gaussian(130.0), torch.Generator().manual_seed(seed)
    places = torch.as_tensor(places, dtype=torch.float64)
    frame = torch.arange(len(places)).repeat_interleave(places.shape[1])
    x, y, z = places.reshape(-1, 3).T
    light = torch.as_tensor(photons, dtype=torch.float32).expand(len(frame))
    canvas = Canvas(len(places), side, side, 100.0, torch.float64)
    image = optics.render(Spots(frame, x, y, z, light), optics.shapes(len(frame), generator), canvas)
    return read_out(image + background, noise, generator)


def isolated(n_frames, photons, *, apart_nm=0.0, **more):
    """Four emitters a frame, 16 px apart, or pairs of them at any angle; places (F, n, 3) and the frames."""
    generator = torch.Generator().manual_seed(7)
    corners = torch.tensor([[8.0, 8.0], [24.0, 8.0], [8.0, 24.0], [24.0, 24.0]], dtype=torch.float64)
    places = (corners + torch.rand(n_frames, 4, 2, generator=generator, dtype=torch.float64)) * 100
    if apart_nm:
        angle = 2 * math.pi * torch.rand(n_frames, 4, generator=generator, dtype=torch.float64)
        step = torch.stack([angle.cos(), angle.sin()], dim=-1) * apart_nm / 2
        places = torch.cat([places + step, places - step], dim=1)
    places = torch.nn.functional.pad(places, (0, 1))
    return places, exposed(places, photons, **more)


def truth_of(places, side=32):
    frame = np.repeat(np.arange(len(places)), places.shape[1])
    x, y, z = places.reshape(-1, 3).T.numpy()
    columns = {"frame": frame, "x_nm": x, "y_nm": y, "z_nm": z}
    return Localizations.of(columns, n_frames=len(places), field_nm=(100.0 * side, 100.0 * side))


def errors(table, places, tolerance_nm=200.0):
    """True minus found x and y (n, 2), and the rows of both."""
    truth = truth_of(places)
    pairs = match(table, truth, lateral_nm=tolerance_nm, matcher="hungarian")
    rows, found = pairs.truth, pairs.found
    apart = np.stack([truth.x_nm[rows] - table.x_nm[found], truth.y_nm[rows] - table.y_nm[found]], axis=1)
    return apart, rows, found


def pixels(values, noise):
    whole = torch.as_tensor(values, dtype=torch.float64)
    return Pixels(whole, ONE[0, 0] * noise.excess, ONE * noise.added / noise.excess, ONE * 0)


@pytest.mark.parametrize(("noise", "bound_nm"), [(POISSON, 5.626), (Noise(1.0, 2.56), 5.852), (Noise(2.0, 0.0), 7.956)])
def test_the_covariance_is_the_bound_that_others_computed(noise, bound_nm):
    """Sigma 130 nm, 1000 photons on 10, in the middle of a pixel of 100 nm."""
    at, spot = torch.tensor([[7.5], [7.5], [1000.0], [10.0]], dtype=torch.float64), Spot((1.3, 1.3))
    fits = climb(spot, pixels(spot.light(at, 15) + 10.0, noise), at)
    found = 100 * fits.covariance.diagonal(dim1=0, dim2=1)[0].sqrt()
    assert found[:2].numpy() == pytest.approx(bound_nm, rel=1e-3)


SPOTS = {
    "fixed": (Spot((1.3, 1.3)), [4.7, 4.1, 800.0, 5.0]),
    "round": (Spot(), [4.7, 4.1, 800.0, 5.0, 1.5]),
    "elliptic": (Spot(elliptic=True), [4.7, 4.1, 800.0, 5.0, 1.6, 1.1]),
    "depth": (Spot(curve=lambda z: (1.3 + z / 2, 1.3 - z / 3, z * 0 + 0.5, z * 0 - 1 / 3), depth=(-1.0, 1.0)),
              [4.7, 4.1, 800.0, 5.0, 0.4]),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOTS)
def test_a_spot_without_noise_is_found_again(name):
    spot, true = SPOTS[name]
    at = torch.tensor(true, dtype=torch.float64)[:, None]
    values = spot.light(at, 9) + at[BACKGROUND]
    start = at.clone()
    start[:4] = torch.tensor([4.5, 4.5, 500.0, 8.0])[:, None]
    start[4:] = 1.3 if name in ("round", "elliptic") else 0.0
    fits = climb(spot, pixels(values, SCMOS), start)
    assert fits.settled.all()
    assert fits.at[:, 0].numpy() == pytest.approx(true, rel=1e-3)


@pytest.mark.parametrize("name", SPOTS)
def test_slopes_are_derivatives_of_the_light_and_make_the_information(name):
    spot, true = SPOTS[name]
    at = torch.tensor(true, dtype=torch.float64)[:, None]
    slopes, kept = spot.slopes(at, 9), [k for k in range(len(true)) if k != BACKGROUND]
    for slope, k in zip(slopes, kept, strict=True):
        step = torch.zeros_like(at)
        step[k] = 1e-4
        wanted = (spot.light(at + step, 9) - spot.light(at - step, 9)) / 2e-4
        assert slope.numpy() == pytest.approx(wanted.numpy(), abs=1e-5 * float(wanted.abs().max()))
    mean = spot.light(at, 9) + at[BACKGROUND]
    look = spot.look(at, pixels(mean, SCMOS))
    whole = torch.cat([slopes[:3], torch.ones_like(mean)[None], slopes[3:]]).flatten(1, 2)[..., 0]
    wanted = (whole / (mean.flatten() + SCMOS.added)) @ whole.T
    assert look.information[..., 0].numpy() == pytest.approx(wanted.numpy(), rel=1e-9)


@pytest.mark.parametrize("noise", [POISSON, SCMOS], ids=["poisson", "scmos"])
@pytest.mark.parametrize("photons", [300.0, 1000.0, 3000.0])
def test_isolated_emitters_are_within_a_twentieth_of_the_bound_that_is_claimed(photons, noise):
    places, frames = isolated(150, photons, noise=noise)
    table = localize(held(frames, noise))
    apart, rows, found = errors(table, places)
    claimed = (table.sigma_x_nm[found] ** 2 + table.sigma_y_nm[found] ** 2).mean()
    assert len(rows) >= 599
    assert len(table) - len(rows) <= 2
    assert math.sqrt((apart**2).sum(axis=1).mean() / claimed) < 1.05
    assert table.photons[found].mean() == pytest.approx(photons, rel=0.03)


@pytest.mark.parametrize("noise", [POISSON, SCMOS, EMCCD], ids=["poisson", "scmos", "emccd"])
def test_p_values_of_isolated_emitters_are_spread_evenly(noise):
    _, frames = isolated(150, 1000.0, noise=noise)
    table = localize(held(frames, noise))
    assert kstest(table.more["p_value"], "uniform").pvalue > 0.01
    assert table.more["llr"].mean() == pytest.approx(45, rel=0.05)  # 49 pixels less 4 parameters


@pytest.mark.parametrize("noise", [POISSON, SCMOS], ids=["poisson", "scmos"])
def test_pairs_taken_for_one_fail_the_shape_test(noise):
    _, pairs = isolated(60, 1000.0, apart_nm=1.5 * 130, noise=noise)
    alone = localize(held(pairs, noise), passes=0)
    assert len(alone) == pytest.approx(240, abs=3)
    assert (alone.more["p_value"] < 0.01).mean() > 0.9
    with pytest.warns(LossWarning, match="drops more than half"):
        assert len(localize(held(pairs, noise), passes=0, shape_test=0.01)) < 24


@pytest.mark.parametrize("width", ["fixed", "free"])
@pytest.mark.parametrize("noise", [POISSON, SCMOS, EMCCD], ids=["poisson", "scmos", "emccd"])
def test_chances_of_a_pair_are_spread_evenly_where_emitters_are_alone(noise, width):
    _, frames = isolated(150, 1000.0, noise=noise)
    chances = localize(held(frames, noise), width=width).more["pair_p_value"]
    assert kstest(chances, "uniform").pvalue > 0.01


def test_dim_pairs_look_like_pairs():
    """At 300 photons each a deviance of all pixels tells one of six; the greatest score that could be told is 97 %."""
    _, pairs = isolated(60, 300.0, apart_nm=1.5 * 130, noise=POISSON)
    alone = localize(held(pairs, POISSON), passes=0)
    assert len(alone) == pytest.approx(240, abs=3)
    assert (alone.more["pair_p_value"] < 0.01).mean() > 0.75
    assert (alone.more["pair_p_value"] < 0.05).mean() > 0.9
    with pytest.warns(LossWarning, match="drops more than half"):
        assert len(localize(held(pairs, POISSON), passes=0, shape_test=0.05)) < 24
    _, lone = isolated(60, 300.0, noise=POISSON)
    assert len(localize(held(lone, POISSON), shape_test=0.05)) > 0.87 * 240


def test_a_width_that_is_not_the_movies_is_warned_of_where_it_drops_lone_emitters():
    _, frames = isolated(60, 1000.0)
    with pytest.warns(LossWarning, match="give sigma_nm: auto"):
        assert len(localize(held(frames), sigma_nm=104.0, shape_test=0.05)) < 120


def test_no_chance_of_a_pair_is_told_where_widths_differ():
    _, frames = isolated(10, 1000.0)
    assert np.isnan(localize(held(frames), width="elliptic").more["pair_p_value"]).all()


def test_pairs_are_told_apart_in_the_light_that_is_left():
    places, pairs = isolated(60, 1000.0, apart_nm=2 * 130)
    assert len(localize(held(pairs), passes=0)) < 300
    apart, rows, found = errors(table := localize(held(pairs)), places)
    assert len(rows) > 0.97 * 480
    claimed = (table.sigma_x_nm[found] ** 2 + table.sigma_y_nm[found] ** 2).mean()
    assert math.sqrt((apart**2).sum(axis=1).mean() / claimed) < 1.3


def scattered(density_per_um2, n_frames, seed, side=64):
    generator = torch.Generator().manual_seed(seed)
    count = round(density_per_um2 * (side / 10) ** 2)
    places = torch.rand(n_frames, count, 3, generator=generator, dtype=torch.float64) * 100 * side
    places[..., 2] = 0
    photons = 1000 + 200 * torch.randn(n_frames * count, generator=generator)
    return places, exposed(places, photons, side=side)


@pytest.mark.parametrize(("density", "jaccard", "rmse_nm"), [(0.5, 0.92, 30.0), (2.0, 0.78, 60.0)])
def test_dense_frames_are_resolved(density, jaccard, rmse_nm):
    places, frames = scattered(density, 12, 5)
    table = localize(held(frames))
    apart, rows, _ = errors(table, places, 250.0)
    total = places.shape[0] * places.shape[1]
    assert len(rows) / (total + len(table) - len(rows)) > jaccard
    assert math.sqrt((apart**2).sum(axis=1).mean()) < rmse_nm


LEVELS = {
    "dark": torch.full((64, 64), 0.5),
    "flat": torch.full((64, 64), 10.0),
    "bright": torch.full((64, 64), 200.0),
    "sloping": torch.linspace(5, 60, 64).expand(64, 64),
}


@pytest.mark.parametrize("noise", [POISSON, SCMOS], ids=["poisson", "scmos"])
@pytest.mark.parametrize("level", LEVELS)
def test_frames_without_light_have_about_as_many_maxima_as_are_asked(level, noise):
    frames = read_out(LEVELS[level].double().expand(100, 64, 64), noise, torch.Generator().manual_seed(3))
    rate = 3e-4
    width = (1.3, 1.3)
    height = matched.height_for(rate, width)
    found = matched.detect(frames, [width], ONE * noise.excess, ONE * noise.added, height)
    assert 0.4 * rate * frames.numel() < len(found) < 2.2 * rate * frames.numel()
    table = localize(held(frames, noise), false_per_1000um2=30.0)
    # a normal read noise has the shorter tail where it is most of what is there, so that fewer are as likely
    least = 0.05 if level == "dark" and noise is SCMOS else 0.25
    assert least * 30 < len(table) / (frames.numel() * 1e-2 / 1000) < 2.2 * 30


def test_pixels_of_high_read_noise_are_no_emitters_with_a_map_or_without():
    generator = torch.Generator().manual_seed(5)
    added = torch.full((64, 64), 2.25, dtype=torch.float64)
    hot = torch.rand(64, 64, generator=generator) < 0.005
    added[hot] = 40.0**2
    frames = torch.poisson(torch.full((60, 64, 64), 10.0, dtype=torch.float64), generator=generator)
    frames += added.sqrt() * torch.randn(frames.shape, generator=generator, dtype=torch.float64)
    assert hot.sum() > 10
    assert len(localize(held(frames, noise_map=added.numpy()), false_per_1000um2=1.0)) <= 10
    unknown = localize(held(frames), false_per_1000um2=1.0)
    seen = matched.detect(frames, [(1.3, 1.3)], ONE, ONE * 2.25, matched.height_for(1e-5, (1.3, 1.3)))
    assert len(seen) > 200
    assert len(unknown) < 0.1 * len(seen)


def test_an_astigmatic_condition_is_localized_in_depth_within_the_bound():
    optics = Astigmatic(CATALOG.card("psf", "astigmatic").fill("psf", {"range_nm": 500.0}))
    places, _ = isolated(100, 3000.0)
    places[..., 2] = torch.linspace(-400, 400, 400, dtype=torch.float64).reshape(100, 4)
    frames = exposed(places, 3000.0, optics=optics)
    table = localize(held(frames, optics=optics))
    truth = truth_of(places)
    pairs = match(table, truth, lateral_nm=100.0)
    rows, found = pairs.truth, pairs.found
    assert len(rows) >= 396
    assert len(table) <= 404
    for name in ("x", "y", "z"):
        apart = getattr(truth, f"{name}_nm")[rows] - getattr(table, f"{name}_nm")[found]
        assert (apart**2).mean() ** 0.5 < 1.15 * (getattr(table, f"sigma_{name}_nm")[found] ** 2).mean() ** 0.5


def test_an_elliptic_psf_is_taken_from_a_file_and_others_are_refused(tmp_path):
    file = tmp_path / "psf.yaml"
    file.write_text("name: elliptic\nsigma_x_nm: 180\nsigma_y_nm: 110\n", encoding="utf-8")
    optics = Elliptic({"sigma_x_nm": 180.0, "sigma_y_nm": 110.0, "angle_deg": 0.0})
    _, frames = isolated(30, 2000.0, optics=optics)
    fixed = localize(held(frames), psf=str(file))
    assert kstest(fixed.more["p_value"], "uniform").pvalue > 0.01
    assert (localize(held(frames), passes=0).more["p_value"] < 0.01).mean() > 0.9
    assert len(localize(held(frames), width="elliptic")) == pytest.approx(120, abs=2)
    file.write_text("name: airy\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="no Gaussian along the camera's axes"):
        localize(held(frames), psf=str(file))


def test_a_given_width_stands_before_the_optics_of_the_condition():
    _, frames = isolated(10, 1000.0)
    optics = Elliptic({"sigma_x_nm": 260.0, "sigma_y_nm": 260.0, "angle_deg": 0.0})
    assert (localize(held(frames, optics=optics)).more["p_value"] < 0.01).mean() > 0.5
    assert (localize(held(frames, optics=optics), sigma_nm=130.0).more["p_value"] < 0.01).mean() < 0.1


def test_counts_of_an_unknown_camera_are_fitted_with_the_noise_that_they_show():
    places, frames = isolated(40, 1000.0)
    counts = held(100 + 2 * frames, calibrated=False)
    table = localize(Condition("t", counts.frames, None, told={"pixel_size_nm": 100.0}, calibrated=False))
    apart, rows, _ = errors(table, places)
    assert len(rows) == 160
    assert len(table) <= 162
    assert (apart**2).mean() ** 0.5 < 8
    assert np.isnan(table.more["llr"]).all()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_a_missing_device_is_named():
    with pytest.raises(ConfigError, match="no CUDA device here; give cpu"):
        localize(held(np.ones((1, 9, 9))), device="cuda")


def test_frames_smaller_than_a_window_are_refused_and_empty_ones_answered():
    with pytest.raises(SizeError, match="4 x 9 px"):
        localize(held(np.ones((2, 9, 4))))
    empty = localize(held(np.full((2, 9, 9), 5.0)))
    assert len(empty) == 0
    assert set(empty.more) == {"llr", "p_value", "pair_p_value"}


def test_a_background_alone_is_the_mean_and_its_error():
    values = torch.tensor([[4.0, 6.0], [5.0, 9.0]], dtype=torch.float64)[..., None]
    fits = climb(Flat(), pixels(values, POISSON), torch.tensor([[1.0]], dtype=torch.float64))
    assert float(fits.at[0]) == pytest.approx(6.0, rel=1e-3)
    assert float(fits.covariance[0, 0]) == pytest.approx(1.5, rel=1e-2)


def test_parameters_stay_in_their_order():
    assert (X, Y, PHOTONS, BACKGROUND) == (0, 1, 2, 3)
    assert Spot(elliptic=True).names[:4] == ["x", "y", "photons", "background"]
