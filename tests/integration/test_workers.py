"""Two real worker processes with cells that need no torch: deaths, order, stopping."""

import _thread
import json
import os
import signal
import threading
import time

import engine_cells
import psutil
import pytest
from tiny_study import write
from typer.testing import CliRunner

from smlmbench.cli import app
from smlmbench.engine import Hooks
from smlmbench.engine.clusters import existing_workers, local_workers
from smlmbench.engine.slots import thread_count
from smlmbench.errors import EngineError, StoreLostError
from smlmbench.tracking.records import read_study

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="kills processes with signals"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def workers():
    with local_workers(2) as started:
        yield started


@pytest.fixture
def mapping(workers, tmp_path):
    """Map specs and keep what was told."""

    class Mapping:
        log = tmp_path / "log"

        def __init__(self):
            self.deaths, self.events, self.ended = [], [], []

        def run(self, *specs, engine=workers, **hooks):
            hooks.setdefault("on_event", self.events.append)
            return engine.map_cells(
                engine_cells.run,
                [{"log": str(self.log), **spec} for spec in specs],
                on_result=lambda spec, result: self.ended.append((spec["id"], result["status"])),
                hooks=Hooks(on_death=lambda spec, why: self.deaths.append(spec["id"]), **hooks),
            )

        def ran(self):
            return engine_cells.ran(self.log)

    return Mapping()


def test_cells_run_in_other_processes_with_their_share_of_the_cores(mapping):
    results = mapping.run(*({"id": f"c{n}"} for n in range(6)))
    assert {result["status"] for result in results} == {"done"}
    assert os.getpid() not in {result["pid"] for result in results}
    assert {result["threads"] for result in results} == {str(thread_count(2))}
    assert sorted(mapping.ran()) == [f"c{n}" for n in range(6)]
    assert sorted(mapping.ended) == [(f"c{n}", "done") for n in range(6)]


def test_a_teacher_runs_before_its_students_and_a_failed_one_holds_them_back(mapping):
    specs = [
        {"id": "student", "needs": ["teacher"]},
        {"id": "late", "needs": ["student", "elsewhere"]},
        {"id": "orphan", "needs": ["bad"]},
        {"id": "teacher"},
        {"id": "bad", "kind": "fails"},
    ]
    results = dict(zip([spec["id"] for spec in specs], mapping.run(*specs), strict=True))
    order = mapping.ran()
    assert order.index("teacher") < order.index("student") < order.index("late")
    assert "orphan" not in order
    assert results["bad"] == {"status": "failed", "reason": "the loss is not finite"}
    assert results["orphan"] == {
        "status": "blocked",
        "reason": "needs cell bad, which is failed (the loss is not finite)",
    }


def test_a_cell_whose_worker_dies_is_repeated_once_and_a_poison_cell_fails(mapping):
    specs = [{"id": "poison", "kind": "poison"}, {"id": "unlucky", "kind": "dies once"}]
    specs += [{"id": f"c{n}"} for n in range(4)]
    results = mapping.run(*specs, {"id": "bug", "kind": "bug"})
    assert [result["status"] for result in results] == ["failed", *["done"] * 5, "failed"]
    assert results[0]["reason"] == "its worker died, 2 times in a row"
    assert results[0]["given_up"]
    assert results[-1]["reason"] == "ZeroDivisionError: division by zero"
    # A worker that ends before it has begun what was sent to it is a death too, which the counts of `ran` leave out.
    assert mapping.deaths.count("poison") >= 2
    assert set(mapping.deaths) == {"poison", "unlucky"}
    ran = mapping.ran()
    assert [ran.count(name) for name in ("poison", "unlucky", "bug")] == [2, 2, 1]
    assert all(ran.count(f"c{n}") == 1 for n in range(4))


def test_cells_are_sent_ahead_and_those_that_others_wait_for_are_sent_all_the_same(mapping):
    specs = [{"id": "unlucky", "kind": "dies once"}, *({"id": f"c{n}"} for n in range(5))]

    def held_back():
        landed = {number for number, _ in mapping.ended}
        return 0 if "unlucky" in landed else 99

    results = mapping.run(*specs, held_back=held_back, ahead=1)
    assert {result["status"] for result in results} == {"done"}
    assert mapping.ran()[:2] == ["unlucky", "unlucky"]  # nothing else was begun before it had ended
    mapping.log.unlink()
    assert {result["status"] for result in mapping.run(*specs[1:], ahead=1)} == {"done"}


def test_ctrl_c_asks_the_running_cells_to_stop_and_begins_no_other(mapping):
    begun = threading.Event()

    def on_event(message):
        mapping.events.append(message)
        if message["kind"] == "moved" and not begun.is_set():
            begun.set()
            # What the terminal does: to all processes of the group, and the workers must live on.
            for pid in {int(line.split()[1]) for line in mapping.log.read_text().splitlines()}:
                os.kill(pid, signal.SIGINT)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mapping.run(*({"id": f"c{n}", "kind": "long"} for n in range(5)), on_event=on_event)
    assert 1 <= len(mapping.ran()) <= 2
    assert {status for _, status in mapping.ended} <= {"interrupted", "planned"}
    assert ("c0", "interrupted") in mapping.ended
    assert any(message["kind"] == "stopping" for message in mapping.events)
    # The same workers, not new ones, do the next mapping.
    assert mapping.deaths == []


def test_a_store_that_is_gone_ends_the_mapping_at_once(mapping):
    with pytest.raises(StoreLostError, match="the server is gone"):
        mapping.run({"id": "c0", "kind": "store lost"}, {"id": "c1", "kind": "long"}, {"id": "c2"}, {"id": "c3"})
    assert ("c1", "interrupted") in mapping.ended or "c1" not in mapping.ran()


def test_time_that_is_over_leaves_cells_planned(mapping):
    until = time.monotonic() + 0.5
    specs = [{"id": f"c{n}"} for n in range(3)]
    results = mapping.run(*specs, may_begin=lambda: time.monotonic() > until)
    assert [result["status"] for result in results] == ["planned"] * 3
    assert not mapping.log.exists()


def test_a_running_scheduler_by_its_address_and_a_wrong_one(workers, mapping):
    address = workers.client.scheduler.address
    with existing_workers(address) as there:
        results = mapping.run({"id": "c0"}, {"id": "c1", "needs": ["c0"]}, engine=there)
    assert [result["status"] for result in results] == ["done", "done"]
    with pytest.raises(EngineError, match="not an address; give for example tcp://HOST:8786"), existing_workers("x"):
        pass


@pytest.mark.slow
@pytest.mark.usefixtures("short_timing")
def test_a_study_and_a_search_at_a_running_scheduler(workers, store, tmp_path):
    """Through the command: a teacher, its student and its twin, then two trials of a search."""
    models = [{"name": "fid_storm", "blocks": 1, "width": 0.25}, {"name": "srcnn", "width": 0.25, "zero_last": False}]
    taught = {"teacher": "srcnn", "student": "fid_storm", "method": "attentive_imitation", "controls": ["plain"]}
    space = {"lambda": {"low": 200, "high": 2000}, "radius": 1, "lr": 0.003}
    path = write(
        tmp_path,
        models=models,
        references=[],
        timing=None,
        training={"samples": 48, "batch_size": 8, "validations": 2},
        distill=[taught],
        search={"trials": 2, "random_trials": 0, "pruner": "median", "startup": 1, "space": space},
    )
    words = [str(path), "--store", str(store.home), "--scheduler", workers.client.scheduler.address]
    result = CliRunner().invoke(app, ["run", *words])
    assert result.exit_code == 0, result.output
    assert "3 done" in result.stdout
    rows = {(row.params["model"], row.params["method"]): row for row in read_study(store, "tiny").rows("cell")}
    assert {row.status for row in rows.values()} == {"done"}
    student, teacher = rows["fid_storm", "attentive_imitation"], rows["srcnn", "supervised"]
    assert student.params["teacher_run"] == teacher.run_id
    assert student.start_s >= teacher.end_s
    assert str(os.getpid()) not in {row.tags["smlmbench.pid"] for row in rows.values()}
    assert all(row.params["threads"] == str(thread_count(2)) for row in rows.values())

    result = CliRunner().invoke(
        app, ["search", *words, "--set", f"models={json.dumps(models[:1])}", "--set", "distill=[]"]
    )
    assert result.exit_code == 0, result.output
    trials = [row for row in read_study(store, "tiny").rows("cell") if "optuna.trial" in row.tags]
    assert sorted(row.tags["optuna.trial"] for row in trials) == ["0", "1"]
    assert {row.status for row in trials} == {"done"}
    assert str(os.getpid()) not in {row.tags["smlmbench.pid"] for row in trials}


@pytest.mark.slow
def test_sigterm_lets_a_cell_keep_its_state_and_another_worker_goes_on(tmp_path):
    # A job queue ends a job so; the cell goes on in another job.
    with local_workers(2) as workers:
        events = []
        results = workers.map_cells(
            engine_cells.run,
            [{"id": "told", "kind": "told once", "log": str(tmp_path / "log")}],
            on_result=lambda spec, result: None,
            hooks=Hooks(on_event=events.append),
        )
    assert [result["status"] for result in results] == ["done"]
    assert engine_cells.ran(tmp_path / "log").count("told") == 2
    assert "its worker was told to end" in {message.get("reason") for message in events}


@pytest.mark.slow
@pytest.mark.parametrize("stopping", [signal.SIGINT], indirect=True)
def test_a_second_ctrl_c_does_not_wait_for_a_cell_that_does_not_listen(tmp_path, stopping):
    pressed = []

    def on_event(message):
        if message["kind"] == "moved":
            pressed.append(time.monotonic())  # workers may take long to start on a busy machine, which is no failure
            threading.Timer(0.5, _thread.interrupt_main, [stopping]).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), local_workers(2) as workers:
        workers.map_cells(
            engine_cells.run,
            [{"id": "c0", "kind": "stubborn", "log": str(tmp_path / "log")}],
            on_result=lambda spec, result: None,
            hooks=Hooks(on_event=on_event),
        )
    assert time.monotonic() - pressed[0] < 60  # the cell takes 120
    (line,) = (tmp_path / "log").read_text().splitlines()
    until = time.monotonic() + 30
    while psutil.pid_exists(int(line.split()[1])) and time.monotonic() < until:
        time.sleep(0.05)
    assert not psutil.pid_exists(int(line.split()[1]))
