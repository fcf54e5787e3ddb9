"""The validation pick of each model and data as MLflow's LoggedModel."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from smlmbench.inference.checkpoint import load_trained
from smlmbench.run.cells import CHECKPOINT
from smlmbench.run.session import Session
from smlmbench.study.cells import Cell
from smlmbench.tracking.logged_model import log_model
from smlmbench.tracking.records import RunRecord
from smlmbench.tracking.runs import Run, reason_of

LOGGED = "smlmbench.logged_model"
EXAMPLE_PX = 32
EXAMPLE_PHOTONS = 10.0


def picks(cells: Sequence[Cell], runs: dict[str, RunRecord], primary: str) -> list[Cell]:
    """The cell with the best validation score of every model and data."""
    best: dict[tuple[str, str], Cell] = {}
    for cell in cells:
        key = (cell.data.name, cell.model.name)
        held = best.get(key)
        if held is None or _score(runs[cell.cell_id], primary) > _score(runs[held.cell_id], primary):
            best[key] = cell
    return list(best.values())


def _score(run: RunRecord, primary: str) -> float:
    return run.metrics.get(f"val/{primary}", float("-inf"))


def log_picks(cells: Sequence[Cell], runs: dict[str, RunRecord], session: Session, *, everything: bool) -> None:
    """Log the picks (or every cell) as models that load without this package; what was logged before stays."""
    primary = str(session.catalog.card("tasks", cells[0].task).facts["primary"])
    for cell in cells if everything else picks(cells, runs, primary):
        record = runs[cell.cell_id]
        path = record.artifact(CHECKPOINT)
        if LOGGED in record.tags or path is None:
            continue
        name = f"model {cell.model.name} on {cell.data.name}"
        try:
            model_id = _log(cell, record, path, session)
        except Exception as error:  # the graph of a plug-in may be one that torch cannot export; its row stays
            session.reporter.line(f"{name}: not logged as a model: {reason_of(error)}")
            continue
        session.reporter.line(f"{name}: models:/{model_id}")


def _log(cell: Cell, record: RunRecord, checkpoint: Path, session: Session) -> str:
    trained = load_trained(checkpoint, session.catalog)
    sides = (EXAMPLE_PX, EXAMPLE_PX + 2 * trained.multiple_px)
    run = Run(session.store, record.run_id, experiment_id=record.experiment_id, heartbeat=False)
    model_id = log_model(
        run,
        trained.network,
        name=f"{cell.model.name}-{cell.data.name}",
        example=np.full((2, 1, *sides), EXAMPLE_PHOTONS, dtype=np.float32),
        tags={"cell_id": cell.cell_id, "data": cell.data.name, "threshold": f"{trained.threshold:.6g}"},
    )
    run.set_tags({LOGGED: model_id})
    return model_id
