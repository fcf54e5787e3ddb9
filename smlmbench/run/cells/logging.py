"""What a scored row writes to its run: numbers, reasons, answers, pictures."""

import io
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smlmbench.data.contracts import Condition
from smlmbench.run.cells.evaluation import Evaluation, Picture
from smlmbench.run.session import host, versions
from smlmbench.study.schema import Scoring
from smlmbench.tasks import Task
from smlmbench.tasks.contracts import Scores, mean_over_conditions
from smlmbench.tracking.runs import Run


def log_evaluation(
    run: Run, evaluation: Evaluation, conditions: Mapping[str, Condition], scoring: Scoring, task: Task, step: int = 0
) -> None:
    """Log scores, sums per unit, answers, pictures and the environment of one row.

    Final validation scores get the samples seen as their step, so that they end the curve that training drew.
    """
    if evaluation.validation is not None:
        chosen = {f"val/{name}": value for name, value in evaluation.validation.values.items()}
        run.log_metrics(chosen, step=step)
    whole = {name: scores for name, scores in evaluation.tests.items() if not conditions[name].apart}
    run.log_metrics({f"test/{name}": value for name, value in mean_over_conditions(whole).items()})
    for condition, scores in evaluation.tests.items():
        run.log_metrics({f"test.{condition}/{name}": value for name, value in scores.values.items()})
    run.log_dict(_metrics_json(evaluation, scoring, conditions, task), "metrics.json")
    run.log_dict({"versions": versions(), "host": host()}, "environment.json")
    for condition, scores in evaluation.tests.items():
        if scores.per_unit:
            run.log_text(_csv(scores.per_unit), f"per_frame/{condition}.csv")
        log_answer(run, evaluation.answers[condition], condition, task)
    for condition, drawn in evaluation.pictures.items():
        run.log_image(drawn[0], f"test_{condition}")
        for number, one in enumerate(drawn):
            run.log_bytes(_png(one), f"figures/{f'{number + 1}/' if number else ''}{condition}.png")


def _metrics_json(
    evaluation: Evaluation, scoring: Scoring, conditions: Mapping[str, Condition], task: Task
) -> dict[str, Any]:
    """Scores with their reasons, and what was tuned by name, each with its curve."""
    tuned: dict[str, Any] = {}
    if (chosen := evaluation.tuned) is not None:
        curve = {"tried": list(chosen.tried), "reached": list(chosen.curve)}
        tuned = {**chosen.settings, **chosen.how, **{f"{name}_curve": curve for name in chosen.settings}}
    return {
        "protocol": scoring.protocol,
        "matcher": scoring.matcher,
        "scoring": scoring.model_dump(),
        **tuned,
        "val": {} if evaluation.validation is None else block_of(evaluation.validation),
        "test": {name: block_of(scores) for name, scores in evaluation.tests.items()},
        "facts": {
            name: {**condition.facts, **task.facts(condition, scoring), "frame_shift": condition.block}
            for name, condition in conditions.items()
        },
    }


def block_of(scores: Scores) -> dict[str, Any]:
    """Scores as a file holds them."""
    intervals = {name: list(ends) for name, ends in scores.intervals.items()}
    block = {"values": dict(scores.values), "intervals": intervals, "reasons": dict(scores.reasons)}
    return block | ({"profiles": dict(scores.profiles)} if scores.profiles else {})


def _csv(per_unit: Mapping[str, Any]) -> str:
    import pandas as pd

    table = pd.DataFrame(dict(per_unit))
    return str(table.to_csv(index_label="frame", float_format="%.10g", na_rep="nan", lineterminator="\n"))


def log_answer(run: Run, answer: Any, name: str, task: Task, folder: str = "predictions") -> None:
    """Log the files of an answer; those of `applied` movies are all that a user wants of it."""
    with tempfile.TemporaryDirectory() as scratch:
        for path in task.write(answer, Path(scratch), name, applied=folder != "predictions"):
            run.log_artifact(path, folder)


def _png(drawn: Picture) -> bytes:
    from PIL import Image

    target = io.BytesIO()
    Image.fromarray(drawn).save(target, format="PNG", optimize=True)
    return target.getvalue()
