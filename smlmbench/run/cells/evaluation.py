"""A trained network or a reference on frozen sets: what is tuned, scores, answers, pictures.

The stations are the same for every task; what happens in each is the task's.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from smlmbench import tasks
from smlmbench.data.contracts import Condition
from smlmbench.errors import UnansweredError
from smlmbench.inference.answering import answering
from smlmbench.inference.checkpoint import Trained
from smlmbench.registry import Catalog
from smlmbench.run.automatic import measured_settings, optics_of
from smlmbench.run.materials import Splits
from smlmbench.seeds import derive_seed
from smlmbench.study.cells import Cell, Reference
from smlmbench.tasks import Task
from smlmbench.tasks.contracts import Chosen, Model, Scores, Tuned
from smlmbench.tasks.contracts.gating import Answers

if TYPE_CHECKING:
    from smlmbench.psf.contracts import Psf

OnFrames = Callable[[str, int, int], None]  # condition, frames done, frames in all
Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All scores of one row, what was answered and (where there is a truth) an example's picture, by condition."""

    tuned: Tuned | None = None  # chosen on validation; None for references, and so are its scores there
    validation: Scores | None = None
    tests: dict[str, Scores] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)
    pictures: dict[str, list[Picture]] = field(default_factory=dict)  # of units: input, truth, answer and error


def choose_on_validation(
    trained: Trained, cell: Cell, splits: Splits, catalog: Catalog, on_frames: OnFrames
) -> tuple[Tuned, Scores]:
    """Let the task tune on the whole validation set, keep that with the network, score validation there; fp32."""
    task, validation = tasks.load(cell.task, catalog), splits.validation
    found = answers_of(task, answering(trained), validation, None, on_frames)
    chosen = task.tune(found.own, validation, cell.scoring, found.extras)
    trained.tuned = dict(chosen.settings)
    kept = task.finish(task.at(found.own, chosen.settings), validation)
    extras = {name: task.at(answer, chosen.settings) for name, answer in found.extras.items()}
    return chosen, task.score(kept, validation, cell.scoring, extras)


def score_conditions(
    trained: Trained, cell: Cell, splits: Splits, catalog: Catalog, on_frames: OnFrames, tuned: tuple[Tuned, Scores]
) -> Evaluation:
    """Score every test condition with what was tuned."""
    task, model, made = tasks.load(cell.task, catalog), answering(trained), Evaluation(*tuned)
    for name, condition in splits.tests.items():
        drawn = None if condition.apart else example_picture(task, model, condition, trained.tuned)
        if drawn is not None:
            further = (task.picture(task.answer(model, one, trained.tuned), one) for one in task.shown_also(condition))
            made.pictures[name] = [drawn, *(one for one in further if one is not None)]
        found = answers_of(task, model, condition, trained.tuned, on_frames)
        own = task.finish(found.own, condition)
        made.tests[name] = task.score(own, condition, cell.scoring, found.extras)
        made.answers[name] = own
    return made


def answers_of(
    task: Task, model: Model, condition: Condition, tuned: Chosen, on_frames: OnFrames = lambda *_: None
) -> Answers:
    """What a network says about a condition and its further sets."""
    own = task.answer(model, condition, tuned, on_units=progress(condition, on_frames))
    extras = {name: task.answer(model, extra, tuned, whole=False) for name, extra in condition.extras.items()}
    return Answers(own, extras)


def example_picture(task: Task, model: Model, condition: Condition, tuned: Mapping[str, float]) -> Picture | None:
    """A network's answer to the units that show most; None where there is no truth or nothing to see."""
    shown = task.shown_of(condition)
    return None if shown is None else task.picture(task.answer(model, shown, tuned), shown)


@dataclass(frozen=True, slots=True)
class Referee:
    """A reference as tasks see it: something that answers a condition."""

    module: ModuleType  # its file
    settings: Mapping[str, Any]
    output: Mapping[str, Any]  # settings of the grid that it draws on
    scope: tuple[int, str]  # root seed and name, from which with the digest of what it answers its seed is derived
    optics: "Psf | None" = None  # that of its own settings, instead of a condition's

    def __call__(self, condition: Condition) -> Any:
        """Its answer."""
        root_seed, name = self.scope
        seed = derive_seed(root_seed, "reference", name, condition.digest)
        output = {**self.output, "pixel_size_nm": condition.pixel_size_nm}
        told = condition if self.optics is None else replace(condition, optics=self.optics)
        return self.module.predict(told, self.settings, output, seed)

    def knowing(self, condition: Condition) -> "Referee":
        """The same with what its settings ask of a condition's frames (`auto`)."""
        return replace(self, settings=measured_settings(self.settings, condition))


def referee_of(reference: Reference, catalog: Catalog) -> Referee:
    """A planned reference, ready to answer."""
    picked, scope = reference.reference, (reference.root_seed, reference.reference.name)
    optics = optics_of(catalog.card("references", picked.name), picked.settings, catalog)
    module = catalog.module("references", picked.name)
    return Referee(module, picked.settings, reference.output.settings, scope, optics)


def _further(task: Task, referee: Referee, condition: Condition) -> Iterator[Picture]:
    """Pictures of a reference's answers to further units."""
    for one in task.shown_also(condition):
        with contextlib.suppress(UnansweredError):
            if (drawn := task.picture(task.refer(referee, one), one)) is not None:
                yield drawn


def evaluate_reference(reference: Reference, conditions: Mapping[str, Condition], catalog: Catalog) -> Evaluation:
    """Score a row that needs no training on every condition; one that it cannot answer has reasons alone.

    Raises:
        UnansweredError: It can answer none.
    """
    task, referee, made = tasks.load(reference.task, catalog), referee_of(reference, catalog), Evaluation()
    one_movie = bool(catalog.card("references", reference.reference.name).facts.get("one_movie"))
    unanswered: list[UnansweredError] = []
    for name, condition in conditions.items():
        own = referee.knowing(condition)
        try:
            found = task.refer(own, condition)
        except UnansweredError as error:
            made.tests[name] = Scores({}, dict.fromkeys(task.card.facts["headline"], str(error)))
            unanswered.append(error)
            continue
        further = {} if one_movie else condition.extras
        extras = {extra: task.refer(own, frozen) for extra, frozen in further.items()}
        made.tests[name] = task.score(found, condition, reference.scoring, extras)
        made.answers[name] = found
        shown = not condition.apart and task.example(condition) is not None
        drawn = task.picture(found, condition) if shown else None
        if drawn is not None:
            made.pictures[name] = [drawn, *(() if one_movie else _further(task, own, condition))]
    if unanswered and not made.answers:
        raise unanswered[0]
    return made


def progress(condition: Condition, on_frames: OnFrames) -> Callable[[int], None]:
    """Tell how many frames of a condition are done."""
    return lambda done: on_frames(condition.name, done, condition.frames.n_frames)
