"""A study from its file to its leaderboard, in a store of its own; the same command again does only what is left."""

import json
import re
import shutil
from functools import partial
from typing import Any, NamedTuple

import pytest
import tiny_study
import torch
from mlflow.tracking._tracking_service import utils
from tiny_study import run, write, write_plugins
from typer.testing import CliRunner

from smlmbench.cli import app
from smlmbench.data.simulate import SimulatedTraining
from smlmbench.errors import ConfigError
from smlmbench.run import cells, picks, references, study, timings, training_cell
from smlmbench.timing import time_calls
from smlmbench.tracking.records import cell_runs, metric_history, read_study
from smlmbench.tracking.store import open_store

PARAMS = {
    *("task", "data", "model", "loss", "lambda", "repeat", "method", "teacher", "steps", "batch_size", "lr"),
    *("number_format", "upsampling", "n_params", "protocol", "matcher", "threshold", "samples_seen", "train_s"),
    *("device", "threads"),
}
ALL = {"done": 3, "failed": 1, "collapsed": 1, "skipped": 1}


@pytest.fixture(autouse=True, scope="module")
def _short_timing():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("smlmbench.timing.WARM_UP_S", 0.0)
        patch.setattr(timings, "time_calls", partial(time_calls, max_rounds=3))
        patch.delenv("SMLMBENCH_DATA", raising=False)
        yield


def models():
    loss = {"name": "l1l2", "lambda": 400}
    return [
        {"name": "fid_storm", "blocks": 1, "width": 0.25, "losses": [loss]},
        {"name": "srcnn", "variant": "3-1-3", "width": 0.25, "losses": [loss | {"lambda": [400, 0]}]},
        {"name": "my_net", "losses": [loss, {"name": "odd"}]},
        {"name": "breaks"},
    ]


class Run:
    """The tiny study, run once."""

    def __init__(self, folder, empty_store):
        self.plugins = write_plugins(folder / "plugins")
        self.path = write(folder, models=models(), plugins=[str(path) for path in self.plugins.values()])
        self.store = open_store(shutil.copytree(empty_store, folder / "mlruns"))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(tiny_study.BREAKING, "1")
            self.finished, self.lines = run(self.path, self.store)
        self.record = read_study(self.store, "tiny")

    def row(self, name):
        return next(row for row in self.record.rows("cell") if row.name.startswith(name))

    def copy(self, folder):
        """A store of the test's own, moved as a user may move it."""
        # MLflow remembers by run id where artifacts go, and here two stores of one process have the same runs.
        utils._artifact_repos_cache.clear()
        return open_store(shutil.copytree(self.store.home, folder / "moved"))


@pytest.fixture(scope="module")
def done(tmp_path_factory, empty_store):
    return Run(tmp_path_factory.mktemp("study"), empty_store)


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


def test_every_row_of_the_plan_is_there(done):
    assert done.finished.statuses == ALL
    assert (done.finished.unfinished, done.finished.failed_references) == (0, [])
    plan = done.record.plan
    assert [len(plan[part]) for part in ("cells", "references", "skipped")] == [5, 2, 1]
    assert {row.cell_id for row in done.record.rows("cell")} == {cell["cell_id"] for cell in plan["cells"]}
    assert {row.name[:5]: row.status for row in done.record.rows("reference")} == {"truth": "done", "blank": "done"}
    assert "does not accept" in plan["skipped"][0]["reason"] or "odd" in plan["skipped"][0]["reason"]
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


def test_metrics_json_says_what_is_known_and_what_is_not(done):
    row = done.row("fid_storm")
    content = row.json("metrics.json")
    assert content["protocol"] == row.params["protocol"] == "smlmbench-1"
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
            assert content["facts"]["threshold"] == pytest.approx(float(row.params["threshold"]), rel=1e-5)
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
    assert after.metrics["test.low/efficiency"] != before.metrics["test.low/efficiency"]
    assert len(after.artifact("per_frame/low.csv").read_text().splitlines()) == 1 + 5


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


def interrupting(calls, at):
    original = SimulatedTraining.batch

    def batch(self, first, count):
        calls.append(first)
        if len(calls) == at:
            raise KeyboardInterrupt
        return original(self, first, count)

    return batch


class Outcome(NamedTuple):
    """Of one command: what it said, the first sample of every batch, the store, files of work, MLflow's statuses."""

    result: Any
    calls: list[int]
    record: Any
    work: list[str]
    stored: dict[str, str]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory, empty_store):
    """The same cells under other names and in another order; stopped in the seventh step of the second, continued."""
    folder = tmp_path_factory.mktemp("stopped")
    shutil.copytree(empty_store, folder / "mlruns")
    fid_storm, srcnn = models()[:2]
    path = write(folder, study="other", models=[srcnn | {"losses": fid_storm["losses"]}, fid_storm])
    path.write_text(path.read_text().replace("name: sim", "name: renamed"))
    words = ["run", str(path), "--store", str(folder / "mlruns")]
    outcomes = []
    for at in (17, None):
        calls = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SimulatedTraining, "batch", interrupting(calls, at))
            result = CliRunner().invoke(app, words)
        store = open_store(folder / "mlruns")
        record = read_study(store, "other")
        work = sorted(path.name for path in (store.home / "work").rglob("*.pt"))
        stored = {run.run_id: store.client.get_run(run.run_id).info.status for run in record.runs}
        outcomes.append(Outcome(result, calls, record, work, stored))
    return outcomes


def test_ctrl_c_leaves_a_run_to_continue_and_says_what_is_left(stopped):
    result, calls, record, work, stored = stopped[0]
    assert result.exit_code == 130
    assert "stopped; 1 of 2 cells are left; the same command continues them" in result.stderr
    assert "Traceback" not in result.output
    assert len(calls) == 17
    rows = {row.params["model"]: row for row in record.rows("cell")}
    assert {name: row.status for name, row in rows.items()} == {"srcnn": "done", "fid_storm": "interrupted"}
    assert stored[rows["fid_storm"].run_id] == "KILLED"
    assert rows["fid_storm"].reason == "stopped by the user"
    assert next(run for run in record.runs if run.role == "study").status == "interrupted"
    assert work == ["best_state.pt", "last.pt"]


def test_the_same_command_finishes_only_the_rest_in_the_same_run(stopped):
    result, calls, record, work, _ = stopped[1]
    assert result.exit_code == 0, result.output
    assert calls == [6 * 8, 7 * 8, 8 * 8, 9 * 8]
    earlier = {row.cell_id: row.run_id for row in stopped[0].record.rows("cell")}
    assert {row.cell_id: (row.run_id, row.status) for row in record.rows("cell")} == {
        cell_id: (run_id, "done") for cell_id, run_id in earlier.items()
    }
    assert work == []


def numbers(row):
    return {name: value for name, value in row.metrics.items() if name.startswith(("val", "test", "train/l"))}


def test_order_names_and_interrupts_change_no_number(done, stopped):
    ours = {row.cell_id: row for row in done.record.rows("cell")}
    theirs = stopped[1].record.rows("cell")
    assert len(theirs) == 2
    for row in theirs:
        same = ours[row.cell_id]
        assert len(numbers(row)) > 50
        assert numbers(row) == numbers(same)
        assert row.params["threshold"] == same.params["threshold"]
        for table in ("predictions/low.csv", "predictions/high.csv"):
            assert row.artifact(table).read_bytes() == same.artifact(table).read_bytes()
        one, other = (torch.load(each.artifact("best.pt"), weights_only=True)["state"] for each in (row, same))
        assert all(torch.equal(one[name], other[name]) for name in one)


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
    finished, lines = run(done.path, done.copy(tmp_path), sets=("timing.sizes_px=[24]",))
    assert finished.statuses == ALL
    assert "  timing at 24 px on cpu failed: RuntimeError: no" in lines


def test_a_reference_that_fails_is_told(done, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise ValueError("no fit")

    monkeypatch.setattr(references, "evaluate_reference", broken)
    # Another eval_id: the references are scored anew, the cells too.
    finished, lines = run(done.path, done.copy(tmp_path), sets=("data.0.test.low.simulate.frames=4",))
    assert finished.failed_references == ["truth", "blank"]
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
