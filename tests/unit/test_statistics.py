import math

import numpy as np
import pytest
from scipy import stats

from smlmbench.errors import SizeError
from smlmbench.statistics import (
    combine_seeds,
    compare_ranks,
    critical_difference,
    frame_bootstrap,
    holm,
    iqm,
    judge,
    paired_difference,
    pareto_front,
    performance_profile,
    resample,
)


def ratio(sums):
    return np.where(sums[..., 1] > 0, sums[..., 0] / np.maximum(sums[..., 1], 1), np.nan)


def frames(p=0.7, n=200, emitters=8, seed=0):
    hits = np.random.default_rng(seed).binomial(emitters, p, n)
    return np.column_stack([hits, np.full(n, emitters)]).astype(float)


def test_the_bootstrap_of_a_proportion_has_the_binomial_standard_error():
    sums = frames()
    interval = frame_bootstrap(ratio, sums, seed=1)
    p, trials = interval.value, 200 * 8
    assert p == sums[:, 0].sum() / trials
    assert math.sqrt(interval.variance) == pytest.approx(math.sqrt(p * (1 - p) / trials), rel=0.15)
    assert (interval.high - interval.low) / 2 == pytest.approx(1.96 * math.sqrt(interval.variance), rel=0.1)
    assert interval.low < p < interval.high


def test_the_bootstrap_repeats_itself_with_a_seed_and_not_without():
    assert frame_bootstrap(ratio, frames(), seed=1) == frame_bootstrap(ratio, frames(), seed=1)
    assert frame_bootstrap(ratio, frames(), seed=1) != frame_bootstrap(ratio, frames(), seed=2)


def test_blocks_widen_the_interval_of_frames_that_repeat_each_other():
    repeated = np.repeat(frames(n=40), 10, axis=0)
    alone, blocks = (frame_bootstrap(ratio, repeated, block=block, seed=3) for block in (1, 10))
    assert blocks.value == alone.value
    assert blocks.variance / alone.variance == pytest.approx(10, rel=0.25)


def test_memory_is_bounded_without_changing_the_law(monkeypatch):
    monkeypatch.setattr("smlmbench.statistics.DRAWS_AT_ONCE", 1000)
    in_parts = frame_bootstrap(ratio, frames(), seed=1)
    assert math.sqrt(in_parts.variance) == pytest.approx(math.sqrt(0.7 * 0.3 / 1600), rel=0.15)


def test_a_score_that_does_not_exist_has_no_interval():
    interval = frame_bootstrap(ratio, np.zeros((5, 2)), seed=0)
    assert all(math.isnan(v) for v in (interval.value, interval.low, interval.high, interval.variance))
    # one frame in three has emitters: resamples without any are left out
    assert frame_bootstrap(ratio, [[1, 2], [0, 0], [0, 0]], seed=0).low == 0.5


@pytest.mark.parametrize("sums", [np.zeros((0, 2)), np.zeros(4)])
def test_the_bootstrap_refuses_what_is_not_frames(sums):
    with pytest.raises(SizeError, match=r"give \(frames, sums\) with at least 1 frame"):
        frame_bootstrap(ratio, sums, seed=0)
    with pytest.raises(SizeError, match="block 0"):
        frame_bootstrap(ratio, frames(), block=0, seed=0)


def test_seeds_combine_by_the_written_formula():
    values, variances = [50.0, 52.0, 57.0], [1.0, 2.0, 3.0]
    # m = 53, mean(w) = 2, s2 = (9 + 1 + 16) / 2 = 13
    half = math.sqrt(1.959964**2 * 2 + 4.302653**2 * 13 / 3)
    interval = combine_seeds(values, variances)
    assert (interval.value, interval.seeds, interval.note) == (53.0, 3, "")
    assert (interval.low, interval.high) == pytest.approx((53 - half, 53 + half))
    assert interval.variance == pytest.approx(2 + 13 / 3)


def test_seeds_that_agree_leave_the_frame_part_and_frames_that_agree_the_t_interval():
    same = combine_seeds([50.0] * 3, [4.0] * 3)
    assert same.high - 50 == pytest.approx(1.95996 * 2, rel=1e-5)
    spread = combine_seeds([49.0, 50.0, 51.0], [0.0] * 3)
    assert spread.high - 50 == pytest.approx(4.30265 / math.sqrt(3), rel=1e-5)
    exact = combine_seeds([50.0, 50.0], [0.0, 0.0])
    assert (exact.low, exact.high) == (50.0, 50.0)


def test_one_seed_has_the_frame_interval_and_a_flag():
    interval = combine_seeds([50.0], [4.0])
    assert interval.high == pytest.approx(50 + 1.95996 * 2, rel=1e-5)
    assert interval.note == "one seed: the spread between seeds is not in it"
    with pytest.raises(SizeError, match="2 values and 1 variances"):
        combine_seeds([1.0, 2.0], [1.0])


def test_identical_models_differ_by_exactly_0():
    rows = [frames(seed=s) for s in range(3)]
    result = paired_difference(rows, rows, ratio, seed=0)
    assert (result.value, result.low, result.high, result.verdict) == (0.0, 0.0, 0.0, "tie")


def test_pairing_sees_a_difference_that_unpaired_intervals_hide():
    rng = np.random.default_rng(1)
    hard = rng.uniform(0.2, 0.9, 300)
    a = [np.column_stack([20 * hard + 0.4 + rng.normal(0, 0.5, 300), np.full(300, 20.0)]) for _ in range(3)]
    b = [np.column_stack([20 * hard + rng.normal(0, 0.5, 300), np.full(300, 20.0)]) for _ in range(3)]
    result = paired_difference(a, b, ratio, seed=0)
    assert result.verdict == "a"
    assert result.value == pytest.approx(0.02, abs=4 * math.sqrt(2 / 900) * 0.5 / 20)
    assert frame_bootstrap(ratio, a[0], seed=0).low < frame_bootstrap(ratio, b[0], seed=0).high
    assert paired_difference(b, a, ratio, seed=0).verdict == "b"
    assert paired_difference(a, b, ratio, seed=0, higher_is_better=False).verdict == "b"


def test_a_win_needs_the_same_sign_in_every_seed():
    base = frames(n=400, seed=5)
    better, worse = base + np.array([1.0, 0.0]), base - np.array([0.01, 0.0])
    one_sided = [better] * 19 + [worse]
    result = paired_difference(one_sided, [base], ratio, seed=0)
    assert result.low > 0
    assert (result.verdict, result.note) == ("tie", "the sign differs between seeds")
    assert paired_difference(one_sided[:-1], [base], ratio, seed=0).verdict == "a"


def test_one_seed_is_no_verdict_unless_nothing_was_trained():
    base = frames(n=400)
    better = base + np.array([1.0, 0.0])
    result = paired_difference([better], [base], ratio, seed=0)
    assert result.low > 0
    assert (result.verdict, result.note[:8]) == ("tie", "one seed")
    assert paired_difference([better], [base], ratio, seed=0, trained=False).verdict == "a"


def test_rows_that_cannot_be_paired_are_refused():
    with pytest.raises(SizeError, match=r"3 and 2 seeds .* cannot be paired"):
        paired_difference([frames()] * 3, [frames()] * 2, ratio, seed=0)
    with pytest.raises(SizeError, match=r"sums of shape \[\(100, 2\), \(200, 2\)\]"):
        paired_difference([frames()], [frames(n=100)], ratio, seed=0)
    with pytest.raises(SizeError, match="0 and 1 seeds"):
        paired_difference([], [frames()], ratio, seed=0)


def test_the_interquartile_mean_cuts_a_quarter_at_each_end():
    assert iqm([100, 1, 2, -50]) == 1.5
    assert iqm(range(8)) == 3.5
    assert iqm([0, 0, 3, 6, 60]) == 3.0
    with pytest.raises(SizeError, match="give at least 4"):
        iqm([1, 2, 3])
    with pytest.raises(SizeError, match="4 finite values of 5"):
        iqm([1, 2, 3, 4, math.nan])


@pytest.mark.parametrize(("k", "q"), [(2, 1.960), (3, 2.343), (6, 2.850), (10, 3.164)])
def test_the_critical_difference_has_the_published_quantiles(k, q):
    assert critical_difference(k, 12) == pytest.approx(q * math.sqrt(k * (k + 1) / 72), abs=1.5e-3)


def test_ranks_of_ties_and_of_equal_rows():
    # Ten conditions like this one: 5 is first, the two 3 share places 2 and 3, so 2.5 each.
    found = compare_ranks([[3.0, 5.0, 3.0]] * 10)
    assert found.mean.tolist() == [2.5, 1.0, 2.5]
    assert found.alike == ((0, 2),)  # 1.5 apart from the first, which is more than 1.05
    assert found.critical == pytest.approx(2.3437 * math.sqrt(12 / 60), abs=1e-3)
    same = compare_ranks([[1.0, 1.0, 1.0]] * 10)
    assert (same.p_value, same.alike) == (1.0, ((0, 1, 2),))


def test_groups_overlap_and_none_lies_in_another():
    # Four rows in the same order on 12 conditions: neighbours are 1 apart, 1.354 counts.
    found = compare_ranks([[4.0, 3.0, 2.0, 1.0]] * 12)
    assert found.critical == pytest.approx(2.569 * math.sqrt(20 / 72), abs=2e-3)
    assert found.alike == ((0, 1), (1, 2), (2, 3))
    assert found.p_value < 1e-6  # chi2 = 36 with 3 degrees of freedom


def test_without_a_difference_in_friedmans_test_all_are_alike():
    # Each is first, second and third equally often: all mean ranks are 2.
    found = compare_ranks([[1.0, 2.0, 3.0], [2.0, 3.0, 1.0], [3.0, 1.0, 2.0]] * 4)
    assert found.mean.tolist() == [2.0, 2.0, 2.0]
    assert found.p_value == pytest.approx(1.0)
    assert found.alike == ((0, 1, 2),)


def test_a_group_within_another_is_not_told_and_friedman_comes_first():
    # a, b and c take turns at the first three places, d is always last: ranks 2, 2, 2, 4.
    turns = [[3.0, 2.0, 1.0, 0.0], [2.0, 1.0, 3.0, 0.0], [1.0, 3.0, 2.0, 0.0]] * 4
    assert compare_ranks(turns).alike == ((0, 1, 2),)
    # Ten rows: one at 3.3, one at 7.7, the others around 5.5. 4.4 is more than 4.28, yet Friedman's test finds nothing.
    scores = []
    for k in range(10):
        ends = (3, 8) if k < 7 else (4, 7)
        others = np.roll([rank for rank in range(1, 11) if rank not in ends], k)
        scores.append([-float(rank) for rank in (*ends, *others)])
    found = compare_ranks(scores)
    assert found.mean[:2].tolist() == pytest.approx([3.3, 7.7])
    assert found.mean[1] - found.mean[0] > found.critical
    assert found.p_value > 0.05
    assert [len(group) for group in found.alike] == [10]


@pytest.mark.parametrize("scores", [[[1.0, 2.0]] * 10, [[1.0, 2.0, math.nan]] * 10, [[1.0, 2.0, 3.0]] * 9, [1.0]])
def test_what_cannot_be_ranked_is_refused(scores):
    with pytest.raises(SizeError):
        compare_ranks(scores)


def test_a_profile_weights_conditions_not_repeats():
    # Two conditions: 1, 3 and 2, 2, 2, 4; 2 is reached by half of the first and all of the second.
    reached, shares = performance_profile([[1, 3], [2, 2, 2, 4]])
    assert reached.tolist() == [1, 2, 3, 4]
    assert shares.tolist() == pytest.approx([1.0, 0.75, 0.375, 0.125])


def test_the_critical_difference_of_6_rows_on_12_conditions():
    assert critical_difference(6, 12) == pytest.approx(2.177, abs=1e-3)
    with pytest.raises(SizeError, match="6 rows on 9 conditions"):
        critical_difference(6, 9)


def test_the_front_keeps_what_nobody_dominates():
    points = [[1, 9], [2, 5], [2, 6], [3, 5], [9, 1], [9, 1], [0, math.nan]]
    assert pareto_front(points).tolist() == [True, True, False, False, True, True, False]
    assert pareto_front(np.zeros((0, 2))).tolist() == []
    with pytest.raises(SizeError, match=r"points of shape \(2,\)"):
        pareto_front([1, 2])


@pytest.mark.parametrize("n", [2, 3, 5])
def test_over_seeds_alone_the_p_value_is_that_of_a_paired_t_test(n):
    a, b = np.random.default_rng(n).normal([[1.0], [0.0]], 1.0, (2, n))
    assert judge(a - b).p_value == pytest.approx(stats.ttest_rel(a, b).pvalue, rel=1e-6)


def test_over_frames_alone_the_p_value_is_that_of_a_normal_test():
    drawn = np.random.default_rng(0).normal(1.0, 0.5, 2000)
    found = judge([1.0, 1.0, 1.0], drawn)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(1.0 / drawn.std(ddof=1)), rel=1e-6)


def test_few_blocks_know_their_variance_less_well():
    drawn = np.random.default_rng(0).normal(1.0, 0.5, 2000)
    found = judge([1.0, 1.0, 1.0], drawn, blocks=15)
    # the bootstrap of 15 blocks gives 14/15 of the variance, with 14 degrees of freedom
    assert found.p_value == pytest.approx(2 * stats.t.sf(1.0 / (drawn.std(ddof=1) * math.sqrt(15 / 14)), 14), rel=1e-6)
    assert 1.0 - found.low == pytest.approx(stats.t.isf(0.025, 14) * drawn.std(ddof=1) * math.sqrt(15 / 14))


@pytest.mark.parametrize("value", [0.5, 1.0, 2.0, 4.0])
def test_the_p_value_is_below_5_percent_exactly_where_the_interval_excludes_0(value):
    drawn = np.random.default_rng(1).normal(value, 0.3, 2000)
    per_seed = np.array([0.6, 1.0, 1.4]) * value
    found = judge(per_seed, drawn)
    assert (found.p_value < 0.05) == (found.low > 0)
    # at its own level the interval just reaches 0
    frames, seeds = drawn.var(ddof=1), per_seed.var(ddof=1) / 3
    reach = stats.norm.isf(found.p_value / 2) ** 2 * frames + stats.t.isf(found.p_value / 2, 2) ** 2 * seeds
    assert math.sqrt(reach) == pytest.approx(value, rel=1e-6)


def test_p_values_at_the_ends():
    assert judge([0.0, 0.0]).p_value == 1.0
    assert judge([1.0, 1.0]).p_value == 0.0
    assert math.isnan(judge([1.0]).p_value)
    # one seed: 1 of 40 resamples lies at or below 0, and so twice that share
    assert judge([1.0], [-1.0, *[1.0] * 39]).p_value == pytest.approx(0.05)
    rows = [frames(seed=s) for s in range(3)]
    assert paired_difference(rows, rows, ratio, seed=0).p_value == 1.0


def test_variances_by_hand(monkeypatch):
    # 1, 2 and 6: mean 3, squares about it 4 + 1 + 9, so a variance of 14 / 2 = 7
    seeds = judge([1.0, 2.0, 6.0])
    assert (seeds.value, seeds.high - 3) == pytest.approx((3, 4.302653 * math.sqrt(7 / 3)), rel=1e-6)
    frames = judge([3.0, 3.0, 3.0], [1.0, 2.0, 6.0])
    assert frames.high - 3 == pytest.approx(1.959964 * math.sqrt(7), rel=1e-6)
    blocks = judge([3.0, 3.0, 3.0], [1.0, 2.0, 6.0], blocks=3)  # known from 2 degrees of freedom, 2 / 3 of the true one
    assert blocks.high - 3 == pytest.approx(4.302653 * math.sqrt(7 * 3 / 2), rel=1e-6)
    both = judge([1.0, 2.0, 6.0], [1.0, 2.0, 6.0])
    assert both.high - 3 == pytest.approx(math.sqrt(1.959964**2 * 7 + 4.302653**2 * 7 / 3), rel=1e-6)
    assert combine_seeds([1.0, 2.0, 6.0], [0.0] * 3).variance == pytest.approx(7 / 3)
    monkeypatch.setattr("smlmbench.statistics.resample", lambda *_, **__: np.array([[1.0, 2.0, 6.0, math.nan]]))
    assert frame_bootstrap(ratio, np.ones((4, 2)), seed=0).variance == pytest.approx(7)


def test_a_paired_difference_by_hand():
    # one frame, so nothing is resampled: the differences are 2, 4 and 9 of 10
    rows = [[[value, 10.0]] for value in (3.0, 5.0, 10.0)]
    found = paired_difference(rows, [[[1.0, 10.0]]], ratio, seed=0)
    assert found.per_seed == pytest.approx((0.2, 0.4, 0.9))
    # mean 0.5, squares about it 0.09 + 0.01 + 0.16, a variance of 0.13
    assert (found.value, found.high - 0.5) == pytest.approx((0.5, 4.302653 * math.sqrt(0.13 / 3)), rel=1e-6)


def test_holm_by_hand():
    # sorted 0.01, 0.02, 0.04, 0.5 times 4, 3, 2, 1; 0.06 and 0.08 keep their order
    assert holm([0.02, 0.5, 0.01, 0.04]).tolist() == pytest.approx([0.06, 0.5, 0.04, 0.08])
    # a later one is never below an earlier one, none is above 1, an absent one is no test
    assert holm([0.03, 0.02]).tolist() == pytest.approx([0.04, 0.04])
    assert holm([0.9, math.nan, 0.8]).tolist()[::2] == [1.0, 1.0]
    assert math.isnan(holm([0.9, math.nan, 0.8])[1])
    assert holm([]).tolist() == []


def test_resamples_take_the_same_frames_of_every_table():
    tables = [frames(seed=1), frames(seed=2)]
    both = resample(tables, ratio, resamples=50, seed=3)
    assert both.shape == (2, 50)
    assert both[1].tolist() == resample([tables[1]], ratio, resamples=50, seed=3)[0].tolist()
