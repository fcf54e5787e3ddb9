import math

import pytest
from report_record import Builder

from smlmbench.report.boards import make_boards
from smlmbench.report.boards.rows import join
from smlmbench.report.drawings import drawings, lambda_rows


@pytest.fixture
def builder(tmp_path):
    return Builder(tmp_path)


def board_of(builder):
    (board,) = make_boards(builder.plan, join(builder.record))
    return board


def test_every_lambda_of_a_network_is_one_point_of_its_line(builder):
    builder.trained("net", [0.9, 0.7], val=60.0, lam="10")
    builder.trained("net", [0.7, 0.7], val=65.0, lam="20")
    rows = lambda_rows(board_of(builder))
    assert sorted(rows[["panel", "label", "x", "y", "picked"]].itertuples(index=False, name=None)) == [
        ("net", "l1l2", 10.0, 60.0, False), ("net", "l1l2", 20.0, 65.0, True),
    ]  # fmt: skip


def test_a_collapsed_training_is_a_cross_with_its_reason(builder):
    builder.trained("net", [0.9], val=60.0, lam="10")
    builder.run(builder.cell("net", 0, lam="1"), "collapsed", reason="CollapsedError: nothing")
    (lost,) = (row for row in lambda_rows(board_of(builder)).to_dict("records") if row["x"] == 1.0)
    assert math.isnan(lost["y"])
    assert lost["note"] == "collapsed"


def test_the_figure_is_drawn_only_where_two_lambdas_were_tried(builder):
    builder.trained("net", [0.9, 0.9], val=60.0, lam="10")
    assert not [one for one in drawings(board_of(builder), None) if "λ" in one.caption]
    builder.trained("net", [0.9, 0.9], val=50.0, lam="40")
    builder.run(builder.cell("net", 0, lam="1"), "collapsed", reason="CollapsedError: nothing")
    (drawing,) = (one for one in drawings(board_of(builder), None) if "λ" in one.caption)
    assert "net l1l2 λ 40 50" in drawing.alt
    assert "net l1l2 λ 1 collapsed" in drawing.alt
    assert drawing.uri.startswith("data:image/svg+xml;base64,")
    assert not drawing.wide


def test_a_loss_without_lambda_has_no_point(builder):
    builder.trained("net", [0.9], val=60.0, lam="10")
    builder.trained("net", [0.9], val=50.0, lam="none")
    assert lambda_rows(board_of(builder)).empty
