import math

import numpy as np
import pytest

from smlmbench.data import facts as module
from smlmbench.data.facts import facts, frame_shift, on_time
from smlmbench.predictions import Localizations


def table(frame, x_nm, y_nm, n_frames=10, photons=None, molecule=None):
    columns = {"frame": frame, "x_nm": x_nm, "y_nm": y_nm, "photons": photons, "molecule": molecule}
    return Localizations.of(columns, n_frames=n_frames, field_nm=(2000, 1000))


def test_three_emitters_counted_by_hand():
    truth = table([0, 0, 0, 1], [100, 300, 1500, 100], [100, 100, 100, 110], n_frames=2)
    made = facts(truth, min_photons=100, psf_sigma_nm=100.0)
    assert made["density_per_um2"] == pytest.approx(4 / (2 * 2))
    # one pair at 200 nm: two of four emitters have one neighbour within 250 nm
    assert made["density_local"] == pytest.approx(0.5 / (math.pi * 0.0625))
    assert made["isolated_fraction"] == 0.5
    assert made["overlap"] == pytest.approx(2 * math.exp(-1) / 4)


def test_dim_emitters_do_not_count_and_unknown_photons_do():
    truth = table([0, 0, 0], [100, 150, 900], [0, 0, 0], n_frames=1, photons=[50, 500, np.nan])
    made = facts(truth, min_photons=100, psf_sigma_nm=130.0)
    assert made["density_per_um2"] == 1.0
    assert made["isolated_fraction"] == 1.0


def test_without_a_psf_what_needs_it_is_left_out():
    made = facts(table([0], [5], [5]), min_photons=0, psf_sigma_nm=None)
    assert set(made) == {"density_per_um2", "density_local", "min_photons"}


def test_a_truth_with_depth_is_scored_in_three_dimensions():
    rows = {"frame": [0, 0, 0], "x_nm": [5, 500, 900], "y_nm": [5, 5, 5], "photons": [900, 900, 10]}
    for z_nm, deep in (([0, 90, 0], True), ([40, 40, 90], False), ([np.nan] * 3, False), ([7, np.nan, 90], False)):
        truth = Localizations.of({**rows, "z_nm": z_nm}, n_frames=1, field_nm=(2000, 1000))
        assert facts(truth, min_photons=100, psf_sigma_nm=None).get("three_d", 0.0) == deep


def test_an_empty_truth_has_density_zero():
    assert facts(table([], [], []), min_photons=50, psf_sigma_nm=130.0) == {"density_per_um2": 0.0, "min_photons": 50.0}


def test_crowding_of_random_positions_is_that_of_theory(monkeypatch):
    monkeypatch.setattr(module, "ROWS", 4000)
    generator = np.random.default_rng(1)
    n = 12_000
    truth = Localizations.of(
        {
            "frame": generator.integers(0, 30, n),
            "x_nm": generator.uniform(0, 20_000, n),
            "y_nm": generator.uniform(0, 20_000, n),
        },
        n_frames=30,
        field_nm=(20_000, 20_000),
    )
    made = facts(truth, min_photons=0, psf_sigma_nm=130.0)
    assert made["density_per_um2"] == pytest.approx(1.0)
    assert made["density_local"] == pytest.approx(1.0, rel=0.1)
    assert made["isolated_fraction"] == pytest.approx(math.exp(-math.pi * 0.39**2), abs=0.04)
    # integral of exp(-r^2 / 4 sigma^2) over the plane: 4 pi sigma^2
    assert made["overlap"] == pytest.approx(4 * math.pi * 0.13**2, rel=0.15)


def test_on_time_from_molecules_and_from_places_that_stay():
    frames, where = [0, 1, 2, 5, 0, 1], [100, 100, 100, 100, 500, 500]
    assert on_time(table(frames, range(6), [0] * 6, molecule=[1, 1, 1, 1, 2, 2])) == pytest.approx(6 / 3)
    assert on_time(table(frames, where, [0] * 6)) == pytest.approx(6 / 3)
    assert on_time(table(frames, [10 * k for k in range(6)], [0] * 6)) == 1.0
    assert on_time(table([], [], [])) == 1.0


def test_frame_shift_is_one_for_independent_frames_else_ten_on_times():
    persistent = table([0, 1, 0, 1], [1, 1, 9, 9], [0] * 4, n_frames=1000, molecule=[1, 1, 2, 2])
    assert frame_shift(persistent, iid=True) == 1
    assert frame_shift(persistent, iid=False) == 20
    assert frame_shift(None, iid=False) == 1
    assert frame_shift(table([0, 3], [1, 2], [1, 2], n_frames=500), iid=False) == 10
    assert frame_shift(table([0, 3], [1, 2], [1, 2], n_frames=8), iid=False) == 4
