"""A run that stands for the repeats of one combination: MLflow shows them below it, opened by a click.

Numbers of a parent have names of their own (`mean/efficiency`, never `test/efficiency`), and its role is `summary`: a
query for the best run, or for all runs of a model, finds trained networks alone, and readers of cells pass it by.
MLflow nests runs only where its table is sorted by date; sorted by a metric, as our shared view is, or filtered by a
query, the same runs stand side by side, so nothing is hidden by being a child.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from smlmbench.tracking import tags as names
from smlmbench.tracking.plain import param_text
from smlmbench.tracking.records import RunRecord, StudyRecord
from smlmbench.tracking.store import Store

ROLE = "summary"
PER_CALL = 1000  # metrics of one log_batch


@dataclass(frozen=True, slots=True)
class Parent:
    """What one parent says.

    Attributes:
        key: Identity of the combination.
        name: Of the run.
        params: What its repeats have in common; part of the identity.
        metrics: Means, ends of their intervals, and how many repeats they are of; finite.
        children: Runs of the repeats.
    """

    key: str
    name: str
    params: Mapping[str, object]
    metrics: Mapping[str, float]
    children: Sequence[RunRecord]


def write_parents(store: Store, record: StudyRecord, wanted: Iterable[Parent]) -> None:
    """Bring the parents of a study up to date: the same parents again write nothing.

    A parent that is there is kept and gets new numbers; one whose combination is gone, or which has a number that is
    gone (MLflow forgets none), is deleted.
    """
    ours = {run.run_id: run for run in record.runs if run.role == ROLE}
    others = {run.run_id for run in record.runs} - ours.keys()
    found = {run.tags.get(names.COMBINATION, ""): run for run in ours.values()}
    kept: dict[str, str] = {}
    for parent in wanted:
        known = found.get(parent.key)
        if known is not None and known.metrics.keys() <= parent.metrics.keys():
            _complete(store, known, parent)
            number = known.run_id
        else:
            number = _make(store, record, parent)
        for child in parent.children:
            kept[child.run_id] = number
            under = child.tags.get(names.PARENT)
            if under != number and under not in others:  # a user may have put it under a run
                store.client.set_tag(child.run_id, names.PARENT, number)
    for run in record.runs:
        with _gone_already():
            if run.run_id in ours.keys() - kept.values():
                store.client.delete_run(run.run_id)
            elif run.tags.get(names.PARENT) in ours and run.run_id not in kept:
                store.client.delete_tag(run.run_id, names.PARENT)


@contextmanager
def _gone_already() -> Iterator[None]:
    """Let another command do the same at the same time."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise


def _make(store: Store, record: StudyRecord, parent: Parent) -> str:
    """A run without an owner, which nothing takes for one that was left by a dead process."""
    tags = {**names.SOURCE, names.ROLE: ROLE, names.STUDY: record.study, names.COMBINATION: parent.key}
    begun_ms = int(1000 * min(child.start_s for child in parent.children))  # so that it stands with its repeats
    made = store.client.create_run(record.experiment_id, begun_ms, tags, parent.name)
    _write(store, made.info.run_id, parent.metrics, parent.params)
    store.client.set_terminated(made.info.run_id, end_time=_ended_ms(parent))
    return str(made.info.run_id)


def _complete(store: Store, known: RunRecord, parent: Parent) -> None:
    changed = {key: value for key, value in parent.metrics.items() if known.metrics.get(key) != value}
    missing = {key: value for key, value in parent.params.items() if key not in known.params}
    if changed or missing:
        _write(store, known.run_id, changed, missing)
    if known.status != "done" or changed:
        store.client.set_terminated(known.run_id, end_time=_ended_ms(parent))


def _write(store: Store, run_id: str, metrics: Mapping[str, float], params: Mapping[str, object]) -> None:
    from mlflow.entities import Metric, Param

    now_ms = time.time_ns() // 1_000_000
    told = [Param(key, param_text(value)) for key, value in params.items()]
    values = [Metric(key, value, now_ms, 0) for key, value in metrics.items()]
    for first in range(0, len(values) or 1, PER_CALL):
        store.client.log_batch(run_id, values[first : first + PER_CALL], told if first == 0 else [])


def _ended_ms(parent: Parent) -> int:
    return int(1000 * max(child.end_s or child.start_s for child in parent.children))
