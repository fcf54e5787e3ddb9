"""Reading the store: runs as plain records, studies, and the run that a user means."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from smlmbench.errors import StoreError, suggest
from smlmbench.tracking import tags as names
from smlmbench.tracking.owners import why_stale
from smlmbench.tracking.store import Store

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.entities import Run as MlflowRun

Status = Literal["done", "running", "interrupted", "pruned", "failed", "collapsed"]
PAGE = 1000


@dataclass(frozen=True)
class RunRecord:
    """One run as it was when it was read; "" where there is no identity or reason."""

    run_id: str  # MLflow's
    experiment_id: str
    name: str  # shown in the UI
    role: str  # study, cell, reference, search or summary
    cell_id: str  # identity of the row; a reference has its own id here
    eval_id: str  # how it was scored
    status: Status  # ours, see DESIGN section 7; a stale running run reads as interrupted
    reason: str  # why it failed, collapsed, was pruned or interrupted
    attempt: int  # 1 for the first
    params: Mapping[str, str]  # one that a later scoring changed has its last value
    metrics: Mapping[str, float]  # last value of each
    tags: Mapping[str, str] = field(repr=False)  # all of them, MLflow's too
    start_s: float  # since 1970
    end_s: float | None  # None while it runs and where its process died
    artifact_uri: str  # as stored
    store: Store = field(repr=False, compare=False)

    @property
    def superseded(self) -> bool:
        """Whether it stands for nothing: a later attempt (`--retry-failed`) does, or it lost the claim of its cell."""
        return names.SUPERSEDED_BY in self.tags or names.WITHDRAWN in self.tags

    @property
    def deaths(self) -> int:
        """How many times its process ended without closing it."""
        return int(self.tags.get(names.DEATHS, "0"))

    @property
    def trained(self) -> bool:
        """Whether its training is over, so that only scoring may be missing."""
        return self.tags.get(names.TRAINED) == "true"

    def artifact(self, relative: str) -> Path | None:
        """Local path of an artifact, or None; found also where the store was moved."""
        return self.store.artifact_path(self.artifact_uri, relative)

    def artifacts(self, relative: str = "") -> list[str]:
        """POSIX paths of all its artifact files below `relative`, sorted."""
        root = self.artifact("")
        if root is None:
            return []
        return sorted(path.relative_to(root).as_posix() for path in (root / relative).rglob("*") if path.is_file())

    def json(self, relative: str) -> Any:
        """A JSON artifact, or None where it is absent."""
        path = self.artifact(relative)
        return None if path is None else json.loads(path.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class StudyRecord:
    """Everything the store knows about a study."""

    study: str
    experiment_id: str
    runs: Sequence[RunRecord]  # all of them, newest first, also superseded ones

    @cached_property
    def _planned(self) -> RunRecord | None:
        with_plan = (run for run in self.runs if run.role == "study" and run.artifact("plan.json") is not None)
        return next(with_plan, None)

    @cached_property
    def plan(self) -> dict[str, Any]:
        """The newest `plan.json`, or {}."""
        return dict(self._planned.json("plan.json")) if self._planned else {}

    @cached_property
    def study_text(self) -> str:
        """The `study.yaml` beside it, or ""."""
        path = self._planned.artifact("study.yaml") if self._planned else None
        return "" if path is None else path.read_text(encoding="utf-8")

    def rows(self, role: str = "cell") -> list[RunRecord]:
        """The runs of a role that stand for something: not superseded, newest first."""
        return [run for run in self.runs if run.role == role and not run.superseded]


class Point(NamedTuple):
    """One value of a metric."""

    step: int
    value: float
    time_s: float


def read_study(store: Store, study: str) -> StudyRecord:
    """Read all runs of a study (StoreError: the store has no such study; the nearest is named)."""
    experiment = store.client.get_experiment_by_name(study)
    if experiment is None or experiment.lifecycle_stage != "active":
        near = suggest(study, list_studies(store)) if list_studies(store) else "it has none yet; run a study first"
        raise StoreError(f"no study '{study}' in {store.uri}: {near}")
    number = str(experiment.experiment_id)
    return StudyRecord(study, number, search(store, [number]))


def list_studies(store: Store) -> dict[str, str]:
    """Names and experiment ids of the studies in a store, newest first; MLflow's empty Default is left out."""
    found = store.client.search_experiments(max_results=PAGE, order_by=["creation_time DESC"])
    return {str(each.name): str(each.experiment_id) for each in found if str(each.experiment_id) != "0"}


def search(store: Store, experiment_ids: Sequence[str], condition: str = "") -> list[RunRecord]:
    """Runs that are not deleted, newest first; `condition` is in MLflow's filter language."""
    found: list[RunRecord] = []
    token: str | None = None
    while True:
        page = store.client.search_runs(
            list(experiment_ids), condition, max_results=PAGE, order_by=["attributes.start_time DESC"], page_token=token
        )
        found.extend(record_of(store, run) for run in page)
        token = page.token
        if not token:
            return found


def cell_runs(store: Store, experiment_id: str, cell_id: str) -> list[RunRecord]:
    """All runs of one identity in a study's experiment, newest first."""
    return search(store, [experiment_id], f"tags.`{names.CELL_ID}` = '{cell_id}'")


def metric_history(store: Store, run_id: str, key: str) -> list[Point]:
    """All values of one metric, by step, those of one step in the order of their time."""
    values = store.client.get_metric_history(run_id, key)
    points = (Point(int(each.step), float(each.value), each.timestamp / 1000) for each in values)
    return sorted(points, key=lambda point: (point.step, point.time_s))


def runs_frame(record: StudyRecord) -> "pd.DataFrame":
    """All runs of a study, newest first, one row each: what they are, then params and metrics under their own names.

    A param whose values are all numbers is a column of numbers.
    """
    import pandas as pd

    told = ("run_id", "name", "role", "cell_id", "status", "reason", "attempt", "superseded")
    rows = pd.DataFrame([{name: getattr(run, name) for name in told} for run in record.runs], columns=list(told))
    params = pd.DataFrame([dict(run.params) for run in record.runs])
    for name, values in params.items():
        numbers = pd.to_numeric(values, errors="coerce")
        if numbers.notna().equals(values.notna()):
            params[name] = numbers
    return pd.concat([rows, params, pd.DataFrame([dict(run.metrics) for run in record.runs])], axis=1)


def find_run(store: Store, text: str) -> RunRecord:
    """The run that a user means by a run id or cell_id (or the beginning of one), or by a run's name.

    Of several attempts at one cell the one that counts is taken: not superseded, done before others, newest.

    Raises:
        StoreError: Nothing fits, or runs of different rows do; they are listed.
    """
    experiments = list(list_studies(store).values())
    conditions = []
    if experiments and text and all(letter.isalnum() or letter in "-_. " for letter in text):
        if "_" not in text:  # stands for any character in LIKE; ids have none, so such a text can only be a name
            conditions = [f"attributes.run_id LIKE '{text}%'", f"tags.`{names.CELL_ID}` LIKE '{text}%'"]
        conditions.append(f"attributes.run_name = '{text}'")
    found = {run.run_id: run for condition in conditions for run in search(store, experiments, condition)}
    rows: dict[tuple[str, str], RunRecord] = {}
    for run in sorted(
        found.values(), key=lambda run: (not run.superseded, run.status == "done", run.start_s), reverse=True
    ):
        rows.setdefault((run.experiment_id, run.cell_id or run.run_id), run)
    exact = [run for run in found.values() if run.run_id == text]
    if exact or len(rows) == 1:
        return exact[0] if exact else next(iter(rows.values()))
    if not rows:
        raise StoreError(
            f"no run '{text}' in {store.uri}; give (the beginning of) a run id or cell_id, or a run's name"
        )
    shown = "; ".join(f"{run.run_id[:12]} ({run.name}, {run.status})" for run in list(rows.values())[:6])
    more = f"; and {len(rows) - 6} more" if len(rows) > 6 else ""
    raise StoreError(f"'{text}' fits {len(rows)} runs: {shown}{more}; give more characters of a run id")


def record_of(store: Store, run: "MlflowRun") -> RunRecord:
    """Turn MLflow's run into a record."""
    held = dict(run.data.tags)
    status, reason = _status(str(run.info.status), held)
    changed = {key.removeprefix(names.PARAM): value for key, value in held.items() if key.startswith(names.PARAM)}
    return RunRecord(
        run_id=str(run.info.run_id),
        experiment_id=str(run.info.experiment_id),
        name=str(run.info.run_name or ""),
        role=held.get(names.ROLE, ""),
        cell_id=held.get(names.CELL_ID, ""),
        eval_id=held.get(names.EVAL_ID, ""),
        status=status,
        reason=reason,
        attempt=int(held.get(names.ATTEMPT, "1")),
        params={**run.data.params, **changed},
        metrics=dict(run.data.metrics),
        tags=held,
        start_s=run.info.start_time / 1000,
        end_s=None if status == "running" or not run.info.end_time else run.info.end_time / 1000,
        artifact_uri=str(run.info.artifact_uri),
        store=store,
    )


def _status(theirs: str, held: Mapping[str, str]) -> tuple[Status, str]:
    reason = held.get(names.REASON, "")
    if theirs == "FINISHED":
        return "done", ""
    if theirs == "FAILED":
        return ("collapsed" if held.get(names.OUTCOME) == "collapsed" else "failed"), reason
    if theirs == "KILLED":
        return ("pruned" if held.get(names.OUTCOME) == "pruned" else "interrupted"), reason
    stale = why_stale(held)
    return ("running", "") if stale is None else ("interrupted", stale)
