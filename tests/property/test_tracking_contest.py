"""The contest for a cell under every order of the bidders' steps, also where one reading mixes two moments."""

import random
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smlmbench.tracking import claims, runs, tags
from smlmbench.tracking.claims import Row, claim

ROW = Row("cell", "eval", "row")


class Turns:
    """Lets one thread at a time take one step, in an order drawn from a seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.gates = {}
        self.back = threading.Semaphore(0)

    def step(self):
        gate = self.gates.get(threading.current_thread())
        if gate is not None:
            self.back.release()
            gate.acquire()

    def run(self, works):
        threads = [threading.Thread(target=self._run, args=(work,)) for work in works]
        self.gates = {thread: threading.Semaphore(0) for thread in threads}
        for thread in threads:
            thread.start()
        for _ in threads:
            self.back.acquire()
        waiting = list(threads)
        while waiting:
            thread = self.random.choice(waiting)
            self.gates[thread].release()
            self.back.acquire()
            waiting = [each for each in waiting if each not in self.ended]

    ended = ()

    def _run(self, work):
        self.step()
        try:
            work()
        finally:
            self.ended = (*self.ended, threading.current_thread())
            self.back.release()


class FakeClient:
    """MLflow's store in memory; a search reads all statuses first and all tags later."""

    def __init__(self, turns, answers_get_lost):
        self.turns, self.answers_get_lost = turns, answers_get_lost
        self.runs = {}

    def create_run(self, experiment_id, tags, run_name):
        made = 2 if self.answers_get_lost and self.turns.random.random() < 0.5 else 1
        for _ in range(made):
            self.turns.step()
            run_id = f"run{len(self.runs)}"
            self.runs[run_id] = {"status": "RUNNING", "tags": dict(tags), "deleted": False, "n": len(self.runs)}
        return self._entity(run_id, "RUNNING")

    def _entity(self, run_id, status):
        info = SimpleNamespace(
            run_id=run_id, experiment_id="1", run_name="row", status=status, start_time=1000 * self.runs[run_id]["n"],
            end_time=None, artifact_uri="",
        )  # fmt: skip
        return SimpleNamespace(
            info=info, data=SimpleNamespace(tags=dict(self.runs[run_id]["tags"]), params={}, metrics={})
        )

    def get_run(self, run_id):
        self.turns.step()
        return self._entity(run_id, self.runs[run_id]["status"])

    def search_runs(self, experiment_ids, condition, max_results, order_by, page_token):
        self.turns.step()
        statuses = {run_id: run["status"] for run_id, run in self.runs.items() if not run["deleted"]}
        self.turns.step()
        found = [self._entity(run_id, status) for run_id, status in statuses.items()]
        page = type("Page", (list,), {"token": None})
        return page(found)

    def set_tag(self, run_id, key, value):
        self.turns.step()
        self.runs[run_id]["tags"][key] = value

    def delete_tag(self, run_id, key):
        self.turns.step()
        self.runs[run_id]["tags"].pop(key, None)

    def log_batch(self, run_id, metrics=(), params=(), tags=()):
        self.turns.step()
        self.runs[run_id]["tags"].update({tag.key: tag.value for tag in tags})

    def update_run(self, run_id, status):
        self.turns.step()
        self.runs[run_id]["status"] = status

    def set_terminated(self, run_id, status):
        self.update_run(run_id, status)

    def delete_run(self, run_id):
        self.turns.step()
        self.runs[run_id]["deleted"] = True


def contest(seed, bidders, turns_each, first_end=None, answers_get_lost=False):
    """Let threads claim one cell; returns the client and for each claim won its decision, run and end."""
    turns = Turns(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "Heartbeat", lambda beat: SimpleNamespace(stop=lambda: None))
        patch.setattr(
            claims,
            "time",
            SimpleNamespace(
                sleep=lambda seconds: turns.step(), monotonic=time.monotonic, time=time.time, time_ns=time.time_ns
            ),
        )
        return held_contest(turns, bidders, turns_each, first_end, answers_get_lost)


def held_contest(turns, bidders, turns_each, first_end, answers_get_lost):
    client = FakeClient(turns, answers_get_lost)
    store = SimpleNamespace(client=client, served=answers_get_lost, home=Path("nowhere"))
    if first_end is not None:
        claim(store, "1", ROW).run.terminate(first_end)
    active, won, errors = [], [], []

    def work():
        try:
            for _ in range(turns_each):
                mine = claim(store, "1", ROW)
                if mine.run is None:
                    continue
                active.append(mine)
                assert len(active) == 1, [each.decision for each in active]
                for _ in range(turns.random.randrange(12)):
                    turns.step()
                end = turns.random.choice(["done", "interrupted", "interrupted"])
                won.append((mine.decision.kind, mine.run.run_id, end))
                active.remove(mine)
                mine.run.terminate(end)
        except BaseException as error:
            errors.append(error)

    turns.run([work] * bidders)
    assert errors == []
    return client, won


@settings(deadline=None, max_examples=150)
@given(seed=st.integers(0, 2**32), bidders=st.integers(2, 4), answers_get_lost=st.booleans())
def test_a_fresh_cell_has_one_holder_at_a_time_and_one_run(seed, bidders, answers_get_lost):
    client, won = contest(seed, bidders, turns_each=2, answers_get_lost=answers_get_lost)
    kinds = [kind for kind, _, _ in won]
    assert kinds[:1] in (["new"], [])
    assert set(kinds[1:]) <= {"continue"}
    assert [end for _, _, end in won[:-1]].count("done") == 0
    left = [run for run in client.runs.values() if not run["deleted"]]
    assert len(left) <= 1
    assert not [key for run in left for key in run["tags"] if key.startswith(tags.BID)]


@settings(deadline=None, max_examples=150)
@given(seed=st.integers(0, 2**32), bidders=st.integers(2, 4))
def test_an_interrupted_cell_has_one_holder_at_a_time_and_stays_one_run(seed, bidders):
    client, won = contest(seed, bidders, turns_each=2, first_end="interrupted")
    assert {(kind, run_id) for kind, run_id, _ in won} == {("continue", "run0")}
    assert list(client.runs) == ["run0"]


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32))
def test_of_those_that_ask_at_once_one_gets_it(seed):
    _, won = contest(seed, 3, turns_each=1)
    assert len(won) >= 1
