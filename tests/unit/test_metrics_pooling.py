import numpy as np
import pytest

from smlmbench.errors import SizeError, UnitError, UnknownNameError
from smlmbench.metrics import ratios
from smlmbench.metrics.evidence import Facts, gather
from smlmbench.metrics.matching import assign
from smlmbench.metrics.pooling import SUMS, challenge_roles, chance_shift, inside, pairs_of, pool
from smlmbench.predictions import Localizations
from smlmbench.study.schema import Scoring

FIELD = (6400.0, 6400.0)
CHALLENGE = Scoring(protocol="challenge-2016")


def table(x, y=None, *, n_frames=1, **columns):
    columns = {"frame": np.zeros(len(x)), "x_nm": x, "y_nm": np.full(len(x), 3200.0) if y is None else y} | columns
    return Localizations.of(columns, n_frames=n_frames, field_nm=FIELD)


def counts(found, truth, **facts):
    total = gather(found, truth, facts=Facts(**facts)).sums.sum(axis=0)
    return {name: int(total[SUMS.index(name)]) for name in ("tp", "fp", "fn", "neutral")}


def sums(**given):
    return np.array([float(given.get(name, 0.0)) for name in SUMS])


def test_a_pair_across_the_border_counts_by_its_true_emitter():
    found, truth = table([449.0]), table([451.0])
    assert counts(found, truth) == {"tp": 1, "fp": 0, "fn": 0, "neutral": 0}
    assert counts(found, truth, scoring=CHALLENGE) == {"tp": 0, "fp": 0, "fn": 1, "neutral": 1}


def test_a_detection_of_an_outer_emitter_is_neutral():
    found, truth = table([451.0]), table([449.0])
    assert counts(found, truth) == {"tp": 0, "fp": 0, "fn": 0, "neutral": 1}
    assert counts(found, truth, scoring=CHALLENGE) == {"tp": 0, "fp": 1, "fn": 0, "neutral": 0}


def test_unmatched_rows_count_by_their_own_place():
    assert counts(table([449.0, 2000.0]), table([1000.0, 200.0])) == {"tp": 0, "fp": 1, "fn": 1, "neutral": 1}


def test_the_border_is_strict():
    at_border = table([450.0, 450.001, 5950.0, 5949.999, 3200.0], [3200.0, 3200.0, 3200.0, 3200.0, 450.0])
    assert inside(at_border, FIELD, 450.0).tolist() == [False, True, False, True, False]


def test_without_a_border_everything_counts():
    scoring = Scoring(border_nm=0)
    assert counts(table([-10.0, 7000.0]), table([0.0]), scoring=scoring) == {"tp": 1, "fp": 1, "fn": 0, "neutral": 0}


def test_dim_emitters_are_neutral_and_unknown_brightness_is_bright():
    truth = table([1000.0, 2000.0, 3000.0], photons=[99.9, 100.0, np.nan])
    both = counts(table([1000.0, 2000.0]), truth)
    assert both == {"tp": 1, "fp": 0, "fn": 1, "neutral": 1}
    assert counts(table([3000.0]), truth) == {"tp": 1, "fp": 0, "fn": 1, "neutral": 0}


def test_the_dim_rule_takes_one_threshold_per_emitter():
    truth = table([1000.0, 2000.0], photons=[150.0, 150.0])
    assert counts(table([]), truth, min_photons=np.array([100.0, 200.0]))["fn"] == 1
    with pytest.raises(SizeError, match=r"min_photons of shape \(3,\) for 2 emitters"):
        gather(table([]), truth, facts=Facts(min_photons=np.ones(3)))


@pytest.mark.parametrize(("places", "expected"), [([1000.0, 2000.0], (1, 0, 0)), ([1000.0], (0, 0, 1))])
def test_the_dim_rule_of_the_challenge_is_at_most_t(places, expected):
    # T = floor(0.25-quantile by Matlab's rule of [100, 1000]) = 100, and "dim" includes T itself
    truth, found = table([1000.0, 2000.0], photons=[100.0, 1000.0]), table(places)
    who = challenge_roles(found, truth, border_nm=450.0, quantile=0.25)
    pairs = pairs_of(found, truth, who, scoring=CHALLENGE, three_d=False)
    summed = pool(found, truth, assign(pairs), who)
    assert who.facts["photon_threshold"] == 100
    assert tuple(summed.sum(axis=0)[:3]) == expected


def test_the_threshold_is_taken_inside_the_border():
    photons = [1.0, 10.0, 20.0, 30.0, 47.0]
    truth = table([100.0, 1000.0, 2000.0, 3000.0, 4000.0], photons=photons)
    # Matlab: quantile([10 20 30 47], 0.25) = 15 (the 1 lies in the border)
    assert challenge_roles(table([]), truth, border_nm=450.0, quantile=0.25).facts["photon_threshold"] == 15
    with pytest.raises(UnitError, match="needs the photons of every true emitter"):
        challenge_roles(table([]), table([1000.0]), border_nm=450.0, quantile=0.25)


def test_sums_are_per_frame_and_signed():
    truth = table([1000.0, 2000.0], z_nm=[0.0, 10.0], n_frames=3, frame=[0, 2])
    found = table(
        [1003.0, 2000.0, 3000.0], [3204.0, 3195.0, 3200.0], z_nm=[-6.0, 30.0, 0.0], n_frames=3, frame=[0, 2, 2]
    )
    summed = gather(found, truth, facts=Facts(three_d=True)).sums
    columns = dict(zip(SUMS, summed.T.tolist(), strict=True))
    assert columns == {
        "tp": [1, 0, 1],
        "fp": [0, 0, 1],
        "fn": [0, 0, 0],
        "neutral": [0, 0, 0],
        "lateral_sq": pytest.approx([25, 0, 25]),
        "axial_sq": pytest.approx([36, 0, 400]),
        "dx": pytest.approx([3, 0, 0]),
        "dy": pytest.approx([4, 0, -5]),
        "dz": pytest.approx([-6, 0, 20]),
    }


def test_detections_after_the_last_frame_are_false():
    summed = gather(table([1000.0, 1000.0], n_frames=9, frame=[7, -1]), table([1000.0], n_frames=2)).sums
    assert summed.shape == (2, len(SUMS))
    assert summed[:, :3].tolist() == [[0, 1, 1], [0, 1, 0]]


def test_true_emitters_outside_the_movie_are_refused():
    with pytest.raises(SizeError, match="true emitters in frames 0 to 3 of a movie of 2; frames count from 0"):
        gather(table([]), table([1.0, 1.0], n_frames=2, frame=[0, 3]))


def test_efficiency_by_hand():
    # JAC 60 %, RMSE 30 nm lateral and 60 nm axial: 100 - sqrt(40^2 + 30^2) = 50 on both axes
    total = sums(tp=60, fp=20, fn=20, lateral_sq=60 * 900, axial_sq=60 * 3600)
    assert ratios.efficiency(total) == pytest.approx(50.0)
    assert ratios.efficiency(total, three_d=True) == pytest.approx(50.0)
    worse = sums(tp=60, fp=20, fn=20, lateral_sq=60 * 900, axial_sq=0)
    assert ratios.efficiency(worse, three_d=True) == pytest.approx((50 + 60) / 2)


def test_efficiency_is_negative_for_far_pairs_and_0_without_any():
    assert ratios.efficiency(sums(tp=1, fp=99, fn=0, lateral_sq=240**2)) == pytest.approx(100 - np.hypot(99, 240))
    assert ratios.efficiency(sums(fn=5)) == 0
    assert np.isnan(ratios.efficiency(sums(fp=7)))  # without a true emitter nothing is missed or found
    assert np.isnan(ratios.efficiency(sums()))


def test_ratios_work_on_many_sums_at_once():
    many = np.stack([sums(tp=1, fp=1), sums(tp=3, fn=1), sums()])
    assert ratios.jaccard(many)[:2].tolist() == [0.5, 0.75]
    assert ratios.f1(many)[:2] == pytest.approx([2 / 3, 6 / 7])
    assert np.isnan(ratios.recall(many)).tolist() == [False, False, True]
    assert ratios.ratio("efficiency", three_d=True)(many).shape == (3,)
    with pytest.raises(UnknownNameError, match="did you mean 'jaccard'"):
        ratios.ratio("jacard")


@pytest.mark.parametrize(
    ("n_frames", "at_least", "shift"),
    [(400, 1, 1), (400, 10, 11), (400, 100, 101), (6, 2, None), (7, 2, 2), (1, 1, None)],
)
def test_the_chance_shift_is_coprime_and_far_both_ways(n_frames, at_least, shift):
    assert chance_shift(n_frames, at_least) == shift
