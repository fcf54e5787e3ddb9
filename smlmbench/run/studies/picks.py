"""The validation pick of each model and data as MLflow's LoggedModel."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np

from smlmbench import tasks
from smlmbench.errors import StoreLostError
from smlmbench.inference.checkpoint import load_trained
from smlmbench.registry import Catalog
from smlmbench.run.cells.run import CHECKPOINT
from smlmbench.run.session import Session
from smlmbench.study.cells import Cell, context_of
from smlmbench.study.identity import short_hash
from smlmbench.tracking.logged_model import CHAMPION, crown, log_model
from smlmbench.tracking.records import RunRecord
from smlmbench.tracking.runs import Run, reason_of

LOGGED = "smlmbench.logged_model"
EXAMPLE_PX = 32
EXAMPLE_PHOTONS = 10.0


def picks(cells: Sequence[Cell], runs: Mapping[str, RunRecord], catalog: Catalog) -> list[Cell]:
    """The best repeat of the combination with the best mean validation score, for every model, context and data."""
    known = {name: tasks.load(name, catalog) for name in {cell.task for cell in cells}}
    combined: dict[tuple[str, str, int], dict[str, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    for cell in (one for one in cells if not one.control):
        settings = {
            "model": cell.model.settings,
            "output": cell.output.settings,
            "loss": [cell.loss.name, cell.loss.settings],
            "training": cell.training.model_dump(mode="json"),
            "method": [cell.method.name, cell.method.settings, cell.teaching.label if cell.teaching else ""],
        }
        context = context_of(cell.model, catalog)
        combined[cell.data.name, cell.model.name, context][short_hash(settings)].append(cell)

    def score(cell: Cell) -> float:
        task = known[cell.task]
        reached = runs[cell.cell_id].metrics.get(f"val/{task.primary}")
        return float("-inf") if reached is None else task.sign * reached

    chosen = [max(group.values(), key=lambda repeats: fmean(map(score, repeats))) for group in combined.values()]
    return [max(repeats, key=score) for repeats in chosen]


def log_picks(cells: Sequence[Cell], runs: dict[str, RunRecord], session: Session, *, everything: bool) -> None:
    """Log the picks (or every cell) as models that load without this package; what was logged before stays."""
    for cell in cells if everything else picks(cells, runs, session.catalog):
        primary = session.catalog.card("tasks", cell.task).facts["primary"]
        record = runs[cell.cell_id]
        path = record.artifact(CHECKPOINT)
        if LOGGED in record.tags or path is None:
            continue
        name = f"model {cell.model.name} on {cell.data.name}"
        try:
            model_id = _log(cell, record, path, (f"val/{primary}", f"test/{primary}"), session)
        except StoreLostError:
            raise
        except Exception as error:  # the graph of a plug-in may be one that torch cannot export; its row stays
            session.reporter.line(f"{name}: not logged as a model: {reason_of(error)}")
            continue
        session.reporter.line(f"{name}: models:/{model_id}")


def crown_best(cells: Sequence[Cell], runs: Mapping[str, RunRecord], session: Session, study: str) -> None:
    """Give the pick that is best on validation the alias `champion` of the study's registered model.

    Of a study with several data entries each has its registered model, `<study>-<data>`; a pick that is not logged as
    a model leaves the alias where it is.
    """
    chosen: dict[str, list[tuple[float, Cell]]] = defaultdict(list)
    for cell in picks(cells, runs, session.catalog):
        task = tasks.load(cell.task, session.catalog)
        reached = runs[cell.cell_id].metrics.get(f"val/{task.primary}")
        if reached is not None:
            chosen[cell.data.name].append((task.sign * reached, cell))
    for data, scored in chosen.items():
        best = runs[max(scored, key=lambda each: each[0])[1].cell_id]
        model_id = session.store.client.get_run(best.run_id).data.tags.get(LOGGED)  # newer than the record
        name = study if len(chosen) == 1 else f"{study}-{data}"
        if model_id is None:
            continue
        try:
            crown(session.store, name, model_id)
        except StoreLostError:
            raise
        except Exception as error:  # a server may keep no registry; the rows stay
            session.reporter.line(f"registered model {name}: no champion: {reason_of(error)}")
            continue
        session.reporter.line(f"best on validation of {data}: models:/{name}@{CHAMPION} ({best.name})")


def _log(cell: Cell, record: RunRecord, checkpoint: Path, metrics: Sequence[str], session: Session) -> str:
    trained = load_trained(checkpoint, session.catalog)
    sides = session.materials.unit_sides(cell) or (EXAMPLE_PX, EXAMPLE_PX + 2 * trained.multiple_px)
    run = Run(session.store, record.run_id, experiment_id=record.experiment_id, heartbeat=False)
    model_id = log_model(
        run,
        trained.network,
        name=f"{cell.model.name}-{cell.data.name}",
        example=np.full((2, trained.channels, *sides), EXAMPLE_PHOTONS, dtype=np.float32),
        metrics=metrics,
        tags={"cell_id": cell.cell_id, "data": cell.data.name, **{k: f"{v:.6g}" for k, v in trained.tuned.items()}},
    )
    run.set_tags({LOGGED: model_id})
    return model_id
