"""A study in worker processes: stopped, continued, and shared with another command at the same time."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from typing import Any, NamedTuple

import pytest
from tiny_study import write, write_plugins
from typer.testing import CliRunner

from smlmbench.cli import app
from smlmbench.tracking.records import read_study
from smlmbench.tracking.store import open_store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="stops a group of processes with a signal"),
    pytest.mark.usefixtures("short_timing"),
]
COMMAND = [sys.executable, "-c", "import sys; from smlmbench.cli import main; sys.exit(main())"]


class Command:
    """A command in a process group of its own, as in a terminal."""

    def __init__(self, words):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [*COMMAND, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env=environment,
        )
        self.lines = []
        self.watchdog = threading.Timer(180, lambda: os.killpg(self.process.pid, signal.SIGKILL))
        self.watchdog.start()

    def until(self, text):
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if text in line:
                return
        pytest.fail(f"never said {text!r}:\n" + "\n".join(self.lines))

    def end(self):
        self.lines += [line.rstrip() for line in self.process.stdout]
        self.process.stdout.close()
        code = self.process.wait()
        self.watchdog.cancel()
        return code


class Outcome(NamedTuple):
    stopped: Command
    code: int
    after_stop: Any
    raw: list[str]
    work: list[str]
    command: Command
    other: Any
    codes: tuple[int, int]
    record: Any


@pytest.fixture(scope="module")
def outcome(tmp_path_factory, empty_store, short_timing):
    folder = tmp_path_factory.mktemp("workers")
    shutil.copytree(empty_store, folder / "mlruns")
    plugin = write_plugins(folder / "plugins")["my_net"]
    path = write(
        folder,
        models=[{"name": "my_net"}],
        losses=[{"name": "l1l2", "lambda": [400, 200]}],
        plugins=[str(plugin)],
        references=["blank"],
        repeats=2,
        training={"samples": 2000, "batch_size": 8, "validations": 5, "lr": 0.003},
        timing=None,
    )
    words = ["run", str(path), "--store", str(folder / "mlruns")]

    first = Command([*words, "--workers", "2"])
    first.until("step 50/250")
    # Ctrl-C in a terminal reaches the parent and its workers alike.
    os.killpg(first.process.pid, signal.SIGINT)
    code = first.end()
    store = open_store(folder / "mlruns")
    after = read_study(store, "tiny")
    raw = [store.client.get_run(run.run_id).info.status for run in after.runs]
    work = sorted(found.name for found in (store.home / "work").rglob("*.pt"))

    second = Command([*words, "--workers", "2"])
    second.until(": training")
    other = CliRunner().invoke(app, words)
    codes = (second.end(), other.exit_code)
    return Outcome(first, code, after, raw, work, second, other, codes, read_study(store, "tiny"))


def test_ctrl_c_checkpoints_the_cells_of_all_workers_and_says_what_is_left(outcome):
    said = "\n".join(outcome.stopped.lines)
    assert outcome.code == 130, said
    assert "running cells keep their state (Ctrl-C again stops at once)" in said
    assert "of 4 cells are left; the same command continues them" in said
    assert "Traceback" not in said
    assert "RUNNING" not in outcome.raw
    begun = outcome.after_stop.rows("cell")
    assert 1 <= len(begun) <= 2
    assert {row.status for row in begun} == {"interrupted"}
    assert {row.reason for row in begun} == {"stopped by the user"}
    assert outcome.work.count("last.pt") == len(begun)


def test_every_cell_is_trained_once_by_two_commands_with_three_processes(outcome):
    said = "\n".join([*outcome.command.lines, outcome.other.output])
    assert 0 in outcome.codes, said
    rows = outcome.record.rows("cell")
    assert len(rows) == len({row.cell_id for row in rows}) == 4
    assert {row.status for row in rows} == {"done"}, said
    earlier = {row.cell_id: row.run_id for row in outcome.after_stop.rows("cell")}
    for row in rows:
        # What was stopped goes on in its own run; nothing is begun twice.
        assert row.attempt == (2 if row.cell_id in earlier else 1)
        assert earlier.get(row.cell_id, row.run_id) == row.run_id
        assert row.deaths == 0
        assert row.params["samples_seen"] == "2000"
        assert row.params["threads"] == "1" or row.tags["smlmbench.pid"] == str(os.getpid())
    pids = {row.tags["smlmbench.pid"] for row in rows}
    assert len(pids) >= 2, f"{os.getpid()}\n{said}"
    assert str(outcome.command.process.pid) not in pids
