"""Rows that need no training: claimed, scored and logged like cells."""

from smlmbench import tasks
from smlmbench.errors import StoreLostError
from smlmbench.run.cells.evaluation import evaluate_reference
from smlmbench.run.cells.logging import log_evaluation
from smlmbench.run.session import Session
from smlmbench.study.cells import Reference
from smlmbench.tracking.claims import Row, claim
from smlmbench.tracking.runs import reason_of


def run_reference(reference: Reference, session: Session) -> str:
    """Score a reference where that was not done before.

    Returns:
        keep or leave where nothing was done, else done or failed.
    """
    name = reference.reference.name
    row = Row(
        cell_id=reference.reference_id,
        eval_id=reference.eval_id,
        name=f"{name}-{reference.reference_id[:6]}",
        role="reference",
        tags={"smlmbench.study": reference.study, "smlmbench.reference_id": reference.reference_id},
    )
    held = claim(session.store, session.experiment_id, row, retry_failed=session.retry_failed)
    if held.run is None:
        return held.decision.kind
    session.reporter.line(f"{reference.data.name} {name}: scoring (no training)")
    try:
        with held.run as run:
            splits = session.materials.splits(reference)
            run.log_params(_params(reference))
            for condition_name, condition in splits.tests.items():
                run.log_input(
                    f"{reference.data.name}.{condition_name}", condition.digest, condition_name, dict(condition.facts)
                )
            evaluation = evaluate_reference(reference, splits.tests, session.catalog, lambda *_: None)
            log_evaluation(
                run, evaluation, splits.tests, reference.scoring, tasks.load(reference.task, session.catalog)
            )
    except StoreLostError:
        raise
    except Exception as error:
        session.reporter.line(f"{reference.data.name} {name}: failed: {reason_of(error)}")
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
