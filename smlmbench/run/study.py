"""A whole study: plan, rows, picks, timing, report; the same command again does only what is left."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smlmbench import engine
from smlmbench.report import build_report
from smlmbench.run.cells import describe, run_cell
from smlmbench.run.materials import Materials
from smlmbench.run.picks import log_picks
from smlmbench.run.planfile import plan_document
from smlmbench.run.progress import Reporter
from smlmbench.run.references import run_reference
from smlmbench.run.session import Session
from smlmbench.run.timings import time_study
from smlmbench.study.cells import Cell, Plan
from smlmbench.study.load import Loaded
from smlmbench.tracking.claims import reap
from smlmbench.tracking.records import RunRecord, read_study
from smlmbench.tracking.runs import open_run
from smlmbench.tracking.store import Store


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line adds to a study.

    Attributes:
        device: auto, cpu, cuda or mps for training and scoring.
        retry_failed: Repeat failed and collapsed cells.
        max_hours: Start no new cell after this time.
    """

    device: str = "auto"
    retry_failed: bool = False
    max_hours: float | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """What a run of a study left behind.

    Attributes:
        statuses: Number of planned cells by status.
        report: The leaderboard page.
        unfinished: Cells that are neither done nor ended with a reason.
    """

    statuses: dict[str, int]
    report: Path
    unfinished: int


def run_study(loaded: Loaded, plan: Plan, store: Store, reporter: Reporter, options: Options) -> Finished:
    """Run what is left of a study and rebuild its report.

    Args:
        loaded: The study.
        plan: Its plan.
        store: An open store.
        reporter: What the user sees.
        options: From the command line.

    Raises:
        KeyboardInterrupt: After the running cell was checkpointed; what is left was said.
    """
    study = loaded.study
    experiment_id = store.ensure_experiment(study.study)
    session = Session(store, experiment_id, Materials(loaded.catalog), reporter, options.device, options.retry_failed)
    for stale in reap(store, experiment_id):
        reporter.line(f"run {stale.run_id[:8]} ({stale.name}) was left by a process that is gone: {stale.reason}")
    with open_run(store, experiment_id, role="study", name=study.study) as run:
        run.log_text(loaded.text, "study.yaml")
        run.log_dict(plan_document(study, plan, loaded.catalog), "plan.json")
        for reference in plan.references:
            run_reference(reference, session)
        _train(plan.cells, session, options.max_hours or study.max_hours)
        runs = _done(plan, store, study.study)
        done = [cell for cell in plan.cells if cell.cell_id in runs]
        if study.timing is not None and done:
            time_study(done, runs, study.timing, session)
        if study.log_models != "none" and done:
            log_picks(done, runs, session, everything=study.log_models == "all")
        return _report(plan, session, study.study, run)


def _train(cells: Sequence[Cell], session: Session, max_hours: float | None) -> None:
    until = None if max_hours is None else time.monotonic() + 3600 * max_hours

    def one(spec: Mapping[str, Any]) -> dict[str, Any]:
        if until is not None and time.monotonic() > until:
            return {"status": "planned"}
        return {"status": run_cell(cells[spec["index"]], session)}

    finished = 0

    def on_result(spec: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        nonlocal finished
        finished = int(spec["index"]) + 1
        if result.get("reason"):
            session.reporter.line(f"cell {finished}: {result['reason']}")

    try:
        specs = [{"index": index, "cell_id": cell.cell_id} for index, cell in enumerate(cells)]
        engine.map_cells(one, specs, on_result=on_result)
    except KeyboardInterrupt:
        left = [describe(cell) for cell in cells[finished:]]
        session.reporter.stop()
        session.reporter.line(f"stopped; {len(left)} of {len(cells)} cells are left; the same command continues them")
        raise


def _done(plan: Plan, store: Store, study: str) -> dict[str, RunRecord]:
    """Runs of the plan's cells that are done and scored as planned, by cell_id."""
    wanted = {cell.cell_id: cell.eval_id for cell in plan.cells}
    rows = read_study(store, study).rows("cell")
    return {
        row.cell_id: row for row in reversed(rows) if row.status == "done" and wanted.get(row.cell_id) == row.eval_id
    }


def _report(plan: Plan, session: Session, study: str, run: Any) -> Finished:
    record = read_study(session.store, study)
    files = build_report(record, session.store.report_dir(study))
    for path in (files.html, files.csv, files.md):
        run.log_artifact(path)
    newest: dict[str, str] = {}
    for row in record.rows("cell"):
        newest.setdefault(row.cell_id, row.status)
    statuses: dict[str, int] = {"skipped": len(plan.skipped)} if plan.skipped else {}
    for cell in plan.cells:
        status = newest.get(cell.cell_id, "planned")
        statuses[status] = statuses.get(status, 0) + 1
    ended = sum(statuses.get(name, 0) for name in ("done", "failed", "collapsed", "skipped"))
    return Finished(statuses, files.html, sum(statuses.values()) - ended)
