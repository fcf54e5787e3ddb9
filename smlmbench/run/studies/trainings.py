"""The trainings of a plan over the slots that a command has: this process, or workers."""

import socket
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from smlmbench import engine
from smlmbench.addresses import command
from smlmbench.engine import Hooks, Result, Spec
from smlmbench.engine.contracts import NO_HOOKS, PLANNED, OnResult, RunCell
from smlmbench.errors import EngineError, StoreError
from smlmbench.run.cells.run import describe, row_of
from smlmbench.run.cells.worker import outcome, pack_cell, pack_session, run_spec
from smlmbench.run.progress import retell
from smlmbench.run.session import Session
from smlmbench.run.studies.asked import Slots
from smlmbench.study.cells import Cell
from smlmbench.tracking.claims import bury, decide
from smlmbench.tracking.records import RunRecord, StudyRecord, cell_runs, read_study

if TYPE_CHECKING:
    from smlmbench.engine.dask import Workers

NAMED_ROWS = 50
ENDED_WELL = "done"
LEFT = "left"
WAIT_S = 5.0


def check_slots(slots: Slots, *, uri: str, served: bool) -> None:
    """Refuse what cannot work before anything is begun.

    Raises:
        EngineError: Two places named, or `cluster.yaml` is wrong.
        StoreError: Workers on other machines cannot reach the store.
    """
    from smlmbench.engine.clusters import is_local
    from smlmbench.engine.jobs import read_jobs

    if slots.scheduler is not None and slots.cluster is not None:
        raise EngineError("--scheduler and --cluster are two places; give one of them")
    if slots.scheduler is not None and slots.workers is not None:
        raise EngineError("--workers: a scheduler has its own workers; leave it out with --scheduler")
    if slots.cluster is not None:
        read_jobs(slots.cluster).script()
    if is_afar(slots) and (not served or is_local(uri)):
        here = socket.gethostname()
        serve = command("mlflow", "server", "--host", "0.0.0.0", "--allowed-hosts", f"{here}:*,localhost:*")  # noqa: S104
        raise StoreError(
            f"workers on other machines cannot use the store {uri}; run `{serve}` where they reach it and "
            f"give --tracking-uri http://HOST:PORT, if it runs here http://{here}:5000"
        )


def is_afar(slots: Slots) -> bool:
    """Whether workers may be on other machines."""
    if slots.scheduler is None:
        return slots.cluster is not None
    from smlmbench.engine.clusters import is_local

    return slots.cluster is not None or not is_local(slots.scheduler)


def train(cells: Sequence[Cell], session: Session, slots: Slots, max_hours: float | None) -> StudyRecord | None:
    """Run what is left of the cells, each once and after what it needs.

    Returns:
        The study as it was read, where nothing was left.

    Raises:
        KeyboardInterrupt: After the running cells kept their state.
        EngineError: Workers do not start, or their scheduler has gone away.
        StoreLostError: The store has gone away.
    """
    until = None if max_hours is None else time.monotonic() + 3600 * max_hours
    record = read_study(session.store, cells[0].study) if cells else None
    kept = {} if record is None else _kept(cells, session, record)
    left = [cell for cell in cells if cell.cell_id not in kept]
    if len(kept) > NAMED_ROWS:
        session.reporter.line(f"{len(kept)} cells: done before")
    else:
        for cell in (each for each in cells if each.cell_id in kept):
            session.reporter.line(f"{describe(cell)}: done before")
    if not left:
        return record
    hooks = Hooks(may_begin=lambda: until is None or time.monotonic() < until)
    with ExitStack() as stack:
        stack.callback(session.reporter.close)
        workers = None if slots.inline else stack.enter_context(open_workers(slots, session))
        while left:
            work, settled = _Work(left, session, kept), replace(hooks, settled=kept)
            work.show_counts()
            work.map(workers, lambda cell: outcome(cell, session), run_spec, work.on_result, settled)
            waited = _wait_for_teachers(work, hooks)
            kept = _kept(cells, session, read_study(session.store, cells[0].study)) if waited else kept
            left = [cell for cell in waited if cell.cell_id not in kept]
    return None


def _wait_for_teachers(work: "_Work", hooks: Hooks) -> list[Cell]:
    """Wait while another command trains what cells of this one need.

    Returns:
        What can go on then: these cells, and what they need (free again where the other command has ended without it).
        Empty where nothing waits, or where time is over.
    """
    needed, waiting = work.waiting()
    if not waiting:
        return []
    for cell in needed:
        work.session.reporter.line(f"waiting for {describe(cell)}, which another command trains")
    while hooks.may_begin():
        if not all(_is_running(cell, work.session) for cell in needed):
            return [*needed, *waiting]
        time.sleep(WAIT_S)
    return []


def _is_running(cell: Cell, session: Session) -> bool:
    runs = cell_runs(session.store, session.experiment_id, cell.cell_id)
    return decide(runs, cell.eval_id, retry_failed=session.retry_failed).kind == "leave"


def open_workers(slots: Slots, session: Session) -> "AbstractContextManager[Workers]":
    """The workers that a command asked for, until the block is left."""
    from smlmbench.engine import clusters
    from smlmbench.engine.jobs import read_jobs
    from smlmbench.engine.slots import thread_count

    if slots.scheduler is not None:
        session.reporter.line(f"cells run at the scheduler {slots.scheduler}")
        return clusters.existing_workers(slots.scheduler)
    if slots.cluster is not None:
        jobs = read_jobs(slots.cluster)
        session.reporter.line(f"cells run in {slots.workers or jobs.jobs} jobs of {jobs.kind}")
        return clusters.queued_workers(jobs, slots.workers)
    count = slots.workers or 1
    session.reporter.line(f"starting {count} workers with {thread_count(count)} threads each ...")
    return clusters.local_workers(count)


def width(slots: Slots, workers: "Workers") -> int:
    """How many trainings run at a time; a queue's jobs are counted before they have begun."""
    from smlmbench.engine.jobs import read_jobs

    if slots.workers is not None:
        return slots.workers
    return read_jobs(slots.cluster).jobs if slots.cluster is not None else max(1, len(workers.client.nthreads()))


class Batch:
    """Cells that are run here or in workers, and what is heard of them from there."""

    def __init__(self, cells: Sequence[Cell], session: Session) -> None:
        self.cells = {cell.cell_id: cell for cell in cells}
        self.labels = {cell.cell_id: describe(cell) for cell in cells}
        self.session, self.job = session, ""

    def specs(self) -> list[dict[str, Any]]:
        """Light specs; what travels is made when a cell's turn has come."""
        return [{"id": number, "needs": list(cell.needs)} for number, cell in self.cells.items()]

    def map(
        self,
        workers: "Workers | None",
        here: Callable[[Cell], Result],
        there: RunCell,
        on_result: OnResult,
        hooks: Hooks = NO_HOOKS,
        more: Callable[[Cell], dict[str, Any]] = lambda _: {},
    ) -> None:
        """Run the cells in this process, or the specs made of them (and of what `more` adds) in the workers."""
        if workers is None:
            engine.map_cells(lambda spec: here(self.cells[spec["id"]]), self.specs(), on_result=on_result, hooks=hooks)
            return
        self.job = workers.job
        packed = pack_session(self.session, workers.job)
        hooks = replace(
            hooks,
            pack=lambda spec: pack_cell(self.cells[spec["id"]], packed) | more(self.cells[spec["id"]]),
            on_event=lambda message: retell(self.session.reporter, message, self.labels),
            on_death=lambda spec, reason: self.bury(str(spec["id"]), reason, failed=False),
        )
        workers.map_cells(there, self.specs(), on_result=on_result, hooks=hooks)

    def bury(self, number: str, reason: str, *, failed: bool) -> None:
        """Close what the dead worker of a cell has left running."""
        row = row_of(self.cells[number], self.job)
        bury(self.session.store, self.session.experiment_id, row, reason, failed=failed)


class _Work(Batch):
    """What is left of a study, and how it goes on."""

    def __init__(self, cells: Sequence[Cell], session: Session, kept: Mapping[str, str]) -> None:
        super().__init__(cells, session)
        self._statuses: dict[str, str] = {}
        self._ends: Counter[str] = Counter(kept.values())
        self._left = len(cells)

    def waiting(self) -> tuple[list[Cell], list[Cell]]:
        """Cells that another process has, and those that were not begun because they need one of them."""
        gone = {number for number, status in self._statuses.items() if status == LEFT}
        planned = [cell for number, cell in self.cells.items() if self._statuses.get(number) == PLANNED]
        held = [cell for cell in planned if gone.intersection(cell.needs)]
        needs = {number for cell in held for number in cell.needs}
        return [self.cells[number] for number in self.cells if number in gone & needs], held

    def show_counts(self) -> None:
        failed = self._ends["failed"] + self._ends["collapsed"] + self._ends["blocked"]
        self.session.reporter.counts({"done": self._ends[ENDED_WELL], "failed": failed, "left": self._left})

    def on_result(self, spec: Spec, result: Result) -> None:
        number, status, reason = str(spec["id"]), str(result["status"]), result.get("reason")
        self._ends[status] += 1
        self._statuses[number] = status
        if status in (ENDED_WELL, "failed", "collapsed", "blocked"):
            self._left -= 1
        self.session.reporter.stop(key=number)
        self.show_counts()
        if result.get("given_up"):  # its worker could not write it
            self.bury(number, str(reason), failed=True)
        if reason and status != PLANNED:
            self.session.reporter.line(f"{self.labels[number]}: {status}: {reason}")


def _kept(cells: Sequence[Cell], session: Session, record: StudyRecord) -> dict[str, str]:
    """Status by cell_id of the cells that need nothing."""
    runs: dict[str, list[RunRecord]] = defaultdict(list)
    for run in record.runs:
        if run.role == "cell":
            runs[run.cell_id].append(run)
    kept: dict[str, str] = {}
    for cell in cells:
        held = runs[cell.cell_id]
        decision = decide(held, cell.eval_id, retry_failed=session.retry_failed)
        if decision.kind == "keep":
            kept[cell.cell_id] = next(run.status for run in held if run.run_id == decision.run_id)
    return kept
