"""Rows that need no training: claimed, scored and logged like cells."""

from smlmbench import tasks
from smlmbench.errors import StoreLostError
from smlmbench.run.cells.applied import log_applied, of_reference
from smlmbench.run.cells.evaluation import evaluate_reference
from smlmbench.run.cells.inputs import log_tests
from smlmbench.run.cells.logging import log_evaluation
from smlmbench.run.session import Session
from smlmbench.study.cells import Reference
from smlmbench.tracking.claims import Row, claim
from smlmbench.tracking.runs import reason_of


def run_reference(reference: Reference, session: Session) -> str:
    """Score a reference where that was not done before: keep or leave where nothing was done, else done or failed."""
    name, number = reference.reference.name, reference.reference_id
    tags = {"smlmbench.study": reference.study, "smlmbench.reference_id": number}
    row = Row(number, reference.eval_id, f"{name}-{number[:6]}", role="reference", tags=tags)
    held = claim(session.store, session.experiment_id, row, retry_failed=session.retry_failed)
    if held.run is None:
        return held.decision.kind
    where = reference.data.name
    session.reporter.line(f"{where} {name}: scoring (no training)")
    try:
        with held.run as run:
            tests = session.materials.splits(reference).tests
            run.log_params(_params(reference))
            log_tests(run, where, tests)
            evaluation = evaluate_reference(reference, tests, session.catalog)
            task = tasks.load(reference.task, session.catalog)
            log_evaluation(run, evaluation, tests, reference.scoring, task)
            for applied in of_reference(reference, session.materials):
                log_applied(run, applied, task)
                if applied.why:
                    session.reporter.line(f"{where} {name}: {applied.name}: not answered: {applied.why}")
    except StoreLostError:
        raise
    except Exception as error:
        session.reporter.line(f"{where} {name}: failed: {reason_of(error)}")
        return "failed"
    return "done"


def _params(reference: Reference) -> dict[str, object]:
    return {
        "task": reference.task,
        "data": reference.data.name,
        "model": reference.reference.name,
        "loss": "none",
        "lambda": 0,
        "repeat": 0,
        "method": "reference",
        "teacher": "none",
        "n_params": 0,
        "samples_seen": 0,
        "train_s": 0,
        "upsampling": reference.output.settings.get("upsampling", 1),
        "protocol": reference.scoring.protocol,
        "matcher": reference.scoring.matcher,
        **{f"reference.{name}": value for name, value in reference.reference.settings.items()},
    }
