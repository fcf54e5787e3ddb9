"""One trial of a search: a cell that is trained and scored on validation and holdout, never on the test set."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from smlmbench.errors import PrunedError
from smlmbench.inference.checkpoint import load_trained
from smlmbench.inference.devices import resolve_device
from smlmbench.run.cells.evaluation import score_conditions
from smlmbench.run.cells.run import CHECKPOINT, describe, run_cell
from smlmbench.run.cells.worker import session_of
from smlmbench.run.materials import Splits
from smlmbench.run.progress import Relay
from smlmbench.run.session import Session
from smlmbench.search.pruning import Judge, Rule
from smlmbench.study.cells import Cell
from smlmbench.study.identity import eval_id
from smlmbench.tasks.values import Scores, Tuned
from smlmbench.tracking.records import RunRecord, cell_runs
from smlmbench.tracking.runs import Run

WAIT_S = 5.0
HOLDOUT = "holdout"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a trial ended.

    Attributes:
        status: done, pruned, collapsed or failed.
        run_id: Its run.
        reason: Why it is not done, or "".
        metrics: Numbers on validation and holdout.
        params: Those of its run that cost: n_params, samples_seen, train_s.
    """

    status: str
    run_id: str
    reason: str
    metrics: dict[str, float]
    params: dict[str, str]


def as_trial(cell: Cell, task_version: int) -> Cell:
    """The cell without anything to be tested on; the same training, so the same `cell_id`."""
    data = cell.data.model_copy(update={"tests": {}, "test_identity": {}, "apply": []})
    scored = eval_id(root_seed=cell.root_seed, tests={}, scoring=cell.scoring, task_version=task_version)
    return cell.model_copy(update={"data": data, "eval_id": scored})


def run_trial(cell: Cell, judge: Judge, session: Session, *, holdout: bool) -> Outcome:
    """Train a trial unless its settings were trained before, also as a cell of the grid, and score it.

    Args:
        cell: From `as_trial`.
        judge: Says whether to stop the training.
        session: The command.
        holdout: Score it on the holdout set, where the data have one.
    """
    primary = str(session.catalog.card("tasks", cell.task).facts["primary"])

    def watch(done: float, numbers: Mapping[str, float]) -> None:
        score = numbers.get(f"val/{primary}")
        if score is not None and judge.is_hopeless(done, score):
            raise PrunedError(
                f"{primary} {score:.3g} after {done:.0%} of the training, worse than earlier trials there"
            )

    record = _trained(cell, session)
    while record is None:
        if run_cell(cell, session, watch) == "leave":
            session.reporter.line(f"{describe(cell)}: waiting until the other process has trained it")
            time.sleep(WAIT_S)
        record = _trained(cell, session) or _ended(cell, session)
    if holdout and record.status == "done" and f"holdout/{primary}" not in record.metrics:
        _score_holdout(cell, record, session)
        record = _trained(cell, session) or record
    shown = {key: value for key, value in record.metrics.items() if key.startswith(("val/", "holdout/"))}
    params = {key: record.params[key] for key in ("n_params", "samples_seen", "train_s") if key in record.params}
    return Outcome(record.status, record.run_id, record.reason, shown, params)


def pack_judge(judge: Judge) -> dict[str, Any]:
    """A judge as plain values."""
    return asdict(judge)


def run_trial_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A trial in a worker process; its judge opens the search's database, which must be on the same machine."""
    session = session_of(spec)
    judge = Judge(**{**spec["judge"], "rule": Rule(**spec["judge"]["rule"])})
    cell = Cell.model_validate(spec["cell"])
    if isinstance(session.reporter, Relay):
        session.reporter.cell_id = cell.cell_id
    outcome = run_trial(cell, judge, session, holdout=bool(spec["holdout"]))
    return {"status": outcome.status, "outcome": asdict(outcome)}


def _trained(cell: Cell, session: Session) -> RunRecord | None:
    """The run that has trained these settings, however it was scored."""
    runs = cell_runs(session.store, session.experiment_id, cell.cell_id)
    return next((run for run in runs if run.status == "done" and not run.superseded), None)


def _ended(cell: Cell, session: Session) -> RunRecord | None:
    runs = cell_runs(session.store, session.experiment_id, cell.cell_id)
    ends = ("pruned", "collapsed", "failed")
    return next((run for run in runs if run.status in ends and not run.superseded), None)


def _score_holdout(cell: Cell, record: RunRecord, session: Session) -> None:
    """Score the checkpoint of a run on the holdout set and log it beside its other numbers."""
    condition = session.materials.holdout(cell)
    path = record.artifact(CHECKPOINT)
    if condition is None or path is None:
        return
    trained = load_trained(path, session.catalog, resolve_device(session.scoring_device))
    splits = Splits(condition, {HOLDOUT: condition})
    nothing = (Tuned(trained.tuned), Scores({}))
    found = score_conditions(trained, cell, splits, session.catalog, lambda *_: None, nothing).tests[HOLDOUT]
    run = Run(session.store, record.run_id, experiment_id=record.experiment_id, heartbeat=False)
    run.log_metrics({f"holdout/{name}": value for name, value in found.values.items()})
    run.flush()
