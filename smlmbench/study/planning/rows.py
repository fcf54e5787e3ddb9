"""One combination of choices, and the row that it is on a data set and a repeat."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from smlmbench.study.cells import Cell, DataPlan, Picked, Skipped
from smlmbench.study.identity import cell_id, known_as
from smlmbench.study.load import Loaded
from smlmbench.study.planning.expand import impossible, losses_of, outputs, picks, refusal, trainings
from smlmbench.study.schema import Choice, Training


@dataclass(frozen=True, slots=True)
class Combination:
    """One model with its read-out, loss and training block; repeats and data come on top."""

    model: Picked
    output: Picked
    loss: Picked
    training: Training
    refusal: str | None


def combinations_of(
    part: Loaded, choice: Choice, fixes: Mapping[str, Any], losses: Sequence[Picked] | None = None
) -> Iterator[Combination]:
    """Every combination of one model.

    Args:
        part: Of the study.
        choice: The model as the study names it.
        fixes: Output settings that the data fix.
        losses: Instead of the study's.

    Raises:
        ConfigError: No loss for the model.
    """
    study, catalog = part.study, part.catalog
    card = catalog.card("models", choice["name"])
    kind = str(getattr(card, "output", ""))
    losses = losses_of(catalog, study, choice) if losses is None else losses
    refused = {loss.name: refusal(catalog, choice["name"], loss.name) for loss in losses}
    blocks = trainings(card, choice["name"], study.training)
    models = picks(catalog, "models", choice)
    for model, output, loss, training in itertools.product(
        models, outputs(catalog, kind, {**study.output, **fixes}), losses, blocks
    ):
        why = refused[loss.name] or impossible(card, model, output)
        yield Combination(model, output, loss, training, why)


def cell_of(part: Loaded, plan: DataPlan, item: Combination, repeat: int, scored: str) -> Cell:
    """One row; every part is already valid, so nothing is validated ten thousand times.

    Args:
        part: Of the study.
        plan: The data.
        item: What is trained.
        repeat: Number of the repeat.
        scored: The `eval_id`.
    """
    study = part.study
    content: dict[str, Any] = {
        "root_seed": study.seed,
        "repeat": repeat,
        "model": item.model,
        "output": item.output,
        "loss": item.loss,
        "training": item.training,
    }
    named = "" if item.refusal is not None else cell_id(task=known_as(part.catalog, part.task), data=plan, **content)
    return Cell.model_construct(
        study=study.study,
        task=part.task,
        data=plan,
        scoring=study.scoring,
        plugins=study.plugins,
        cell_id=named,
        eval_id=scored,
        **content,
    )


def skipped_of(cell: Cell, reason: str) -> Skipped:
    """The visible row of a combination that makes no sense."""
    settings = {
        "model": cell.model.settings,
        "output": cell.output.settings,
        "loss": cell.loss.settings,
        "training": cell.training.model_dump(mode="json"),
    }
    if cell.method.settings:
        settings["method"] = cell.method.settings
    return Skipped(labels=cell.labels, settings=settings, reason=reason)
