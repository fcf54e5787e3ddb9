"""Boards of image pairs: ranked by their own metric, smaller is better, differences paired over (repeat, pair)."""

import math

import numpy as np
import pytest
from report_record import COLUMNS, LOW, Builder

from smlmbench.report.boards import make_boards
from smlmbench.report.boards.intervals import gap, samples, stacked
from smlmbench.report.boards.rows import join
from smlmbench.report.page import build_report
from smlmbench.report.words import answer

RANKED = {"name": "nmse_star", "direction": "down", "headline": ["nmse_star", "psnr"], "positions": False}
PAIRS = {"kind": "images", "truth_kind": "unstated"}


@pytest.fixture
def builder(tmp_path):
    columns = COLUMNS | {"psnr": {"unit": "dB", "direction": "up", "help": "Of images"}}
    made = Builder(tmp_path, ranked_by={"pairs": RANKED}, columns=columns)
    made.plan["conditions"] = {"sim": LOW, "pairs": {"a": PAIRS, "b": PAIRS}}
    return made


def add(builder, model, repeats, *, val=0.5):
    """One row per repeat; each is {condition: numbers of its pairs}."""
    for repeat, numbers in enumerate(repeats):
        cell = builder.cell(model, repeat, data="pairs")
        scores = {name: {"nmse_star": float(np.nanmean(values)), "psnr": 20.0} for name, values in numbers.items()}
        run = builder.done(cell, scores, reasons={"efficiency": "image pairs have no positions"})
        run.metrics["val/nmse_star"] = val
        (run.folder / "per_frame").mkdir()
        for name, values in numbers.items():
            lines = "".join(f"{k},{value:.10g},20\n" for k, value in enumerate(values))
            (run.folder / "per_frame" / f"{name}.csv").write_text("frame,nmse_star,psnr\n" + lines)


def board_of(builder):
    boards = {board.data: board for board in make_boards(builder.plan, join(builder.record))}
    return boards["pairs"]


def noisy(seed, shift=0.0, count=12):
    generator = np.random.default_rng(seed)
    return {name: (generator.uniform(0.2, 0.8, count) + shift).tolist() for name in ("a", "b")}


def test_smaller_is_better_and_pairs_are_compared_with_themselves(builder):
    add(builder, "worse", [noisy(repeat, 0.05) for repeat in range(3)])
    add(builder, "better", [noisy(repeat) for repeat in range(3)])
    board = board_of(builder)
    assert (board.asked.name, board.primary, board.direction) == ("image_pairs", "nmse_star", "down")
    assert board.columns == ["psnr"]
    assert [entry.name for entry in board.entries] == ["better", "worse"]
    better, worse = board.entries
    found = gap(better, worse, board, "nmse_star", board.conditions)
    # the pairs differ by 0.3 around their mean, but each by exactly 0.05 from itself
    assert (found.verdict, found.value) == ("win", pytest.approx(-0.05))
    assert found.high == pytest.approx(-0.05, abs=1e-6)
    assert (better.rank, worse.rank) == ("1", "2")
    said = answer(board)
    assert "Best on pairs: better" in said[0]
    assert "It has NMSE* 0." in said[1]
    assert "(lower is better)" in said[1]


def test_differences_that_are_chance_tie(builder):
    add(builder, "one", [noisy(repeat) for repeat in range(3)])
    add(builder, "two", [noisy(100 + repeat) for repeat in range(3)])
    board = board_of(builder)
    assert {entry.rank for entry in board.entries} == {"1="}


def test_the_pick_is_the_one_with_the_smaller_validation_error(builder):
    add(builder, "net", [noisy(0)], val=0.7)
    cells = len(builder.plan["cells"])
    add(builder, "net", [noisy(1)], val=0.3)
    for cell in builder.plan["cells"][cells:]:
        cell["labels"]["lambda"] = "400"
    (entry,) = [entry for entry in board_of(builder).entries if entry.picked]
    assert entry.rows[0].labels["lambda"] == "400"


def test_the_numbers_of_pairs_stand_side_by_side_for_each_condition(builder):
    add(builder, "net", [{"a": [0.2, math.nan], "b": [0.4, 0.6, 0.8]}])
    (row,) = [row for row in join(builder.record) if row.kind == "cell"]
    board = board_of(builder)
    table = stacked(row, board, "nmse_star", ["a", "b"])
    wanted = [[0.2, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0.4, 1], [0, 0, 0.6, 1], [0, 0, 0.8, 1]]
    np.testing.assert_allclose(table, wanted)
    path = row.run.artifact("per_frame/a.csv")
    assert stacked(row, board, "jaccard", ["a", "b"]) is None
    path.write_text("frame,nmse_star\n0,bent\n")
    assert stacked(row, board, "nmse_star", ["a", "b"]) is None
    assert [one.drawn for one in samples(board.entries, board, "nmse_star", ["a", "b"])[0].values()] == [None]


def test_the_page_names_each_metric_with_its_direction(builder, tmp_path):
    builder.trained("net", [0.8, 0.9])
    add(builder, "net", [noisy(repeat) for repeat in range(2)])
    files = build_report(builder.record, tmp_path / "report")
    text = files.md.read_text()
    assert r"ranked by efficiency on sim (higher is better), NMSE\* on pairs (lower is better)" in text
    board = text.split("## pairs")[1].split("## All rows")[0]
    assert "Efficiency" not in board.splitlines()[2]
    assert "every image is held to its own target" in board
    rows = [line for line in text.split("## All rows")[1].splitlines() if line.startswith("| done")]
    assert any("NMSE" in line for line in rows)
    assert any("Efficiency" in line for line in rows)
    html = files.html.read_text()
    assert "<b>NMSE*</b> on pairs (lower is better)" in html


def test_plans_without_a_ranking_of_their_own_are_read_as_before(tmp_path):
    builder = Builder(tmp_path)
    builder.trained("net", [0.8, 0.9])
    (board,) = make_boards(builder.plan, join(builder.record))
    assert (board.primary, board.direction, board.asked.name) == ("efficiency", "up", "localization")
