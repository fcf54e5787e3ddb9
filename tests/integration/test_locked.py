"""A study in a store whose databases another program has locked."""

import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest
from tiny_study import models, write
from typer.testing import CliRunner

from smlmbench import patience
from smlmbench.cli import app
from smlmbench.data.simulate import SimulatedTraining
from smlmbench.run.fits import AT_ONCE
from smlmbench.search.storage import open_storage
from smlmbench.tracking.records import metric_history, read_study

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("short_timing")]

HOLDER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], timeout=60)
connection.execute("begin " + sys.argv[3])
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def lock():
    """Locks a database from another process for some seconds, or until the test ends."""
    holders = []

    def held(database, seconds=600.0, kind="immediate"):
        words = [sys.executable, "-c", HOLDER, str(database), str(seconds), kind]
        holder = subprocess.Popen(words, stdout=subprocess.PIPE)
        holders.append(holder)
        assert holder.stdout.readline() == b"held\n"
        return holder

    yield held
    for holder in holders:
        holder.kill()
        holder.wait()
        holder.stdout.close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(patience, "SLICE_S", 0.2)
    monkeypatch.setattr(patience, "TELL_AFTER_S", 0.5)


@pytest.fixture
def words(store, tmp_path):
    """The command of a small study in a store that exists."""
    fid_storm, srcnn = models()[:2]
    path = write(tmp_path, models=[srcnn | {"losses": fid_storm["losses"]}], references=["blank"])
    return ["run", str(path), "--store", str(store.home)]


def during_training(monkeypatch, then):
    """Call something at the second batch of a training."""
    original, calls = SimulatedTraining.batch, []

    def batch(self, first, count):
        if count == AT_ONCE:  # a look at what was seen in training
            return original(self, first, count)
        calls.append(first)
        if len(calls) == 2:
            then()
        return original(self, first, count)

    monkeypatch.setattr(SimulatedTraining, "batch", batch)
    return calls


def waits(result):
    return [line for line in result.stderr.splitlines() if "is locked by" in line]


@pytest.mark.parametrize(("journal", "kind"), [("wal", "immediate"), ("delete", "exclusive")])
def test_a_lock_from_before_the_command_is_outlasted(store, words, lock, journal, kind):
    with closing(sqlite3.connect(store.home / "mlflow.db")) as connection:
        connection.execute(f"pragma journal_mode={journal}")
    holder = lock(store.home / "mlflow.db", 3.0, kind)
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    who = f"process {holder.pid} " if patience.LOCKS.exists() else "another program"
    (line,) = waits(result)
    assert f"{store.home / 'mlflow.db'} is locked by {who}" in line
    assert "Traceback" not in result.output
    assert [row.status for row in read_study(store, "tiny").rows("cell")] == ["done"]


def test_a_lock_that_stays_is_one_line_and_exit_code_2(store, words, lock, monkeypatch):
    monkeypatch.setattr(patience, "LIMIT_S", 1.0)
    lock(store.home / "mlflow.db")
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2, result.output
    (said,) = [line for line in result.stderr.splitlines() if line.startswith("smlmbench:")]
    assert "is locked by" in said
    assert said.endswith("what is finished is safe, what ran has its checkpoint")
    assert "Traceback" not in result.output


def test_a_training_goes_on_while_the_store_is_locked(store, words, lock, monkeypatch):
    held = []
    during_training(monkeypatch, lambda: held.append(lock(store.home / "mlflow.db", 4.0)))
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert len(waits(result)) == 1
    (row,) = read_study(store, "tiny").rows("cell")
    assert (row.status, row.attempt) == ("done", 1)
    validations = [point.step for point in metric_history(store, row.run_id, "train/loss")]
    assert validations == [40, 80]
    assert sum("val_example" in name and name.endswith(".png") for name in row.artifacts("images")) == 2


def test_a_training_outlives_a_lock_that_stays(store, words, lock, monkeypatch):
    monkeypatch.setattr(patience, "LIMIT_S", 1.0)
    held = []
    with monkeypatch.context() as patch:
        calls = during_training(patch, lambda: held.append(lock(store.home / "mlflow.db")))
        result = CliRunner().invoke(app, words)
    assert result.exit_code == 2, result.output
    assert calls[1:] == list(range(0, 80, 8))  # after what a probe draws: the whole training
    assert "Traceback" not in result.output
    held[0].kill()
    held[0].wait()
    (left,) = [run for run in read_study(store, "tiny").runs if run.role == "cell"]
    for run in read_study(store, "tiny").runs:
        store.client.set_tag(run.run_id, "smlmbench.pid", "999999")  # a command of its own process has ended
    calls = during_training(monkeypatch, lambda: None)
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert calls == []
    (row,) = read_study(store, "tiny").rows("cell")
    assert (row.run_id, row.status) == (left.run_id, "done")
    assert [point.step for point in metric_history(store, row.run_id, "train/loss")] == [40, 80]
    assert not (store.home / "work" / row.run_id).exists()


def test_a_locked_database_of_searches_is_outlasted(store, lock):
    url = f"sqlite:///{store.optuna_path}"
    open_storage(url).create_new_study(directions=[1], study_name="first")
    lock(store.optuna_path, 2.0)
    opened = open_storage(url)
    opened.create_new_study(directions=[1], study_name="second")
    assert {study.study_name for study in opened.get_all_studies()} == {"first", "second"}


def test_ctrl_c_is_heard_while_a_lock_is_waited_for(store, words, lock):
    lock(store.home / "mlflow.db")
    program = [sys.executable, "-m", "smlmbench", *words]
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True) as process:
        said = []
        reader = threading.Thread(target=lambda: said.extend(process.stderr))
        reader.start()
        until = time.monotonic() + 120
        while not any("is locked by" in line for line in said) and time.monotonic() < until:
            time.sleep(0.1)
        process.send_signal(2)
        assert process.wait(timeout=60) == 130
        reader.join()
    assert said[-1].startswith("smlmbench: interrupted")
