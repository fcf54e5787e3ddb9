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
from smlmbench.run.cells.worker import unpacked
from smlmbench.run.materials import Splits
from smlmbench.run.session import Session
from smlmbench.search.pruning import Judge, Rule
from smlmbench.study.cells import Cell
from smlmbench.study.identity import eval_id
from smlmbench.tasks.contracts import Scores, Tuned
from smlmbench.tracking.records import RunRecord, cell_runs
from smlmbench.tracking.runs import Run

WAIT_S = 5.0
HOLDOUT = "holdout"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a trial ended."""

    status: str  # done, pruned, collapsed or failed
    run_id: str
    reason: str  # why it is not done, or ""
    metrics: dict[str, float]  # on validation and holdout
    params: dict[str, str]  # of its run, those that cost: n_params, samples_seen, train_s


def as_trial(cell: Cell, task_version: int) -> Cell:
    """The cell without anything to be tested on; the same training, so the same `cell_id`."""
    data = cell.data.model_copy(update={"tests": {}, "test_identity": {}, "apply": []})
    scored = eval_id(root_seed=cell.root_seed, tests={}, scoring=cell.scoring, task_version=task_version)
    return cell.model_copy(update={"data": data, "eval_id": scored})


def run_trial(cell: Cell, judge: Judge, session: Session, *, holdout: bool) -> dict[str, Any]:
    """Train a cell from `as_trial` unless its settings were trained before, also as a cell of the grid, and score it.

    The judge says whether to stop the training; `holdout` scores it on the holdout set too, where the data have one.

    Returns:
        status, and the outcome as plain values.
    """
    primary = str(session.catalog.card("tasks", cell.task).facts["primary"])

    def watch(done: float, numbers: Mapping[str, float]) -> None:
        score = numbers.get(f"val/{primary}")
        if score is not None and judge.is_hopeless(done, score):
            said = f"{primary} {score:.3g} after {done:.0%} of the training"
            raise PrunedError(f"{said}, worse than earlier trials there")

    record = _ended_as(cell, session, "done")
    while record is None:
        if run_cell(cell, session, watch) == "leave":
            session.reporter.line(f"{describe(cell)}: waiting until the other process has trained it")
            time.sleep(WAIT_S)
        record = _ended_as(cell, session, "done") or _ended_as(cell, session, "pruned", "collapsed", "failed")
    if holdout and record.status == "done" and f"holdout/{primary}" not in record.metrics:
        _score_holdout(cell, record, session)
        record = _ended_as(cell, session, "done") or record
    shown = {key: value for key, value in record.metrics.items() if key.startswith(("val/", "holdout/"))}
    params = {key: record.params[key] for key in ("n_params", "samples_seen", "train_s") if key in record.params}
    outcome = Outcome(record.status, record.run_id, record.reason, shown, params)
    return {"status": outcome.status, "outcome": asdict(outcome)}


def run_trial_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A trial in a worker process; its judge opens the search's database, which must be on the same machine."""
    judge = Judge(**{**spec["judge"], "rule": Rule(**spec["judge"]["rule"])})
    cell, session = unpacked(spec)
    return run_trial(cell, judge, session, holdout=bool(spec["holdout"]))


def _ended_as(cell: Cell, session: Session, *ends: str) -> RunRecord | None:
    """The run of these settings that has ended so, however it was scored."""
    runs = cell_runs(session.store, session.experiment_id, cell.cell_id)
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
