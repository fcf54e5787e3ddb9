"""Registered names and their settings in a study: models, losses, references, output and training blocks."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from smlmbench.errors import SmlmBenchError, suggest
from smlmbench.registry import ROOMS, Card, Catalog, LossCard, ModelCard, Setting
from smlmbench.study.reading.problems import Problems, Where, explain, short
from smlmbench.study.schema import Choice, Training

LAMBDA, WEIGHT = "lambda", "weight"


class Choices:
    """Reads the blocks of a study that name registered things.

    Attributes:
        catalog: Registered things, plug-ins included.
        problems: Where every problem is noted; nothing is raised.
    """

    def __init__(self, catalog: Catalog, problems: Problems) -> None:
        self.catalog = catalog
        self.problems = problems

    def models(self, raw: Any, task: str | None) -> list[Choice]:
        """The block `models`; settings may be lists (swept), `losses` are a model's own."""
        found = []
        for where, choice in self._listed(("models",), raw):
            card = self._card("models", where, choice)
            if not isinstance(card, ModelCard):
                continue
            self.serves(where, choice["name"], task)
            own = {key: value for key, value in choice.items() if key not in ("name", "losses")}
            read: Choice = {"name": choice["name"], **self.settings(card, where, own, swept=True)}
            if "losses" in choice:
                read["losses"] = self.losses((*where, "losses"), choice["losses"])
            found.append(read)
        return found

    def serves(self, where: Where, model: str, task: str | None) -> None:
        """Note a model that does not serve the task (None: not known)."""
        try:
            served = self.catalog.served_by(model)
        except SmlmBenchError:
            return  # an output kind that is not registered is noted with the block `output`
        if task is not None and task not in served:
            tasks = " and ".join(f"'{name}'" for name in served) or "none"
            self.problems.add(where, f"'{model}' serves the task {tasks}, the data have '{task}'")

    def losses(self, where: Where, raw: Any) -> list[Choice]:
        """A block `losses`; `lambda` becomes the key `weight`."""
        found = []
        for place, choice in self._listed(where, raw):
            card = self._card("losses", place, choice)
            if not isinstance(card, LossCard):
                continue
            own = {key: value for key, value in choice.items() if key != "name"}
            found.append({"name": choice["name"], **self.settings(card, place, own, swept=True)})
        return found

    def references(self, raw: Any) -> list[Choice] | None:
        """The block `references`; None stands for all of the task."""
        if raw is None:
            return None
        found = []
        for where, choice in self._listed(("references",), raw):
            card = self._card("references", where, choice)
            if card is None:
                continue
            own = {key: value for key, value in choice.items() if key != "name"}
            found.append({"name": choice["name"], **self.settings(card, where, own, swept=False)})
        return found

    def output(self, raw: Any, models: Sequence[Choice]) -> dict[str, Any]:
        """The block `output`: settings of the output kinds of the models."""
        if not self._is_mapping(("output",), raw):
            return {}
        cards = self._output_cards(models)
        known: dict[str, Setting] = {key: setting for card in cards for key, setting in card.settings.items()}
        read = {}
        for key, value in raw.items():
            where = ("output", key)
            if key not in known:
                if cards:
                    self.problems.add(where, f"unknown setting, {suggest(key, known)}")
                continue
            for card in cards:
                if key in card.settings:
                    read[key] = self._setting(card.settings[key], where, value, swept=True)
        return read

    def training(self, raw: Any) -> dict[str, Any]:
        """The block `training`, typed; lists are swept."""
        if not self._is_mapping(("training",), raw):
            return {}
        self.problems.unknown_keys(("training",), raw, list(Training.model_fields))
        read = {}
        for key, value in raw.items():
            if key not in Training.model_fields:
                continue
            where = ("training", key)
            if isinstance(value, list):
                self._not_empty(where, value)
                read[key] = [self._trained(key, (*where, index), item) for index, item in enumerate(value)]
            else:
                read[key] = self._trained(key, where, value)
        return read

    def psf(self, where: Where, raw: Any) -> dict[str, Any] | None:
        """A PSF with all its settings; a bare name stands for its defaults."""
        choice = {"name": raw} if isinstance(raw, str) else raw
        if not isinstance(choice, Mapping):
            self.problems.add(where, f"{short(raw)} is not a PSF; write {{name: ..., setting: value}}")
            return None
        card = self._card("psf", where, choice)
        if card is None:
            return None
        own = {key: value for key, value in choice.items() if key != "name"}
        before = len(self.problems)
        read = self.settings(card, where, own, swept=False)
        if len(self.problems) > before:
            return None
        return {"name": choice["name"], **card.fill(self.problems.place(where), read)}

    def registered(self, room: str, where: Where, name: Any) -> bool:
        """Whether a name is registered in a room; noted where not."""
        if not isinstance(name, str):
            self.problems.add(where, f"{short(name)} is not a name of a {ROOMS[room]}")
            return False
        try:
            self.catalog.card(room, name)
        except SmlmBenchError as error:
            self.problems.add(where, str(error))
            return False
        return True

    def settings(self, card: Card, where: Where, given: Mapping[str, Any], *, swept: bool) -> dict[str, Any]:
        """Check the given settings against a card, each on its own; the defaults are not added."""
        read = {}
        shown = {LAMBDA if key == WEIGHT and isinstance(card, LossCard) else key: key for key in card.settings}
        for key, value in given.items():
            if key not in shown:
                self.problems.add((*where, key), f"unknown setting, {suggest(key, shown)}")
                continue
            read[shown[key]] = self._setting(card.settings[shown[key]], (*where, key), value, swept=swept)
        return read

    def _setting(self, setting: Setting, where: Where, value: Any, *, swept: bool) -> Any:
        if swept and is_sweep(setting, value):
            self._not_empty(where, value)
            return [self._checked(setting, (*where, index), item) for index, item in enumerate(value)]
        return self._checked(setting, where, value)

    def _checked(self, setting: Setting, where: Where, value: Any) -> Any:
        try:
            return setting.check(self.problems.place(where), value)
        except SmlmBenchError as error:
            self.problems.add_line(str(error))
            return setting.default

    def _trained(self, key: str, where: Where, value: Any) -> Any:
        try:
            return getattr(Training.model_validate({key: value}), key)
        except ValidationError as error:
            for place, text in explain(error, Training, {key: value}):
                self.problems.add((*where, *place[1:]), text)
            return None

    def _card(self, room: str, where: Where, choice: Mapping[str, Any]) -> Card | None:
        name = choice.get("name")
        if not isinstance(name, str):
            said = f"has no name, only {short(', '.join(choice))}" if name is None else f"{short(name)} is not a name"
            self.problems.add(
                where, f"{said}; write {{name: ..., setting: value}} with one of {', '.join(self.catalog.names(room))}"
            )
            return None
        try:
            return self.catalog.card(room, name)
        except SmlmBenchError as error:
            self.problems.add(where, str(error))
            return None

    def _listed(self, where: Where, raw: Any) -> list[tuple[Where, dict[str, Any]]]:
        """Items of a list of choices, bare names made mappings."""
        if not isinstance(raw, list):
            said = "required and not given" if raw is None else f"{short(raw)} is not a list"
            self.problems.add(where, f"{said}; write [name, {{name: ..., setting: value}}]")
            return []
        found: list[tuple[Where, dict[str, Any]]] = []
        for index, item in enumerate(raw):
            place = (*where, index)
            if isinstance(item, str | Mapping):
                found.append((place, {"name": item} if isinstance(item, str) else dict(item)))
            else:
                self.problems.add(place, f"{short(item)} is neither a name nor a mapping with a name")
        return found

    def _output_cards(self, models: Sequence[Choice]) -> list[Card]:
        cards = []
        for kind in dict.fromkeys(self._output_of(model) for model in models):
            try:
                cards.append(self.catalog.card("outputs", kind))
            except SmlmBenchError as error:
                self.problems.add(("models",), str(error))
        return cards

    def _output_of(self, model: Choice) -> str:
        card = self.catalog.card("models", model["name"])
        return card.output if isinstance(card, ModelCard) else ""

    def _is_mapping(self, where: Where, raw: Any) -> bool:
        if not isinstance(raw, Mapping):
            self.problems.add(where, f"{short(raw)} is not a mapping; write {{key: value}}")
            return False
        return True

    def _not_empty(self, where: Where, value: Sequence[Any]) -> None:
        if not value:
            self.problems.add(where, "an empty list sweeps nothing; give at least one value or leave it out")


def is_sweep(setting: Setting, value: Any) -> bool:
    """True where a list stands for several values; a setting that is itself a list is swept by a list of lists."""
    if not isinstance(value, list):
        return False
    return not isinstance(setting.default, list) or (bool(value) and all(isinstance(item, list) for item in value))
