"""One cell as a run of the store: claim it, train or only score it, log everything, end it."""

import shutil
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch

from smlmbench import tasks
from smlmbench.data.contracts import Condition
from smlmbench.errors import CollapsedError, FormatError, PrunedError, StoreLostError
from smlmbench.inference.allocator import place
from smlmbench.inference.checkpoint import Trained, checkpoint_of, load_trained
from smlmbench.inference.devices import resolve_device
from smlmbench.psf.gaussian_light import gaussian_light
from smlmbench.run.cells.applied import log_applied, of_cell
from smlmbench.run.cells.evaluation import Evaluation, OnFrames, choose_on_validation, score_conditions
from smlmbench.run.cells.inputs import log_tests, log_training
from smlmbench.run.cells.logging import log_evaluation
from smlmbench.run.cells.teachers import find_teacher, why_no_teacher
from smlmbench.run.cells.training import Events, train_cell
from smlmbench.run.fits import seen_in_training
from smlmbench.run.materials import Splits
from smlmbench.run.session import Session
from smlmbench.study.cells import Cell
from smlmbench.study.schema import Scoring
from smlmbench.tasks import Task
from smlmbench.tasks.contracts import Tuned
from smlmbench.tracking import tags as names
from smlmbench.tracking.claims import Row, claim
from smlmbench.tracking.monitoring import watched
from smlmbench.tracking.records import record_of
from smlmbench.tracking.runs import Run, reason_of
from smlmbench.training import save_atomically

CHECKPOINT = "best.pt"
TRAINING = ("steps", "batch_size", "lr", "optimiser", "schedule", "regime")  # what a run names of it
ENDS: dict[type[Exception], str] = {CollapsedError: "collapsed", PrunedError: "pruned"}
Watch = Callable[[float, Mapping[str, float]], None]


def run_cell(cell: Cell, session: Session, watch: Watch | None = None) -> str:
    """Do what there is to do for a cell.

    A `watch` makes it a trial of a search: called at every validation with the fraction of the training and its
    numbers, it raises PrunedError to stop the training.

    Returns:
        keep or leave where nothing was done, skipped for a student without its teacher, else done, pruned, failed or
        collapsed; an interrupt is passed on, its run is closed as interrupted.
    """
    label, row, retry = describe(cell), row_of(cell, session.job), session.retry_failed
    missing = why_no_teacher(cell, session)
    if missing is not None:
        session.reporter.line(f"{label}: skipped: {missing}")
        return "skipped"
    held = claim(session.store, session.experiment_id, row, retry_failed=retry, keep_pruned=watch is not None)
    if held.run is None:
        session.reporter.line(f"{label}: {'done before' if held.decision.kind == 'keep' else 'another process has it'}")
        return held.decision.kind
    end = "done"
    try:
        with held.run as run, watched(run, on=session.system_metrics):
            _work(cell, session, run, watch, score_only=held.decision.kind == "score")
    except StoreLostError:
        raise
    except Exception as error:
        end = next((name for kind, name in ENDS.items() if isinstance(error, kind)), "failed")
        session.reporter.line(f"{label}: {end}: {reason_of(error)}")
    finally:
        session.reporter.stop()
    shutil.rmtree(held.run.work_dir, ignore_errors=True)
    return end


def describe(cell: Cell) -> str:
    """A cell in one short line."""
    labels = cell.labels
    taught = f" ← {labels['teacher']} ({labels['method']})" if cell.teaching is not None else ""
    seen = cell.model.settings.get("context", 1)
    frames = f" ({seen} frames)" if seen != 1 else ""
    name = f"{labels['model']}{frames}{taught}" + (" longer" if cell.control == "longer" else "")
    return f"{labels['data']} {name} {labels['loss']} λ={labels['lambda']} repeat {labels['repeat']}"


def row_of(cell: Cell, job: str = "") -> Row:
    """What is claimed for a cell; `job` names the command, where it has workers."""
    labels = cell.labels
    method = "" if labels["method"] == "supervised" else f"-{labels['method']}"
    name = f"{labels['model']}{method}-{labels['loss']}-{labels['lambda']}-r{labels['repeat']}-{cell.cell_id[:6]}"
    tags = {names.STUDY: cell.study} | ({names.JOB: job} if job else {})
    return Row(cell_id=cell.cell_id, eval_id=cell.eval_id, name=name, tags=tags)


def _of_optics(condition: Condition) -> dict[str, Any]:
    """Width of the PSF where one is told, and how much of its light a Gaussian of that width takes up."""
    sigma_nm, optics = condition.told.get("psf_sigma_nm"), condition.optics
    if sigma_nm is None:
        return {}
    light = [] if optics is None else list(gaussian_light(optics, float(sigma_nm), condition.pixel_size_nm))
    return {"psf_sigma_nm": float(sigma_nm), **({"gaussian_light": light} if light else {})}


def _work(cell: Cell, session: Session, run: Run, watch: Watch | None, *, score_only: bool) -> None:
    splits, catalog, task = session.materials.splits(cell), session.catalog, tasks.load(cell.task, session.catalog)
    session.reporter.line(f"{describe(cell)}: {'scoring' if score_only else 'training'}")
    on_frames = _frames_reporter(cell, session)
    if score_only:
        run.set_tags({names.NOT_TIMED: "{}"})  # the gate's reasons were of the earlier scores
        trained, content = _stored(run, session)
    else:
        _log_plan(cell, run, splits, session)
        trained, content = _trained(cell, session, run, _events(cell, session, run, task, watch))
        _log_checkpoint(run, content)  # what fails from here on loses no training
    on_validation = choose_on_validation(trained, cell, splits, catalog, on_frames)
    content["facts"] |= {"tuned": dict(trained.tuned), "protocol": cell.scoring.protocol}
    content["facts"] |= _of_optics(splits.validation)
    if "seen" not in content["facts"]:
        content["facts"]["seen"] = trained.facts["seen"] = seen_in_training(cell, session.materials)
    _log_checkpoint(run, content)
    _log_tuned(run, cell.scoring, trained, on_validation[0])
    evaluation = score_conditions(trained, cell, splits, catalog, on_frames, on_validation)
    log_evaluation(run, evaluation, splits.tests, cell.scoring, task, int(content["facts"]["samples_seen"]))
    for applied in of_cell(trained, cell, session.materials, on_frames):
        log_applied(run, applied, task)
        for line in applied.fit.get("lines", ()):
            session.reporter.line(f"{describe(cell)}: {applied.name}: {line}")
    apart = {name for name, condition in splits.tests.items() if condition.apart}
    session.reporter.line(f"{describe(cell)}: {_reached(task, evaluation, apart)}")


def _reached(task: Task, evaluation: Evaluation, apart: Collection[str]) -> str:
    """The primary metric on every condition that is not apart, and what was tuned."""
    scored = {name: scores for name, scores in evaluation.tests.items() if name not in apart}
    if not scored and evaluation.validation is not None:
        scored = {"val": evaluation.validation}
    told = ", ".join(
        f"{name} {task.shown(scores.values[task.primary]) if task.primary in scores.values else 'n/a'}"
        for name, scores in scored.items()
    )
    tuned = {} if evaluation.tuned is None else evaluation.tuned.settings
    chosen = ", ".join(f"{name} {value:.3g}" for name, value in tuned.items())
    return f"{task.primary} {told}" + (f" ({chosen})" if chosen else "")


def _stored(run: Run, session: Session) -> tuple[Trained, dict[str, Any]]:
    record = record_of(session.store, session.store.client.get_run(run.run_id))
    path = record.artifact(CHECKPOINT)
    if path is None:
        raise FormatError(f"run {run.run_id} has no {CHECKPOINT}; train it anew with --retry-failed")
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return load_trained(path, session.catalog, resolve_device(session.scoring_device)), content


def _log_plan(cell: Cell, run: Run, splits: Splits, session: Session) -> None:
    run.log_params(
        {
            **cell.labels,
            **{name: getattr(cell.training, name) for name in TRAINING},
            "upsampling": cell.output.settings.get("upsampling", 1),
            "amplitude": cell.output.settings.get("amplitude", 1),
            **{f"model.{name}": value for name, value in cell.model.settings.items()},
            **{f"loss.{name}": value for name, value in cell.loss.settings.items() if name != "weight"},
            **{f"method.{name}": value for name, value in cell.method.settings.items()},
        }
    )
    log_training(run, cell, session.materials.training(cell), splits)
    log_tests(run, cell.data.name, splits.tests)


def _trained(cell: Cell, session: Session, run: Run, events: Events) -> tuple[Trained, dict[str, Any]]:
    """Train a cell; its network on the scoring device, and the content of its checkpoint."""
    teacher = find_teacher(cell, session)
    run.log_params({} if teacher is None else teacher.costs)
    trainee = train_cell(cell, session.materials, run.work_dir, events, session.device, teacher)
    run.log_params(trainee.params)
    trained = trainee.trained
    trained.network = place(trained.network, resolve_device(session.scoring_device))
    facts = {
        **cell.labels,
        "study": cell.study,
        "cell_id": cell.cell_id,
        "protocol": cell.scoring.protocol,
        "pixel_size_nm": trainee.given.pixel_size_nm,
        "calibrated": session.materials.splits(cell).validation.calibrated,
        "samples_seen": trainee.params["samples_seen"],
    }
    model = cell.model.model_dump(exclude={"plugin"})
    output = {**cell.output.model_dump(exclude={"plugin"}), "settings": dict(trained.output_settings)}
    return trained, checkpoint_of(trained.network, trainee.given, model, output, facts)


def _log_tuned(run: Run, scoring: Scoring, trained: Trained, chosen: Tuned) -> None:
    tuned = {"threshold": "none", **{name: f"{value:.6g}" for name, value in chosen.settings.items()}, **chosen.how}
    params = {**tuned, "protocol": scoring.protocol, "matcher": scoring.matcher}
    run.log_params({**params, "infer_device": str(next(trained.network.parameters()).device)})


def _log_checkpoint(run: Run, content: Mapping[str, Any]) -> None:
    path = run.work_dir / CHECKPOINT
    save_atomically(content, path)
    run.log_artifact(path)
    run.mark_trained()


def _events(cell: Cell, session: Session, run: Run, task: Task, watch: Watch | None) -> Events:
    label = describe(cell)
    session.reporter.start(label, cell.training.steps, "training")

    def on_validation(step: int, numbers: Mapping[str, float]) -> None:
        run.log_metrics(dict(numbers), step=step * cell.training.batch_size)
        run.offer()
        reached = task.shown(numbers[f"val/{task.primary}"])
        session.reporter.line(f"  {label}: step {step}/{cell.training.steps}, val {task.primary} {reached}")
        if watch is not None:
            watch(step / cell.training.steps, numbers)

    return Events(
        lambda step, steps, loss: session.reporter.advance(step, steps, f"loss {loss:.3g}"),
        on_validation,
        lambda step, image: run.log_image(image, "val_example", step=step * cell.training.batch_size),
    )


def _frames_reporter(cell: Cell, session: Session) -> OnFrames:
    shown = ""

    def on_frames(condition: str, done: int, total: int) -> None:
        nonlocal shown
        if shown != condition:
            session.reporter.start(describe(cell), total, f"scoring {condition}")
            shown = condition
        session.reporter.advance(done, total)

    return on_frames
