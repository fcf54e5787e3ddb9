"""Reading the block `search` of a study: every problem in one pass."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from smlmbench.errors import ConfigError, SmlmBenchError, suggest
from smlmbench.registry import Card, Catalog, MetricCard, Setting
from smlmbench.study.reading.choices import LAMBDA, WEIGHT
from smlmbench.study.reading.problems import Problems, Where, explain, short
from smlmbench.study.schema import Training
from smlmbench.study.schema.search import Search

LATENCY, N_PARAMS = "device/latency_ms", "n_params"
TUNABLE = ("lr", "batch_size", "optimiser", "schedule", "clip", "weight_decay", "augment")
BUDGET = ("samples", "regime", "validations", "validation_frames", "patience", "number_format")


def read_search(
    raw: Any,
    models: Sequence[Mapping[str, Any]],
    losses: Sequence[Mapping[str, Any]],
    task: str | None,
    reader: "Reader",
) -> Search | None:
    """The block `search`, every problem noted; None where there is none or it has problems.

    Args:
        raw: As written.
        models: Block of the study as read.
        losses: Block of the study as read.
        task: Its task; None where it is not known.
        reader: Registered things and problems.
    """
    where: Where = ("search",)
    if raw is None:
        return None
    if not isinstance(raw, Mapping):
        reader.problems.add(where, f"{short(raw)} is not a mapping; write {{trials: 30}}")
        return None
    before = len(reader.problems)
    reader.problems.unknown_keys(where, raw, list(Search.model_fields))
    reader.objectives((*where, "objectives"), raw.get("objectives"), task)
    settings = reader.known(models, losses)
    space = reader.space((*where, "space"), raw.get("space"), settings)
    fields = {key: value for key, value in raw.items() if key in Search.model_fields}
    named = raw.get("objectives")
    fields |= {"space": space, "objectives": named if isinstance(named, list) else []}
    try:
        search = Search.model_validate(fields)
    except ValidationError as error:
        for place, text in explain(error, Search, fields):
            reader.problems.add((*where, *place), text)
        return None
    return search if len(reader.problems) == before else None


class Reader:
    """Checks the parts of the block against what is registered.

    Attributes:
        catalog: Registered things, plug-ins included.
        problems: Where every problem is noted; nothing is raised.
    """

    def __init__(self, catalog: Catalog, problems: Problems) -> None:
        self.catalog = catalog
        self.problems = problems

    def objectives(self, where: Where, raw: Any, task: str | None) -> None:
        """Note objectives that do not exist or may not choose."""
        if raw is None or task is None:
            return
        if not isinstance(raw, list) or not all(isinstance(item, str) for item in raw):
            self.problems.add(where, f"{short(raw)} is not a list of names; write [val/efficiency, {LATENCY}]")
            return
        measured = [f"val/{name}" for name in directions(self.catalog, task)]
        for index, name in enumerate(raw):
            place = (*where, index)
            if name.startswith(("test/", "test.", "holdout/")):
                near = f"val/{name.partition('/')[2]}"
                offered = near if near in measured else measured[0] if measured else N_PARAMS
                said = "the test set scores the final pick only" if name.startswith("test") else "it chooses nothing"
                self.problems.add(place, f"'{name}' cannot be searched for: {said}; give {offered}")
            elif name not in (*measured, LATENCY, N_PARAMS):
                self.problems.add(place, f"unknown objective '{name}', {suggest(name, [*measured, LATENCY, N_PARAMS])}")
            elif raw.index(name) != index:
                self.problems.add(place, f"'{name}' stands twice; keep one")
        if raw and not raw[0].startswith("val/") and raw[0] in (LATENCY, N_PARAMS):
            said = f"'{raw[0]}' cannot come first, since the first objective picks"
            self.problems.add((*where, 0), f"{said}; put a number on validation before it")

    def known(
        self, models: Sequence[Mapping[str, Any]], losses: Sequence[Mapping[str, Any]]
    ) -> dict[str, Setting | None]:
        """Every name that `space` may hold, with its setting; None for training keys and for `loss`."""
        found: dict[str, Setting | None] = {"loss": None, **dict.fromkeys(TUNABLE)}
        for name in dict.fromkeys(str(model["name"]) for model in models):
            card = self._card("models", name)
            output = self._card("outputs", str(getattr(card, "output", "")))
            found |= dict(output.settings) if output is not None else {}
            for key, setting in card.settings.items() if card is not None else ():
                found.setdefault(key, setting)
                found[f"{name}.{key}"] = setting
        for name in self._losses(models, losses):
            card = self._card("losses", name)
            for key, setting in card.settings.items() if card is not None else ():
                shown = LAMBDA if key == WEIGHT else key
                found.setdefault(shown, setting)
                found[f"{name}.{shown}"] = setting
        return found

    def _losses(self, models: Sequence[Mapping[str, Any]], losses: Sequence[Mapping[str, Any]]) -> list[str]:
        """Names of all losses that a model of the study may be trained with."""
        chosen = list(losses)
        for model in models:
            chosen += model.get("losses") or []
            if not losses:
                chosen += getattr(self._card("models", str(model["name"])), "losses", [])
        return list(dict.fromkeys(str(loss["name"]) for loss in chosen))

    def space(self, where: Where, raw: Any, known: Mapping[str, Setting | None]) -> dict[str, Any]:
        """The dimensions that name a setting and lie within its limits."""
        if raw is None:
            return {}
        if not isinstance(raw, Mapping):
            self.problems.add(where, f"{short(raw)} is not a mapping; write {{lr: {{low: 1e-4, high: 1e-2}}}}")
            return {}
        read: dict[str, Any] = {}
        for name, value in raw.items():
            place = (*where, name)
            if name in BUDGET:
                self.problems.add(place, "not searched: the budget is equal for all trials; set it under training")
                continue
            if name not in known:
                self.problems.add(place, f"unknown setting, {suggest(name, known)}")
                continue
            dimension = {"choices": value} if isinstance(value, list) else value
            if not isinstance(dimension, Mapping):
                dimension = {"choices": [dimension]}
            read[name] = dict(dimension)
            self._within(place, name, known[name], dimension)
        return read

    def _within(self, where: Where, name: str, setting: Setting | None, dimension: Mapping[str, Any]) -> None:
        values = [dimension[key] for key in ("low", "high") if dimension.get(key) is not None]
        values += dimension["choices"] if isinstance(dimension.get("choices"), list) else []
        for value in values:
            try:
                if setting is not None:
                    setting.check(self.problems.place(where), value)
                elif name == "loss":
                    self.catalog.card("losses", str(value))
                else:
                    _check_training(name, value)
            except SmlmBenchError as error:
                self.problems.add_line(str(error) if setting is not None else f"{self.problems.place(where)}: {error}")

    def _card(self, room: str, name: str) -> Card | None:
        try:
            return self.catalog.card(room, name)
        except SmlmBenchError:
            return None  # noted where the name stands


def directions(catalog: Catalog, task: str) -> dict[str, str]:
    """Direction (up, down) of every number of a task that can be searched for."""
    found: dict[str, str] = {}
    for name in catalog.names("metrics"):
        card = catalog.card("metrics", name)
        if isinstance(card, MetricCard) and task in card.tasks:
            found |= {key: facts.direction for key, facts in card.gives.items() if facts.direction != "none"}
    return found


def _check_training(key: str, value: Any) -> None:
    try:
        Training.model_validate({key: value})
    except ValidationError as error:
        raise ConfigError("; ".join(text for _, text in explain(error, Training, {key: value}))) from None
