"""Checks of a task: the truth is perfect, sums give the numbers, nothing of the test set reaches validation."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from torch import nn

from smlmbench import tasks
from smlmbench.conformance import examples
from smlmbench.conformance.checks import NotApplicable, Subject, require
from smlmbench.data.contracts import ArrayFrames, Asked, Condition, Given, Scope, TrainingSet
from smlmbench.errors import SizeError
from smlmbench.inference.answering import Answering
from smlmbench.inference.checkpoint import build_network
from smlmbench.inference.engine import ReadOut, frame_multiple, padded
from smlmbench.registry import Catalog, ModelCard
from smlmbench.statistics import paired_difference
from smlmbench.study.schema import Scoring
from smlmbench.study.sources import PluginSource
from smlmbench.tasks import Task
from smlmbench.tasks.contracts import Scores

SEED = 11
SCORING = Scoring()


@dataclass(frozen=True, slots=True)
class Referee:
    """A reference with its defaults, on a small grid."""

    module: Any
    settings: Mapping[str, Any]
    output: Mapping[str, Any]

    def __call__(self, condition: Condition) -> Any:
        """Its answer."""
        return self.module.predict(condition, self.settings, self.output, SEED)


def truth_is_perfect(subject: Subject) -> str:
    """The reference that was told the truth reaches the best value of the primary."""
    with _set(subject) as (task, condition, _):
        found = _scored(task, condition, ceiling=True).values.get(task.primary)
        facts = _given(task)[task.primary]
        best = facts.high if task.direction == "up" else facts.low
        reached = found is not None and (best is None or abs(found - best) < 1e-9)
        require(reached, f"the truth has {task.primary} {found}, the best is {best}")
        return f"{task.primary} {found:g}"


def others_are_not(subject: Subject) -> str:
    """A reference that was not told the truth is worse."""
    with _set(subject) as (task, condition, _):
        told = _scored(task, condition, ceiling=True).values[task.primary]
        other = _scored(task, condition, ceiling=False).values.get(task.primary)
        require(other is None or task.sign * (told - other) > 0, f"a reference has {other}, the truth {told}")
        return f"{other} against {told:g}"


def sums_give_the_number(subject: Subject) -> str:
    """The statistic of the summed columns is the primary bit for bit, and two equal rows differ by exactly 0."""
    with _set(subject) as (task, condition, _):
        scores = _scored(task, condition, ceiling=False)
        if task.primary not in scores.values:
            raise NotApplicable("no reference but the truth has the primary")
        sums = task.sums(task.primary, pd.DataFrame(dict(scores.per_unit)))
        statistic = task.statistic(task.primary, condition.facts)
        if sums is None or statistic is None:
            raise NotApplicable("it is compared over repeats alone")
        number = float(statistic(sums.sum(axis=0)))
        require(number == scores.values[task.primary], f"sums give {number}, the score {scores.values[task.primary]}")
        gap = paired_difference([sums], [sums], statistic, seed=SEED)
        require(gap.value == 0 and gap.verdict == "tie", f"equal rows differ by {gap.value}")
        return f"{len(sums)} units"


def validation_knows_no_test(subject: Subject) -> str:
    """Validation shares no unit with test, and says the same bit for bit whatever was tested in between."""
    with _set(subject) as (task, test, made):
        model, first = _two_steps(task, made("train"))[1], made("val")
        before, units = _said(task, model, first), [_units(each) for each in (first, test)]
        require(not units[0] & units[1], "validation and test share units")
        require(first.digest != test.digest, "validation and test have one digest")
        turned = replace(test, frames=ArrayFrames(test.frames.read(0, test.frames.n_frames)[::-1].copy()))
        for tested in (test, turned):
            _said(task, model, tested)
        again = made("val")
        require(_units(again) == units[0], "validation is not the same when it is drawn again")
        after = _said(task, model, again)
        changed = sorted(name for name in before if before[name] != after.get(name))
        require(not changed, f"{', '.join(changed)} of validation change with what was tested before")
        return f"{len(units[0])} units, {len(before)} numbers"


def without_truth_there_are_reasons(subject: Subject) -> str:
    """An answer to inputs without truth has no primary, but a reason."""
    with _set(subject) as (task, condition, _):
        answer = task.refer(next(_referees(task, ceiling=False)), condition)
        scores = task.score(answer, replace(condition, truth=None, extras={}), SCORING)
        require(task.primary not in scores.values, f"{task.primary} has a value without a truth")
        require(scores.reasons.get(task.primary), f"{task.primary} has no reason without a truth")
        return str(scores.reasons[task.primary])


def page_and_picture_are_made(subject: Subject) -> str:
    """The section names known numbers, and the example has a picture where the task draws any."""
    with _set(subject) as (task, condition, _):
        section = task.section(pd.DataFrame(), {condition.name: dict(condition.facts)})
        known = set(_given(task))
        for name in (*section.columns, *section.on_mean, *section.on_each, section.second, section.against):
            require(not name or name in known, f"the section names {name}, which no metric gives")
        number = task.example(condition)
        if number is None:
            return "no picture"
        one = condition.part(number, number + 1)
        shown = task.panels(task.refer(next(_referees(task, ceiling=True)), one), one)
        require(shown is not None and shown.truth is not None, "the example has no picture with its truth")
        return f"unit {number}"


def two_steps_train(subject: Subject) -> str:
    """A registered network makes two steps on a source that the task takes, and is watched, tuned and scored."""
    with _set(subject) as (task, condition, stream):
        name, model = _two_steps(task, stream("train"))
        answer = task.answer(model, condition)
        watch = task.watch(answer, condition, SCORING)
        require(task.primary in watch.numbers, f"watching gives no {task.primary}")
        tuned = task.tune(answer, condition, SCORING).settings
        scores = task.score(task.at(answer, tuned), condition, SCORING)
        require(task.primary in scores.values or task.primary in scores.reasons, f"no {task.primary}, and no reason")
        return f"{name}: {task.primary} {scores.values.get(task.primary, 'n/a')}"


@contextmanager
def _set(subject: Subject) -> Iterator[tuple[Task, Condition, Callable[[str], Any]]]:
    """The task, a small test set that it takes, and a maker of its other sets (`val`) or its stream (`train`)."""
    task = tasks.load(subject.name, subject.catalog)
    with tempfile.TemporaryDirectory() as scratch:
        description = _description(task, Path(scratch))
        module, identity = task.catalog.module("data", description.kind), {"example": subject.name}
        extras, parts = tuple(task.card.facts.get("extras", ())), description.cuts(val=False, test=False)

        def made(role: str) -> Any:
            part = parts.get(role, description)
            if role == "train":
                return module.training_set(part, identity, Scope(SEED), task.catalog)
            return module.condition(role, part, identity, Asked(role, SEED, extras), task.catalog)

        yield task, made("test"), made


def _two_steps(task: Task, samples: TrainingSet) -> tuple[str, Answering]:
    """A registered network that serves the task, by its name and after two steps on a stream."""
    name, settings, loss, network, given = _network(task, samples)
    card = cast("ModelCard", task.catalog.card("models", name))
    module = task.catalog.module("outputs", card.output)
    multiple = frame_multiple(card.facts, given.upsampling)
    call = padded(network, multiple, given.upsampling)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    for step in range(2):
        batch = samples.batch(2 * step, 2)
        value = loss(call(batch.inputs), module.targets(batch, settings))["loss"]
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    keeps = bool(task.card.facts.get("keeps_table", True))
    read_out = ReadOut(module, settings, float("nan"), multiple_px=multiple, keep_table=keeps)
    return name, Answering(network.eval(), replace(read_out, context=given.context), torch.device("cpu"))


def _units(condition: Condition) -> set[bytes]:
    """The inputs of a set, each as its bytes."""
    return {condition.frames.read(number, number + 1).tobytes() for number in range(condition.frames.n_frames)}


def _said(task: Task, model: Answering, condition: Condition) -> dict[str, bytes]:
    """All that is watched, tuned and scored on a set, by name."""
    answer = task.answer(model, condition)
    watch, tuned = task.watch(answer, condition, SCORING), task.tune(answer, condition, SCORING)
    scores = task.score(task.at(answer, tuned.settings), condition, SCORING)
    said = {"watched": watch.numbers, "tuned": tuned.settings, "scored": scores.values, "per unit": scores.per_unit}
    found = {f"{name} {what}": value for what, numbers in said.items() for name, value in numbers.items()}
    found |= {"score watched": watch.score, "mass watched": watch.mass, "curve tuned": tuned.curve}
    return {name: np.asarray(value, dtype=np.float64).tobytes() for name, value in found.items()}


def _description(task: Task, folder: Path) -> Any:
    catalog = task.catalog
    for name in catalog.names("data"):
        card = catalog.card("data", name)
        if card.facts.get("truth") not in task.card.facts.get("truths", ()):
            continue
        small = getattr(catalog.module("data", name), "small", None)
        if small is not None:
            return small(folder)
        if catalog.plugin_hash("data", name) is not None:
            return PluginSource(kind=name, settings=card.fill(name, card.tiny), facts=card.facts)
    raise NotApplicable("no registered source that makes a small set brings a truth that it takes")


def _referees(task: Task, *, ceiling: bool) -> Iterator[Referee]:
    """The references with their defaults that serve the task and were, or were not, told the truth; one at least."""
    catalog, absent = task.catalog, True
    for name in catalog.names("references"):
        card = catalog.card("references", name)
        serves = task.name in card.facts.get("tasks", {}) or card.facts.get("task") == task.name
        if serves and bool(card.facts.get("ceiling")) == ceiling and card.facts.get("default", True):
            absent, output = False, {"upsampling": 2, "pixel_size_nm": examples.PIXEL_SIZE_NM}
            yield Referee(catalog.module("references", name), card.fill(name, {}), output)
    if absent:
        raise NotApplicable(f"no reference serves it that {'was' if ceiling else 'was not'} told the truth")


def _scored(task: Task, condition: Condition, *, ceiling: bool) -> Scores:
    """Scores of the first reference that has the primary, else of the last."""
    for referee in _referees(task, ceiling=ceiling):
        extras = {name: task.refer(referee, extra) for name, extra in condition.extras.items()}
        scores = task.score(task.refer(referee, condition), condition, SCORING, extras)
        if task.primary in scores.values:
            break
    return scores


def _given(task: Task) -> dict[str, Any]:
    cards = [task.catalog.card("metrics", name) for name in task.metric_files()]
    return {name: facts for card in cards for name, facts in getattr(card, "gives", {}).items()}


def _network(task: Task, stream: TrainingSet) -> tuple[str, dict[str, Any], Any, nn.Module, Given]:
    """A network that serves the task, sees one frame and takes its units, with settings of its output and a loss."""
    catalog: Catalog = task.catalog
    for name in catalog.names("models"):
        card = catalog.card("models", name)
        if not isinstance(card, ModelCard) or task.name not in catalog.served_by(name):
            continue
        kind = catalog.card("outputs", card.output)
        chosen = {"upsampling": 2} if "upsampling" in kind.settings else {}
        taught = getattr(stream, "taught", {})
        asked = {name: taught[name] for name in kind.facts.get("asks", ()) if name in taught}
        settings = {**kind.fill(card.output, chosen), **stream.output_settings, **asked}
        loss = examples.loss_for(catalog, card.output, card.losses, settings)
        if loss is None or card.frames_at_once(card.fill(name, card.tiny)) > 1 or card.refusal(settings):
            continue
        with suppress(SizeError):  # made for units of another size: crops, not spectra
            return name, settings, loss, *_built(task, card, name, stream, settings)
    raise NotApplicable("no registered network serves it")


def _built(
    task: Task, card: ModelCard, name: str, samples: TrainingSet, settings: Mapping[str, Any]
) -> tuple[nn.Module, Given]:
    """The tiny network, and what it was told."""
    pixel_nm, upsampling = (
        samples.output_settings.get("pixel_size_nm", float("nan")),
        int(settings.get("upsampling", 1)),
    )
    sides = tuple(samples.sample_shape[1:]) if task.card.facts.get("whole_units") else ()
    given = Given(samples.sample_shape[0], upsampling, float(pixel_nm), samples.statistics, 1, settings, sides)
    return build_network(task.catalog, name, card.fill(name, card.tiny), given), given
