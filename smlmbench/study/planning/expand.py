"""Lists of a study to single choices: every combination, in the order written."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from smlmbench.errors import ConfigError
from smlmbench.registry import Card, Catalog, LossCard, ModelCard
from smlmbench.study.cells import SUPERVISED, Picked
from smlmbench.study.reading.choices import LAMBDA, WEIGHT, is_sweep
from smlmbench.study.reading.problems import dotted, explain
from smlmbench.study.schema import Choice, Study, Training


def combinations(block: Mapping[str, Any], swept: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Every combination of the swept keys' values, the last key fastest."""
    axes = [block[key] if key in swept else [block[key]] for key in block]
    for values in itertools.product(*axes):
        yield dict(zip(block, values, strict=True))


def picks(catalog: Catalog, room: str, choice: Choice, *, swept: bool = True) -> list[Picked]:
    """Every combination of a choice's settings, the defaults filled in; one where lists are not swept."""
    name = choice["name"]
    card = catalog.card(room, name)
    given = {key: value for key, value in choice.items() if key not in ("name", "losses")}
    lists = [key for key, value in given.items() if swept and is_sweep(card.settings[key], value)]
    plugin = catalog.plugin_hash(room, name)
    filled = (card.fill(name, settings) for settings in combinations(given, lists))
    return [
        Picked(name=name, version=card.version, settings=full, plugin=plugin, silent=card.silent(full))
        for full in filled
    ]


def outputs(catalog: Catalog, kind: str, block: Mapping[str, Any]) -> list[Picked]:
    """Every combination of an output kind's settings in the block `output`; keys of other kinds are left out."""
    settings = catalog.card("outputs", kind).settings
    return picks(catalog, "outputs", {"name": kind} | {key: block[key] for key in block if key in settings})


def losses_of(catalog: Catalog, study: Study, model: Choice) -> list[Picked]:
    """Every combination of the losses of one model; a ConfigError where there is none."""
    chosen = loss_choices(catalog, study, model)
    if not chosen:
        todo = "name losses: [{name: ..., lambda: ...}] in the study"
        raise ConfigError(f"models: no loss for '{model['name']}'; {todo}")
    return [picked for choice in chosen for picked in picks(catalog, "losses", choice)]


def loss_choices(catalog: Catalog, study: Study, model: Choice) -> list[Choice]:
    """Losses of one model as they are written: its own in the study, else the study's, else those on its card."""
    chosen: list[Choice] = model.get("losses") or study.losses
    card = catalog.card("models", model["name"])
    if chosen or not isinstance(card, ModelCard):
        return chosen
    return [{WEIGHT if key == LAMBDA else key: value for key, value in choice.items()} for choice in card.losses]


def trainings(card: Card, name: str, block: Mapping[str, Any]) -> list[Training]:
    """Every combination of the study's training block over the card's defaults; a ConfigError where these are bad."""
    defaults = card.training if isinstance(card, ModelCard) else {}
    swept = [key for key, value in block.items() if isinstance(value, list)]
    try:
        return [Training.model_validate({**defaults, **values}) for values in combinations(block, swept)]
    except ValidationError as error:
        where, text = explain(error, Training, defaults)[0]
        raise ConfigError(f"card of model '{name}': training.{dotted(where)}: {text}") from None


def trained_by(catalog: Catalog, loss: Picked) -> Picked:
    """The recipe that a loss asks for on its card, with the defaults of its settings."""
    card = catalog.card("losses", loss.name)
    name = card.recipe if isinstance(card, LossCard) else SUPERVISED.name
    if name == SUPERVISED.name:
        return SUPERVISED
    (picked,) = picks(catalog, "recipes", {"name": name})
    return picked


def refusal(catalog: Catalog, model: str, loss: str) -> str | None:
    """Why a loss cannot train a model, or None."""
    emits, scores = catalog.card("models", model), catalog.card("losses", loss)
    if not isinstance(emits, ModelCard) or not isinstance(scores, LossCard) or emits.output in scores.accepts:
        return None
    return f"{model} gives {emits.output}, {loss} accepts {' or '.join(scores.accepts)}"


def impossible(card: Card, model: Picked, output: Picked) -> str | None:
    """Why a network with these settings (its card beside it) cannot be built for this output, or None."""
    if ignored := card.ignored(model.settings):
        given = ", ".join(f"{name}={model.settings[name]}" for name in ignored)
        variant = card.variant(model.settings).replace("=", " ")
        return f"{model.name} with {variant} has no {given}; only its default stands there"
    under = card.under(model.settings)
    why = under.refusal(output.settings) if isinstance(under, ModelCard) else None
    return None if why is None else f"{model.name} {why}"
