"""Rows without training: those that a study names, else all that serve its task."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from smlmbench.psf.reading import psf_of_file
from smlmbench.registry import Card, Catalog
from smlmbench.study.cells import DataPlan, Picked, Reference, Skipped
from smlmbench.study.identity import known_as, reference_id
from smlmbench.study.load import Loaded
from smlmbench.study.planning.expand import outputs, picks
from smlmbench.study.planning.rows import shared
from smlmbench.study.schema import Choice
from smlmbench.study.sources.description import psf_identity

NO_TRAINING = {"loss": "none", "lambda": "none", "repeat": "0", "method": "reference", "teacher": "none"}


def serving(card: Card, task: str) -> Mapping[str, Any] | None:
    """What a reference's card says of a task (`gives`, `knows`), or None where it does not serve it.

    A card states `tasks`, or the one `task` with these facts beside it; without either it serves every task.
    """
    if "tasks" in card.facts:
        found: Mapping[str, Any] | None = card.facts["tasks"].get(task)
        return found
    return card.facts if card.facts.get("task", task) == task else None


def references_of(part: Loaded, plan: DataPlan, scored: str) -> tuple[list[Reference], list[Skipped]]:
    """The references of one data set on every grid of the study, and the named ones that do not serve its task."""
    study, catalog = part.study, part.catalog
    cards = {name: catalog.card("references", name) for name in catalog.names("references")}
    lost: list[Skipped] = []
    served: list[Picked] = []
    for choice in _default(cards, part.task) if study.references is None else study.references:
        (picked,) = picks(catalog, "references", choice, swept=False)
        if serving(cards[picked.name], part.task) is not None:
            served.append(picked)
        else:
            labels = {"task": part.task, "data": plan.name, "model": picked.name, **NO_TRAINING}
            tasks = cards[picked.name].facts.get("tasks", [cards[picked.name].facts.get("task")])
            reason = f"{picked.name} serves {' and '.join(tasks)}, the data have the task {part.task}"
            lost.append(Skipped(labels=labels, settings={"reference": picked.settings}, reason=reason))
    grids = outputs(catalog, _gridded(part), {**study.output, **plan.train.fixes})
    task = known_as(catalog, part.task)
    around, data = shared(part, plan, scored), plan.train_identity
    rows = []
    for picked, output in itertools.product(served, grids):
        held = optics_content(cards[picked.name], picked.settings, catalog)
        named = reference_id(task=task, data=data, output=output, reference=picked, scored=scored, content=held)
        rows.append(Reference(output=output, reference=picked, reference_id=named, **around))
    return rows, lost


def optics_content(card: Card, settings: Mapping[str, Any], catalog: Catalog) -> Mapping[str, Any]:
    """What the PSF's file holds that a setting names (fact `optics`); nothing where none is named."""
    name = str(card.facts.get("optics", ""))
    if not (path := settings.get(name)):
        return {}
    psf = psf_of_file(Path(path), catalog)
    filled = catalog.card("psf", psf["name"]).fill("psf", {key: psf[key] for key in psf if key != "name"})
    return {name: psf_identity({"name": psf["name"], **filled}, catalog)}


def _default(cards: Mapping[str, Card], task: str) -> Sequence[Choice]:
    """Those shown without being named: of the task, and not in need of a file or setting."""
    return [
        {"name": name}
        for name, card in cards.items()
        if card.facts.get("default", True) and serving(card, task) is not None
    ]


def _gridded(part: Loaded) -> str:
    """The output kind whose settings references are drawn with: one with a fine grid, whatever the order of models."""
    catalog = part.catalog
    kinds = {str(getattr(catalog.card("models", choice["name"]), "output", "")) for choice in part.study.models}
    return min(kinds, key=lambda kind: ("upsampling" not in catalog.card("outputs", kind).settings, kind))
