"""A study from its file to its leaderboard, in a store of its own; the same command again does only what is left."""

import json
import re

import numpy as np
import pytest
import torch
from tiny_study import run
from typer.testing import CliRunner

from smlmbench.cli import app
from smlmbench.errors import ConfigError
from smlmbench.formats import read_table
from smlmbench.registry import Catalog
from smlmbench.run.cells import references
from smlmbench.run.cells import run as cells
from smlmbench.run.cells import training as training_cell
from smlmbench.run.materials import Materials
from smlmbench.run.studies import picks, study
from smlmbench.run.timing import fitters as fitter_timings
from smlmbench.run.timing import timings
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan
from smlmbench.tasks.localization.tuning import RULES
from smlmbench.tracking.records import cell_runs, metric_history, read_study

pytestmark = pytest.mark.usefixtures("short_timing")

PARAMS = {
    *("task", "data", "model", "loss", "lambda", "repeat", "method", "teacher", "steps", "batch_size", "lr"),
    *("number_format", "upsampling", "n_params", "protocol", "matcher", "threshold", "samples_seen", "train_s"),
    *("device", "threads"),
}
RULE = RULES["smlmbench-2"].name
ALL = {"done": 3, "failed": 1, "collapsed": 1, "skipped": 1}


@pytest.fixture
def nothing_trains(monkeypatch):
    def fit(*_, **__):
        raise AssertionError("trained")

    monkeypatch.setattr(training_cell, "fit", fit)


@pytest.fixture
def nothing_scores(monkeypatch):
    def score(*_, **__):
        raise AssertionError("scored")

    monkeypatch.setattr(cells, "choose_on_validation", score)
    monkeypatch.setattr(references, "evaluate_reference", score)
    monkeypatch.setattr(timings, "time_calls", score)
    monkeypatch.setattr(fitter_timings, "time_calls", score)


def test_every_row_of_the_plan_is_there(done):
    assert done.finished.statuses == ALL
    assert (done.finished.unfinished, done.finished.failed_references) == (0, [])
    plan = done.record.plan
    assert [len(plan[part]) for part in ("cells", "references", "skipped")] == [5, 3, 1]
    assert {row.cell_id for row in done.record.rows("cell")} == {cell["cell_id"] for cell in plan["cells"]}
    statuses = {row.params["model"]: row.status for row in done.record.rows("reference")}
    assert statuses == {"truth": "done", "blank": "done", "peaks_gaussian": "done"}
    assert plan["skipped"][0]["reason"] == "my_net gives raster, odd accepts dotlist"
    assert done.record.study_text == done.path.read_text()


def test_names_of_params_metrics_and_artifacts(done):
    for row in done.record.rows("cell"):
        if row.status != "done":
            continue
        assert set(row.params) >= PARAMS
        assert (row.params["samples_seen"], row.params["steps"], row.params["lambda"]) == ("80", "10", "400")
        metrics = {"train/loss", "train/lr", "val/efficiency", "val/mass", "test/efficiency", "test.low/recall"}
        assert {*metrics, "test.high/false_per_1000um2", "device/latency_ms"} <= set(row.metrics)
        assert "device/cpu_eager_fp32_16px_latency_ms" in row.metrics
        assert {re.split("[/.]", name)[0] for name in row.metrics} == {"train", "val", "test", "device"}
        assert row.metrics["test/recall"] == pytest.approx(
            (row.metrics["test.low/recall"] + row.metrics["test.high/recall"]) / 2
        )
        for kind in ("predictions/{}.csv", "per_frame/{}.csv", "figures/{}.png"):
            assert {kind.format("low"), kind.format("high")} <= set(row.artifacts())
        assert {"best.pt", "metrics.json", "environment.json"} <= set(row.artifacts())
        assert json.loads(row.artifact("environment.json").read_text())["versions"]["torch"] == torch.__version__


def test_a_reference_has_the_same_names_and_a_time_where_it_is_a_program(done):
    rows = {row.params["model"]: row for row in done.record.rows("reference")}
    for row in rows.values():
        assert {"task", "data", "loss", "lambda", "method", "protocol", "matcher", "n_params"} <= set(row.params)
        assert "predictions/low.csv" in row.artifacts() or row.params["model"] == "blank"
    assert rows["truth"].metrics["test/efficiency"] == 100
    assert rows["truth"].metrics["test/false_per_1000um2"] == 0
    assert "device/cpu_classical_fp64_16px_latency_ms" in rows["peaks_gaussian"].metrics
    assert "device/latency_ms" not in rows["truth"].metrics


def test_every_data_set_has_our_digest_and_its_arrays(done):
    cell, reference = done.row("fid_storm"), done.record.rows("reference")[0]
    logged = [run.store.client.get_run(run.run_id).inputs.dataset_inputs for run in (cell, reference)]
    found = {each.tags[0].value: each.dataset for each in logged[0]}
    assert {where: data.name for where, data in found.items()} == {
        "train": "sim.train", "val": "sim", "low": "sim.low", "high": "sim.high"
    }  # fmt: skip
    assert {each.dataset.name: each.dataset.digest for each in logged[1]} == {
        data.name: data.digest for where, data in found.items() if where in ("low", "high")
    }
    loaded = load_study(done.path)
    plan = make_plan(loaded)
    splits = Materials(loaded.catalog).splits(plan.cells[0])
    assert found["high"].digest == splits.tests["high"].digest[:36]
    assert found["val"].digest == splits.validation.digest[:36]
    shapes = {where: json.loads(data.schema)["mlflow_tensorspec"]["features"] for where, data in found.items()}
    assert '"shape": [-1, 1, 16, 16]' in shapes["train"]
    assert '"shape": [-1, 16, 16]' in shapes["low"]


def test_metrics_json_says_what_is_known_and_what_is_not(done):
    row = done.row("fid_storm")
    content = row.json("metrics.json")
    assert content["protocol"] == row.params["protocol"] == "smlmbench-2"
    for condition in ("low", "high"):
        block = content["test"][condition]
        assert block["values"]["efficiency"] == row.metrics[f"test.{condition}/efficiency"]
        low, high = block["intervals"]["efficiency"]
        assert low <= block["values"]["efficiency"] <= high
        assert block["reasons"]["rmse_axial_nm"] == "scored in 2-D"
        assert content["facts"][condition]["density_per_um2"] > 0
    curve = content["threshold_curve"]
    assert curve["tried"] == sorted(curve["tried"])
    assert content["threshold"] == pytest.approx(float(row.params["threshold"]), rel=1e-5)


def test_the_final_validation_ends_the_curve_that_training_drew(done):
    row = done.row("srcnn-l1l2-400")
    curve = metric_history(done.store, row.run_id, "val/efficiency")
    assert [point.step for point in curve] == [40, 80, 80]
    assert row.metrics["val/efficiency"] == row.json("metrics.json")["val"]["values"]["efficiency"]


def test_trained_rows_have_photons_in_their_tables_and_scores(done):
    row = done.row("fid_storm")
    found = read_table(row.artifact("predictions/low.csv"), catalog=Catalog())
    assert len(found)
    assert all(np.isfinite(getattr(found, name)).all() for name in ("photons", "sigma_x_nm", "sigma_y_nm"))
    assert 5 < np.median(found.background_photons) < 40
    content = row.json("metrics.json")
    for block in (content["val"], content["test"]["low"]):
        assert {"photons_r", "photons_bias"} <= {*block["values"], *block["reasons"]}
        assert "the found table has no photons" not in block["reasons"].values()
    blank = next(one for one in done.record.rows("reference") if one.params["model"] == "blank")
    assert blank.json("metrics.json")["test"]["low"]["reasons"]["photons_r"]


def test_the_per_frame_sums_add_up(done):
    row = done.row("fid_storm")
    lines = [line.split(",") for line in row.artifact("per_frame/low.csv").read_text().splitlines()]
    assert lines[0][:4] == ["frame", "tp", "fp", "fn"]
    assert [int(line[0]) for line in lines[1:]] == list(range(8))
    tp, fn = (sum(float(line[k]) for line in lines[1:]) for k in (1, 3))
    assert row.metrics["test.low/recall"] == pytest.approx(tp / (tp + fn))


def test_best_pt_is_plain_and_the_folder_of_work_is_gone(done):
    for row in done.record.rows("cell"):
        if row.status == "done":
            content = torch.load(row.artifact("best.pt"), weights_only=True)
            assert content["model"]["name"] == row.params["model"]
            assert content["facts"]["cell_id"] == row.cell_id
            assert content["facts"]["tuned"]["threshold"] == pytest.approx(float(row.params["threshold"]), rel=1e-5)
            assert content["facts"]["psf_sigma_nm"] == 130
    assert list((done.store.home / "work").iterdir()) == []


def test_rows_that_ended_badly_say_why(done):
    failed, collapsed = done.row("breaks"), done.row("srcnn-l1l2-0-")
    assert failed.reason == "RuntimeError: <script>alert(1)</script> broken & bent"
    assert collapsed.status == "collapsed"
    assert re.search(r"answers .* % of the true mass after step 5; a larger lambda", collapsed.reason)
    assert "val/mass" in collapsed.metrics
    said = "\n".join(done.lines)
    assert re.search(r"breaks l1l2 λ=400 repeat 0: failed: RuntimeError", said)
    assert re.search(r"srcnn l1l2 λ=0 repeat 0: collapsed: CollapsedError", said)


def test_the_leaderboard_is_whole_escaped_and_loads_nothing_from_elsewhere(done):
    folder = done.finished.report.parent
    assert {path.name for path in folder.iterdir()} >= {f"leaderboard.{kind}" for kind in ("html", "csv", "md", "tex")}
    page = done.finished.report.read_text(encoding="utf-8")
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; broken &amp; bent" in page
    loaded = re.findall(r"<(?:script|img|link|iframe|source|object)\b[^>]*?\b(?:src|href|data)=[\"']?([^\"'>]*)", page)
    assert loaded
    assert {address[:5] for address in loaded} == {"data:"}
    assert not re.search(r"@import|url\(\s*[\"']?(?!data:|#)", page)
    for name in ("fid_storm", "srcnn", "my_net", "breaks", "truth", "blank", "odd", "collapsed"):
        assert name in page, name
    planned = next(run for run in done.record.runs if run.role == "study")
    assert {"plan.json", "study.yaml", "leaderboard.html", "leaderboard.csv"} <= set(planned.artifacts())
    assert planned.status == "done"


@pytest.mark.usefixtures("nothing_trains", "nothing_scores")
def test_the_same_command_again_does_nothing(done, tmp_path):
    store = done.copy(tmp_path)
    finished, lines = run(done.path, store)
    assert finished.statuses == ALL
    assert sum(line.endswith(": done before") for line in lines) == 5
    again = {row.run_id: row.metrics for row in read_study(store, "tiny").rows("cell")}
    assert again == {row.run_id: row.metrics for row in done.record.rows("cell")}


@pytest.mark.usefixtures("nothing_trains")
def test_another_test_section_is_scored_without_training(done, tmp_path):
    store = done.copy(tmp_path)
    finished, _ = run(done.path, store, sets=("data.0.test.low.simulate.frames=5",))
    assert finished.statuses == ALL
    before, after = (
        done.row("fid_storm"),
        next(row for row in read_study(store, "tiny").rows("cell") if row.name.startswith("fid_storm")),
    )
    assert (after.run_id, after.cell_id, after.attempt) == (before.run_id, before.cell_id, 2)
    assert after.eval_id != before.eval_id
    assert after.params["threshold"] == before.params["threshold"]
    assert after.metrics["test.high/efficiency"] == before.metrics["test.high/efficiency"]
    low = [{key: value for key, value in row.metrics.items() if key.startswith("test.low/")} for row in (before, after)]
    assert low[0] != low[1]
    assert len(after.artifact("per_frame/low.csv").read_text().splitlines()) == 1 + 5


@pytest.mark.usefixtures("nothing_trains")
def test_another_protocol_scores_anew_from_the_checkpoints_without_training(done, tmp_path):
    store = done.copy(tmp_path)
    finished, _ = run(done.path, store, sets=("scoring.protocol=smlmbench-1",))
    assert finished.statuses == ALL
    again = read_study(store, "tiny")
    after = {row.run_id: row for row in again.rows("cell") if row.status == "done"}
    before = {row.run_id: row for row in done.record.rows("cell") if row.status == "done"}
    assert set(after) == set(before)
    for run_id, row in after.items():
        assert row.eval_id != before[run_id].eval_id
        said = [one.params[name] for one in (before[run_id], row) for name in ("protocol", "threshold_rule")]
        assert said == ["smlmbench-2", RULE, "smlmbench-1", "plateau_middle"]
        assert before[run_id].params["threshold_false_limit"] != row.params["threshold_false_limit"] == "none"
        assert row.json("metrics.json")["protocol"] == "smlmbench-1"
        assert torch.load(row.artifact("best.pt"), weights_only=True)["facts"]["protocol"] == "smlmbench-1"
    csv = (finished.report.parent / "leaderboard.csv").read_text(encoding="utf-8")
    assert "smlmbench-1" in csv
    assert "smlmbench-2" not in csv


def test_failed_rows_are_repeated_on_demand(done, tmp_path):
    store = done.copy(tmp_path)
    finished, _ = run(done.path, store, retry_failed=True)
    assert finished.statuses == {"done": 4, "collapsed": 1, "skipped": 1}
    record = read_study(store, "tiny")
    mended = next(row for row in record.rows("cell") if row.name.startswith("breaks"))
    assert (mended.status, mended.attempt) == ("done", 2)
    both = cell_runs(store, record.experiment_id, mended.cell_id)
    assert sorted((each.status, each.superseded) for each in both) == [("done", False), ("failed", True)]
    kept = {row.run_id for row in done.record.rows("cell") if row.status == "done"}
    assert kept < {row.run_id for row in record.rows("cell")}


@pytest.mark.usefixtures("nothing_trains", "nothing_scores")
def test_a_part_of_a_study_leaves_the_rest_on_the_leaderboard(done, tmp_path):
    store = done.copy(tmp_path)
    words = ["run", str(done.path), "--store", str(store.home), "--only", "model=my_net"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "1 done, 1 skipped; leaderboard:" in result.stdout
    page = (store.report_dir("tiny") / "leaderboard.html").read_text(encoding="utf-8")
    assert all(name in page for name in ("my_net", "fid_storm", "srcnn"))
    assert len(read_study(store, "tiny").plan["cells"]) == 5


@pytest.mark.usefixtures("nothing_trains", "nothing_scores")
def test_failed_rows_give_exit_code_one(done, tmp_path):
    result = CliRunner().invoke(app, ["run", str(done.path), "--store", str(done.copy(tmp_path).home)])
    assert result.exit_code == 1
    assert "1 collapsed, 3 done, 1 failed, 1 skipped; leaderboard:" in result.stdout


def test_the_pick_of_a_model_is_logged_as_a_graph(done, tmp_path, monkeypatch):
    store = done.copy(tmp_path)
    original = picks.log_model

    def log_model(run, model, *, name, **more):
        if not name.startswith("srcnn"):
            raise RuntimeError("cannot be exported")
        return original(run, model, name=name, **more)

    monkeypatch.setattr(picks, "log_model", log_model)
    finished, lines = run(done.path, store, sets=("log_models=picks",))
    assert finished.statuses == ALL
    assert "model my_net on sim: not logged as a model: RuntimeError: cannot be exported" in lines
    tags = {row.name.split("-")[0]: row.tags for row in read_study(store, "tiny").rows("cell") if row.status == "done"}
    assert [name for name, held in tags.items() if "smlmbench.logged_model" in held] == ["srcnn"]
    (logged,) = store.client.search_logged_models([read_study(store, "tiny").experiment_id])
    assert logged.name == "srcnn-sim"
    assert {metric.key for metric in logged.metrics} == {"val/efficiency", "test/efficiency"}


def test_a_network_that_cannot_be_timed_does_not_stop_the_report(done, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no")

    monkeypatch.setattr(timings, "time_calls", broken)
    monkeypatch.setattr(fitter_timings, "time_calls", broken)
    finished, lines = run(done.path, done.copy(tmp_path), sets=("timing.sizes_px=[24]",))
    assert finished.statuses == ALL
    assert "  timing at 24 px on cpu failed: RuntimeError: no" in lines
    assert "  timing peaks_gaussian at 24 px failed: RuntimeError: no" in lines


def test_a_reference_that_fails_is_told(done, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise ValueError("no fit")

    monkeypatch.setattr(references, "evaluate_reference", broken)
    # Another eval_id: the references are scored anew, the cells too.
    finished, lines = run(done.path, done.copy(tmp_path), sets=("data.0.test.low.simulate.frames=4",))
    assert finished.failed_references == ["truth", "blank", "peaks_gaussian"]
    assert "sim blank: failed: ValueError: no fit" in lines


@pytest.mark.parametrize(
    ("sets", "options", "message"),
    [
        ((), {"device": "tpu"}, "device 'tpu' is not on this machine; accepted: auto, cpu"),
        (("timing.devices=[cpu, tpu]",), {}, "device 'tpu' cannot be timed on this machine; accepted: cpu"),
    ],
)
def test_a_device_that_is_not_there_is_refused_before_anything_begins(done, store, sets, options, message):
    with pytest.raises(ConfigError, match=message):
        run(done.path, store, sets=sets, **options)
    assert store.client.get_experiment_by_name("tiny") is None


def test_no_new_cell_is_begun_after_the_time(done, store, monkeypatch):
    monkeypatch.setattr(references, "evaluate_reference", lambda *_: pytest.fail("not needed here"))
    monkeypatch.setattr(study, "run_reference", lambda *_: "keep")
    finished, _ = run(done.path, store, sets=("timing=null",), max_hours=1e-9)
    assert finished.statuses == {"planned": 5, "skipped": 1}
    assert finished.unfinished == 5


def test_a_plug_in_file_is_all_that_a_network_needs(done):
    path = str(done.plugins["my_net"])
    assert len(done.plugins["my_net"].read_text().splitlines()) < 40
    listed = CliRunner().invoke(app, ["list", "models", "--plugin", path])
    assert listed.exit_code == 0, listed.output
    assert "Two convolutions and a pixel shuffle" in listed.stdout
    checked = CliRunner().invoke(app, ["check", path])
    assert checked.exit_code == 0, checked.output
    assert done.row("my_net").status == "done"
