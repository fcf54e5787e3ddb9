"""Reduced number formats of the picks: prepared on training frames, through the quality gate, their files kept."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from smlmbench import tasks
from smlmbench.data.contracts import ArrayFrames, Condition
from smlmbench.errors import FormatError, StoreLostError
from smlmbench.export.graph import write_sidecar
from smlmbench.inference.answering import Answering
from smlmbench.inference.checkpoint import Trained, load_trained
from smlmbench.inference.engine import Network, pad
from smlmbench.inference.facts import graph_of
from smlmbench.inference.running import CALIBRATION_FRAMES, prepare, read_by, why_not
from smlmbench.run.cells.evaluation import answers_of
from smlmbench.run.cells.run import CHECKPOINT
from smlmbench.run.session import Session
from smlmbench.study.cells import Cell
from smlmbench.tasks.contracts.gating import Answers, Gate
from smlmbench.timing import check_device
from smlmbench.tracking.records import RunRecord
from smlmbench.tracking.runs import Run, reason_of

FOLDER = "reduced"
CALIBRATION_BATCH = 8
EXAMPLE = (32, 10.0)  # side in pixels, photons


@dataclass(frozen=True, slots=True)
class Outcome:
    """One number format of one pick on one device and runtime."""

    gate: Gate | None  # its scores beside those of fp32; None where it could not be tried
    reason: str  # why it does not count, or empty

    @property
    def told(self) -> str:
        """The reason with the scores that it rests on."""
        return self.reason if self.gate is None or not self.gate.told else f"{self.gate.told}: {self.reason}"


def calibration(cell: Cell, trained: Trained, session: Session) -> list[torch.Tensor]:
    """The first training frames of a cell in small blocks, padded as the network wants."""
    batch = session.materials.training(cell).batch(0, CALIBRATION_FRAMES)
    given = Condition("calibration", ArrayFrames(batch.inputs.numpy()), None)
    seen = tasks.load(cell.task, session.catalog).seen_by(trained.network, given)
    inputs = batch.inputs if seen is given else torch.from_numpy(seen.frames.read(0, CALIBRATION_FRAMES))[:, None]
    frames = pad(inputs, trained.multiple_px)
    return [frames[start : start + CALIBRATION_BATCH] for start in range(0, len(frames), CALIBRATION_BATCH)]


def judge(cell: Cell, record: RunRecord, where: tuple[str, str, str], session: Session) -> Outcome:
    """Prepare a pick's number format on a device and runtime, compare it with fp32, store its file where it counts."""
    device_name, runtime, number_format = where
    device = check_device(device_name)
    if reason := why_not(session.catalog, runtime, device, number_format):
        return Outcome(None, reason)
    try:
        checkpoint = record.artifact(CHECKPOINT)
        if checkpoint is None:
            raise FormatError(f"run {record.run_id} has no {CHECKPOINT}")
        with tempfile.TemporaryDirectory() as folder:
            scratch, trained = Path(folder), load_trained(checkpoint, session.catalog, device)
            reduced, files = _prepared(cell, trained, (runtime, number_format), session, (device, scratch))
            single = prepare(session.catalog, "eager", trained.network, trained.example(*EXAMPLE, device))
            read_out = read_by(trained, runtime, session.catalog)
            models = [Answering(network, read_out, device) for network in (reduced, single)]
            gate = tasks.load(cell.task, session.catalog).gate(_answered(cell, trained, models, session), cell.scoring)
            if gate.passed and files:
                run = Run(session.store, record.run_id, experiment_id=record.experiment_id, heartbeat=False)
                run.log_artifacts(scratch, f"{FOLDER}/{runtime}_{number_format}")
    except StoreLostError:
        raise
    except Exception as error:  # another runtime's failure is a row with a reason, not the end of the study
        return Outcome(None, reason_of(error))
    return Outcome(gate, "" if gate.passed else gate.reason)


def _answered(
    cell: Cell, trained: Trained, models: Sequence[Answering], session: Session
) -> Iterator[tuple[Answers, Answers, Condition]]:
    """Answers of the reduced format and of fp32 on each test condition but the steps of a robustness sheet."""
    task = tasks.load(cell.task, session.catalog)
    for condition in [one for one in session.materials.splits(cell).tests.values() if not one.apart]:
        seen = task.seen_by(trained.network, condition)
        reduced, single = (answers_of(task, model, seen, trained.tuned) for model in models)
        yield reduced, single, seen


def _prepared(
    cell: Cell, trained: Trained, what: tuple[str, str], session: Session, where: tuple[torch.device, Path]
) -> tuple[Network, list[Path]]:
    (runtime, number_format), (device, scratch) = what, where
    module = session.catalog.module("runtimes", runtime)
    frames = calibration(cell, trained, session) if number_format == "int8" else []
    if number_format != "int8" or not hasattr(module, "write"):
        example = trained.example(*EXAMPLE, device)
        return prepare(session.catalog, runtime, trained.network, example, number_format, frames), []
    suffix = session.catalog.card("runtimes", runtime).facts["suffix"]
    path = scratch / f"{cell.model.name}-{cell.cell_id[:6]}-{number_format}{suffix}"
    graph = graph_of(trained, session.catalog)
    graph = replace(graph, facts={**graph.facts, "number_format": number_format})
    module.write(graph, path, number_format, frames)
    write_sidecar(graph, path)
    return module.load(path, device, number_format), list(scratch.iterdir())


def file_of(record: RunRecord, runtime: str, number_format: str) -> Path | None:
    """The file of a number format that passed the gate, or None."""
    folder = record.artifact(f"{FOLDER}/{runtime}_{number_format}")
    files = sorted(folder.iterdir()) if folder is not None else []
    return next((path for path in files if path.suffix in (".onnx", ".xml")), None)
