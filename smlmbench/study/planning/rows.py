"""One combination of choices, and the row that it is on a data set and a repeat."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from smlmbench.study.cells import Cell, DataPlan, Picked, Skipped
from smlmbench.study.identity import cell_id
from smlmbench.study.load import Loaded
from smlmbench.study.planning.expand import impossible, losses_of, outputs, picks, refusal, trainings
from smlmbench.study.schema import Choice, Training
from smlmbench.study.sources.pairs import fitting_output


@dataclass(frozen=True, slots=True)
class Combination:
    """One model with its read-out, loss and training block; repeats and data come on top."""

    model: Picked
    output: Picked
    loss: Picked
    training: Training
    refusal: str | None


def combinations_of(
    loaded: Loaded, choice: Choice, ratio: int | None, losses: Sequence[Picked] | None = None
) -> Iterator[Combination]:
    """Every combination of one model.

    Args:
        loaded: The study.
        choice: The model as the study names it.
        ratio: The upsampling that the data fix, or None.
        losses: Instead of the study's.

    Raises:
        ConfigError: No loss for the model.
    """
    study, catalog = loaded.study, loaded.catalog
    card = catalog.card("models", choice["name"])
    kind = str(getattr(card, "output", ""))
    losses = losses_of(catalog, study, choice) if losses is None else losses
    refused = {loss.name: refusal(catalog, choice["name"], loss.name) for loss in losses}
    blocks = trainings(card, choice["name"], study.training)
    models = picks(catalog, "models", choice)
    for model, output, loss, training in itertools.product(
        models, outputs(catalog, kind, fitting_output(study.output, ratio)), losses, blocks
    ):
        why = refused[loss.name] or impossible(card, model, output)
        yield Combination(model, output, loss, training, why)


def cell_of(loaded: Loaded, plan: DataPlan, item: Combination, repeat: int, scored: str) -> Cell:
    """One row; every part is already valid, so nothing is validated ten thousand times.

    Args:
        loaded: The study.
        plan: The data.
        item: What is trained.
        repeat: Number of the repeat.
        scored: The `eval_id`.
    """
    study = loaded.study
    content: dict[str, Any] = {
        "task": study.task,
        "root_seed": study.seed,
        "repeat": repeat,
        "model": item.model,
        "output": item.output,
        "loss": item.loss,
        "training": item.training,
    }
    return Cell.model_construct(
        study=study.study,
        data=plan,
        scoring=study.scoring,
        plugins=study.plugins,
        cell_id="" if item.refusal is not None else cell_id(data=plan.train_identity, **content),
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
