"""What a joint fit started at the truth attains: the bound where emitters stand alone, no more than that elsewhere."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import norm, poisson

from smlmbench.camera import Camera
from smlmbench.camera.information import fisher_weights
from smlmbench.camera.likelihood import log_likelihood
from smlmbench.data.contracts import Asked
from smlmbench.data.simulate import condition as simulated
from smlmbench.errors import ConfigError
from smlmbench.predictions import Localizations
from smlmbench.registry import Catalog
from smlmbench.study.sources import SimulateSource
from smlmbench.truths.bounds import lateral_nm
from smlmbench.truths.emitters import Emitters

CATALOG = Catalog()
SCMOS = {"kind": "scmos", "baseline_adu": 100, "e_per_adu": 0.5, "read_noise_e": 1.5}
FORMS = ("informed", "uninformed")


def drawn(**changed):
    told = {"photons": 1000.0, "background_photons": 10.0, "field_px": 32, "camera": SCMOS, "density_per_um2": 0.1}
    source = SimulateSource(**{**told, **changed})
    made = simulated("made", source, {"made": str(source.model_dump())}, Asked("test", 5), CATALOG)
    table = replace(made.truth.table, molecule=np.arange(len(made.truth)))  # who is who
    return replace(made, truth=replace(made.truth, table=table))


def oracle(condition, **settings):
    card = CATALOG.card("references", "oracle_map")
    module = CATALOG.module("references", "oracle_map")
    return module.predict(condition, card.fill("oracle_map", settings), {}, 0).table


def errors_nm(found, truth):
    """Radial errors of the rows of the truth; NaN of those that have left the field."""
    away = np.full(len(truth), np.nan)
    true = truth.select(found.molecule)
    away[found.molecule] = np.hypot(found.x_nm - true.x_nm, found.y_nm - true.y_nm)
    assert np.isfinite(away).mean() > 0.9
    return away


@pytest.mark.parametrize("camera", [SCMOS, {"kind": "ideal"}, {"kind": "emccd", "em_gain": 300, "read_noise_e": 74.4}])
def test_isolated_emitters_are_found_at_the_bound(camera):
    made = drawn(frames=120, camera=camera, density_per_um2=0.4)
    found = oracle(made, form="uninformed", leave_out_nm=1e6)
    bound = lateral_nm(made.truth.bounds.free)
    rows = bound < 1.1 * np.median(bound)
    ratio = errors_nm(found, made.truth.table)[rows] / bound[rows]
    assert rows.sum() > 250
    assert np.sqrt(np.nanmean(ratio**2)) == pytest.approx(1, abs=0.1)
    stated = np.hypot(found.sigma_x_nm, found.sigma_y_nm) / bound[found.molecule]
    assert np.median(stated) == pytest.approx(1, abs=0.05)


def test_the_prior_helps_dim_and_crowded_emitters():
    made = drawn(frames=12, photons={"law": "normal", "mean": 300.0, "sd": 60.0}, density_per_um2=1.5)
    away = [errors_nm(oracle(made, form=form, leave_out_nm=1e6), made.truth.table) for form in FORMS]
    informed, uninformed = (np.sqrt(np.nanmean(np.minimum(one, 250) ** 2)) for one in away)
    assert informed < 0.9 * uninformed


def test_it_leaves_out_what_it_states_to_be_uncertain_and_looks_at_no_error():
    made = drawn(frames=12, photons={"law": "normal", "mean": 500.0, "sd": 100.0}, density_per_um2=2.0)
    whole, kept = oracle(made, leave_out_nm=1e6), oracle(made)
    spread = np.hypot(whole.sigma_x_nm, whole.sigma_y_nm)
    limit = np.hypot(kept.sigma_x_nm, kept.sigma_y_nm).max()
    assert 0 < len(kept) < len(whole)
    assert len(kept) == (spread <= limit).sum()
    shares = [np.sort(spread)[:many] for many in range(1, len(spread) + 1)]
    promised = [100 - np.hypot(100 - 100 * len(one) / len(spread), np.sqrt((one**2).mean())) for one in shares]
    assert len(kept) == pytest.approx(1 + np.argmax(promised), abs=0.02 * len(spread))  # dim ones are not counted


def test_depth_is_fitted_where_the_optics_tell_it():
    made = drawn(
        frames=40, psf={"name": "astigmatic"}, z_nm={"min": -400, "max": 400}, photons=3000.0, density_per_um2=0.05
    )
    found = oracle(made, leave_out_nm=1e6)
    bound = np.sqrt(made.truth.bounds.quoted[:, 2, 2])
    ratio = ((found.z_nm - made.truth.table.z_nm) / bound)[bound < 100]
    assert np.sqrt((ratio**2).mean()) == pytest.approx(1, abs=0.2)
    assert (found.sigma_z_nm > 0).all()


def test_frames_without_emitters_among_others_are_fitted_too():
    made = drawn(frames=12, empty_frames=0.7, density_per_um2=0.3)
    found = oracle(made)
    assert 0 < len(np.unique(made.truth.table.frame)) < 8
    assert set(found.frame) <= set(made.truth.table.frame)
    assert found.background_photons == pytest.approx(10, abs=1)


def test_frames_without_emitters_have_no_rows():
    made = drawn(frames=4)
    nothing = Emitters(Localizations.empty(n_frames=4, field_nm=made.field_nm))
    assert len(oracle(replace(made, truth=nothing))) == 0


@pytest.mark.parametrize("why", ["the true emitters are not known", "the camera is not stated"])
def test_it_refuses_in_one_line_where_there_is_no_limit(why):
    made = drawn(frames=4)
    truth = None if "emitters" in why else replace(made.truth, limit=why)
    with pytest.raises(ConfigError, match=why) as raised:
        oracle(replace(made, truth=truth))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("other", [{"hot_pixels": 0.003}, {"background": {"name": "slope", "change": 0.8}}])
def test_it_refuses_frames_that_are_not_what_the_truth_says(other):
    with pytest.raises(ConfigError, match="off the noise"):
        oracle(drawn(frames=6, background_photons=60.0, **other))


def test_pixels_behind_read_noise_have_the_likelihood_of_counts_and_noise():
    mean, seen, sigma = 2.5, np.array([-2.0, 0.3, 2.7, 9.1]), 1.5
    counts = np.arange(60)

    def direct(nu):
        return np.log((poisson.pmf(counts, nu) * norm.pdf(seen[:, None], counts, sigma)).sum(axis=1))

    given = torch.from_numpy(seen)[None], torch.full((1, 4), mean, dtype=torch.float64)
    value, slope = log_likelihood(Camera(kind="scmos", read_noise_e=sigma), *given, sigma**2)
    told = value[0].numpy() - direct(mean)
    assert np.ptp(told) < 1e-9
    assert slope[0].numpy() == pytest.approx((direct(mean + 1e-5) - direct(mean - 1e-5)) / 2e-5, rel=1e-6)


@pytest.mark.parametrize("mean", [0.5, 4.0, 40.0])
def test_squared_slopes_are_the_information_of_a_pixel(mean):
    numbers, sigma = np.random.default_rng(3), 1.5
    seen = torch.from_numpy(numbers.poisson(mean, (400, 500)) + numbers.normal(0, sigma, (400, 500)))
    camera = Camera(kind="scmos", read_noise_e=sigma)
    slope = log_likelihood(camera, seen, torch.full_like(seen, mean), sigma**2)[1].numpy()
    told = fisher_weights(camera, np.array([mean]))[0]
    assert (slope**2).mean() == pytest.approx(told, rel=0.02)
    assert abs(slope.mean()) < 4 * slope.std() / slope.size**0.5
