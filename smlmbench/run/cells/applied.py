"""Movies without truth: answered by every row that can, and what can be said of the answers, stored with the run."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from smlmbench import data, tasks
from smlmbench.data.contracts import Condition
from smlmbench.errors import SmlmBenchError
from smlmbench.inference.answering import answering
from smlmbench.inference.checkpoint import Trained
from smlmbench.run.cells.evaluation import OnFrames, progress, referee_of
from smlmbench.run.cells.logging import block_of, log_answer
from smlmbench.run.fits import compared
from smlmbench.run.materials import Materials
from smlmbench.study.cells import Cell, Reference
from smlmbench.study.schema import Scoring
from smlmbench.tasks import Task
from smlmbench.tasks.contracts import Scores
from smlmbench.tasks.contracts.applied import Untrue
from smlmbench.tracking.runs import Run

FOLDER = "applied"


@dataclass(frozen=True, slots=True)
class Applied:
    """A row's answer to one movie, and what can be said of it; `why` there is none."""

    name: str
    answer: Any = None
    scores: Scores | None = None
    alone: Untrue | None = None
    why: str = ""
    fit: Mapping[str, Any] = field(default_factory=dict)  # beside the training; empty where nothing is compared


def of_cell(trained: Trained, cell: Cell, materials: Materials, on_frames: OnFrames) -> Iterator[Applied]:
    """What a trained network says of the movies without truth of its data entry."""
    catalog, taught = materials.catalog, materials.splits(cell).validation
    task, model = tasks.load(cell.task, catalog), answering(trained)

    def answer(one: Condition) -> Any:
        return task.finish(task.answer(model, one, trained.tuned, on_units=progress(one, on_frames)), one)

    for one in data.applied(cell.data, cell.root_seed, catalog).values():
        said = _said(task, answer, (one, taught), cell.scoring)
        yield replace(said, fit=compared(task, trained.facts, one.frames, said.answer) or {})


def of_reference(reference: Reference, materials: Materials) -> Iterator[Applied]:
    """The same of a reference that fits (fact `timed`); others know a truth, or make nothing of one movie.

    A movie that it refuses has the reason.
    """
    catalog, taught = materials.catalog, materials.splits(reference).validation
    if not catalog.card("references", reference.reference.name).facts.get("timed"):
        return
    task, referee = tasks.load(reference.task, catalog), referee_of(reference, catalog)
    for one in data.applied(reference.data, reference.root_seed, catalog).values():
        try:
            yield _said(task, lambda one: task.refer(referee.knowing(one), one), (one, taught), reference.scoring)
        except SmlmBenchError as error:
            yield Applied(one.name, why=str(error))


def _said(
    task: Task, answer: Callable[[Condition], Any], sets: tuple[Condition, Condition], scoring: Scoring
) -> Applied:
    one, taught = sets
    found = answer(one)
    return Applied(one.name, found, task.score(found, one, scoring), task.applied(found, one, taught))


def log_applied(run: Run, applied: Applied, task: Task) -> None:
    """Write tables and images that a user wants, `applied/<movie>.json` with all numbers, and the pictures beside."""
    block: dict[str, Any] = {"why": applied.why} if applied.why else {}
    if applied.scores is not None:
        log_answer(run, applied.answer, applied.name, task, folder=FOLDER)
        block = block_of(applied.scores)
    if applied.alone is not None:
        block |= {"alone": applied.alone.block}
        for name, image in applied.alone.pictures.items():
            run.log_bytes(image, f"{FOLDER}/{applied.name}.{name}.png")
    block |= {"fit": applied.fit} if applied.fit else {}
    run.log_dict(block, f"{FOLDER}/{applied.name}.json")
