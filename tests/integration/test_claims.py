"""Two processes on one study and store never work on one cell at the same time, nor train it twice."""

import multiprocessing
import os
import signal
import sys

import pytest

from smlmbench.tracking.claims import Row, claim, reap
from smlmbench.tracking.records import cell_runs, read_study
from smlmbench.tracking.store import open_store

CELLS = [f"cell{n:02d}" for n in range(20)]


def race(home, number, gate, answers, dies):
    """Claim every cell at the same moment as the other process, twice; then perhaps die while holding one more."""
    store = open_store(home, create=False)
    assert store.client is not None
    rounds = []
    for _ in range(2):
        won = {}
        for index, cell_id in enumerate(CELLS):
            gate.wait(60)
            mine = claim(store, number, Row(cell_id, "eval", cell_id))
            gate.wait(60)
            if mine.run is None:
                continue
            won[cell_id] = (mine.decision.kind, mine.run.run_id)
            mine.run.log_metrics({"train/loss": 1.0})
            mine.run.terminate("done" if index % 2 else "interrupted")
        gate.wait(60)
        rounds.append(won)
    answers.put((rounds, "torch" in sys.modules))
    answers.close()
    answers.join_thread()
    if dies and claim(store, number, Row("victim", "eval", "victim")).run is not None:
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def answers_of_two(store):
    number = store.ensure_experiment("fish")
    context = multiprocessing.get_context("spawn")
    gate, answers = context.Barrier(2), context.Queue()
    processes = [context.Process(target=race, args=(store.home, number, gate, answers, dies)) for dies in (True, False)]
    for process in processes:
        process.start()
    try:
        told = [answers.get(timeout=150) for _ in processes]
        for process in processes:
            process.join(60)
    finally:
        for process in processes:
            process.kill()
    return store, number, told, sorted(process.exitcode for process in processes)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kills a process with a signal")
def test_two_processes_share_twenty_cells(answers_of_two):
    store, number, told, codes = answers_of_two
    assert [torch_there for _, torch_there in told] == [False, False]

    first, second = ([rounds[turn] for rounds, _ in told] for turn in range(2))
    assert sorted([*first[0], *first[1]]) == CELLS
    assert {kind for won in first for kind, _ in won.values()} == {"new"}

    # Cells that were interrupted are continued in their own run by one process; finished ones are kept by both.
    assert sorted([*second[0], *second[1]]) == CELLS[::2]
    runs = {cell: run_id for won in first for cell, (_, run_id) in won.items()}
    for won in second:
        for cell, (kind, run_id) in won.items():
            assert (kind, run_id) == ("continue", runs[cell])

    study = read_study(store, "fish")
    assert sorted(run.cell_id for run in study.rows()) == sorted([*CELLS, "victim"])
    assert not [key for run in study.runs for key in run.tags if key.startswith("smlmbench.bid.")]

    # One of the two died while it held a cell, which the same command then continues.
    assert codes == [-signal.SIGKILL, 0]
    (victim,) = cell_runs(store, number, "victim")
    assert store.client.get_run(victim.run_id).info.status == "RUNNING"
    assert victim.status == "interrupted"
    assert [run.run_id for run in reap(store, number)] == [victim.run_id]
    again = claim(store, number, Row("victim", "eval", "victim"))
    assert (again.decision.kind, again.decision.run_id) == ("continue", victim.run_id)
    again.run.terminate("done")
    (victim,) = cell_runs(store, number, "victim")
    assert (victim.status, victim.attempt, victim.deaths) == ("done", 2, 1)
