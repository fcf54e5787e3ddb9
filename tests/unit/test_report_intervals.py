import math

import pytest
from report_record import BOTH, Builder, frames

from smlmbench.metrics.pooling import SUMS
from smlmbench.metrics.ratios import efficiency
from smlmbench.report.boards import make_boards
from smlmbench.report.intervals import estimate, gap, read_sums, stacked
from smlmbench.report.rows import join


@pytest.fixture
def builder(tmp_path):
    return Builder(tmp_path, BOTH)


def scored(builder, *values, condition="low", spread=None):
    for repeat, value in enumerate(values):
        ends = {} if spread is None else {condition: [value - spread, value + spread]}
        builder.done(builder.cell("net", repeat), {condition: {"efficiency": value}}, intervals=ends)
    return join(builder.record)


def test_two_repeats_without_frames_have_the_t_interval_of_their_mean(builder):
    found = estimate(scored(builder, 10.0, 12.0), "efficiency", ["low"])
    # sd of 10 and 12 is sqrt 2, over sqrt 2 repeats 1; t(0.975, 1) = 12.706
    assert found.value == 11.0
    assert found.low == pytest.approx(11 - 12.706, abs=1e-3)
    assert found.high == pytest.approx(11 + 12.706, abs=1e-3)
    assert found.by_repeat == {0: 10.0, 1: 12.0}


def test_the_frames_part_does_not_shrink_with_repeats(builder):
    # equal values: no seed part, so the stored half width remains
    found = estimate(scored(builder, 50.0, 50.0, 50.0, spread=1.96), "efficiency", ["low"])
    assert found.low == pytest.approx(48.04, abs=1e-3)
    assert found.high == pytest.approx(51.96, abs=1e-3)


def test_one_repeat_shows_the_stored_interval_or_none(builder):
    rows = scored(builder, 50.0, spread=2.0)
    assert (estimate(rows, "efficiency", ["low"]).low, estimate(rows, "efficiency", ["low"]).high) == (48.0, 52.0)
    found = estimate(rows, "jaccard", ["low"])
    assert (found.low, found.high) == (None, None)
    assert estimate(rows, "jaccard", ["low"]).value is None


def test_one_repeat_without_stored_interval_has_none(builder):
    found = estimate(scored(builder, 50.0), "efficiency", ["low"])
    assert (found.value, found.low, found.high) == (50.0, None, None)


def test_the_mean_over_conditions_needs_all_of_them(builder):
    number = builder.cell("net")
    builder.done(
        number,
        {"low": {"efficiency": 80.0}, "high": {"efficiency": 40.0}},
        intervals={"low": [77, 83], "high": [36, 44]},
    )
    rows = join(builder.record)
    found = estimate(rows, "efficiency", ["low", "high"])
    # half widths 3 and 4: of their mean sqrt(9 + 16) / 2
    assert found.value == 60.0
    assert found.high == pytest.approx(62.5)
    assert estimate(scored(builder, 80.0), "efficiency", ["low", "high"]).value == 60.0
    assert estimate(rows, "jaccard", ["low", "high"]).value is None


def entries(builder):
    board = make_boards(builder.plan, join(builder.record))[0]
    by_name = {entry.name: entry for entry in board.entries}
    return board, by_name


def test_a_paired_difference_over_frames(tmp_path):
    builder = Builder(tmp_path)
    builder.trained("good", [0.9, 0.9, 0.9])
    builder.trained("fair", [0.8, 0.8, 0.8])
    board, by_name = entries(builder)
    found = gap(by_name["good"], by_name["fair"], board, "efficiency", ["low"])
    # JAC 90 and 80 with a radial error of 20 nm: 100 - hypot(10, 20) and 100 - hypot(20, 20)
    assert found.value == pytest.approx(math.hypot(20, 20) - math.hypot(10, 20))
    assert found.verdict == "win"
    back = gap(by_name["fair"], by_name["good"], board, "efficiency", ["low"])
    assert (back.value, back.verdict) == (pytest.approx(-found.value), "tie")


def test_a_sign_that_differs_between_repeats_is_a_tie(tmp_path):
    builder = Builder(tmp_path)
    builder.trained("one", [0.9, 0.9, 0.8])
    builder.trained("two", [0.8, 0.8, 0.85])
    board, by_name = entries(builder)
    assert gap(by_name["one"], by_name["two"], board, "efficiency", ["low"]).verdict == "tie"


def test_rows_with_the_same_sums_differ_by_exactly_nothing(tmp_path):
    builder = Builder(tmp_path)
    builder.trained("one", [0.9, 0.8])
    builder.trained("two", [0.9, 0.8])
    board, by_name = entries(builder)
    found = gap(by_name["one"], by_name["two"], board, "efficiency", ["low"])
    assert (found.value, found.low, found.high, found.verdict) == (0.0, 0.0, 0.0, "tie")


def test_without_sums_the_repeats_alone_are_compared(tmp_path):
    builder = Builder(tmp_path)
    for name, values in {"one": (80.0, 82.0, 81.0), "two": (70.0, 72.5, 70.5)}.items():
        for repeat, value in enumerate(values):
            builder.done(builder.cell(name, repeat), {"low": {"efficiency": value}}, val=value)
    board, by_name = entries(builder)
    found = gap(by_name["one"], by_name["two"], board, "efficiency", ["low"])
    # differences 10, 9.5, 10.5: mean 10, sd 0.5, t(0.975, 2) = 4.3027
    assert found.value == pytest.approx(10.0)
    assert found.high - found.value == pytest.approx(4.3027 * 0.5 / math.sqrt(3), abs=1e-3)
    assert found.verdict == "win"


def test_sums_that_do_not_give_the_logged_number_are_not_used(tmp_path):
    builder = Builder(tmp_path)
    builder.trained("one", [0.9, 0.9])
    builder.trained("two", [0.8, 0.8])
    for run in builder.runs:
        run.metrics["test.low/efficiency"] += 5.0 if "c000" in run.run_id else 0.0
    board, by_name = entries(builder)
    found = gap(by_name["one"], by_name["two"], board, "efficiency", ["low"])
    plain = math.hypot(20, 20) - math.hypot(10, 20)
    assert found.value == pytest.approx(plain + 2.5)


def test_repeats_that_only_one_side_has_are_left_out(tmp_path):
    builder = Builder(tmp_path)
    builder.trained("one", [0.9, 0.9, 0.1])
    builder.trained("two", [0.8, 0.8])
    board, by_name = entries(builder)
    assert gap(by_name["one"], by_name["two"], board, "efficiency", ["low"]).value > 0


def test_conditions_of_different_length_stand_side_by_side(builder):
    sums = {"low": frames(0.9, 20, n_frames=30), "high": frames(0.5, 40, n_frames=50)}
    builder.done(builder.cell("net"), sums)
    table = stacked(join(builder.record)[0], ["low", "high"])
    assert table.shape == (80, 2 * len(SUMS))
    pooled = table.sum(axis=0)
    for place, condition in enumerate(("low", "high")):
        part = pooled[place * len(SUMS) : (place + 1) * len(SUMS)]
        assert efficiency(part) == pytest.approx(float(efficiency(sums[condition].sum(axis=0))))
    assert stacked(join(builder.record)[0], ["low", "absent"]) is None


def test_sums_are_read_by_name_in_any_order(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("fn,frame,lateral_sq,tp,fp\n3,0,8.5,2,1\n0,1,nan,4,0\n", encoding="utf-8")
    sums = read_sums(path)
    assert sums.shape == (2, len(SUMS))
    assert [sums[0, SUMS.index(name)] for name in ("tp", "fp", "fn", "lateral_sq", "dx")] == [2, 1, 3, 8.5, 0]


@pytest.mark.parametrize("text", ["", "tp,fp,fn\n", "a,b\n1,2\n", "tp,fp,fn\n1,2\n", "tp,fp,fn\nx,y,z\n"])
def test_a_table_of_sums_that_cannot_be_read_is_absent(tmp_path, text):
    path = tmp_path / "a.csv"
    path.write_text(text, encoding="utf-8")
    assert read_sums(path) is None
    assert read_sums(tmp_path / "absent.csv") is None
