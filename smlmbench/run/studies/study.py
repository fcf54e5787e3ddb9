"""A whole study: plan, rows, picks, timing, report; the same command again does only what is left."""

from smlmbench.inference.devices import resolve_device
from smlmbench.report.publish import report_study
from smlmbench.run.cells.references import run_reference
from smlmbench.run.materials import Materials
from smlmbench.run.progress import Reporter
from smlmbench.run.session import Session
from smlmbench.run.slots import check_slots
from smlmbench.run.studies.asked import Asked, Finished, Options, finished, note, statuses, unfinished
from smlmbench.run.studies.longer import completed
from smlmbench.run.studies.pairing import doubts
from smlmbench.run.studies.picks import crown_best, log_picks
from smlmbench.run.studies.planfile import plan_document
from smlmbench.run.studies.sources import FILE as SOURCES
from smlmbench.run.studies.sources import sources_document
from smlmbench.run.studies.trainings import train
from smlmbench.run.timing.fitters import time_fitters
from smlmbench.run.timing.timings import time_study
from smlmbench.study.cells import Plan
from smlmbench.study.load import Loaded
from smlmbench.study.planning.students import with_longer
from smlmbench.timing import check_device
from smlmbench.tracking.claims import reap
from smlmbench.tracking.monitoring import sees_gpu
from smlmbench.tracking.records import read_study
from smlmbench.tracking.runs import open_run
from smlmbench.tracking.store import Store


def begin(loaded: Loaded, store: Store, reporter: Reporter, options: Options) -> Session:
    """The session of a command; nothing is begun before its devices and workers are known to be there.

    Raises:
        ConfigError: A device that this machine does not have.
        EngineError, StoreError: From `check_slots`.
    """
    study = loaded.study
    used = {resolve_device(name).type for name in (options.device, options.infer_device or options.device)}
    for name in study.timing.devices if study.timing is not None else []:
        check_device(name)
    if not options.slots.inline:
        check_slots(options.slots, uri=store.uri, served=store.served)
    experiment_id, materials = store.ensure_experiment(study.study), Materials(loaded.catalog)
    for stale in reap(store, experiment_id):
        reporter.line(f"run {stale.run_id[:8]} ({stale.name}) was left by a process that is gone: {stale.reason}")
    if options.system_metrics and "cuda" in used and not sees_gpu():
        reporter.line("system metrics have no GPU: pip install 'smlmbench[monitor]'")
    named = {name: getattr(options, name) for name in ("device", "infer_device", "retry_failed", "system_metrics")}
    return Session(store, experiment_id, materials, reporter, **named)


def run_study(
    loaded: Loaded, plan: Plan, store: Store, reporter: Reporter, options: Options, *, whole: Plan | None = None
) -> Finished:
    """Run what is left of a study's plan and rebuild its report, which shows the `whole` plan of a filtered one.

    Raises:
        ConfigError, EngineError, StoreError, PairingError: From `begin`, or a truth does not fit; nothing was begun.
        KeyboardInterrupt: After the running cell was checkpointed; what is left was said.
    """
    study, doubtful, asked = loaded.study, doubts(loaded), Asked(loaded.text, plan, whole, options)
    session = begin(loaded, store, reporter, options)
    for said in doubtful:
        reporter.line(f"warning: {said}")
    plan = completed(plan, session)
    whole = None if whole is None else with_longer(completed(whole, session, measures=False), plan.longer)
    shown = (whole or plan).model_copy(update={"warnings": [*(whole or plan).warnings, *doubtful]})
    with open_run(store, session.experiment_id, role="study", name=study.study) as run:
        run.log_text(loaded.text, "study.yaml")
        run.log_dict(plan_document(study, shown, loaded.catalog), "plan.json")
        run.log_dict(sources_document(whole or plan, study.seed), SOURCES)
        try:
            _work(loaded, plan, session, options)
        except KeyboardInterrupt:
            reporter.close()
            left = unfinished(statuses(plan, read_study(store, study.study)))
            reporter.line(f"stopped; {left} of {len(plan.cells)} cells are left; the same command continues them")
            raise
        record = read_study(store, study.study)
        found = finished(plan, record, report_study(store, study.study, record=record).html)
        note(asked, found, record, run)
        return found


def _work(loaded: Loaded, plan: Plan, session: Session, options: Options) -> None:
    study = loaded.study
    for reference in plan.references:
        run_reference(reference, session)
    found = train(plan.cells, session, options.slots, options.max_hours or study.max_hours)
    record = found or read_study(session.store, study.study)
    wanted = {cell.cell_id: cell.eval_id for cell in plan.cells}
    ended = [row for row in reversed(record.rows("cell")) if row.status == "done"]
    runs = {row.cell_id: row for row in ended if wanted.get(row.cell_id) == row.eval_id}  # scored as planned
    done = [cell for cell in plan.cells if cell.cell_id in runs]
    if study.timing is not None and done:
        time_study(done, runs, study.timing, session)
    if study.timing is not None:
        references = {row.cell_id: row for row in record.rows("reference") if row.status == "done"}
        time_fitters(plan.references, references, study.timing, session)
    if study.log_models != "none" and done:
        log_picks(done, runs, session, everything=study.log_models == "all")
        crown_best(done, runs, session, study.study)
