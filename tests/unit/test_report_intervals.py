import math
import os

import numpy as np
import pytest
from report_record import BOTH, Builder, frames
from scipy.stats import ttest_rel

from smlmbench.metrics.pooling import SUMS
from smlmbench.metrics.ratios import efficiency
from smlmbench.registry import Catalog
from smlmbench.report.boards import make_boards
from smlmbench.report.boards.intervals import estimate, gap, gaps, read_units, samples, stacked
from smlmbench.report.boards.rows import join
from smlmbench.report.tables.board import board_table
from smlmbench.tasks import load


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


@pytest.mark.parametrize("length", [0, 0.5, -3])
def test_blocks_have_a_frame_at_least_whatever_a_source_says(tmp_path, length):
    builder = Builder(tmp_path, {"low": {"block": length}})
    builder.trained("good", [0.9, 0.9])
    builder.trained("fair", [0.8, 0.8])
    board, by_name = entries(builder)
    assert gap(by_name["good"], by_name["fair"], board, "efficiency", ["low"]).verdict == "win"


def test_blocks_that_persist_are_counted_as_blocks(tmp_path):
    """45 frames in blocks of 10 are 5 blocks: t of 4 degrees, on 5 / 4 of the bootstrap's variance."""
    builder = Builder(tmp_path, {"low": {"block": 10}})
    for name, level in (("one", 0.9), ("two", 0.8)):
        for repeat in range(2):
            sums = frames(level, 20.0, n_frames=45)
            sums[:20, SUMS.index("fp")] = 5 if name == "one" else 0
            builder.done(builder.cell(name, repeat), {"low": sums}, val=level)
    board, by_name = entries(builder)
    ours, theirs = samples([by_name["one"], by_name["two"]], board, "efficiency", ["low"])
    assert {one.blocks for one in (*ours.values(), *theirs.values())} == {5}
    found = gap(by_name["one"], by_name["two"], board, "efficiency", ["low"])
    variance = np.var(ours[0].drawn - theirs[0].drawn, ddof=1) * 5 / 4  # the repeats are alike, so there is no other
    assert variance > 0
    assert found.high - found.value == pytest.approx(2.776445 * math.sqrt(variance), rel=1e-6)


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
    row, board = join(builder.record)[0], make_boards(builder.plan, join(builder.record))[0]
    table = stacked(row, board, "efficiency", ["low", "high"])
    assert table.shape == (80, 2 * len(SUMS))
    pooled = table.sum(axis=0)
    for place, condition in enumerate(("low", "high")):
        part = pooled[place * len(SUMS) : (place + 1) * len(SUMS)]
        assert efficiency(part) == pytest.approx(float(efficiency(sums[condition].sum(axis=0))))
    assert stacked(row, board, "efficiency", ["low", "absent"]) is None


def test_sums_are_read_by_name_in_any_order(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("fn,frame,lateral_sq,tp,fp\n3,0,8.5,2,1\n0,1,nan,4,0\n", encoding="utf-8")
    sums = load("localization", Catalog()).sums("efficiency", read_units(path))
    assert sums.shape == (2, len(SUMS))
    assert [sums[0, SUMS.index(name)] for name in ("tp", "fp", "fn", "lateral_sq", "dx")] == [2, 1, 3, 8.5, 0]


def test_a_table_of_sums_is_read_again_only_where_it_changed(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("tp\n1\n", encoding="utf-8")
    first = read_units(path)
    assert read_units(path) is first
    path.write_text("tp\n2\n", encoding="utf-8")
    os.utime(path, ns=(1, 1))
    assert read_units(path)["tp"].tolist() == [2]
    assert read_units(tmp_path / "absent.csv") is None
    assert read_units(None) is None


@pytest.mark.parametrize(
    "text", ["", "tp,fp,fn\n", "a,b\n1,2\n", "tp,fp,fn\n1,2\n", "tp,fp,fn\n1,2,3\n1,2,3,4\n", "tp,fp,fn\nx,y,z\n"]
)
def test_a_table_of_sums_that_cannot_be_read_leaves_the_repeats_alone(tmp_path, text):
    builder = Builder(tmp_path)
    builder.trained("one", [0.9, 0.9])
    builder.trained("two", [0.8, 0.8])
    for run in builder.runs:
        (run.folder / "per_frame" / "low.csv").write_text(text, encoding="utf-8")
    board, by_name = entries(builder)
    found = samples(list(by_name.values()), board, "efficiency", ["low"])
    assert all(one.drawn is None for line in found for one in line.values())
    assert gap(by_name["one"], by_name["two"], board, "efficiency", ["low"]).value == pytest.approx(
        math.hypot(20, 20) - math.hypot(10, 20)
    )


def test_the_pairs_of_a_board_are_adjusted_for_their_number(tmp_path):
    builder = Builder(tmp_path)
    values = {"one": (81.0, 80.0, 82.0), "two": (79.0, 77.9, 79.9), "three": (70.0, 72.0, 71.5)}
    for name, repeats in values.items():
        for repeat, value in enumerate(repeats):
            builder.done(builder.cell(name, repeat), {"low": {"efficiency": value}}, val=value)
    board, by_name = entries(builder)
    ranked = [by_name[name] for name in ("one", "two", "three")]
    found = gaps(ranked, board, "efficiency", ["low"])
    p = {
        pair: float(ttest_rel(values[a], values[b]).pvalue)
        for pair, (a, b) in {(0, 1): ("one", "two"), (0, 2): ("one", "three"), (1, 2): ("two", "three")}.items()
    }
    assert {pair: one.p_value for pair, one in found.items()} == pytest.approx(p)
    # the smallest of three is multiplied by 3, the next by 2, and none falls below the one before it
    first, second, third = sorted(p, key=p.get)
    assert found[first].p_adjusted == pytest.approx(3 * p[first])
    assert found[second].p_adjusted == pytest.approx(max(3 * p[first], 2 * p[second]))
    assert found[third].p_adjusted == pytest.approx(max(found[second].p_adjusted, p[third]))
    for pair, one in found.items():
        assert (one.unadjusted == "win") == (p[pair] < 0.05)
        assert (one.verdict == "win") == (one.p_adjusted < 0.05)


def test_a_pair_that_wins_alone_is_a_tie_among_many_and_both_are_said(tmp_path):
    builder = Builder(tmp_path)
    values = {"one": (81.0, 80.0, 82.0), "two": (80.0, 78.5, 80.4), "three": (79.8, 80.3, 79.1)}
    for name, repeats in values.items():
        for repeat, value in enumerate(repeats):
            builder.done(builder.cell(name, repeat), {"low": {"efficiency": value}}, val=value)
    board, by_name = entries(builder)
    two = by_name["two"]
    assert 0.05 / 3 < two.gap.p_value < 0.05 < two.gap.p_adjusted
    assert (two.gap.verdict, two.gap.unadjusted, two.rank) == ("tie", "win", "1=")
    assert (two.verdict, two.unadjusted) == ("tie at the top", "behind the best")
    cells = next(cells for _, cells in board_table(board).rows if cells[1].text == "two")
    assert cells[3].small.endswith("tie (this pair alone: behind)")
    assert "behind the best if pairs are not counted" in cells[1].small


def test_a_row_without_sums_is_compared_over_repeats_and_the_others_over_frames(tmp_path):
    builder = Builder(tmp_path)
    builder.trained("one", [0.9, 0.9])
    builder.trained("two", [0.8, 0.8])
    builder.trained("other", [0.7, 0.7], val=70.0)
    for run in builder.runs[:2]:
        (run.folder / "per_frame" / "low.csv").unlink()
    board, by_name = entries(builder)
    one, two, other = samples([by_name[name] for name in ("one", "two", "other")], board, "efficiency", ["low"])
    assert [found[0].drawn is None for found in (one, two, other)] == [False, False, True]


def test_rows_scored_on_other_frames_are_compared_over_repeats_alone(tmp_path):
    builder = Builder(tmp_path)
    scores = {}
    for name, level, n_frames in (("one", 0.9, 40), ("two", 0.8, 30)):
        for repeat in range(2):
            sums = frames(level, 20.0 + repeat, n_frames=n_frames)
            sums[::2, SUMS.index("fp")] = 5  # frames differ, so that a part of theirs would show
            run = builder.done(builder.cell(name, repeat), {"low": sums}, val=level)
            scores[name, repeat] = run.metrics["test.low/efficiency"]
    board, by_name = entries(builder)
    found = gap(by_name["one"], by_name["two"], board, "efficiency", ["low"])
    first, second = (scores["one", repeat] - scores["two", repeat] for repeat in range(2))
    assert found.value == pytest.approx((first + second) / 2)
    # t(0.975, 1) times half of what the two repeats differ by
    assert found.high - found.value == pytest.approx(12.7062 * abs(first - second) / 2, rel=1e-4)
