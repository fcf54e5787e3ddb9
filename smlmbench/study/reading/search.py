"""Reading the block `search` of a study: every problem in one pass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from smlmbench.errors import SmlmBenchError, suggest
from smlmbench.registry import Card, Catalog, Setting
from smlmbench.study.reading.choices import LAMBDA, WEIGHT, Choices
from smlmbench.study.reading.problems import Problems, Where, short
from smlmbench.study.schema import Choice
from smlmbench.study.schema.search import Search

LATENCY, N_PARAMS = COSTS = "device/latency_ms", "n_params"  # known before a network is trained
TUNABLE = ("lr", "batch_size", "optimiser", "schedule", "clip", "weight_decay", "augment")
BUDGET = ("samples", "regime", "validations", "validation_frames", "patience", "number_format")


def read_search(
    raw: Any, models: Sequence[Choice], losses: Sequence[Choice], task: str | None, choices: Choices
) -> Search | None:
    """The block `search`, every problem noted; None where there is none or it has problems.

    `models` and `losses` are blocks of the study as read; the task is None where it is not known.
    """
    where: Where = ("search",)
    problems = choices.problems
    if raw is None or not problems.expect(where, raw, Mapping, "a mapping; write {trials: 30}"):
        return None
    before = len(problems)
    reader = _Reader(choices, choices.catalog, problems)
    problems.unknown_keys(where, raw, list(Search.model_fields))
    named = raw.get("objectives")
    reader.objectives((*where, "objectives"), named, task)
    fields = {key: value for key, value in raw.items() if key in Search.model_fields}
    fields["objectives"] = named if isinstance(named, list) else []
    fields["limits"] = reader.limits((*where, "limits"), raw.get("limits"))
    fields["space"] = reader.space((*where, "space"), raw.get("space"), reader.known(models, losses))
    search = problems.validated(where, Search, fields, fields)
    return search if len(problems) == before else None


@dataclass(frozen=True, slots=True)
class _Reader:
    """Checks the parts of the block against what is registered."""

    choices: Choices
    catalog: Catalog
    problems: Problems

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
        if raw and raw[0] in (LATENCY, N_PARAMS):
            said = f"'{raw[0]}' cannot come first, since the first objective picks"
            self.problems.add((*where, 0), f"{said}; put a number on validation before it")

    def limits(self, where: Where, raw: Any) -> dict[Any, Any]:
        """The limits; those of what is not known before a network is trained are noted."""
        if raw is None or not self.problems.expect(where, raw, Mapping, f"a mapping; write {{{LATENCY}: 5}}"):
            return {}
        for name in (each for each in raw if each not in COSTS):
            said = f"cannot be limited, {suggest(str(name), COSTS)}"
            self.problems.add((*where, str(name)), f"{said}; what is measured on validation is an objective")
        return dict(raw)

    def known(self, models: Sequence[Choice], losses: Sequence[Choice]) -> dict[str, Setting | None]:
        """Every name that `space` may hold, with its setting; None for training keys and for `loss`."""
        found: dict[str, Setting | None] = {"loss": None, **dict.fromkeys(TUNABLE)}
        things = [("models", str(model["name"])) for model in models]
        for room, name in dict.fromkeys([*things, *(("losses", one) for one in self._losses(models, losses))]):
            card = self._card(room, name)
            output = self._card("outputs", str(getattr(card, "output", "")))
            found |= output.settings if output is not None else {}
            for key, setting in card.settings.items() if card is not None else ():
                shown = LAMBDA if room == "losses" and key == WEIGHT else key
                found.setdefault(shown, setting)
                found[f"{name}.{shown}"] = setting
        return found

    def _losses(self, models: Sequence[Choice], losses: Sequence[Choice]) -> list[str]:
        """Names of all losses that a model of the study may be trained with."""
        chosen = list(losses)
        for model in models:
            chosen += model.get("losses") or []
            if not losses:
                chosen += getattr(self._card("models", str(model["name"])), "losses", [])
        return [str(loss["name"]) for loss in chosen]

    def space(self, where: Where, raw: Any, known: Mapping[str, Setting | None]) -> dict[str, Any]:
        """The dimensions that name a setting and lie within its limits."""
        wanted = "a mapping; write {lr: {low: 1e-4, high: 1e-2}}"
        if raw is None or not self.problems.expect(where, raw, Mapping, wanted):
            return {}
        read: dict[str, Any] = {}
        for name, value in raw.items():
            place = (*where, name)
            if name in BUDGET:
                self.problems.add(place, "not searched: the budget is equal for all trials; set it under training")
            elif name not in known:
                self.problems.add(place, f"unknown setting, {suggest(name, known)}")
            else:
                held = value if isinstance(value, list) else [value]
                read[name] = dict(value) if isinstance(value, Mapping) else {"choices": held}
                self._within(place, name, known[name], read[name])
        return read

    def _within(self, where: Where, name: str, setting: Setting | None, dimension: Mapping[str, Any]) -> None:
        values = [dimension[key] for key in ("low", "high") if dimension.get(key) is not None]
        values += dimension["choices"] if isinstance(dimension.get("choices"), list) else []
        for value in values:
            if setting is not None:
                self.choices.checked(setting, where, value)
            elif name == "loss":
                self.choices.registered("losses", where, str(value))
            else:
                self.choices.trained(name, where, value)

    def _card(self, room: str, name: str) -> Card | None:
        try:
            return self.catalog.card(room, name)
        except SmlmBenchError:
            return None  # noted where the name stands


def directions(catalog: Catalog, task: str) -> dict[str, str]:
    """Direction (up, down) of every number of a task that can be searched for."""
    given = (card.gives for card in catalog.metrics_of(task).values())
    return {key: facts.direction for gives in given for key, facts in gives.items() if facts.direction != "none"}
