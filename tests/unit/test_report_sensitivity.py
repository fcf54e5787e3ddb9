import math

import pytest
from report_record import Builder

from smlmbench.report.boards import make_boards
from smlmbench.report.boards.rows import join
from smlmbench.report.sensitivity import lambda_answers, sensitivity_chart


@pytest.fixture
def builder(tmp_path):
    return Builder(tmp_path)


def board_of(builder):
    (board,) = make_boards(builder.plan, join(builder.record))
    return board


def test_every_lambda_of_a_network_is_one_point_of_its_line(builder):
    builder.trained("net", [0.9, 0.7], val=60.0, lam="10")
    builder.trained("net", [0.7, 0.7], val=65.0, lam="20")
    answers = lambda_answers(board_of(builder))
    assert sorted((a.panel, a.line, a.x, a.y, a.picked) for a in answers) == [
        ("net", "l1l2", 10.0, 60.0, False), ("net", "l1l2", 20.0, 65.0, True),
    ]  # fmt: skip


def test_a_collapsed_training_is_a_cross_with_its_reason(builder):
    builder.trained("net", [0.9], val=60.0, lam="10")
    builder.run(builder.cell("net", 0, lam="1"), "collapsed", reason="CollapsedError: nothing")
    lost = next(a for a in lambda_answers(board_of(builder)) if a.x == 1.0)
    assert math.isnan(lost.y)
    assert lost.note == "collapsed"


def test_the_figure_is_drawn_only_where_two_lambdas_were_tried(builder):
    builder.trained("net", [0.9, 0.9], val=60.0, lam="10")
    assert sensitivity_chart(board_of(builder)) is None
    builder.trained("net", [0.9, 0.9], val=50.0, lam="40")
    caption, alt, image = sensitivity_chart(board_of(builder))
    assert "λ" in caption
    assert "net l1l2 λ 40 50" in alt
    assert image.lstrip().startswith(b"<?xml")


def test_a_loss_without_lambda_has_no_point(builder):
    builder.trained("net", [0.9], val=60.0, lam="10")
    builder.trained("net", [0.9], val=50.0, lam="none")
    assert lambda_answers(board_of(builder)) == []
