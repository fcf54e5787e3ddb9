"""The block `data` of a study: sources in their written forms, what is not named taken from train, paths resolved."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from smlmbench.camera.reading import camera_of_file, settled
from smlmbench.errors import ConfigError, suggest
from smlmbench.psf.reading import names_a_file, psf_of_file
from smlmbench.study.reading.choices import Choices
from smlmbench.study.reading.conditions import KEY, condition_of, is_named
from smlmbench.study.reading.problems import Problems, Where, explain, short
from smlmbench.study.reading.robustness import KEY as KEY_SHEET
from smlmbench.study.reading.robustness import SheetReader
from smlmbench.study.schema import DataEntry, Sheet
from smlmbench.study.sources import Description, Form, SimulateSource, forms_of

Written = Mapping[str, Any]
DESCRIBED = {"psf": "psf", "structure": "structures"}  # keys that hold a registered thing with its settings
FILED = {"psf": psf_of_file}  # and what reads the YAML that may stand in their place
CAMERA_FILES = (".yaml", ".yml")
UNCALIBRATED = "uncalibrated"


class Entries:
    """Reads data entries; every problem is noted, nothing is raised.

    Attributes:
        root: Folder that relative paths of data are taken from.
        names: Places of data sets by name, over all parts of the study.
        sources: Every source that is valid by itself, with its place.
        files: Files that the others name, with their places and what they are.
    """

    def __init__(self, choices: Choices, root: Path, names: dict[str, str]) -> None:
        self.choices, self.problems = choices, choices.problems
        self.root, self.names = root, names
        self.forms = forms_of(choices.catalog)
        # Those of single tasks are too many for a message; the list of the room has them.
        self._usual = [kind for kind, form in self.forms.items() if form.card is None or form.fixed.get("plugin")]
        *most, last = [self.forms[kind].way for kind in self._usual]
        self._ways = f"write {', '.join(most)} or {last}; single tasks have sources of their own (list data)"
        self.sources: list[tuple[Where, Description]] = []
        self.files: list[tuple[Where, Path, str]] = []

    def read(self, raw: Any) -> list[tuple[Where, DataEntry]]:
        """All entries without problems of their own, with their places."""
        if not isinstance(raw, list) or not raw:
            self.problems.add(("data",), f"{short(raw)} is not a list of data sets; write [{{name: ..., train: ...}}]")
            return []
        found: list[tuple[Where, DataEntry]] = []
        for index, item in enumerate(raw):
            where: Where = ("data", index)
            entry = self._entry(where, item)
            if entry is not None and entry.name in self.names:
                said = f"'{entry.name}' is also the name of {self.names[entry.name]}; rename one"
                self.problems.add((*where, "name"), said)
            elif entry is not None:
                self.names[entry.name] = self.problems.place(where)
                found.append((where, entry))
        return found

    def _entry(self, where: Where, raw: Any) -> DataEntry | None:
        if not self.problems.expect(where, raw, Mapping, "a data set; write {name: ..., train: ...}"):
            return None
        before = len(self.problems)
        self.problems.unknown_keys(where, raw, list(DataEntry.model_fields))
        fields: dict[str, Any] = {"name": raw["name"]} if "name" in raw else {}
        train = raw.get("train")
        if train is None:
            self.problems.add((*where, "train"), f"required and not given; {self._ways}")
        else:
            fields["train"] = self._source((*where, "train"), train, None)
        base = train if isinstance(train, Mapping) else None
        if raw.get("val") is not None:
            fields["val"] = self._source((*where, "val"), raw["val"], base)
        fields["test"] = self._tests((*where, "test"), raw.get("test"), base)
        if raw.get(KEY_SHEET) is not None:
            fields["test"], fields[KEY_SHEET] = self._sheet((*where, KEY_SHEET), raw[KEY_SHEET], fields["test"], base)
        fields["apply"] = self._apply((*where, "apply"), raw.get("apply"))
        fields |= {"arm": raw["arm"]} if "arm" in raw else {}
        filled = {**fields, "train": fields.get("train") or SimulateSource()}
        entry = self.problems.validated(where, DataEntry, filled, fields)
        return entry if len(self.problems) == before else None

    def _tests(self, where: Where, raw: Any, base: Mapping[str, Any] | None) -> dict[str, Description]:
        wanted = "a mapping of conditions; write {CONDITION: {simulate: ...}}"
        if raw is None or not self.problems.expect(where, raw, Mapping, wanted):
            return {}
        if set(raw) & set(self.forms):
            self.problems.add(where, "conditions have names; write {test: {CONDITION: {simulate: ...}}}")
            return {}
        read = {name: self._source((*where, name), item, base) for name, item in raw.items()}
        return {name: source for name, source in read.items() if source is not None}

    def _sheet(
        self, where: Where, raw: Any, tests: dict[str, Description], base: Mapping[str, Any] | None
    ) -> tuple[dict[str, Description], Sheet | None]:
        def read(place: Where, given: Any) -> Description | None:
            return self._source(place, given, base)

        return SheetReader(where, read, self.sources, self.choices.catalog, self.problems)(raw, tests)

    def _apply(self, where: Where, raw: Any) -> list[Path]:
        if raw is None:
            return []
        if not isinstance(raw, list) or not all(isinstance(item, str) for item in raw):
            self.problems.add(where, f"{short(raw)} is not a list of movies; write [a.tif, b.tif]")
            return []
        paths = [self._resolved(item) for item in raw]
        named: set[str] = set()
        for index, path in enumerate(paths):
            if path.name in named:
                said = f"another movie of the list is named '{path.name}' too, and results are kept by name"
                self.problems.add((*where, index), f"{said}; rename one, or give it a data entry of its own")
            named.add(path.name)
        return paths

    def _source(self, where: Where, raw: Any, base: Mapping[str, Any] | None) -> Description | None:
        """Read one source; `base` is the training source as written, for what is not named."""
        if is_named(raw):
            return self._named(where, raw)
        kind = self._kind(where, raw)
        if kind is None:
            return None
        form = self.forms[kind]
        place = (*where, kind) if form.inside else where
        own = _inner(raw, kind, form)
        if not self.problems.expect(place, own, Mapping, f"a mapping; write {{{kind}: {{key: value}}}}"):
            return None
        inherited = _inner(base, kind, form) if base is not None and kind in base else {}
        inherited = inherited if isinstance(inherited, Mapping) else {}
        taken = {key: value for key, value in inherited.items() if key not in (*form.own, *own)}
        before = len(self.problems)
        self.problems.unknown_keys(place, own, form.keys)
        read = self._from_card if form.card is not None else self._validated
        source = read(place, kind, taken, own)
        if source is None or len(self.problems) > before:
            named = {key: what for key, what in form.files.items() if isinstance(own.get(key), str)}
            self.files += [((*place, key), self._resolved(own[key]), what) for key, what in named.items()]
            return None
        self.sources.append((where, source))
        return source

    def _named(self, where: Where, raw: Written) -> Description | None:
        """A frozen condition that the study names, whole: nothing is taken from train."""
        try:
            written, frozen = condition_of(raw[KEY], self.root)
        except ConfigError as error:
            self.problems.add((*where, KEY), str(error))
            return None
        if where[-2:-1] != ("test",):
            self.problems.add(
                where, "a frozen condition is for test alone: what is trained on it would be known by heart"
            )
            return None
        source = self._source(where, written, None)
        if not isinstance(source, SimulateSource):
            return None
        self.sources.pop()
        self.sources.append((where, source := source.model_copy(update={"frozen": frozen})))
        return source

    def _kind(self, where: Where, raw: Any) -> str | None:
        if not self.problems.expect(where, raw, Mapping, f"a source; {self._ways}"):
            return None
        kinds = [kind for kind in self.forms if kind in raw]
        if len(kinds) > 1:
            self.problems.add(where, f"names both {' and '.join(kinds)}; keep one")
            return None
        if not kinds:
            near = suggest(next(iter(raw), ""), self.forms)
            said = f"names {short(', '.join(raw))}, neither {' nor '.join(self._usual)}"
            self.problems.add(where, f"{said}; {near if near.startswith('did') else self._ways}")
            return None
        (kind,) = kinds
        inside = self.forms[kind].inside
        for key in [key for key in raw if inside and key != kind]:
            self.problems.add((*where, key), f"unknown key; settings of {inside} stand inside {kind}: {{...}}")
        return kind

    def _validated(
        self, place: Where, kind: str, taken: Written, own: Written, fixed: Written = MappingProxyType({})
    ) -> Description | None:
        """Validate a merged source; what is wrong with an inherited value is told where train is."""
        form = self.forms[kind]
        fields: dict[str, Any] = {key: value for key, value in {**taken, **own}.items() if key in form.keys}
        for key in form.files:
            fields = self._with_path(fields, key.split("."))
        if fields.get("camera", UNCALIBRATED) != UNCALIBRATED:
            noted = self.problems if "camera" in own else Problems("")
            given, at = fields["camera"], (*place, "camera")
            listed = isinstance(given, list)
            places = [(*at, number) for number in range(len(given))] if listed else [at]
            read = [self._camera(*each, noted) for each in zip(places, given if listed else [given], strict=True)]
            if None in read:
                return None
            fields["camera"] = read if listed else read[0]
        for key, room in form.named.items():
            if own.get(key) is not None:
                self.choices.registered(room, (*place, key), own[key])
        usable = self._described(place, form, fields, {key: taken and key not in own for key in DESCRIBED})
        try:
            source = form.model.model_validate({**fields, **fixed, "kind": kind})
        except ValidationError as error:
            for at, text in explain(error, form.model, fields):
                if not at or at[0] not in taken:
                    self.problems.add((*place, *at), text)
            return None
        return source if usable else None

    def _camera(self, place: Where, given: Any, problems: Problems) -> Any:
        """Its facts, from a file or a preset where it names one; None where there are none."""
        if isinstance(given, str) and given.endswith(CAMERA_FILES):
            path = self._resolved(given)
            if (given := camera_of_file(path)) is None:
                problems.add(place, f"'{path}' does not exist or is no YAML of a camera")
        try:
            return settled(given, self.root)
        except ValueError as error:
            problems.add(place, str(error))
            return None

    def _described(self, place: Where, form: Form, fields: dict[str, Any], quiet: Mapping[str, Any]) -> bool:
        """Fill what is a registered thing with its settings in a source's fields; False where one is wrong."""
        usable = True
        for key in [key for key in DESCRIBED if key in form.keys]:
            given = fields.pop(key, form.model.model_fields[key].default)
            told = self._quiet() if quiet[key] else self.choices
            try:
                given = self._of_file(key, given)
            except ConfigError as error:
                told.problems.add((*place, key), str(error))
                usable = False
                continue
            filled = told.described(DESCRIBED[key], (*place, key), given) if given is not None else None
            if given is not None and filled is not None:
                filled |= self._named_files(DESCRIBED[key], (*place, key), filled)
            if given is None or filled is not None:
                fields[key] = filled
            else:
                usable = False
        return usable

    def _of_file(self, key: str, given: Any) -> Any:
        """A registered thing as it is written, or as the file says that stands in its place."""
        if key in FILED and names_a_file(given):
            return FILED[key](self._resolved(given), self.choices.catalog)
        return given

    def _named_files(self, room: str, place: Where, filled: Mapping[str, Any]) -> dict[str, str]:
        """Files that a registered thing names (facts `files` and `needs` on its card), from the folder of the study."""
        facts = self.choices.catalog.card(room, str(filled["name"])).facts
        named = facts.get("files", {})
        for key in [key for key in facts.get("needs", ()) if not filled[key]]:
            self.problems.add((*place, key), f"required and not given; give the path of a {named[key]}")
        paths = {key: self._resolved(filled[key]) for key in named if filled[key]}
        self.files += [((*place, key), path, named[key]) for key, path in paths.items()]
        return {key: str(path) for key, path in paths.items()}

    def _from_card(self, place: Where, kind: str, taken: Written, own: Written) -> Description | None:
        """A source whose settings a card checks."""
        form = self.forms[kind]
        assert form.card is not None  # noqa: S101 (only such forms come here)
        if "truth" not in form.card.facts:
            said = f"the card of '{kind}' does not say what truth it brings"
            self.problems.add(place, f"{said}; write facts: {{truth: ...}} there")
        takes = form.card.facts.get("takes", {})
        read: dict[str, Any] = {}
        for choices, given in ((self._quiet(), taken), (self.choices, own)):
            known = {key: value for key, value in given.items() if key in form.card.settings}
            read |= choices.settings(form.card, place, known, swept=False)
        for key, what in form.files.items():
            if read.get(key):
                read[key] = str(self._resolved(read[key]))
            elif key in form.card.facts.get("needs", ()):
                self.problems.add((*place, key), f"required and not given; give the path of a {what}")
        inherited, given = ({key: each[key] for key in takes if key in each} for each in (taken, own))
        fixed = {"settings": form.card.fill(kind, read), **form.fixed}
        return self._validated(place, kind, {**takes, **inherited}, given, fixed)

    def _with_path(self, fields: dict[str, Any], keys: list[str]) -> dict[str, Any]:
        """Fields in which the file under these keys, one inside the other, has its whole path."""
        value, inner = fields.get(keys[0]), keys[1:]
        if inner and isinstance(value, Mapping):
            return {**fields, keys[0]: self._with_path(dict(value), inner)}
        if inner and isinstance(value, list):
            each = [self._with_path(dict(one), inner) if isinstance(one, Mapping) else one for one in value]
            return {**fields, keys[0]: each}
        return {**fields, keys[0]: self._resolved(value)} if not inner and isinstance(value, str) else fields

    def _quiet(self) -> Choices:
        return Choices(self.choices.catalog, Problems(""))

    def _resolved(self, text: str) -> Path:
        return (self.root / Path(text).expanduser()).absolute()


def _inner(raw: Mapping[str, Any], kind: str, form: Form) -> Any:
    """What holds a source's keys."""
    return (raw[kind] if raw[kind] is not None else {}) if form.inside else raw
