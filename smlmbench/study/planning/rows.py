"""One combination of choices, and the row that it is on a data set and a repeat."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from smlmbench.study.cells import SUPERVISED, Cell, DataPlan, Picked, Skipped
from smlmbench.study.identity import cell_id, known_as
from smlmbench.study.load import Loaded
from smlmbench.study.planning.expand import (
    impossible,
    losses_of,
    outputs,
    picks,
    refusal,
    trained_by,
    trainings,
)
from smlmbench.study.schema import Choice, Training


@dataclass(frozen=True, slots=True)
class Combination:
    """One model with its read-out, loss and training block; repeats and data come on top."""

    model: Picked
    output: Picked
    loss: Picked
    training: Training
    refusal: str | None
    method: Picked = SUPERVISED


def combinations_of(
    part: Loaded, choice: Choice, fixes: Mapping[str, Any], losses: Sequence[Picked] | None = None
) -> Iterator[Combination]:
    """Every combination of one model, as the study names it; `fixes` are output settings that the data fix.

    The losses are the study's by default; a ConfigError where it has none for the model.
    """
    study, catalog = part.study, part.catalog
    card = catalog.card("models", choice["name"])
    losses = losses_of(catalog, study, choice) if losses is None else losses
    refused = {loss.name: refusal(catalog, choice["name"], loss.name) for loss in losses}
    blocks = trainings(card, choice["name"], study.training)
    models = picks(catalog, "models", choice)
    grids = outputs(catalog, str(getattr(card, "output", "")), {**study.output, **fixes})
    for model, output, loss, training in itertools.product(models, grids, losses, blocks):
        why = refused[loss.name] or impossible(card, model, output)
        yield Combination(model, output, loss, training, why, trained_by(catalog, loss))


def shared(part: Loaded, plan: DataPlan, scored: str) -> dict[str, Any]:
    """What all rows of one data set have; `scored` is their `eval_id`."""
    study = part.study
    whole = {"study": study.study, "root_seed": study.seed, "scoring": study.scoring, "plugins": study.plugins}
    return {**whole, "task": part.task, "data": plan, "eval_id": scored}


def cell_of(part: Loaded, plan: DataPlan, item: Combination, repeat: int, scored: str) -> Cell:
    """One row; every part is already valid, so nothing is validated ten thousand times."""
    around = shared(part, plan, scored)
    content: dict[str, Any] = {"model": item.model, "output": item.output, "loss": item.loss, "training": item.training}
    content |= {"root_seed": part.study.seed, "repeat": repeat, "data": plan}
    named = "" if item.refusal is not None else cell_id(task=known_as(part.catalog, part.task), **content)
    return Cell.model_construct(cell_id=named, method=item.method, **{**around, **content})


def skipped_of(cell: Cell, reason: str) -> Skipped:
    """The visible row of a combination that makes no sense."""
    settings = {block: getattr(cell, block).settings for block in ("model", "output", "loss")}
    settings["training"] = cell.training.model_dump(mode="json")
    if cell.method.settings:
        settings["method"] = cell.method.settings
    return Skipped(labels=cell.labels, settings=settings, reason=reason)
