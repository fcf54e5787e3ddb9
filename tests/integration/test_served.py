"""A study through an MLflow server, which goes away in the middle and comes back."""

import os
import shutil
import threading
import time

import pytest
from page_commands import asked
from served import Server
from tiny_study import models, write
from typer.testing import CliRunner

from smlmbench import patience
from smlmbench.cli import app
from smlmbench.data.simulate import SimulatedTraining
from smlmbench.run.fits import AT_ONCE
from smlmbench.tracking import guard
from smlmbench.tracking.records import metric_history, read_study
from smlmbench.tracking.store import open_store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="stops a server with a signal"),
    pytest.mark.usefixtures("short_timing"),
]


@pytest.fixture
def server(tmp_path, empty_store, monkeypatch):
    folder = tmp_path / "server"
    folder.mkdir()
    shutil.copy(empty_store / "mlflow.db", folder)
    monkeypatch.chdir(tmp_path)
    # As for a user; another test of this process may have opened a store before.
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR"):
        monkeypatch.delenv(name, raising=False)
    started = Server(folder)
    yield started
    started.stop()


def calls_until(at, then):
    """The first samples of the batches that were drawn; `then` is called at one of them."""
    original, calls = SimulatedTraining.batch, []

    def batch(self, first, count):
        if count == AT_ONCE:  # a look at what was seen in training
            return original(self, first, count)
        calls.append(first)
        if len(calls) == at:
            then()
        return original(self, first, count)

    return calls, batch


def curve(store, rows):
    """Steps of the validations during the training of srcnn."""
    (row,) = [row for row in rows if row.params["model"] == "srcnn"]
    steps = [point.step for point in metric_history(store, row.run_id, "train/loss")]
    assert steps == sorted(set(steps))
    return steps


def test_a_server_that_goes_away_costs_no_result(server, tmp_path, monkeypatch):
    fid_storm, srcnn = models()[:2]
    path = write(tmp_path, models=[fid_storm, srcnn | {"losses": fid_storm["losses"]}], references=["blank"])
    words = ["run", str(path), "--tracking-uri", server.url]

    gone = []
    calls, batch = calls_until(19, lambda: (server.stop(), gone.append(time.monotonic())))
    with monkeypatch.context() as patch:
        patch.setattr(SimulatedTraining, "batch", batch)
        patch.setattr(patience, "LIMIT_S", 1.0)
        result = CliRunner().invoke(app, words)
    assert result.exit_code == 1, result.output
    assert time.monotonic() - gone[0] < 30
    (said,) = [line for line in result.stderr.splitlines() if line.startswith("smlmbench:")]
    assert said.startswith(f"smlmbench: the MLflow server {server.url} does not answer any more; what is finished")
    assert sorted(found.name for found in (tmp_path / "mlruns/work").rglob("*.pt")) == ["best_state.pt", "last.pt"]

    server.start()
    store = open_store(server.url)
    number = store.ensure_experiment("tiny")
    left = store.client.search_runs([number], "attributes.status = 'RUNNING'")
    assert sorted(run.data.tags["smlmbench.role"] for run in left) == ["cell", "study"]
    for run in left:
        store.client.set_tag(run.info.run_id, "smlmbench.pid", "999999")  # a command of its own process has ended
    calls, batch = calls_until(None, None)
    with monkeypatch.context() as patch:
        patch.setattr(SimulatedTraining, "batch", batch)
        result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "Traceback" not in result.output
    # The ten steps of the second cell were made; only what was to be logged is asked for again.
    assert calls == []
    record = read_study(store, "tiny")
    rows = record.rows("cell")
    assert {row.params["model"]: (row.status, row.attempt) for row in rows} == {
        "fid_storm": ("done", 1),
        "srcnn": ("done", 2),
    }
    assert len(curve(store, rows)) == 2
    for row in rows:
        assert row.artifact("best.pt").stat().st_size > 0
        assert {"metrics.json", "predictions/low.csv", "figures/high.png"} <= set(row.artifacts())
        assert row.metrics["device/latency_ms"] > 0
    assert not list((tmp_path / "mlruns/work").rglob("*.pt"))
    page = (tmp_path / "mlruns/reports/tiny/leaderboard.html").read_text(encoding="utf-8")
    assert f'<a href="{server.url}/#/experiments/{number}/runs?compareRunsMode=CHART' in page
    assert asked(tmp_path / "mlruns/reports/tiny/leaderboard.html").endswith(f" -o results --store {server.url}")
    assert record.plan["cells"]


def test_a_server_that_is_away_for_a_while_is_outlasted(server, tmp_path, monkeypatch):
    fid_storm, srcnn = models()[:2]
    path = write(tmp_path, models=[srcnn | {"losses": fid_storm["losses"]}], references=["blank"])
    missed = threading.Event()

    def worth_waiting(what, why, spent_s):
        missed.set()
        return patience.worth_waiting(what, why, spent_s)

    again = threading.Thread(target=lambda: (missed.wait(120), server.start()))
    _, batch = calls_until(8, lambda: (server.stop(), again.start()))
    with monkeypatch.context() as patch:
        patch.setattr(SimulatedTraining, "batch", batch)
        patch.setattr(patience, "TELL_AFTER_S", 0.0)
        patch.setattr(guard, "worth_waiting", worth_waiting)
        result = CliRunner().invoke(app, ["run", str(path), "--tracking-uri", server.url])
    again.join()
    assert result.exit_code == 0, result.output
    (line,) = [line for line in result.stderr.splitlines() if "waits for it" in line]
    assert line.startswith(f"the MLflow server {server.url} does not answer; what is to be read or stored waits")
    store = open_store(server.url)
    rows = read_study(store, "tiny").rows("cell")
    assert {row.status for row in rows} == {"done"}
    assert len(curve(store, rows)) == 2
