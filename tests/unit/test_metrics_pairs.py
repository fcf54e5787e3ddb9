"""The two-emitter curve, computed by hand."""

import numpy as np
import pytest

from smlmbench.metrics import emitter_pairs
from smlmbench.metrics.evidence import gather
from smlmbench.predictions import Localizations

SIDE = 6400.0


def table(frame, x_nm, y_nm=3000.0):
    rows = {"frame": frame, "x_nm": x_nm, "y_nm": np.broadcast_to(y_nm, np.shape(x_nm))}
    return Localizations.of(rows, n_frames=400, field_nm=(SIDE, SIDE))


def pairs(distances, repeats=12):
    """`repeats` frames for each distance, one pair in each."""
    distance = np.repeat(np.asarray(distances, float), repeats)
    frame = np.arange(len(distance))
    return table(np.tile(frame, 2), np.concatenate([3000 - distance / 2, 3000 + distance / 2])), distance


def test_the_curve_by_hand():
    truth, distance = pairs([75, 125, 175, 225, 275])
    # merged below 150 nm; at 175 nm a third of the pairs is told apart, beyond all, 10 nm too far apart
    n = len(distance)
    split = (distance > 200) | ((distance == 175) & (np.arange(n) % 3 == 0))
    frame = np.arange(n)
    wide = distance + 10
    found = table(
        np.concatenate([frame[~split], frame[split], frame[split]]),
        np.concatenate([np.full((~split).sum(), 3000.0), 3000 - wide[split] / 2, 3000 + wide[split] / 2]),
    )
    answers = emitter_pairs.measure(gather(found, truth))
    # between 1/3 at 175 and 1 at 225 nm the share is 1/2 a quarter of the way
    assert answers["half_resolved_nm"] == pytest.approx(175 + 50 / 4)
    assert answers["pairs_resolved_100nm"] == 0.0
    assert answers["pairs_resolved_200nm"] == pytest.approx((1 / 3 + 1) / 2)
    assert answers["pairs_resolved_300nm"] == 1.0
    assert answers["pair_distance_bias_200nm"] == pytest.approx(10)
    assert answers["pair_distance_bias_100nm"] == "fewer than 10 pairs this far apart are both matched"
    drawn = emitter_pairs.profile(gather(found, truth))["pairs"]
    assert drawn["pairs"] == [12.0] * 5 + [0.0] * 6
    assert drawn["resolved"] == pytest.approx([0, 0, 1 / 3, 1, 1, *[None] * 6])
    assert drawn["distance_bias_nm"][:2] == [None, None]


def test_two_detections_of_one_emitter_do_not_resolve_a_pair():
    truth, distance = pairs([200])
    frame = np.arange(len(distance))
    found = table(np.tile(frame, 2), np.concatenate([np.full(12, 2890.0), np.full(12, 2920.0)]))
    answers = emitter_pairs.measure(gather(found, truth))
    assert answers["pairs_resolved_200nm"] == 0.0
    assert answers["pair_distance_bias_200nm"] == pytest.approx(30 - 200)


def test_ends_of_the_curve_have_reasons():
    truth, _ = pairs([75, 225])
    assert emitter_pairs.measure(gather(truth, truth))["half_resolved_nm"] == (
        "half of the pairs and more are resolved at every distance, down to 75 nm"
    )
    nothing = Localizations.empty(n_frames=400, field_nm=(SIDE, SIDE))
    answers = emitter_pairs.measure(gather(nothing, truth))
    assert answers["half_resolved_nm"] == "fewer than half of the pairs are resolved even 225 nm apart"
    assert answers["pairs_resolved_300nm"] == "fewer than 10 pairs are this far apart"
    few, _ = pairs([75], repeats=9)
    assert emitter_pairs.measure(gather(few, few))["half_resolved_nm"] == "no distance from 50 to 600 nm has 10 pairs"


def test_a_truth_of_something_else_is_not_of_pairs():
    rng = np.random.default_rng(0)
    alone = table(np.arange(30), rng.uniform(1000, 5000, 30))
    said = "the truth is not of pairs: 0% of its emitters have one neighbour alone within 600 nm"
    assert set(emitter_pairs.measure(gather(alone, alone)).values()) == {said}
    assert emitter_pairs.profile(gather(alone, alone)) == {}
    threes = table(np.repeat(np.arange(30), 3), np.tile([2900.0, 3000, 3100], 30))
    assert "not of pairs: 0%" in emitter_pairs.measure(gather(threes, threes))["half_resolved_nm"]
    # a few emitters beside pairs are no matter, in a row or alone, and several pairs in a frame neither
    truth, _ = pairs([200])
    others = [300, 301, 301, 301], [3000.0, 1000.0, 1500.0, 2000.0]
    more = table(
        np.concatenate([truth.frame, truth.frame, others[0]]),
        np.concatenate([truth.x_nm, truth.x_nm, others[1]]),
        np.concatenate([np.full(24, 3000.0), np.full(24, 5000.0), np.full(4, 3000.0)]),
    )
    assert emitter_pairs.measure(gather(more, more))["pairs_resolved_200nm"] == 1.0
    assert sum(emitter_pairs.profile(gather(more, more))["pairs"]["pairs"]) == 24
