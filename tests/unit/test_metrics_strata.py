"""Scores per quarter of brightness, background, calibration of sigma: computed by hand."""

import numpy as np
import pytest

from smlmbench.metrics import background, brightness, sigma_calibration
from smlmbench.metrics.evidence import Facts, gather
from smlmbench.predictions import Localizations

SIDE = 6400.0


def table(x_nm, **columns):
    rows = {"frame": np.arange(len(x_nm)), "x_nm": x_nm, "y_nm": np.full(len(x_nm), 3000.0), **columns}
    return Localizations.of(rows, n_frames=len(x_nm), field_nm=(SIDE, SIDE))


def eight(**columns):
    return table(np.full(8, 3000.0), **columns)


def test_quarters_of_brightness_by_hand():
    truth = eight(photons=np.arange(100.0, 900.0, 100.0))
    found = table(3000.0 + np.array([0, 40, 30, 10, 0, 0, 0, 20])).select(np.array([1, 3, 4, 5, 6, 7]))
    answers = brightness.measure(gather(found, truth, facts=Facts(min_photons=0.0)))
    quarters = ("dimmest", "dim", "bright", "brightest")
    assert [answers[f"recall_{name}_quarter"] for name in quarters] == [0.5, 0.5, 1.0, 1.0]
    assert [answers[f"rmse_nm_{name}_quarter"] for name in quarters] == pytest.approx([40, 10, 0, np.sqrt(200)])
    # the dimmest two are neutral: the quarters are of the six others
    answers = brightness.measure(gather(found, truth, facts=Facts(min_photons=250.0)))
    assert [answers[f"recall_{name}_quarter"] for name in quarters] == [0.5, 1.0, 1.0, 1.0]
    none = brightness.measure(gather(found.select(np.array([], dtype=int)), truth))
    assert none["recall_dimmest_quarter"] == 0.0
    assert none["rmse_nm_dimmest_quarter"] == "no detection was matched"


def test_brightness_is_photons_over_the_root_of_the_background():
    photons, back = np.full(8, 1000.0), np.array([1.0, 4, 9, 16, 25, 36, 49, 64])
    truth = eight(photons=photons, background_photons=back)
    found = truth.select(back < 20)  # those on a low background are the bright ones
    answers = brightness.measure(gather(found, truth))
    assert [answers[f"recall_{name}_quarter"] for name in ("dimmest", "dim", "bright", "brightest")] == [0, 0, 1, 1]
    drawn = brightness.profile(gather(found, truth))["brightness"]
    assert drawn["brightness_from"][0] == pytest.approx(1000 / 8)
    assert drawn["brightness_to"][-1] == pytest.approx(1000)
    assert sum(drawn["emitters"]) == 8
    # a constant background changes no quarter
    plain = brightness.measure(gather(found, eight(photons=1000 / np.sqrt(back))))
    level = brightness.measure(gather(found, eight(photons=1000 / np.sqrt(back), background_photons=np.full(8, 7.0))))
    assert plain == level


def test_quarters_are_of_the_truth_alone():
    rng = np.random.default_rng(3)
    truth = eight(photons=rng.uniform(300, 900, 8))
    for found in (truth, truth.select(np.arange(3)), table([100.0] * 8)):
        drawn = brightness.profile(gather(found, truth))["brightness"]
        assert drawn["brightness_from"] == brightness.profile(gather(truth, truth))["brightness"]["brightness_from"]


def test_brightness_has_reasons():
    for truth, said in (
        (eight(photons=np.full(8, 500.0)), "all true emitters are equally bright"),
        (eight(), "the true table has no photons"),
        (eight(photons=np.zeros(8)), "no true emitter counts here"),
    ):
        assert set(brightness.measure(gather(eight(), truth)).values()) == {said}
        assert brightness.profile(gather(eight(), truth)) == {}
    # most of them equally bright: the edges fall together, and a quarter is empty
    truth = eight(photons=np.array([500.0] * 7 + [900.0]))
    answers = brightness.measure(gather(truth, truth))
    assert answers["recall_dim_quarter"] == "no true emitter is in this quarter"
    assert answers["recall_brightest_quarter"] == 1.0


def test_background_of_pairs():
    truth = eight(background_photons=np.arange(1.0, 9.0))
    found = eight(background_photons=2 * np.arange(1.0, 9.0))
    answers = background.measure(gather(found, truth))
    assert answers == {"background_r": pytest.approx(1.0), "background_bias": pytest.approx(1.0)}
    level = background.measure(gather(found, eight(background_photons=np.full(8, 9.0))))
    assert level["background_r"] == "a correlation needs 3 pairs of different background"
    assert level["background_bias"] == pytest.approx(0.0)
    assert set(background.measure(gather(eight(), truth)).values()) == {"the found table has no background photons"}


def test_calibration_of_sigma_by_hand():
    # errors in x: -30, 10, 0, 50 nm; none in y; sigma 20 nm in x, 10 in y: |z| 1.5, 0.5, 0, 2.5 and four 0
    truth = table(np.full(4, 3000.0))
    claims = {"sigma_x_nm": np.full(4, 20.0), "sigma_y_nm": np.full(4, 10.0)}
    found = table(3000.0 + np.array([-30.0, 10, 0, 50]), **claims)
    answers = sigma_calibration.measure(gather(found, truth))
    squares = 1.5**2 + 0.5**2 + 2.5**2
    assert answers["sigma_spread"] == pytest.approx(np.sqrt(squares / 8))
    assert answers["sigma_spread_robust"] == pytest.approx(0.0)  # five of eight are 0
    assert answers["sigma_coverage_68"] == pytest.approx(6 / 8)
    assert answers["sigma_coverage_95"] == pytest.approx(7 / 8)
    nll = np.log(2 * np.pi) / 2 + (4 * np.log(20) + 4 * np.log(10)) / 8 + squares / 16
    assert answers["sigma_nll"] == pytest.approx(nll)
    assert answers["sigma_spread_axial"] == "scored in 2-D"


def test_true_claims_are_calibrated_and_wrong_ones_show():
    rng, n = np.random.default_rng(4), 20_000
    sigma, z_nm = rng.uniform(8, 30, n), rng.uniform(-300, 300, n)
    truth = table(np.full(n, 3000.0), z_nm=z_nm)
    columns = {f"sigma_{axis}_nm": sigma for axis in "xyz"}
    found = table(3000 + rng.normal(0, sigma), z_nm=z_nm + rng.normal(0, 2 * sigma), **columns)
    found.y_nm[:] += rng.normal(0, sigma)
    answers = sigma_calibration.measure(gather(found, truth, facts=Facts(three_d=True)))
    assert answers["sigma_spread"] == pytest.approx(1, abs=0.02)
    assert answers["sigma_spread_robust"] == pytest.approx(1, abs=0.03)
    assert answers["sigma_spread_axial"] == pytest.approx(2, abs=0.05)
    assert answers["sigma_coverage_68"] == pytest.approx(0.683, abs=0.01)
    assert answers["sigma_coverage_95"] == pytest.approx(0.95, abs=0.005)
    for factor in (0.5, 2.0):
        claims = {f"sigma_{axis}_nm": factor * sigma for axis in "xy"}
        bold = table(found.x_nm, z_nm=found.z_nm, **claims)
        bold.y_nm[:] = found.y_nm
        said = sigma_calibration.measure(gather(bold, truth))
        assert said["sigma_spread"] == pytest.approx(1 / factor, abs=0.04)
        assert said["sigma_nll"] > answers["sigma_nll"] + 0.1


def test_claims_that_are_none():
    truth = table(np.full(4, 3000.0), z_nm=np.zeros(4))
    none = sigma_calibration.measure(gather(truth, truth, facts=Facts(three_d=True)))
    assert none.pop("sigma_spread_axial") == "the found table claims no sigma of z"
    assert set(none.values()) == {"the found table claims no sigma of its positions"}
    for value in (0.0, -5.0, np.inf):
        claims = {"sigma_x_nm": np.array([value, value, value, 10.0]), "sigma_y_nm": np.full(4, value)}
        one = sigma_calibration.measure(gather(table(np.full(4, 3010.0), **claims), truth))
        assert one["sigma_spread"] == pytest.approx(1.0), value
    apart = sigma_calibration.measure(gather(table(np.full(4, 900.0)), truth))
    assert apart["sigma_nll"] == "no detection was matched"
