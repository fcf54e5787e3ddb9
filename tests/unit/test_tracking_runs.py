import json

import numpy as np
import pytest

from smlmbench.errors import CollapsedError, ConfigError, DivergedError, SizeError, StoreShutError
from smlmbench.tracking import tags
from smlmbench.tracking.plain import not_logged_text, param_text, plain_json
from smlmbench.tracking.records import metric_history, record_of
from smlmbench.tracking.runs import Run, open_run, reason_of


@pytest.fixture
def run(store):
    """An open run in a study of its own."""
    opened = open_run(store, store.ensure_experiment("fish"), role="study", name="a study")
    yield opened
    opened.terminate("done")


def reread(run):
    return record_of(run.store, run.store.client.get_run(run.run_id))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1, "0.1"), (200.0, "200"), (1e-5, "1e-05"), (np.float32(0.5), "0.5"), (np.int64(3), "3"), (True, "true"),
     (None, "none"), ("fid_storm", "fid_storm"), ((8, 16), "[8,16]"), ({"a": 1.5}, '{"a":1.5}'), (float("nan"), "nan")],
)  # fmt: skip
def test_params_are_plain_text(value, text):
    assert param_text(value) == text


def test_json_is_strict():
    given = {"a": np.array([1.0, np.nan]), 2: float("inf"), "b": (np.int64(1), None, "x")}
    assert plain_json(given) == {"a": [1.0, None], "2": None, "b": [1, None, "x"]}


def test_nothing_that_is_stored_holds_a_password():
    address = "http://ann:hush-hush@host/x"
    error = ValueError(f"no answer from {address}")
    for text in (param_text(address), param_text([address]), str(plain_json({"a": [address]})), reason_of(error)):
        assert "http://ann:***@host/x" in text


def test_reasons_fit_into_a_tag():
    text = not_logged_text({f"test/m{n}": "no truth " * 9 for n in range(500)})
    kept = json.loads(text)
    assert len(text) <= 5000
    assert kept["..."] == f"{500 - len(kept) + 1} more"


def test_more_params_than_one_call_takes(run):
    run.log_params({f"p{n}": n for n in range(250)})
    assert reread(run).params["p249"] == "249"


def test_a_param_that_a_later_scoring_changes_reads_as_its_last_value(run):
    run.log_params({"matcher": "greedy", "lr": 0.1})
    run.log_params({"matcher": "hungarian", "lr": 0.1, "threshold": 0.4})
    assert reread(run).params == {"matcher": "hungarian", "lr": "0.1", "threshold": "0.4"}


def test_metrics_go_in_batches_of_a_thousand(run, monkeypatch):
    sizes = []
    log_batch = run.store.client.log_batch
    monkeypatch.setattr(
        run.store.client,
        "log_batch",
        lambda run_id, **kept: (sizes.append(len(kept["metrics"])), log_batch(run_id, **kept)),
    )
    for step in range(999):
        run.log_metrics({"train/loss": 1 / (step + 1)}, step=step)
    assert sizes == []
    run.log_metrics({"train/loss": 0.5, "val/efficiency": 40.0}, step=999)
    assert sizes == [1000, 1]
    history = metric_history(run.store, run.run_id, "train/loss")
    assert [point.step for point in history] == list(range(1000))
    assert history[1].value == 0.5
    assert reread(run).metrics == {"train/loss": 0.5, "val/efficiency": 40.0}


def test_what_a_busy_store_cannot_take_is_kept_and_written_once(run, monkeypatch):
    def busy(*_, **__):
        raise StoreShutError("locked")

    image = np.zeros((4, 4), dtype=np.uint8)
    run.log_metrics({"val/a": 1.0}, step=1)
    with monkeypatch.context() as patch:
        patch.setattr(run.store.client._client, "log_batch", busy)
        run.offer()
        run.log_image(image, "val", step=1)
        with pytest.raises(StoreShutError):
            run.flush()
    run.log_metrics({"val/a": 2.0}, step=2)
    run.abandon()
    again = Run(run.store, run.run_id, experiment_id=run.experiment_id, heartbeat=False)
    again.recall()
    again.log_metrics({"val/a": 3.0}, step=3)
    again.recall()  # nothing is left to take up
    again.flush()
    assert [point[:2] for point in metric_history(run.store, run.run_id, "val/a")] == [(1, 1.0), (3, 3.0)]
    assert not list((run.store.home / "work").rglob("*.json"))


def test_metrics_of_a_call_that_was_repeated_are_stored_once(run):
    run.log_metrics({"val/a": 1.0, "val/b": 2.0}, step=1)
    kept = list(run._buffer)
    run.flush()
    run._buffer += kept
    run.log_metrics({"val/c": 3.0}, step=1)
    run.flush()
    found = {key: metric_history(run.store, run.run_id, key) for key in ("val/a", "val/b", "val/c")}
    assert {key: len(points) for key, points in found.items()} == {"val/a": 1, "val/b": 1, "val/c": 1}


def test_what_has_no_number_is_not_logged_but_said(run):
    run.log_metrics({"test/a": float("nan"), "test/b": float("inf"), "test/c": "no truth", "test/d": 1.0})
    run.log_metrics({"test/b": 2.0})
    assert run.not_logged == {"test/a": "not a number", "test/c": "no truth"}
    run.terminate("done")
    record = reread(run)
    assert record.metrics == {"test/b": 2.0, "test/d": 1.0}
    assert json.loads(record.tags[tags.NOT_LOGGED]) == run.not_logged


def test_a_name_that_mlflow_refuses_is_refused_at_once(run):
    with pytest.raises(ConfigError, match="metric name 'jaccard@250nm' is not accepted"):
        run.log_metrics({"jaccard@250nm": 1.0})
    run.log_metrics({"test.low/λ 1": 1.0})


def test_artifacts(run, tmp_path):
    (tmp_path / "best.pt").write_bytes(b"weights")
    run.log_artifact(tmp_path / "best.pt")
    run.log_bytes(b"\x89PNG", "figures/curve.png")
    run.log_text("ä", "note.txt")
    run.log_dict({"x": float("nan")}, "metrics.json")
    record = reread(run)
    assert record.artifacts() == ["best.pt", "figures/curve.png", "metrics.json", "note.txt"]
    assert record.artifact("figures/curve.png").read_bytes() == b"\x89PNG"
    assert record.artifact("note.txt").read_text("utf-8") == "ä"
    assert record.json("metrics.json") == {"x": None}
    assert record.json("absent.json") is None


def test_images_have_the_names_that_the_grid_of_the_ui_looks_for(run):
    image = np.full((4, 4), 7, np.uint8)
    run.log_image(image, "val/prediction", step=3)
    names = reread(run).artifacts("images")
    assert [name.split("+timestamp+")[0] for name in names] == ["images/val~prediction+step+3"] * 2
    assert {name.rsplit(".")[-1] for name in names} == {"png", "webp"}


@pytest.mark.parametrize("image", [np.zeros((4, 4)), np.zeros((2, 4, 4), np.uint8)])
def test_an_image_of_another_kind_is_refused(run, image):
    with pytest.raises(SizeError, match=r"give uint8 of shape \(H, W\)"):
        run.log_image(image, "val/prediction")


def test_data_is_logged_with_its_digest(run):
    run.log_input("sim-mt", "a" * 64, "train", {"density_per_um2": 1.5})
    run.log_input("sim-mt", "b" * 12, "low")
    inputs = run.store.client.get_run(run.run_id).inputs.dataset_inputs
    assert {each.tags[0].value: each.dataset.digest for each in inputs} == {"train": "a" * 36, "low": "b" * 12}
    (train,) = [each.dataset for each in inputs if each.tags[0].value == "train"]
    assert json.loads(train.source) == {"tags": {"density_per_um2": "1.5"}}


def test_data_that_another_process_is_entering_is_logged_at_the_next_look(run, monkeypatch):
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    kept, calls = MlflowClient.log_inputs, []

    def beaten(self, run_id, datasets=None, models=None):
        calls.append(run_id)
        if len(calls) == 1:
            raise MlflowException("(sqlite3.IntegrityError) UNIQUE constraint failed: datasets.experiment_id")
        return kept(self, run_id, datasets, models)

    monkeypatch.setattr(MlflowClient, "log_inputs", beaten)
    run.log_input("sim-mt", "a" * 36, "train")
    assert len(calls) == 2
    assert len(run.store.client.get_run(run.run_id).inputs.dataset_inputs) == 1


def test_another_refusal_of_the_store_is_told(run, monkeypatch):
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    def refused(*_, **__):
        raise MlflowException("no such table")

    monkeypatch.setattr(MlflowClient, "log_inputs", refused)
    with pytest.raises(MlflowException, match="no such table"):
        run.log_input("sim-mt", "a" * 36, "train")


@pytest.mark.parametrize(
    ("error", "theirs", "ours", "reason"),
    [
        (None, "FINISHED", "done", ""),
        (KeyboardInterrupt(), "KILLED", "interrupted", "stopped by the user"),
        (SystemExit(1), "KILLED", "interrupted", "SystemExit: 1"),
        (DivergedError("loss is\nnan"), "FAILED", "failed", "DivergedError: loss is nan"),
        (CollapsedError("mass 0.2 %"), "FAILED", "collapsed", "CollapsedError: mass 0.2 %"),
    ],
)
def test_a_run_is_always_closed(store, error, theirs, ours, reason):
    number = store.ensure_experiment("fish")
    run = open_run(store, number, role="cell", name="c")

    def work():
        with run:
            run.log_metrics({"train/loss": 1.0})
            if error is not None:
                raise error

    if error is None:
        work()
    else:
        with pytest.raises(type(error)):
            work()
    record = reread(run)
    assert store.client.get_run(run.run_id).info.status == theirs
    assert (record.status, record.reason) == (ours, reason)
    assert record.metrics == {"train/loss": 1.0}
    assert record.end_s >= record.start_s


def test_an_end_that_was_chosen_inside_stays(store):
    with open_run(store, store.ensure_experiment("fish"), role="cell", name="c") as run:
        run.terminate("pruned", "worse than the median")
    assert (reread(run).status, reread(run).reason) == ("pruned", "worse than the median")


def test_a_store_that_fails_at_the_end_does_not_hide_the_error(store, monkeypatch):
    run = open_run(store, store.ensure_experiment("fish"), role="cell", name="c")

    def gone(*args, **kwargs):
        raise OSError("disk full")

    def work():
        with run:
            monkeypatch.setattr(store.client, "set_terminated", gone)
            raise DivergedError("loss")

    with pytest.raises(DivergedError) as caught:
        work()
    assert caught.value.__notes__ == [f"and the run {run.run_id} could not be closed: disk full"]
