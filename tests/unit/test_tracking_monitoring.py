"""MLflow's system metrics beside a run: where they are asked for, as long as the run works, and never in its way."""

import threading
import time
from types import SimpleNamespace

import pytest
import torch

from smlmbench.cli.options import TrainAsked
from smlmbench.run.studies import study as studies
from smlmbench.run.studies.asked import options_of
from smlmbench.tracking.monitoring import watched
from smlmbench.tracking.records import metric_history
from smlmbench.tracking.runs import open_run

LOAD = "system/cpu_utilization_percentage"


@pytest.fixture
def run(store, monkeypatch):
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    return open_run(store, store.ensure_experiment("s"), role="cell", name="c")


def history(run):
    return metric_history(run.store, run.run_id, LOAD)


def until(run, count):
    end = time.monotonic() + 30
    while len(history(run)) < count and time.monotonic() < end:
        time.sleep(0.05)


def test_the_load_is_logged_while_the_run_works_and_goes_on_where_it_is_continued(run):
    with watched(run, on=True):
        until(run, 2)
    first = len(history(run))
    assert first >= 2
    assert "SystemMetricsMonitor" not in {thread.name for thread in threading.enumerate()}
    with watched(run, on=True):
        until(run, first + 1)
    steps = [point.step for point in history(run)]
    assert steps == list(range(len(steps))), "a second curve over the same steps would hide the first"
    assert all(0 <= point.value <= 100 for point in history(run))
    run.terminate("done")


def test_nothing_is_logged_unless_asked(run):
    with watched(run, on=False):
        assert "SystemMetricsMonitor" not in {thread.name for thread in threading.enumerate()}
    run.terminate("done")
    assert history(run) == []


def test_an_error_passes_through_and_ends_the_thread(run):
    with pytest.raises(KeyboardInterrupt), watched(run, on=True):
        raise KeyboardInterrupt
    assert "SystemMetricsMonitor" not in {thread.name for thread in threading.enumerate()}
    run.terminate("interrupted")


def test_a_store_that_refuses_a_sample_stops_no_training(run, monkeypatch, caplog):
    from mlflow import MlflowClient

    def away(*_, **__):
        raise ConnectionError("http://ann:hush-hush@host:5000 is away")

    with watched(run, on=True):
        monkeypatch.setattr(MlflowClient, "log_batch", away)
        monkeypatch.setattr(MlflowClient, "get_run", away)
    monkeypatch.undo()
    assert "hush-hush" not in caplog.text
    run.terminate("done")


def test_the_option_reaches_the_session_and_says_where_the_gpu_is_not_seen(store, monkeypatch):
    asked = TrainAsked(study="s.yaml", system_metrics=True).running()
    lines = []
    monkeypatch.setattr(studies, "resolve_device", lambda _: torch.device("cuda"))
    monkeypatch.setattr(studies, "sees_gpu", lambda: False)
    loaded = SimpleNamespace(study=SimpleNamespace(study="s", timing=None), catalog=None)
    session = studies.begin(loaded, store, SimpleNamespace(line=lines.append), options_of(**asked))
    assert session.system_metrics
    assert lines == ["system metrics have no GPU: pip install 'smlmbench[monitor]'"]
    session = studies.begin(loaded, store, SimpleNamespace(line=lines.append), options_of())
    assert not session.system_metrics
    assert len(lines) == 1
