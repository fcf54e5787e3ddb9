import os
import socket
import threading
import time
from dataclasses import replace

import psutil
import pytest

from smlmbench.tracking import claims, owners, tags
from smlmbench.tracking.claims import Decision, Row, claim, decide, reap
from smlmbench.tracking.owners import Heartbeat, Owner, this_process, why_stale
from smlmbench.tracking.records import RunRecord, cell_runs, record_of
from smlmbench.tracking.runs import Run

ROW = Row("cell1", "eval1", "deep_storm")


def record(status, *, eval_id="eval1", start_s=1.0, run_id="a", **held):
    """A record as the store would give it."""
    return RunRecord(
        run_id=run_id, experiment_id="1", name="row", role="cell", cell_id="cell1", eval_id=eval_id, status=status,
        reason="", attempt=1, params={}, metrics={}, tags=held, start_s=start_s, end_s=None, artifact_uri="",
        store=None,
    )  # fmt: skip


TRAINED = {tags.TRAINED: "true"}


@pytest.mark.parametrize(
    ("runs", "retry_failed", "kind"),
    [
        ([], False, "new"),
        ([record("done")], True, "keep"),
        ([record("done", eval_id="other")], False, "score"),
        ([record("running")], True, "leave"),
        ([record("interrupted")], False, "continue"),
        ([record("interrupted", **TRAINED)], False, "score"),
        ([record("pruned")], False, "new"),
        ([record("failed")], False, "keep"),
        ([record("collapsed")], False, "keep"),
        ([record("failed")], True, "new"),
        ([record("collapsed")], True, "new"),
        ([record("failed", **TRAINED)], True, "score"),
        ([record("failed", **{tags.SUPERSEDED_BY: "x"})], False, "new"),
        ([record("interrupted", **{tags.WITHDRAWN: "true"})], False, "new"),
        ([record("done"), record("running", start_s=2)], False, "leave"),
        ([record("done"), record("failed", start_s=2)], False, "keep"),
        ([record("failed"), record("interrupted", start_s=2)], False, "continue"),
        ([record("pruned"), record("interrupted")], False, "continue"),
    ],
)
def test_decisions(runs, retry_failed, kind):
    assert decide(runs, "eval1", retry_failed=retry_failed).kind == kind


def test_a_pruned_trial_stands_for_itself_and_the_newest_run_is_taken():
    assert decide([record("pruned")], "eval1", keep_pruned=True) == Decision("keep", "a")
    runs = [record("interrupted", start_s=1), record("interrupted", start_s=3, run_id="b")]
    assert decide(runs, "eval1") == Decision("continue", "b")
    runs = [record("done", eval_id="x", start_s=9), record("done", run_id="b")]
    assert decide(runs, "eval1") == Decision("keep", "b")


def held_by(owner, age_s=0.0):
    return {**owner.tags(), tags.HEARTBEAT: str(time.time() - age_s)}


def test_this_process_is_alive_and_an_earlier_one_of_its_pid_is_not():
    me = this_process()
    assert (me.host, me.pid) == (socket.gethostname(), os.getpid())
    assert why_stale(held_by(me)) is None
    earlier = replace(me, process_start_s=me.process_start_s - 1000)
    assert why_stale(held_by(earlier)) == f"process {me.pid} on {me.host} has ended"


def test_a_process_that_ended_is_stale(monkeypatch):
    def gone(pid):
        raise psutil.NoSuchProcess(pid)

    monkeypatch.setattr(owners.psutil, "Process", gone)
    assert "has ended" in why_stale(held_by(Owner(socket.gethostname(), 77, 5.0)))


@pytest.mark.parametrize(("age_s", "stale"), [(0, False), (100, False), (590, False), (610, True)])
def test_a_process_elsewhere_is_stale_after_ten_minutes(age_s, stale):
    said = why_stale(held_by(Owner("another-host", 1, 5.0), age_s))
    assert (said is not None) == stale
    if stale:
        assert said == "no heartbeat from process 1 on another-host for 10 min"


def test_a_run_of_somebody_else_is_never_stale():
    assert why_stale({}) is None
    assert why_stale({tags.HOST: "h", tags.PID: "x", tags.PROCESS_START: "1"}) is None


def test_heartbeat_goes_on_after_a_failing_beat_and_stops():
    beats, enough = [], threading.Event()

    def beat():
        beats.append(1)
        if len(beats) == 3:
            enough.set()
        raise OSError("busy")

    heart = Heartbeat(beat, interval_s=0.01)
    assert enough.wait(10)
    heart.stop()
    count = len(beats)
    time.sleep(0.05)
    assert len(beats) == count


@pytest.fixture
def study(store):
    return store, store.ensure_experiment("fish")


def test_a_new_cell_is_claimed_held_and_kept(study):
    store, number = study
    mine = claim(store, number, ROW)
    assert mine.decision == Decision("new")
    (run,) = cell_runs(store, number, "cell1")
    assert (run.status, run.name, run.role, run.eval_id, run.attempt) == ("running", "deep_storm", "cell", "eval1", 1)
    assert Owner.of(run.tags).pid == os.getpid()
    assert not [key for key in run.tags if key.startswith(tags.BID)]
    assert claim(store, number, ROW) == claims.Claim(Decision("leave", run.run_id))
    mine.run.terminate("done")
    assert claim(store, number, ROW).decision == Decision("keep", run.run_id)
    assert len(cell_runs(store, number, "cell1")) == 1


def test_what_another_bidder_withdraws_is_no_attempt(study):
    store, number = study
    lost = claim(store, number, ROW).run
    store.client.set_tag(lost.run_id, tags.WITHDRAWN, "true")  # and not yet deleted
    run = claim(store, number, ROW).run
    assert record_of(store, store.client.get_run(run.run_id)).attempt == 1
    for each in (lost, run):
        each.terminate("done")


def test_an_interrupted_cell_goes_on_in_the_same_run(study):
    store, number = study
    first = claim(store, number, ROW).run
    first.terminate("interrupted", "stopped by the user")
    again = claim(store, number, ROW)
    assert again.decision == Decision("continue", first.run_id)
    (run,) = cell_runs(store, number, "cell1")
    assert (run.status, run.reason, run.attempt, run.end_s) == ("running", "", 2, None)
    again.run.terminate("done")
    assert cell_runs(store, number, "cell1")[0].status == "done"


def test_a_cell_is_scored_again_never_trained_again(study):
    store, number = study
    first = claim(store, number, ROW).run
    first.mark_trained()
    first.terminate("done")
    again = claim(store, number, replace(ROW, eval_id="eval2"))
    assert again.decision == Decision("score", first.run_id)
    again.run.terminate("interrupted")
    again = claim(store, number, replace(ROW, eval_id="eval2"))
    assert again.decision.kind == "score"
    again.run.terminate("done")
    assert claim(store, number, replace(ROW, eval_id="eval2")).decision.kind == "keep"


def test_a_retry_is_a_new_run_that_stands_for_the_failed_one(study):
    store, number = study
    first = claim(store, number, ROW).run
    first.terminate("failed", "out of memory")
    assert claim(store, number, ROW).decision.kind == "keep"
    again = claim(store, number, ROW, retry_failed=True)
    assert again.decision == Decision("new")
    old = record_of(store, store.client.get_run(first.run_id))
    assert (old.status, old.reason, old.superseded) == ("failed", "out of memory", True)
    again.run.terminate("failed")
    assert claim(store, number, ROW).decision == Decision("keep", again.run.run_id)
    assert record_of(store, store.client.get_run(again.run.run_id)).attempt == 2


def abandoned(store, number, owner=None):
    """A run that its process, which has ended, left RUNNING."""
    run = claim(store, number, ROW).run
    run._heartbeat.stop()
    run.set_tags((owner or Owner(socket.gethostname(), os.getpid(), 5.0)).tags())
    return run.run_id


def test_the_cell_of_a_dead_process_is_continued_at_once(study):
    store, number = study
    run_id = abandoned(store, number)
    again = claim(store, number, ROW)
    assert again.decision == Decision("continue", run_id)
    again.run.terminate("done")
    assert record_of(store, store.client.get_run(run_id)).deaths == 1


def test_reaping_closes_only_what_is_stale(study):
    store, number = study
    run_id = abandoned(store, number)
    alive = claim(store, number, replace(ROW, cell_id="cell2")).run
    assert [run.run_id for run in reap(store, number)] == [run_id]
    assert store.client.get_run(alive.run_id).info.status == "RUNNING"
    dead = record_of(store, store.client.get_run(run_id))
    assert (dead.status, dead.deaths) == ("interrupted", 1)
    assert "has ended" in dead.reason
    assert dead.end_s is not None
    assert reap(store, number) == []
    again = claim(store, number, ROW)
    again.run.terminate("done")
    alive.terminate("done")
    assert record_of(store, store.client.get_run(run_id)).deaths == 1


def bid_of(store, run_id, token, made_ms, owner=None):
    bid = claims._Bid(made_ms, token, owner or this_process(), run_id)
    store.client.set_tag(run_id, bid.tag, bid.text())
    return bid


def test_an_earlier_bidder_wins_and_nothing_of_the_loser_stays(study):
    store, number = study
    run = claim(store, number, ROW).run
    run.terminate("interrupted")
    bid_of(store, run.run_id, "f" * 32, int(time.time() * 1000) - 1000)
    assert claim(store, number, ROW) == claims.Claim(Decision("leave"))
    (left,) = cell_runs(store, number, "cell1")
    assert [key for key in left.tags if key.startswith(tags.BID)] == [tags.BID + "f" * 32]


def test_the_fresh_run_of_a_loser_is_deleted(study, monkeypatch):
    store, number = study
    place = claims._place

    def after_another(store, number, row, decision, runs):
        mine = place(store, number, row, decision, runs)
        theirs = place(store, number, row, decision, runs)
        bid_of(store, theirs.run_id, theirs.token, mine.made_ms - 1000, theirs.owner)
        return mine

    monkeypatch.setattr(claims, "_place", after_another)
    assert claim(store, number, ROW) == claims.Claim(Decision("leave"))
    assert len(cell_runs(store, number, "cell1")) == 1


def test_a_later_bidder_is_waited_for_and_a_dead_one_is_not(study):
    store, number = study
    run = claim(store, number, ROW).run
    run.terminate("interrupted")
    soon = int(time.time() * 1000) + 60_000
    later = bid_of(store, run.run_id, "f" * 32, soon)
    bid_of(store, run.run_id, "0" * 32, 5, Owner(socket.gethostname(), os.getpid(), 5.0))
    timer = threading.Timer(0.5, lambda: store.client.delete_tag(run.run_id, later.tag))
    timer.start()
    start = time.monotonic()
    again = claim(store, number, ROW)
    assert time.monotonic() - start > 0.4
    assert again.decision.kind == "continue"
    timer.join()
    again.run.terminate("done")


def test_a_cell_that_was_finished_meanwhile_is_kept(study, monkeypatch):
    store, number = study
    search = claims.cell_runs
    turns = iter([True])

    def late(store, number, cell_id):
        found = search(store, number, cell_id)
        if next(turns, False):
            other = claims._place(store, number, ROW, Decision("new"), [])
            store.client.delete_tag(other.run_id, other.tag)
            Run(store, other.run_id, experiment_id=number).terminate("done")
        return found

    monkeypatch.setattr(claims, "cell_runs", late)
    assert claim(store, number, ROW).decision.kind == "keep"
