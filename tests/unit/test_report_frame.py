"""The tidy frame of a fabricated record, and the files that are made of it."""

import json

import pandas as pd
import pytest
from report_record import BOTH, Builder, frames

from smlmbench.report.boards.intervals import NORMAL_95
from smlmbench.report.leaderboard import leaderboard_frame
from smlmbench.report.page import build_report

NEEDED = {
    *("task", "data", "protocol", "label", "model", "loss", "lambda", "method", "teacher", "kind", "status", "picked"),
    *("rank", "verdict", "repeats", "condition", "metric", "value", "low", "high", "reason", "unit", "direction"),
}


@pytest.fixture
def builder(tmp_path):
    """Two repeats of one row at 60 and 50 %, a reference without scores, a failed, a planned and a skipped row."""
    made = Builder(tmp_path, BOTH)
    for repeat, value in enumerate((60.0, 62.0)):
        scores = {"low": {"efficiency": value, "rmse_nm": 20.0}, "high": {"efficiency": value - 20}}
        ends = {"low": [value - 2, value + 2]}
        made.done(made.cell("net", repeat), scores, val=70.0, ms=5.0, intervals=ends, reasons={"jaccard": "none found"})
    made.reference("blank", {"low": {"efficiency": 0.0}, "high": {"efficiency": 0.0}}, gives="both")
    made.run(made.cell("broken"), "failed", reason="DivergedError")
    made.cell("later")
    made.plan["skipped"].append({"labels": {"data": "sim", "model": "decode"}, "reason": "loss does not fit"})
    return made


def one(frame, **wanted):
    for name, value in wanted.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1, frame
    return frame.iloc[0]


def test_every_row_has_its_lines_and_every_line_one_number(builder):
    frame = leaderboard_frame(builder.record)
    assert set(frame.columns) >= NEEDED
    assert not frame.duplicated(["line", "condition", "metric"]).any()
    states = frame.groupby("label", sort=False)["status"].first().to_dict()
    assert states == {"net": "done", "blank": "done", "broken": "failed", "later": "planned", "decode": "skipped"}
    assert one(frame, label="decode")["reason"] == "loss does not fit"
    assert one(frame, label="broken")["reason"] == "DivergedError"
    assert pd.isna(one(frame, label="later")["value"])


def test_a_line_is_the_mean_over_repeats_with_its_interval(builder):
    frame = leaderboard_frame(builder.record)
    found = one(frame, label="net", condition="low", metric="efficiency")
    # frame part: half widths of 2; seed part: sd sqrt 2 over sqrt 2 repeats is 1, t(0.975, 1) = 12.7062
    half = (2.0**2 * (1.959964 / NORMAL_95) ** 2 + 12.7062**2) ** 0.5
    assert (found["value"], found["repeats"], found["picked"]) == (61.0, 2, True)
    assert (found["low"], found["high"]) == (pytest.approx(61 - half, abs=1e-3), pytest.approx(61 + half, abs=1e-3))
    assert (found["direction"], found["unit"], found["task"]) == ("up", "", "localization")
    assert one(frame, label="net", condition="", metric="efficiency")["value"] == 51.0
    absent = one(frame, label="net", condition="high", metric="jaccard")
    assert pd.isna(absent["value"])
    assert absent["reason"] == "none found"
    assert one(frame, label="net", metric="rmse_nm", condition="low")["unit"] == "nm"
    assert frame[(frame["label"] == "net") & (frame["metric"] == "rmse_nm")]["condition"].tolist() == ["low"]
    assert one(frame, label="net", metric="device/latency_ms")["value"] == 5.0
    assert one(frame, label="net", metric="val/efficiency")["value"] == 70.0


def test_single_runs_have_their_own_numbers(builder):
    frame = leaderboard_frame(builder.record, level="runs")
    second = frame[(frame["label"] == "net") & (frame["repeat"] == "1")]
    found = one(second, condition="low", metric="efficiency")
    assert (found["value"], found["low"], found["high"]) == (62.0, 60.0, 64.0)
    assert (found["row_id"], found["run_id"][:8]) == ("c001", "run-c001")
    assert one(second, condition="", metric="efficiency")["value"] == 52.0
    assert one(second, metric="device/latency_ms")["value"] == 5.0
    assert one(second, metric="jaccard", condition="low")["reason"] == "none found"
    assert one(frame, label="later")["run_id"] == ""


def test_the_pivot_of_runs_is_the_csv_and_the_lines_are_the_json(builder, tmp_path):
    files = build_report(builder.record, tmp_path / "out")
    table = pd.read_csv(files.csv).set_index("row_id")
    runs = leaderboard_frame(builder.record, level="runs")
    for condition in ("low", "high"):
        tall = runs[(runs["condition"] == condition) & (runs["metric"] == "efficiency")].set_index("row_id")
        assert table[f"test.{condition}/efficiency"].dropna().to_dict() == tall["value"].to_dict()
    assert table.loc["c000", "test.low/efficiency_low"] == 58.0
    assert table.loc["c000", "test.high/jaccard_reason"] == "none found"
    document = json.loads(files.json.read_text(encoding="utf-8"))
    lines = leaderboard_frame(builder.record)
    again = pd.DataFrame(**document["lines"])
    assert list(again.columns) == list(lines.columns)
    assert again["value"].fillna(-1).tolist() == pytest.approx(lines["value"].fillna(-1).tolist())
    assert document["findings"] == files.answers


def test_a_number_that_became_absent_is_not_shown_from_an_earlier_scoring(builder):
    run = builder.done(builder.cell("again"), {"low": {"efficiency": 1.0}}, reasons={"jaccard": "none found"})
    run.metrics["test.low/jaccard"] = 0.5
    frame = leaderboard_frame(builder.record, level="runs")
    found = one(frame, label="again", condition="low", metric="jaccard")
    assert pd.isna(found["value"])
    assert found["reason"] == "none found"


def test_places_and_differences_stand_on_every_line(tmp_path):
    builder = Builder(tmp_path)
    builder.trained("good", [0.9, 0.9, 0.9])
    builder.trained("fair", [0.8, 0.8, 0.8])
    frame = leaderboard_frame(builder.record)
    good, fair = (one(frame, label=name, condition="low", metric="efficiency") for name in ("good", "fair"))
    assert (good["rank"], good["verdict"], fair["rank"], fair["unadjusted"]) == ("1", "best", "2", "behind the best")
    assert pd.isna(good["behind"])
    assert fair["behind"] == pytest.approx(fair["value"] - good["value"])
    assert fair["p_value"] == fair["p_adjusted"] == 0.0
    assert frames(0.8, 20).shape == (40, 9)
