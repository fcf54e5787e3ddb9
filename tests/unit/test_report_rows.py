import pytest
from report_record import Builder, frames

from smlmbench.report.boards.frame import csv_text
from smlmbench.report.boards.rows import join, outside_plan
from smlmbench.report.row import finite, read_json


@pytest.fixture
def builder(tmp_path):
    return Builder(tmp_path)


def only(rows):
    assert len(rows) == 1
    return rows[0]


def test_every_planned_row_is_there_with_its_status(builder):
    for status in ("done", "running", "interrupted", "failed", "collapsed"):
        builder.run(builder.cell("net"), status, reason=f"because {status}")
    builder.cell("never_begun")
    builder.reference("blank")
    builder.plan["skipped"].append({"labels": {"data": "sim", "model": "decode"}, "reason": "loss does not fit"})
    rows = join(builder.record)
    assert [row.status for row in rows] == [
        "done", "running", "interrupted", "failed", "collapsed", "planned", "planned", "skipped",
    ]  # fmt: skip
    assert [row.kind for row in rows[-3:]] == ["cell", "reference", "skipped"]
    assert rows[3].reason == "because failed"
    assert rows[-1].reason == "loss does not fit"
    assert rows[-2].labels["model"] == "blank"


def test_the_best_attempt_stands_for_a_cell_and_of_equals_the_newest(builder):
    number = builder.cell("net")
    builder.run(number, "done")
    newest = builder.run(number, "done")
    builder.run(number, "failed", reason="later, but worse")
    assert only(join(builder.record)).run is newest


@pytest.mark.parametrize("tag", ["smlmbench.superseded_by", "smlmbench.withdrawn"])
def test_a_run_that_another_stands_for_is_ignored(builder, tag):
    run = builder.run(builder.cell("net"), "failed")
    run.tags[tag] = "x"
    assert only(join(builder.record)).status == "planned"


def test_scores_of_another_evaluation_do_not_count(builder):
    run = builder.done(builder.cell("net"), {"low": frames(0.8, 20)}, eval_id="e0")
    row = only(join(builder.record))
    assert (row.status, row.scored, row.run) == ("done", False, run)
    assert "run the study again" in row.reason


def test_rows_of_earlier_plans_are_counted(builder):
    builder.run(builder.cell("net"))
    builder.run("c999")
    builder.run("c999")
    builder.run("r999", role="reference")
    assert outside_plan(builder.record) == 2


def test_numbers_of_a_row(builder):
    run = builder.done(
        builder.cell("net"),
        {"low": {"efficiency": 80.0}},
        val=70.0,
        intervals={"low": [78.0, 82.0]},
        reasons={"rho_med": "needs photons"},
    )
    row = only(join(builder.record))
    assert row.value("low", "efficiency") == 80.0
    assert row.interval("low", "efficiency") == (78.0, 82.0)
    assert row.interval("low", "jaccard") is None
    assert row.interval("nowhere", "efficiency") is None
    assert row.why_absent("low", "rho_med") == "needs photons"
    assert row.validation("efficiency") == 70.0
    assert row.protocol == "smlmbench-1"
    run.params["matcher"] = "hungarian"
    assert row.protocol == "smlmbench-1 (hungarian)"


def test_the_final_validation_score_comes_before_the_last_logged_one(builder):
    run = builder.done(builder.cell("net"), {"low": frames(0.8, 20)}, val=70.0)
    (run.folder / "metrics.json").write_text('{"val": {"values": {"efficiency": 71.5}}, "test": {}}', encoding="utf-8")
    assert only(join(builder.record)).validation("efficiency") == 71.5


@pytest.mark.parametrize("text", ["", "[1]", "{broken"])
def test_a_metrics_file_that_cannot_be_read_is_empty(tmp_path, text):
    path = tmp_path / "metrics.json"
    path.write_text(text, encoding="utf-8")
    assert read_json(path) == {}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, "3", None])
def test_what_is_no_finite_number_is_none(value):
    assert finite(value) is None


def test_a_row_says_how_true_its_wiring_is_to_its_source(builder):
    builder.cell("net")
    builder.plan["cells"][0]["fidelity"] = "seed"
    row = only(join(builder.record))
    assert row.fidelity == "seed"
    head, line = csv_text([row], []).splitlines()
    assert line.split(",")[head.split(",").index("fidelity")] == "seed"
