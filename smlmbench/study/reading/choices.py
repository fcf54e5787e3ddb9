"""Registered names and their settings in a study: models, losses, references, output and training blocks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from smlmbench.errors import SmlmBenchError, suggest
from smlmbench.registry import ROOMS, Card, Catalog, LossCard, Setting
from smlmbench.study.reading.problems import Problems, Where, explain, short
from smlmbench.study.schema import Choice, Training

LAMBDA, WEIGHT = "lambda", "weight"


@dataclass(frozen=True, slots=True)
class Choices:
    """Reads the blocks of a study that name registered things; every problem is noted, nothing is raised."""

    catalog: Catalog
    problems: Problems

    def models(self, raw: Any, task: str | None) -> list[Choice]:
        """The block `models`; settings may be lists (swept), `losses` are a model's own."""
        found = []
        for where, choice, read in self._read("models", ("models",), raw):
            self.serves(where, choice["name"], task)
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
        return [read for _, _, read in self._read("losses", where, raw)]

    def references(self, raw: Any) -> list[Choice] | None:
        """The block `references`; None stands for all of the task."""
        if raw is None:
            return None
        return [read for _, _, read in self._read("references", ("references",), raw, swept=False)]

    def output(self, raw: Any, models: Sequence[Choice]) -> dict[str, Any]:
        """The block `output`: settings of the output kinds of the models."""
        if not self.problems.expect(("output",), raw, Mapping, "a mapping; write {key: value}"):
            return {}
        kinds = dict.fromkeys(str(getattr(self.catalog.card("models", one["name"]), "output", "")) for one in models)
        cards = [card for kind in kinds if (card := self._known("outputs", ("models",), kind)) is not None]
        known = {key for card in cards for key in card.settings}
        read = {}
        for key, value in raw.items():
            where = ("output", key)
            if cards and key not in known:
                self.problems.add(where, f"unknown setting, {suggest(key, known)}")
            for card in cards:
                if key in card.settings:
                    read[key] = self._setting(card.settings[key], where, value, swept=True)
        return read

    def training(self, raw: Any) -> dict[str, Any]:
        """The block `training`, typed; lists are swept."""
        if not self.problems.expect(("training",), raw, Mapping, "a mapping; write {key: value}"):
            return {}
        self.problems.unknown_keys(("training",), raw, list(Training.model_fields))
        read = {}
        for key in [key for key in raw if key in Training.model_fields]:
            where, value = ("training", key), raw[key]
            if isinstance(value, list):
                self._not_empty(where, value)
                read[key] = [self.trained(key, (*where, index), item) for index, item in enumerate(value)]
            else:
                read[key] = self.trained(key, where, value)
        return read

    def described(self, room: str, where: Where, raw: Any) -> dict[str, Any] | None:
        """A thing of a room with all its settings, such as a PSF; a bare name stands for its defaults."""
        choice = {"name": raw} if isinstance(raw, str) else raw
        if not self.problems.expect(where, choice, Mapping, f"a {ROOMS[room]}; write {{name: ..., setting: value}}"):
            return None
        before = len(self.problems)
        card = self._card(room, where, choice)
        own = {key: value for key, value in choice.items() if key != "name"}
        read = self.settings(card, where, own, swept=False) if card is not None else {}
        if card is None or len(self.problems) > before:
            return None
        return {"name": choice["name"], **card.fill(self.problems.place(where), read)}

    def registered(self, room: str, where: Where, name: Any) -> bool:
        """Whether a name is registered in a room; noted where not."""
        named = self.problems.expect(where, name, str, f"a name of a {ROOMS[room]}")
        return named and self._known(room, where, name) is not None

    def settings(
        self, card: Card, where: Where, given: Mapping[str, Any], *, swept: bool, beside: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Check the given settings against a card, each on its own; the defaults are not added.

        `beside` are the other keys that may stand where the settings do.
        """
        read = {}
        shown = {LAMBDA if key == WEIGHT and isinstance(card, LossCard) else key: key for key in card.settings}
        for key, value in given.items():
            if key in shown:
                read[shown[key]] = self._setting(card.settings[shown[key]], (*where, key), value, swept=swept)
            else:
                self.problems.add((*where, key), f"unknown setting, {suggest(key, [*shown, *beside])}")
        return read

    def _setting(self, setting: Setting, where: Where, value: Any, *, swept: bool) -> Any:
        if swept and is_sweep(setting, value):
            self._not_empty(where, value)
            return [self.checked(setting, (*where, index), item) for index, item in enumerate(value)]
        return self.checked(setting, where, value)

    def checked(self, setting: Setting, where: Where, value: Any) -> Any:
        """A value as a setting takes it, else the default."""
        try:
            return setting.check(self.problems.place(where), value)
        except SmlmBenchError as error:
            self.problems.add_line(str(error))
            return setting.default

    def trained(self, key: str, where: Where, value: Any) -> Any:
        """A value as a key of the training block takes it, else None."""
        try:
            return getattr(Training.model_validate({key: value}), key)
        except ValidationError as error:
            for place, text in explain(error, Training, {key: value}):
                self.problems.add((*where, *place[1:]), text)
            return None

    def _read(
        self, room: str, where: Where, raw: Any, *, swept: bool = True
    ) -> Iterator[tuple[Where, Mapping[str, Any], Choice]]:
        """Registered ones of a list of choices: the place of each, itself as written (as a mapping), and as read."""
        if not isinstance(raw, list):
            said = "required and not given" if raw is None else f"{short(raw)} is not a list"
            self.problems.add(where, f"{said}; write [name, {{name: ..., setting: value}}]")
            return
        for index, item in enumerate(raw):
            place, choice = (*where, index), {"name": item} if isinstance(item, str) else item
            if not isinstance(choice, Mapping):
                self.problems.add(place, f"{short(item)} is neither a name nor a mapping with a name")
            elif (card := self._card(room, place, choice)) is not None:
                others = ("name", "losses") if room == "models" else ("name",)
                own = {key: value for key, value in choice.items() if key not in others}
                yield place, choice, {"name": choice["name"], **self.settings(card, place, own, swept=swept)}

    def _card(self, room: str, where: Where, choice: Mapping[str, Any]) -> Card | None:
        name = choice.get("name")
        if isinstance(name, str):
            return self._known(room, where, name)
        said = f"has no name, only {short(', '.join(choice))}" if name is None else f"{short(name)} is not a name"
        todo = f"write {{name: ..., setting: value}} with one of {', '.join(self.catalog.names(room))}"
        self.problems.add(where, f"{said}; {todo}")
        return None

    def _known(self, room: str, where: Where, name: str) -> Card | None:
        try:
            return self.catalog.card(room, name)
        except SmlmBenchError as error:
            self.problems.add(where, str(error))
            return None

    def _not_empty(self, where: Where, value: Sequence[Any]) -> None:
        if not value:
            self.problems.add(where, "an empty list sweeps nothing; give at least one value or leave it out")


def is_sweep(setting: Setting, value: Any) -> bool:
    """True where a list stands for several values; a setting that is itself a list is swept by a list of lists."""
    if not isinstance(value, list):
        return False
    return not isinstance(setting.default, list) or (bool(value) and all(isinstance(item, list) for item in value))
