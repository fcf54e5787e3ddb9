"""Linking, linked scores and molecules: computed by hand."""

from dataclasses import replace

import numpy as np
import pytest

from smlmbench.metrics import linked, molecules
from smlmbench.metrics.evidence import Facts, gather
from smlmbench.metrics.linking import Linking, averaged, tracks
from smlmbench.predictions import Localizations

SIDE = 6400.0


def table(frame, x_nm, n_frames=20, **columns):
    rows = {"frame": frame, "x_nm": x_nm, "y_nm": np.full(len(x_nm), 3000.0), **columns}
    return Localizations.of(rows, n_frames=n_frames, field_nm=(SIDE, SIDE))


def together(track):
    """The rows of each track, as sets."""
    return {frozenset(np.flatnonzero(track == each).tolist()) for each in np.unique(track)}


def test_rows_of_successive_frames_are_linked_within_the_radius():
    found = table([0, 1, 2, 2, 3], [1000, 1040, 1000, 1051, 2000])
    # 40 nm on, 40 nm back; 1051 is 11 nm from 1040, so it is the nearer; 1000 stays alone, 2000 is far
    assert together(tracks(found)) == {frozenset({0, 1, 3}), frozenset({2}), frozenset({4})}
    assert together(tracks(table([0, 1], [1000, 1050.0]))) == {frozenset({0, 1})}
    assert together(tracks(table([0, 1], [1000, 1050.1]))) == {frozenset({0}), frozenset({1})}
    assert together(tracks(table([5, 5], [1000, 1001]))) == {frozenset({0}), frozenset({1})}
    assert len(tracks(table([], []))) == 0


def test_one_dark_frame_is_bridged_and_two_are_not():
    assert together(tracks(table([0, 2], [1000, 1000]))) == {frozenset({0, 1})}
    assert len(together(tracks(table([0, 3], [1000, 1000])))) == 2
    assert len(together(tracks(table([0, 2], [1000, 1000]), Linking(dark_frames=0)))) == 2
    # the next frame goes first, whatever is nearer two frames on
    assert together(tracks(table([0, 1, 2], [1000, 1045, 1001]))) == {frozenset({0, 1, 2})}
    assert together(tracks(table([0, 1, 2], [1000, 1045, 980]))) == {frozenset({0, 1}), frozenset({2})}


def test_the_radius_grows_with_the_claimed_precision():
    sigmas = {"sigma_x_nm": np.full(2, 30.0), "sigma_y_nm": np.full(2, 30.0)}
    # three times sqrt(2) 30 nm is 127 nm
    assert len(together(tracks(table([0, 1], [1000, 1120], **sigmas)))) == 1
    assert len(together(tracks(table([0, 1], [1000, 1130], **sigmas)))) == 2
    assert len(together(tracks(table([0, 1], [1000, 1120])))) == 2
    # never beyond the largest
    wide = {name: np.full(2, 500.0) for name in sigmas}
    assert len(together(tracks(table([0, 1], [1000, 1251], **wide)))) == 2


def test_depth_is_looked_at_where_every_row_has_it():
    assert len(together(tracks(table([0, 1], [1000, 1000], z_nm=[0, 100.0])))) == 1
    assert len(together(tracks(table([0, 1], [1000, 1000], z_nm=[0, 101.0])))) == 2
    assert len(together(tracks(table([0, 1], [1000, 1000], z_nm=[0, np.nan])))) == 1


def test_rows_move_to_the_mean_of_their_track():
    found = table([0, 1, 1], [1000, 1040, 3000], photons=[500, 900, 700])
    moved = averaged(found, np.array([0, 0, 1]))
    assert moved.x_nm.tolist() == [1020, 1020, 3000]
    assert moved.photons.tolist() == [500, 900, 700]
    assert moved.frame.tolist() == [0, 1, 1]
    # by the inverse variance where all claim one: (1000 / 100 + 1040 / 300) / (1 / 100 + 1 / 300)
    sure = replace(found, sigma_x_nm=np.sqrt([100, 300, 50.0]))
    moved = averaged(sure, np.array([0, 0, 1]))
    assert moved.x_nm == pytest.approx([1010, 1010, 3000])
    assert moved.sigma_x_nm == pytest.approx(np.sqrt([75, 75, 50]))
    some = replace(found, sigma_x_nm=np.array([10.0, np.nan, 10.0]))
    assert averaged(some, np.array([0, 0, 1])).x_nm.tolist() == [1020, 1020, 3000]


TRUTH = table([0, 1, 2, 0, 1], [1000, 1000, 1000, 4000, 4000], molecule=[7, 7, 7, 3, 3])


def test_linked_scores_by_hand():
    found = table([0, 1, 2, 0, 1], [1030, 1000, 970, 4020, 4000])
    evidence = gather(found, TRUTH)
    # means: 1000 and 4010
    answers = linked.measure(evidence)
    assert answers["rmse_nm_linked"] == pytest.approx(np.sqrt(2 * 10**2 / 5))
    assert answers["efficiency_linked"] == pytest.approx(100 - np.sqrt(2 * 10**2 / 5))
    assert answers["rmse_axial_nm_linked"] == "scored in 2-D"


def test_linking_gains_the_root_of_the_frames():
    rng, n, on = np.random.default_rng(5), 3000, 4
    start, x_nm = rng.integers(0, 2000, n), rng.uniform(500, 5900, n)
    who, frame = np.repeat(np.arange(n), on), (start[:, None] + np.arange(on)).ravel()
    truth = table(frame, x_nm[who], 2004, molecule=who)
    truth.y_nm[:] = rng.uniform(500, 5900, n)[who]
    moved = {axis: getattr(truth, axis) + rng.normal(0, 8, n * on) for axis in ("x_nm", "y_nm")}
    found = replace(truth, molecule=None, **moved)
    answers = linked.measure(gather(found, truth))
    assert answers["rmse_nm_linked"] == pytest.approx(8 * np.sqrt(2) / np.sqrt(on), rel=0.06)
    counted = molecules.measure(gather(found, truth))
    assert counted["molecule_recall"] > 0.998  # a few are nearer to another than the radius
    assert counted["molecules_overcounted"] < 0.01
    assert counted["molecules_undercounted"] < 0.02


def test_independent_frames_have_nothing_to_link():
    said = "no molecule is known to be in two frames"
    for truth in (replace(TRUTH, molecule=None), replace(TRUTH, molecule=np.arange(5))):
        assert set(linked.measure(gather(TRUTH, truth)).values()) == {said}
    assert isinstance(
        linked.measure(gather(TRUTH, replace(TRUTH, molecule=None), facts=Facts(frame_shift=30)))["rmse_nm_linked"],
        float,
    )
    unnamed = molecules.measure(gather(TRUTH, replace(TRUTH, molecule=None), facts=Facts(frame_shift=30)))
    assert set(unnamed.values()) == {"the true table has no molecules"}


def test_molecules_by_hand():
    # molecule 7 in two pieces (three frames apart they are no track), 3 found once, 9 missed; one of nothing
    truth = table([0, 1, 2, 3, 4, 5, 0, 1, 8], [1000] * 6 + [4000] * 2 + [2000], molecule=[7] * 6 + [3] * 2 + [9])
    found = table([0, 1, 5, 0, 12], [1010, 1020, 1000, 4000, 5000])
    answers = molecules.measure(gather(found, truth))
    assert answers["molecule_recall"] == pytest.approx(2 / 3)
    # tracks at 1015 (7), 1000 (7), 4000 (3)
    assert answers["molecule_rmse_nm"] == pytest.approx(np.sqrt(15**2 / 3))
    assert answers["molecules_overcounted"] == pytest.approx((1 + 1) / 3)
    assert answers["molecules_undercounted"] == pytest.approx(1 / 3)
    assert answers["molecule_rmse_axial_nm"] == "scored in 2-D"


def test_on_periods_are_counted_not_blinks():
    # one molecule, on twice with a long dark time: two tracks are not too many, one is too few
    truth = table([0, 1, 10, 11], [1000] * 4, molecule=[7] * 4)
    both = molecules.measure(gather(table([0, 1, 10, 11], [1000] * 4), truth))
    assert (both["molecules_overcounted"], both["molecules_undercounted"]) == (0.0, 0.0)
    one = molecules.measure(gather(table([0, 1], [1000] * 2), truth))
    assert (one["molecule_recall"], one["molecules_undercounted"]) == (1.0, 0.5)


def test_merged_neighbours_are_undercounted():
    truth = table([0, 1, 0, 1], [1000, 1000, 1100, 1100], molecule=[1, 1, 2, 2])
    merged = molecules.measure(gather(table([0, 1], [1040, 1040]), truth))
    assert merged["molecule_recall"] == merged["molecules_undercounted"] == 0.5
    assert merged["molecule_rmse_nm"] == pytest.approx(40)


def test_a_track_is_of_the_molecule_of_most_of_its_pairs():
    truth = table([0, 1, 2, 3], [1000, 1000, 1030, 1030], molecule=[2, 2, 1, 1])
    found = table([0, 1, 2], [1000, 1000, 1030])
    answers = molecules.measure(gather(found, truth))
    assert answers["molecule_rmse_nm"] == pytest.approx(10)
    assert answers["molecule_recall"] == 0.5


def test_molecules_that_do_not_count_are_neutral():
    truth = table([0, 1, 0, 1], [1000, 1000, 4000, 4000], molecule=[1, 1, 2, 2], photons=[900, 900, 10, 10])
    found = table([0, 1, 0, 1, 5], [1000, 1000, 4030, 4030, 100])  # the last in the border
    answers = molecules.measure(gather(found, truth))
    assert answers["molecule_rmse_nm"] == 0.0
    assert answers["molecule_recall"] == 1.0
    assert answers["molecules_overcounted"] == 0.0
    none = molecules.measure(gather(found, replace(truth, photons=np.full(4, 10.0))))
    assert set(none.values()) <= {"no true emitter counts here", "neither a true emitter nor a detection counts here"}
    missed = molecules.measure(gather(table([], []), truth))
    assert missed["molecule_recall"] == 0.0
    assert missed["molecule_rmse_nm"] == "no detection was matched"
