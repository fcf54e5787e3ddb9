"""The trainings of a plan over the slots that a command has: this process, or workers."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smlmbench import engine
from smlmbench.engine import Hooks
from smlmbench.engine.contracts import PLANNED
from smlmbench.errors import EngineError, StoreError
from smlmbench.run.cells.run import describe, row_of
from smlmbench.run.cells.worker import outcome, pack_cell, pack_session, run_spec
from smlmbench.run.progress import retell
from smlmbench.run.session import Session
from smlmbench.study.cells import Cell
from smlmbench.tracking.claims import bury, decide
from smlmbench.tracking.records import RunRecord, cell_runs, read_study

if TYPE_CHECKING:
    from smlmbench.engine.dask import Workers

NAMED_ROWS = 50
ENDED_WELL = "done"
LEFT = "left"
WAIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Slots:
    """Where cells run.

    Attributes:
        workers: Processes on this machine, or jobs; 1 without the others is this process.
        scheduler: Address of a scheduler that runs already.
        cluster: `cluster.yaml` of a job queue.
    """

    workers: int | None = None
    scheduler: str | None = None
    cluster: Path | None = None

    @property
    def inline(self) -> bool:
        """Whether cells run in this process."""
        return self.scheduler is None and self.cluster is None and (self.workers or 1) == 1


INLINE = Slots()


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
        raise StoreError(
            f"workers on other machines cannot use the store {uri}; run `mlflow server --host 0.0.0.0` where they "
            "reach it and give --tracking-uri http://HOST:PORT"
        )


def is_afar(slots: Slots) -> bool:
    """Whether workers may be on other machines."""
    from smlmbench.engine.clusters import is_local

    return slots.cluster is not None or (slots.scheduler is not None and not is_local(slots.scheduler))


def train(cells: Sequence[Cell], session: Session, slots: Slots, max_hours: float | None) -> None:
    """Run what is left of the cells, each once and after what it needs.

    Raises:
        KeyboardInterrupt: After the running cells kept their state.
        EngineError: Workers do not start, or their scheduler has gone away.
        StoreLostError: The store has gone away.
    """
    until = None if max_hours is None else time.monotonic() + 3600 * max_hours
    kept = _kept(cells, session)
    left = [cell for cell in cells if cell.cell_id not in kept]
    _say_kept(cells, kept, session)
    if not left:
        return
    hooks = Hooks(may_begin=lambda: until is None or time.monotonic() < until)
    with ExitStack() as stack:
        stack.callback(session.reporter.close)
        workers = None if slots.inline else stack.enter_context(open_workers(slots, session))
        while left:
            work = _Work(left, session, kept)
            work.show_counts()
            _map(work, workers, replace(hooks, settled=kept))
            waited = _wait_for_teachers(work, hooks)
            kept = _kept(cells, session) if waited else kept
            left = [cell for cell in waited if cell.cell_id not in kept]


def _map(work: "_Work", workers: "Workers | None", hooks: Hooks) -> None:
    """Run the cells of some work, here or in the workers."""
    if workers is None:
        engine.map_cells(
            lambda spec: outcome(work.cells[spec["id"]], work.session),
            work.specs(),
            on_result=work.on_result,
            hooks=hooks,
        )
        return
    packed = work.packed(workers.job)
    hooks = replace(
        hooks,
        pack=lambda spec: pack_cell(work.cells[spec["id"]], packed),
        on_event=work.on_event,
        on_death=work.on_death,
    )
    workers.map_cells(run_spec, work.specs(), on_result=work.on_result, hooks=hooks)


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


@contextmanager
def open_workers(slots: Slots, session: Session) -> "Iterator[Workers]":
    """The workers that a command asked for, until the block is left."""
    from smlmbench.engine import clusters
    from smlmbench.engine.jobs import read_jobs
    from smlmbench.engine.slots import thread_count

    if slots.scheduler is not None:
        session.reporter.line(f"cells run at the scheduler {slots.scheduler}")
        with clusters.existing_workers(slots.scheduler) as workers:
            yield workers
    elif slots.cluster is not None:
        jobs = read_jobs(slots.cluster)
        session.reporter.line(f"cells run in {slots.workers or jobs.jobs} jobs of {jobs.kind}")
        with clusters.queued_workers(jobs, slots.workers) as workers:
            yield workers
    else:
        count = slots.workers or 1
        session.reporter.line(f"starting {count} workers with {thread_count(count)} threads each ...")
        with clusters.local_workers(count) as workers:
            yield workers


def width(slots: Slots, workers: "Workers") -> int:
    """How many trainings run at a time; a queue's jobs are counted before they have begun."""
    from smlmbench.engine.jobs import read_jobs

    if slots.workers is not None:
        return slots.workers
    return read_jobs(slots.cluster).jobs if slots.cluster is not None else max(1, len(workers.client.nthreads()))


class _Work:
    """What is left of a study, and how it goes on."""

    def __init__(self, cells: Sequence[Cell], session: Session, kept: Mapping[str, str]) -> None:
        self.cells = {cell.cell_id: cell for cell in cells}
        self.job = ""
        self._labels = {cell.cell_id: describe(cell) for cell in cells}
        self.session = session
        self._statuses: dict[str, str] = {}
        self._ends: Counter[str] = Counter(kept.values())
        self._left = len(cells)

    def specs(self) -> list[dict[str, Any]]:
        """Light specs; what travels is made when a cell's turn has come."""
        return [{"id": number, "needs": list(cell.needs)} for number, cell in self.cells.items()]

    def packed(self, job: str) -> dict[str, Any]:
        """The session as it travels to the workers of a job."""
        self.job = job
        return pack_session(self.session, job)

    def waiting(self) -> tuple[list[Cell], list[Cell]]:
        """Cells that another process has, and those that were not begun because they need one of them."""
        gone = {number for number, status in self._statuses.items() if status == LEFT}
        held = [
            cell
            for cell in self.cells.values()
            if self._statuses.get(cell.cell_id) == PLANNED and gone.intersection(cell.needs)
        ]
        needs = {number for cell in held for number in cell.needs}
        return [self.cells[number] for number in self.cells if number in gone & needs], held

    def show_counts(self) -> None:
        failed = self._ends["failed"] + self._ends["collapsed"] + self._ends["blocked"]
        self.session.reporter.counts({"done": self._ends[ENDED_WELL], "failed": failed, "left": self._left})

    def on_event(self, message: Mapping[str, Any]) -> None:
        retell(self.session.reporter, message, self._labels)

    def on_result(self, spec: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        number, status, reason = str(spec["id"]), str(result["status"]), result.get("reason")
        self._ends[status] += 1
        self._statuses[number] = status
        if status in (ENDED_WELL, "failed", "collapsed", "blocked"):
            self._left -= 1
        self.session.reporter.drop(number)
        self.show_counts()
        if result.get("given_up"):  # its worker could not write it
            bury(
                self.session.store,
                self.session.experiment_id,
                row_of(self.cells[number], self.job),
                str(reason),
                failed=True,
            )
        if reason and status != PLANNED:
            self.session.reporter.line(f"{self._labels[number]}: {status}: {reason}")

    def on_death(self, spec: Mapping[str, Any], reason: str) -> None:
        row = row_of(self.cells[str(spec["id"])], self.job)
        bury(self.session.store, self.session.experiment_id, row, reason, failed=False)


def _kept(cells: Sequence[Cell], session: Session) -> dict[str, str]:
    """Status by cell_id of the cells that need nothing, from one reading of the store."""
    runs: dict[str, list[RunRecord]] = {}
    for run in read_study(session.store, cells[0].study).runs if cells else ():
        if run.role == "cell":
            runs.setdefault(run.cell_id, []).append(run)
    kept: dict[str, str] = {}
    for cell in cells:
        held = runs.get(cell.cell_id, [])
        decision = decide(held, cell.eval_id, retry_failed=session.retry_failed)
        if decision.kind == "keep":
            kept[cell.cell_id] = next(run.status for run in held if run.run_id == decision.run_id)
    return kept


def _say_kept(cells: Sequence[Cell], kept: Mapping[str, str], session: Session) -> None:
    if len(kept) > NAMED_ROWS:
        session.reporter.line(f"{len(kept)} cells: done before")
        return
    for cell in cells:
        if cell.cell_id in kept:
            session.reporter.line(f"{describe(cell)}: done before")
