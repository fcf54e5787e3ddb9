"""Average precision and RMSMD, computed by hand."""

from dataclasses import replace

import numpy as np
import pytest

from smlmbench.metrics import average_precision, rmsmd
from smlmbench.metrics.evidence import Facts, gather
from smlmbench.predictions import Localizations
from smlmbench.study.schema import Scoring

SIDE = 6400.0
BARE = Facts(scoring=Scoring(border_nm=0.0))


def table(x_nm, n_frames=1, frame=None, **columns):
    frame = np.zeros(len(x_nm), int) if frame is None else frame
    rows = {"frame": frame, "x_nm": x_nm, "y_nm": np.full(len(x_nm), 3000.0), **columns}
    return Localizations.of(rows, n_frames=n_frames, field_nm=(SIDE, SIDE))


TRUTH = table([1000.0, 2000.0, 3000.0, 4000.0], photons=[900.0] * 4)


def ap(found, truth=TRUTH, facts=None):
    return average_precision.measure(gather(found, truth, facts=facts))


def test_average_precision_by_hand():
    # right, wrong, right, 150 nm off, right: at 250 nm TP FP TP TP TP of 4; at 100 nm TP FP TP FP TP of 4
    found = table([1000.0, 5500.0, 2010.0, 3150.0, 4020.0], probability=[0.9, 0.8, 0.7, 0.6, 0.5])
    # precision 1, 1/2, 2/3, 3/4, 4/5 at recall 1/4, 1/4, 2/4, 3/4, 1; the best at a recall or beyond it: 1, 4/5 ...
    assert ap(found)["ap_250nm"] == pytest.approx(0.25 * (1 + 3 * 0.8))
    # precision 1, 1/2, 2/3, 2/4, 3/5 at recall 1/4, 1/4, 2/4, 2/4, 3/4
    assert ap(found)["ap_100nm"] == pytest.approx(0.25 * (1 + 2 / 3 + 3 / 5))


def test_equal_probabilities_enter_together_in_any_order():
    # of two equal ones, one right and one wrong, the first step has precision 1/2 whichever row is first
    for rows in ([0, 1, 2], [1, 0, 2]):
        found = table([1000.0, 5500.0, 2000.0], probability=[0.9, 0.9, 0.4]).select(np.array(rows))
        assert ap(found)["ap_250nm"] == pytest.approx(0.25 * 2 / 3 + 0.25 * 2 / 3)
        worse = table([1000.0, 5500.0, 5600.0], probability=[0.9, 0.9, 0.4]).select(np.array(rows))
        assert ap(worse)["ap_250nm"] == pytest.approx(0.25 * 1 / 2)


def test_the_more_probable_detection_takes_the_emitter_though_another_is_nearer():
    found = table([1090.0, 1000.0], probability=[0.9, 0.5])
    assert ap(found)["ap_100nm"] == pytest.approx(0.25)
    # of equally probable ones the nearer: the other may have the second emitter
    truth = table([1000.0, 1150.0])
    both = table([1060.0, 1000.0, 5000.0], probability=[0.9, 0.9, 0.1])
    assert ap(both, truth)["ap_100nm"] == 1.0


def test_neutral_detections_are_no_part_of_the_curve():
    truth = replace(TRUTH, photons=np.array([900.0, 20.0, 900.0, 900.0]))  # dim at 2000 nm
    found = table([2000.0, 100.0, 1000.0, 3000.0], probability=[0.9, 0.8, 0.7, 0.6])  # on the dim one, in the border
    assert ap(found, truth)["ap_250nm"] == pytest.approx(2 / 3)
    # without a border that at 100 nm is wrong, and stands before both right ones
    assert ap(found, truth, BARE)["ap_250nm"] == pytest.approx(2 / 3 * 2 / 3)


def test_average_precision_has_reasons():
    for values, said in (
        ([0.5, 0.5], "all detections have the same probability"),
        ([np.nan, np.nan], "the found table has no probabilities"),
        ([0.5, np.nan], "some detections have no probability"),
    ):
        answers = ap(table([1000.0, 2000.0], probability=values))
        assert set(answers.values()) == {said}
    assert set(ap(table([])).values()) == {0.0}
    assert set(ap(table([2000.0], probability=[1.0]), table([])).values()) == {"no true emitter counts here"}


def test_rmsmd_by_hand():
    # distances: truth 30, 0; found 30, 0 and one 500 nm from its nearest
    found, truth = table([1030.0, 2000.0, 2500.0]), table([1000.0, 2000.0])
    expected = np.sqrt((30**2 + 0 + 30**2 + 0 + 500**2) / 5)
    assert rmsmd.measure(gather(found, truth)) == {"rmsmd_nm": pytest.approx(expected)}
    # nearest, not one to one: two detections may have one emitter
    twice = table([1030.0, 990.0])
    assert rmsmd.measure(gather(twice, truth))["rmsmd_nm"] == pytest.approx(
        np.sqrt((10**2 + 970**2 + 30**2 + 10**2) / 4)
    )


def test_a_frame_with_one_side_alone_counts_by_the_diagonal():
    truth, found = table([1000.0, 2000.0], 2, [0, 1]), table([1000.0], 2, [0])
    diagonal = SIDE * np.sqrt(2)
    assert rmsmd.measure(gather(found, truth))["rmsmd_nm"] == pytest.approx(np.sqrt(diagonal**2 / 3))
    # never a detection of another frame, however near
    other = table([1000.0, 2000.0], 2, [0, 0])
    expected = np.sqrt((0 + diagonal**2 + 0 + 1000**2) / 4)
    assert rmsmd.measure(gather(other, truth))["rmsmd_nm"] == pytest.approx(expected)
    empty = rmsmd.measure(gather(table([], 2), truth))["rmsmd_nm"]
    assert empty == pytest.approx(diagonal)
    bare = gather(found, truth, facts=replace(BARE, field_known=False))
    assert rmsmd.measure(bare)["rmsmd_nm"].endswith("give --field-nm")
    whole = gather(truth, truth, facts=replace(BARE, field_known=False))
    assert rmsmd.measure(whole) == {"rmsmd_nm": 0.0}


def test_dim_emitters_are_neighbours_that_do_not_count():
    truth = replace(TRUTH, photons=np.array([900.0, 20.0, 900.0, 900.0]))
    found = table([1000.0, 2040.0, 3000.0, 4000.0])
    assert rmsmd.measure(gather(found, truth)) == {"rmsmd_nm": 0.0}


def test_depth_is_a_part_of_the_distance_in_3d():
    truth, found = table([1000.0], z_nm=[0.0]), table([1030.0], z_nm=[40.0])
    assert rmsmd.measure(gather(found, truth, facts=Facts(three_d=True)))["rmsmd_nm"] == pytest.approx(50)
    assert rmsmd.measure(gather(found, truth))["rmsmd_nm"] == pytest.approx(30)
