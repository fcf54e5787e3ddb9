"""Studies together, in part and against each other: what is paired, what is refused, what a page of them says."""

import csv
import json
import re
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from report_record import BOTH, Builder, fill
from typer.testing import CliRunner

from smlmbench.cli import app
from smlmbench.errors import ConfigError, StoreError
from smlmbench.report.leaderboard import leaderboard_frame
from smlmbench.report.studies.choosing import several, since
from smlmbench.report.studies.comparing import compare
from smlmbench.tracking.records import read_study


def made(folder, levels, **more):
    folder.mkdir()
    builder = Builder(folder, {"low": BOTH["low"]}, command="smlmbench run it.yaml")
    for model, level in levels.items():
        builder.trained(model, [level, level - 0.1, level + 0.05], ms=2.0, **more)
    builder.plan["warnings"].append("mind the gap")
    return builder


@pytest.fixture
def both(store, tmp_path):
    """Two studies in a store: one network in both, one in each alone; the frozen set is the same."""
    monday = fill(store, made(tmp_path / "a", {"unet": 0.5, "old": 0.4}), "monday", "set-1")
    tuesday = fill(store, made(tmp_path / "b", {"unet": 0.8, "new": 0.6}), "tuesday", "set-1")
    return store, monday, tuesday


def asked(store, *words):
    return CliRunner().invoke(app, [*words, "--store", str(store.home)])


def test_numbers_of_the_same_row_and_condition_are_paired(both):
    _, monday, tuesday = both
    found = compare(monday, tuesday)
    values = [
        frame.query("label == 'unet' and condition == 'low' and metric == 'efficiency'").iloc[0]
        for frame in (leaderboard_frame(monday), leaderboard_frame(tuesday))
    ]
    (line,) = found.numbers.query("condition == 'low' and metric == 'efficiency'").to_dict("records")
    assert (line["label"], line["frozen_set"]) == ("unet", "same")
    assert line["difference"] == pytest.approx(values[1]["value"] - values[0]["value"])
    assert line["difference"] > 10
    half = np.hypot(values[1]["value"] - values[1]["low"], values[0]["high"] - values[0]["value"])
    assert line["difference_low"] == pytest.approx(line["difference"] - half)
    assert line["difference_low"] < line["difference"] < line["difference_high"]
    assert set(found.numbers["frozen_set"]) == {"same", "n/a"}
    assert found.alone == {"monday": ["old"], "tuesday": ["new"]}
    assert len(found.shown) == 2


def test_other_frozen_sets_are_named_and_means_over_other_conditions_left_out(both, tmp_path):
    store, monday, _ = both
    other = fill(store, made(tmp_path / "c", {"unet": 0.8}), "other", "set-2")
    assert set(compare(monday, other).shown["frozen_set"]) == {"different"}
    more = made(tmp_path / "d", {})
    more.plan["conditions"] = {"sim": BOTH}
    more.trained("unet", [0.8, 0.7, 0.9], conditions=("low", "high"))
    wide = compare(monday, fill(store, more, "wide", "set-1"))
    assert list(wide.shown["condition"]) == ["low"]
    assert not ((wide.numbers["condition"] == "") & (wide.numbers["metric"] == "efficiency")).any()


def test_what_cannot_be_compared_is_refused_in_one_line(both, tmp_path):
    store, monday, _ = both
    with pytest.raises(ConfigError, match="'monday' and itself are no two studies"):
        compare(monday, monday)
    others = fill(store, made(tmp_path / "e", {"srcnn": 0.5}), "others", "set-1")
    with pytest.raises(ConfigError, match=r"no label in common \(old, unet; srcnn\), so no numbers can be compared"):
        compare(monday, others)
    for words, said in (
        (["--compare", "monday"], "--compare takes two studies, 1 given"),
        (["--compare", "monday", "tusday"], "no study 'tusday'"),
        (["monday", "monday"], "study 'monday' is named twice"),
        (["monday", "tuesday", "--figures", "f"], "--figures belongs to one study alone"),
        (["monday", "--figures", "f", "--width-mm", "90"], "--width-mm 90: figures are 85 or 170 mm wide"),
        (["monday", "--since", "2999-01-01"], "no run of 'monday' since 2999-01-01 00:00: its newest ended 20"),
        (["monday", "--since", "lately"], "does not match the formats"),
    ):
        result = asked(store, "report", *words)
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1), result.output
        assert said in result.stderr


def test_the_command_prints_and_writes_a_comparison(both, tmp_path):
    store, *_ = both
    result = asked(store, "report", "--compare", "monday", "tuesday", "--output", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    assert re.search(r"unet l1l2 λ 50 +sim low +efficiency +[\d.]+ +[\d.]+ +[\d.]+ \[.+\] +same", result.stdout)
    assert "only in tuesday: new" in result.stderr
    with (tmp_path / "out" / "comparison.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    said = json.loads(asked(store, "report", "--compare", "monday", "tuesday", "--json").stdout)
    assert len(said["numbers"]) == len(lines) > 2
    assert {line["study_2"] for line in lines} == {"tuesday"}
    again = asked(store, "report", "--compare", "monday", "tuesday", "--output", str(tmp_path / "out"))
    assert again.exit_code == 2
    assert "comparison.csv' exists already" in again.stderr


def test_only_rows_since_a_date_are_on_the_page(both, tmp_path):
    store, monday, _ = both
    ends = sorted(run.end_s for run in monday.rows())
    between = datetime.fromtimestamp(ends[2]) + timedelta(milliseconds=0.5)
    frame = leaderboard_frame(since(monday, between))
    assert set(frame["label"]) == {"old"}
    assert set(leaderboard_frame(since(monday, datetime.fromtimestamp(0)))["label"]) == {"unet", "old"}
    assert "3 older rows are left out" in since(monday, between).plan["warnings"][-1]
    with pytest.raises(StoreError, match="give an earlier --since"):
        since(monday, datetime(2999, 1, 1))
    before = monday.plan
    result = asked(store, "report", "monday", "--since", "2020-01-01", "--json")
    files = json.loads(result.stdout)["files"]
    assert "monday since 2020-01-01 0000" in files["html"]
    assert read_study(store, "monday").plan == before
    assert not (store.home / "reports" / "monday").exists()


def test_several_studies_stand_on_one_page_unranked_among_each_other(both):
    store, monday, tuesday = both
    frame = leaderboard_frame(several([monday, tuesday]))
    assert set(frame["data"]) == {"monday: sim", "tuesday: sim"}
    alone = leaderboard_frame(monday)
    own = frame[frame["data"] == "monday: sim"].assign(data="sim")
    assert own.drop(columns="line").equals(alone.drop(columns="line"))
    result = asked(store, "report", "monday", "tuesday", "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert list(said["answers"]) == ["tuesday: sim", "monday: sim"]
    with Path(said["files"]["numbers"]).open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert {(line["study"], line["data"]) for line in lines} == {
        ("monday", "monday: sim"),
        ("tuesday", "tuesday: sim"),
    }
    page = Path(said["files"]["html"]).read_text(encoding="utf-8")
    for text in ("monday + tuesday", "monday: mind the gap", "study: tuesday"):
        assert text in page
    assert monday.experiment_id != tuesday.experiment_id
    for run in (*monday.rows("cell"), *tuesday.rows("cell")):
        assert f"experiments/{run.experiment_id}/runs/{run.run_id}" in page
    assert leaderboard_frame(monday).equals(alone)
