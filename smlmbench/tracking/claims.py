"""Which process may work on a cell, and what there is to do for it.

MLflow has no compare-and-set, so a claim is a small contest that needs no common clock. A process writes a bid (a tag
on the run it wants, or on a run it makes), then reads all runs of the cell. Of two bidders, the one that wrote last
sees the other's bid. A bidder that sees a lower bid withdraws; one that sees only higher bids waits until they are
withdrawn or have won; one that sees none has won. Bids are ordered by time, then by a random token, so two processes
never wait for each other, and a wrong clock costs fairness alone.
"""

import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

from smlmbench.tracking import tags as names
from smlmbench.tracking.owners import HEARTBEAT_LIMIT_S, Owner, heartbeat_tag, this_process, why_stale
from smlmbench.tracking.records import RunRecord, cell_runs, record_of, search
from smlmbench.tracking.runs import Run
from smlmbench.tracking.store import Store

Kind = Literal["keep", "score", "continue", "leave", "new"]
POLL_S = 0.05
PATIENCE_S = 30.0
ENDING_S = 10.0  # a killed process first gives its memory back
ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Decision:
    """What the same command does with a cell, and the run that it is about (None for new).

    keep: nothing to do; score: trained, not scored this way; continue: same run, from its last state; leave: another
    process works on it; new: train it in a new run.
    """

    kind: Kind
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """What is claimed."""

    cell_id: str  # identity of the cell, or of the reference
    eval_id: str  # how it shall be scored
    name: str  # of a new run
    role: Literal["cell", "reference"] = "cell"
    tags: Mapping[str, str] = field(default_factory=dict)  # more of a new run


@dataclass(frozen=True, slots=True)
class Claim:
    """The outcome: `run` is open, with a heartbeat, where there is work to do, else None."""

    decision: Decision
    run: Run | None = None


@dataclass(frozen=True, slots=True, order=True)
class _Bid:
    made_ms: int
    token: str
    owner: Owner = field(compare=False)
    run_id: str = field(compare=False)

    @property
    def tag(self) -> str:
        return names.BID + self.token

    def text(self) -> str:
        return json.dumps([self.made_ms, self.owner.host, self.owner.pid, self.owner.process_start_s])

    def is_dead(self) -> bool:
        return self.owner.is_dead() or time.time() - self.made_ms / 1000 > HEARTBEAT_LIMIT_S


def decide(
    runs: Sequence[RunRecord], eval_id: str, *, retry_failed: bool = False, keep_pruned: bool = False
) -> Decision:
    """Choose what to do with a cell from all runs of its cell_id (DESIGN section 7).

    Args:
        runs: In any order.
        eval_id: How it shall be scored.
        retry_failed: Repeat failed and collapsed cells.
        keep_pruned: The cell is a trial of a search, so a pruned run stands for it; it never does for a grid cell.
    """
    counted = [run for run in sorted(runs, key=lambda run: run.start_s, reverse=True) if not run.superseded]

    def newest(*states: str, trained: bool | None = None) -> RunRecord | None:
        return next((run for run in counted if run.status in states and trained in (None, run.trained)), None)

    choices: list[tuple[Kind, RunRecord | None]] = [
        ("leave", newest("running")),
        ("keep", next((run for run in counted if run.status == "done" and run.eval_id == eval_id), None)),
        ("score", newest("done") or newest("interrupted", trained=True)),
        ("continue", newest("interrupted")),
        ("keep", newest("pruned") if keep_pruned else None),
        ("keep", None if retry_failed else newest("failed", "collapsed")),
        ("score", newest("failed", trained=True)),
    ]
    return next((Decision(kind, run.run_id) for kind, run in choices if run is not None), Decision("new"))


def claim(
    store: Store, experiment_id: str, row: Row, *, retry_failed: bool = False, keep_pruned: bool = False
) -> Claim:
    """Take a cell if it has work to do and no other process has it.

    Two processes never get the same cell at the same time. The winner's run is RUNNING with host, pid, process start,
    attempt and heartbeat; a loser's fresh run is deleted, so nothing shows it.
    """
    chosen = partial(decide, eval_id=row.eval_id, retry_failed=retry_failed, keep_pruned=keep_pruned)
    for _ in range(ROUNDS):
        runs = cell_runs(store, experiment_id, row.cell_id)
        decision = chosen(runs)
        if decision.kind in ("keep", "leave"):
            return Claim(decision)
        bid = _place(store, experiment_id, row, decision, runs)
        outcome = "lost"
        try:
            outcome = _contest(store, experiment_id, row, bid, decision, chosen)
        finally:
            if outcome != "won":
                _withdraw(store, bid, own_run=decision.run_id is None)
            if decision.run_id is None and store.served:
                _withdraw_twins(store, experiment_id, row, bid)
        if outcome == "won":
            return Claim(decision, _hold(store, experiment_id, row, bid, decision, runs))
        if outcome == "lost":
            break
    return Claim(Decision("leave"))


def reap(store: Store, experiment_id: str) -> list[RunRecord]:
    """Mark runs that are RUNNING in the store but whose process is gone as KILLED, so that they can be continued.

    The runs come back as they were; `reason` says what became of them.
    """
    stale = [run for run in search(store, [experiment_id], "attributes.status = 'RUNNING'") if run.status != "running"]
    for run in stale:
        if why_stale(store.client.get_run(run.run_id).data.tags) is None:
            continue  # another process has just reopened it
        last_s = float(run.tags.get(names.HEARTBEAT, "0")) or time.time()
        _end(store, run, run.reason, end_ms=int(last_s * 1000))
    return stale


def bury(store: Store, experiment_id: str, row: Row, reason: str, *, failed: bool) -> bool:
    """Close what the dead worker of a cell has left running, and say whether a run was closed.

    A run of another host counts as dead where it was held for the same command (tag `smlmbench.job` of the row); one of
    this host is given some seconds to end, and is left alone while its process lives. With `failed` the cell is given
    up, else repeated: its run ends as FAILED, made where the worker had not come to make it.
    """
    job = row.tags.get(names.JOB)
    runs = [run for run in cell_runs(store, experiment_id, row.cell_id) if not run.superseded]
    closed = False
    for run in runs:
        if str(store.client.get_run(run.run_id).info.status) != "RUNNING":
            # Closed as interrupted after an earlier death, and not begun again.
            if failed and not closed and run.status == "interrupted":
                closed = _end(store, run, reason, failed=True, died=0)
        elif run.status == "interrupted" or (job is not None and run.tags.get(names.JOB) == job and _has_ended(run)):
            closed = _end(store, run, reason, failed=failed)
    if failed and not closed and not runs:
        store.client.set_terminated(_make(store, experiment_id, row, 1, {names.REASON: reason}), "FAILED")
        closed = True
    return closed


def _has_ended(run: RunRecord) -> bool:
    """Whether the process of a run has ended, as far as can be known here; waits for one that is ending."""
    owner = Owner.of(run.tags)
    if owner is None or owner.host != this_process().host:
        return True
    until = time.monotonic() + ENDING_S
    while time.monotonic() < until:
        if owner.is_dead():
            return True
        time.sleep(POLL_S)
    return False


def _end(
    store: Store, run: RunRecord, reason: str, *, failed: bool = False, died: int = 1, end_ms: int | None = None
) -> bool:
    store.client.set_tag(run.run_id, names.REASON, reason)
    store.client.set_tag(run.run_id, names.DEATHS, str(run.deaths + died))
    store.client.set_terminated(run.run_id, "FAILED" if failed else "KILLED", end_time=end_ms)
    return True


def _place(store: Store, experiment_id: str, row: Row, decision: Decision, runs: Sequence[RunRecord]) -> _Bid:
    bid = _Bid(time.time_ns() // 1_000_000, uuid.uuid4().hex, this_process(), decision.run_id or "")
    if decision.run_id is not None:
        store.client.set_tag(decision.run_id, bid.tag, bid.text())
        return bid
    begun = [run.attempt for run in runs if names.WITHDRAWN not in run.tags]
    attempt = 1 + max(begun, default=0)
    return replace(bid, run_id=_make(store, experiment_id, row, attempt, {bid.tag: bid.text()}))


def _make(store: Store, experiment_id: str, row: Row, attempt: int, more: Mapping[str, str]) -> str:
    """Create a run of a row; its id."""
    held = {**names.SOURCE, **row.tags, **_held_tags(row, attempt), names.ROLE: row.role, names.CELL_ID: row.cell_id}
    return str(store.client.create_run(experiment_id, tags={**held, **more}, run_name=row.name).info.run_id)


def _held_tags(row: Row, attempt: int) -> dict[str, str]:
    return {names.EVAL_ID: row.eval_id, names.ATTEMPT: str(attempt), **this_process().tags(), **heartbeat_tag()}


def _contest(
    store: Store, experiment_id: str, row: Row, bid: _Bid, decision: Decision, chosen: Callable[..., Decision]
) -> Literal["won", "lost", "changed"]:
    """Wait until the bid has won or lost; changed means that there is something else to do for the cell now."""
    until, clean = time.monotonic() + PATIENCE_S, 0
    while True:
        runs = [run for run in cell_runs(store, experiment_id, row.cell_id) if not run.superseded]
        others = [run for run in runs if decision.run_id is not None or bid.tag not in run.tags]
        bids = [other for run in runs for other in _bids(run) if other.token != bid.token and not other.is_dead()]
        if any(other < bid for other in bids):
            return "lost"
        if not bids:
            if chosen(others) != decision:
                return "changed"
            # MLflow reads status and tags one after the other, so one reading can mix the moments before and after
            # another bidder's win. Only one bidder can have won unseen, so a second reading cannot be mixed as well.
            clean += 1
            if clean == 2:
                return "won"
            continue
        if time.monotonic() > until:
            return "lost"
        clean = 0
        time.sleep(POLL_S)


def _bids(run: RunRecord) -> list[_Bid]:
    found = []
    for key, value in run.tags.items():
        if key.startswith(names.BID):
            made_ms, host, pid, start_s = json.loads(value)
            found.append(_Bid(int(made_ms), key.removeprefix(names.BID), Owner(host, pid, start_s), run.run_id))
    return found


def _withdraw(store: Store, bid: _Bid, *, own_run: bool) -> None:
    if own_run:
        store.client.set_tag(bid.run_id, names.WITHDRAWN, "true")
        store.client.set_terminated(bid.run_id, "KILLED")
        store.client.delete_run(bid.run_id)
    else:
        _remove_tags(store, bid.run_id, [bid.tag])


def _withdraw_twins(store: Store, experiment_id: str, row: Row, bid: _Bid) -> None:
    """A server whose answer was lost on the way was asked again, and has made a fresh run twice."""
    for run in cell_runs(store, experiment_id, row.cell_id):
        if bid.tag in run.tags and run.run_id != bid.run_id:
            _withdraw(store, replace(bid, run_id=run.run_id), own_run=True)


def _hold(store: Store, experiment_id: str, row: Row, bid: _Bid, decision: Decision, runs: Sequence[RunRecord]) -> Run:
    """Turn a won bid into a running run; until the last line the bid keeps others away."""
    if decision.run_id is not None:
        found = store.client.get_run(decision.run_id)
        target = record_of(store, found)
        held = {**row.tags, **_held_tags(row, target.attempt + 1)}
        if decision.kind == "score":
            held[names.TRAINED] = "true"
        if str(found.info.status) == "RUNNING":
            held[names.DEATHS] = str(target.deaths + 1)
        gone = [key for key in target.tags if key in (names.REASON, names.OUTCOME, names.NOT_LOGGED)]
        dead = [other.tag for other in _bids(target) if other.is_dead()]
        _remove_tags(store, target.run_id, gone + dead)
        run = Run(store, target.run_id, experiment_id=experiment_id)
        run.set_tags(held)
        store.client.update_run(target.run_id, status="RUNNING")
        run.recall()
    else:
        run = Run(store, bid.run_id, experiment_id=experiment_id)
        for old in (each for each in runs if each.status in ("failed", "collapsed") and not each.superseded):
            store.client.set_tag(old.run_id, names.SUPERSEDED_BY, bid.run_id)
    _remove_tags(store, bid.run_id, [bid.tag])
    return run


def _remove_tags(store: Store, run_id: str, keys: Sequence[str]) -> None:
    from mlflow.exceptions import MlflowException

    for key in keys:
        try:
            store.client.delete_tag(run_id, key)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
