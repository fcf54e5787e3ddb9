"""One cell as a run of the store: claim it, train or only score it, log everything, end it."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench.errors import CollapsedError, FormatError
from smlmbench.inference.checkpoint import Trained, checkpoint_of, load_trained
from smlmbench.inference.devices import resolve_device
from smlmbench.run.evaluation import choose_on_validation, predict_applied, score_conditions
from smlmbench.run.logging import log_evaluation, log_table
from smlmbench.run.materials import Splits
from smlmbench.run.session import Session
from smlmbench.run.training_cell import Events, Trainee, train_cell
from smlmbench.study.cells import Cell
from smlmbench.tasks.contracts import Threshold
from smlmbench.tracking.claims import Row, claim
from smlmbench.tracking.records import record_of
from smlmbench.tracking.runs import Run, reason_of
from smlmbench.training import save_atomically

CHECKPOINT = "best.pt"


def run_cell(cell: Cell, session: Session) -> str:
    """Do what there is to do for a cell.

    Returns:
        keep or leave where nothing was done, else done, failed or collapsed; an interrupt is passed on, its run is
        closed as interrupted.
    """
    held = claim(session.store, session.experiment_id, _row(cell), retry_failed=session.retry_failed)
    label = describe(cell)
    if held.run is None:
        session.reporter.line(f"{label}: {'done before' if held.decision.kind == 'keep' else 'another process has it'}")
        return held.decision.kind
    end = "done"
    try:
        with held.run as run:
            _work(cell, session, run, score_only=held.decision.kind == "score")
    except Exception as error:
        end = "collapsed" if isinstance(error, CollapsedError) else "failed"
        session.reporter.line(f"{label}: {end}: {reason_of(error)}")
    finally:
        session.reporter.stop()
    shutil.rmtree(held.run.work_dir, ignore_errors=True)
    return end


def describe(cell: Cell) -> str:
    """A cell in one short line."""
    labels = cell.labels
    return f"{labels['data']} {labels['model']} {labels['loss']} λ={labels['lambda']} repeat {labels['repeat']}"


def _row(cell: Cell) -> Row:
    labels = cell.labels
    name = f"{labels['model']}-{labels['loss']}-{labels['lambda']}-r{labels['repeat']}-{cell.cell_id[:6]}"
    return Row(cell_id=cell.cell_id, eval_id=cell.eval_id, name=name, tags={"smlmbench.study": cell.study})


def _work(cell: Cell, session: Session, run: Run, *, score_only: bool) -> None:
    splits = session.materials.splits(cell.data, cell.root_seed)
    session.reporter.line(f"{describe(cell)}: {'scoring' if score_only else 'training'}")
    on_frames = _frames_reporter(cell, session)
    if score_only:
        trained, content = _stored(run, session)
        chosen, validation = choose_on_validation(trained, cell, splits, session.catalog, on_frames)
    else:
        _log_plan(cell, run, splits)
        trainee = train_cell(cell, session.materials, run.work_dir, _events(cell, session, run), session.device)
        trained = trainee.trained
        chosen, validation = choose_on_validation(trained, cell, splits, session.catalog, on_frames)
        content = _content(cell, trainee, session)
        run.log_params(_outcome(trainee, cell))
    content["facts"]["threshold"] = chosen.value
    _log_checkpoint(run, content)
    _log_threshold(run, cell, chosen)
    evaluation = score_conditions(trained, cell, splits, session.catalog, on_frames, (chosen, validation))
    seen = int(content["facts"]["samples_seen"])
    log_evaluation(run, evaluation, splits.tests, cell.scoring, session.catalog, seen)
    for name, (_, prediction) in predict_applied(trained, cell, session.catalog, on_frames).items():
        log_table(run, prediction, name, session.catalog, folder="applied")
    primary = session.catalog.card("tasks", cell.task).facts["primary"]
    reached = ", ".join(
        f"{name} {scores.values[primary]:.1f}" if primary in scores.values else f"{name} n/a"
        for name, scores in evaluation.tests.items()
    )
    session.reporter.line(f"{describe(cell)}: {primary} {reached} (threshold {chosen.value:.3g})")


def _stored(run: Run, session: Session) -> tuple[Trained, dict[str, Any]]:
    record = record_of(session.store, session.store.client.get_run(run.run_id))
    path = record.artifact(CHECKPOINT)
    if path is None:
        raise FormatError(f"run {run.run_id} has no {CHECKPOINT}; train it anew with --retry-failed")
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return load_trained(path, session.catalog, resolve_device(session.device)), content


def _log_plan(cell: Cell, run: Run, splits: Splits) -> None:
    training = cell.training
    run.log_params(
        {
            **cell.labels,
            "steps": training.steps,
            "batch_size": training.batch_size,
            "lr": training.lr,
            "optimiser": training.optimiser,
            "schedule": training.schedule,
            "regime": training.regime,
            "upsampling": cell.output.settings.get("upsampling", 1),
            "amplitude": cell.output.settings.get("amplitude", 1),
            **{f"model.{name}": value for name, value in cell.model.settings.items()},
            **{f"loss.{name}": value for name, value in cell.loss.settings.items() if name != "weight"},
        }
    )
    run.log_input(cell.data.name, splits.validation.digest, "val", dict(splits.validation.facts))
    for name, condition in splits.tests.items():
        run.log_input(f"{cell.data.name}.{name}", condition.digest, name, dict(condition.facts))


def _outcome(trainee: Trainee, cell: Cell) -> dict[str, Any]:
    progress = trainee.progress
    return {
        "n_params": trainee.n_params,
        "number_format": trainee.number_format,
        "device": trainee.device,
        "threads": torch.get_num_threads(),
        "samples_seen": progress.step * cell.training.batch_size,
        "train_s": round(progress.train_s, 2),
        "best_step": progress.best_step,
    }


def _log_threshold(run: Run, cell: Cell, chosen: Threshold) -> None:
    scoring = cell.scoring
    run.log_params({"threshold": f"{chosen.value:.6g}", "protocol": scoring.protocol, "matcher": scoring.matcher})


def _content(cell: Cell, trainee: Trainee, session: Session) -> dict[str, Any]:
    splits = session.materials.splits(cell.data, cell.root_seed)
    facts = {
        **cell.labels,
        "study": cell.study,
        "cell_id": cell.cell_id,
        "protocol": cell.scoring.protocol,
        "pixel_size_nm": cell.data.train.pixel_size_nm,
        "calibrated": splits.validation.calibrated,
        "samples_seen": trainee.progress.step * cell.training.batch_size,
    }
    output = {**trainee.trained.output_settings}
    return checkpoint_of(
        trainee.trained.network,
        trainee.given,
        {"name": cell.model.name, "version": cell.model.version, "settings": dict(cell.model.settings)},
        {"name": cell.output.name, "version": cell.output.version, "settings": output},
        facts,
    )


def _log_checkpoint(run: Run, content: Mapping[str, Any]) -> None:
    path: Path = run.work_dir / CHECKPOINT
    save_atomically(content, path)
    run.log_artifact(path)
    run.mark_trained()


def _events(cell: Cell, session: Session, run: Run) -> Events:
    label = describe(cell)
    session.reporter.start(label, cell.training.steps)

    def on_step(step: int, steps: int, loss: float) -> None:
        session.reporter.advance(step, steps, f"loss {loss:.3g}")

    def on_validation(step: int, numbers: Mapping[str, float]) -> None:
        run.log_metrics(dict(numbers), step=step * cell.training.batch_size)
        run.flush()
        primary = session.catalog.card("tasks", cell.task).facts["primary"]
        session.reporter.line(
            f"  {label}: step {step}/{cell.training.steps}, val {primary} {numbers[f'val/{primary}']:.1f}"
        )

    def on_picture(step: int, image: NDArray[np.uint8]) -> None:
        run.log_image(image, "val_example", step=step * cell.training.batch_size)

    return Events(on_step, on_validation, on_picture)


def _frames_reporter(cell: Cell, session: Session) -> Any:
    state = {"name": ""}

    def on_frames(condition: str, done: int, total: int) -> None:
        if state["name"] != condition:
            session.reporter.start(f"{describe(cell)}: scoring {condition}", total)
            state["name"] = condition
        session.reporter.advance(done, total)

    return on_frames
