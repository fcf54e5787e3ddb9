"""The validation pick of each model and data as MLflow's LoggedModel."""

from collections.abc import Sequence

import numpy as np

from smlmbench.inference.checkpoint import load_trained
from smlmbench.run.cells import CHECKPOINT
from smlmbench.run.session import Session
from smlmbench.study.cells import Cell
from smlmbench.tracking.logged_model import log_model
from smlmbench.tracking.records import RunRecord
from smlmbench.tracking.runs import Run

LOGGED = "smlmbench.logged_model"
EXAMPLE_PX = 32


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
        trained = load_trained(path, session.catalog)
        example = np.full((2, 1, EXAMPLE_PX, EXAMPLE_PX + 2), 10.0, dtype=np.float32)
        run = Run(session.store, record.run_id, experiment_id=record.experiment_id, heartbeat=False)
        model_id = log_model(
            run,
            trained.network,
            name=f"{cell.model.name}-{cell.data.name}",
            example=example,
            metrics=(),
            tags={"cell_id": cell.cell_id, "data": cell.data.name, "threshold": f"{trained.threshold:.6g}"},
        )
        run.set_tags({LOGGED: model_id})
        session.reporter.line(f"model {cell.model.name} on {cell.data.name}: models:/{model_id}")
