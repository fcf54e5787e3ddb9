import pytest
from report_record import Builder

from smlmbench.report.boards import make_boards
from smlmbench.report.boards.rows import join
from smlmbench.report.tables.contrasts import contrast_table, contrasts


@pytest.fixture
def builder(tmp_path):
    return Builder(tmp_path)


def board_of(builder):
    (board,) = make_boards(builder.plan, join(builder.record))
    return board


def with_settings(builder, **settings):
    """Give the cells planned last these network settings."""
    for cell in builder.plan["cells"]:
        cell.setdefault("marked", False)
        if not cell["marked"]:
            cell.update(settings=settings, marked=True)


def test_the_default_is_compared_with_whichever_is_better(builder):
    for context, share in ((3, 0.9), (1, 0.6)):
        builder.trained("fid_storm", [share, share])
        with_settings(builder, blocks=5, context=context)
        builder.plan["cells"][-1]["context_frames"] = builder.plan["cells"][-2]["context_frames"] = context
    (one,) = contrasts(board_of(builder))
    assert (one.setting, one.values) == ("context", ("1", "3"))
    assert one.change.value > 0


def test_lines_that_differ_in_one_setting_are_compared_with_the_default(builder):
    builder.trained("fid_storm", [0.6, 0.6], ms=20.0)
    with_settings(builder, blocks=5, variant="seed")
    builder.trained("fid_storm", [0.9, 0.9], ms=5.0)
    with_settings(builder, blocks=5, variant="published")
    board = board_of(builder)
    (one,) = contrasts(board)
    assert (one.setting, one.values) == ("variant", ("published", "seed"))
    base, other = (entry.get(None, "efficiency").value for entry in (one.base, one.other))
    assert one.change.value == pytest.approx(other - base)
    assert one.change.value < 0
    ((_, cells),) = contrast_table(board).rows
    assert cells[-1].text == "4.00"
    assert cells[-2].text == "5 → 20"


def test_lines_that_differ_in_two_settings_are_no_contrast(builder):
    builder.trained("fid_storm", [0.6], ms=20.0)
    with_settings(builder, blocks=5, variant="seed")
    builder.trained("fid_storm", [0.9], ms=5.0)
    with_settings(builder, blocks=10, variant="published")
    assert contrasts(board_of(builder)) == []
    assert contrast_table(board_of(builder)) is None


def test_lambda_is_left_to_its_figure(builder):
    builder.trained("fid_storm", [0.6], lam="10")
    builder.trained("fid_storm", [0.9], lam="20")
    assert contrasts(board_of(builder)) == []
