"""The block `data` of a study: sources in their written forms, what is not named taken from train, paths resolved."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from smlmbench.errors import suggest
from smlmbench.study.reading.choices import Choices
from smlmbench.study.reading.problems import Problems, Where, explain, short
from smlmbench.study.schema import DataEntry
from smlmbench.study.sources import ImagesSource, MovieSource, SimulateSource, Source

FORMS: dict[str, type[BaseModel]] = {"simulate": SimulateSource, "movie": MovieSource, "images": ImagesSource}
INTERNAL = {"simulate": {"kind"}, "movie": {"kind", "part"}, "images": {"kind", "part", "ratio", "psf"}}
OWN = {
    "simulate": {"frames"},
    "movie": {"movie", "truth"},
    "images": {"input", "target"},
}  # never taken from train: they are not conditions of the pixels
INSIDE = {"simulate": "a simulation", "images": "image pairs"}  # forms whose settings stand in a mapping of their own
FILES = {"simulate": (), "movie": ("movie", "truth"), "images": ("input", "target")}
WAYS = "write {simulate: {...}}, {movie: FILE, truth: FILE, ...} or {images: {input: FOLDER, target: FOLDER}}"


class Entries:
    """Reads data entries.

    Attributes:
        choices: Checks of registered names.
        problems: Where every problem is noted; nothing is raised.
        root: Folder that relative paths of data are taken from.
        sources: Every source that is valid by itself, with its place.
        files: Files that the others name, with their places.
    """

    def __init__(self, choices: Choices, problems: Problems, root: Path) -> None:
        self.choices = choices
        self.problems = problems
        self.root = root
        self.sources: list[tuple[Where, Source]] = []
        self.files: list[tuple[Where, Path]] = []

    def read(self, raw: Any) -> list[tuple[Where, DataEntry]]:
        """All entries without problems of their own, with their places."""
        if not isinstance(raw, list) or not raw:
            self.problems.add(("data",), f"{short(raw)} is not a list of data sets; write [{{name: ..., train: ...}}]")
            return []
        found: list[tuple[Where, DataEntry]] = []
        first: dict[str, int] = {}
        for index, item in enumerate(raw):
            where: Where = ("data", index)
            entry = self._entry(where, item)
            if entry is None:
                continue
            if entry.name in first:
                self.problems.add(
                    (*where, "name"), f"'{entry.name}' is also the name of data[{first[entry.name]}]; rename one"
                )
                continue
            first[entry.name] = index
            found.append((where, entry))
        return found

    def _entry(self, where: Where, raw: Any) -> DataEntry | None:
        if not isinstance(raw, Mapping):
            self.problems.add(where, f"{short(raw)} is not a data set; write {{name: ..., train: ...}}")
            return None
        before = len(self.problems)
        self.problems.unknown_keys(where, raw, list(DataEntry.model_fields))
        fields: dict[str, Any] = {key: raw[key] for key in ("name",) if key in raw}
        train = raw.get("train")
        if train is None:
            self.problems.add((*where, "train"), f"required and not given; {WAYS}")
        else:
            fields["train"] = self._source((*where, "train"), train, None)
        base = train if isinstance(train, Mapping) else None
        if raw.get("val") is not None:
            fields["val"] = self._source((*where, "val"), raw["val"], base)
        fields["test"] = self._tests((*where, "test"), raw.get("test"), base)
        fields["apply"] = self._apply((*where, "apply"), raw.get("apply"))
        try:
            entry = DataEntry.model_validate({**fields, "train": fields.get("train") or SimulateSource()})
        except ValidationError as error:
            for place, text in explain(error, DataEntry, fields):
                self.problems.add((*where, *place), text)
            return None
        return entry if len(self.problems) == before else None

    def _tests(self, where: Where, raw: Any, base: Mapping[str, Any] | None) -> dict[str, Source]:
        if raw is None:
            return {}
        if not isinstance(raw, Mapping):
            self.problems.add(
                where, f"{short(raw)} is not a mapping of conditions; write {{CONDITION: {{simulate: ...}}}}"
            )
            return {}
        if set(raw) & set(FORMS):
            self.problems.add(where, "conditions have names; write {test: {CONDITION: {simulate: ...}}}")
            return {}
        read = {name: self._source((*where, name), item, base) for name, item in raw.items()}
        return {name: source for name, source in read.items() if source is not None}

    def _apply(self, where: Where, raw: Any) -> list[Path]:
        if raw is None:
            return []
        if not isinstance(raw, list) or not all(isinstance(item, str) for item in raw):
            self.problems.add(where, f"{short(raw)} is not a list of movies; write [a.tif, b.tif]")
            return []
        return [self._resolved(item) for item in raw]

    def _source(self, where: Where, raw: Any, base: Mapping[str, Any] | None) -> Source | None:
        """Read one source; `base` is the training source as written, for what is not named."""
        form = self._form(where, raw)
        if form is None:
            return None
        own, place = _inner(raw, form, where)
        if not isinstance(own, Mapping):
            self.problems.add(place, f"{short(own)} is not a mapping; write {{{form}: {{key: value}}}}")
            return None
        inherited = _inner(base, form, ())[0] if base is not None and form in base else {}
        taken = (
            {key: value for key, value in inherited.items() if key not in OWN[form]}
            if isinstance(inherited, Mapping)
            else {}
        )
        given = {**taken, **own}
        before = len(self.problems)
        source = self._validated(place, form, given, own, inherits=bool(taken))
        if source is None or len(self.problems) > before:
            named = [key for key in FILES[form] if isinstance(own.get(key), str)]
            self.files += [((*place, key), self._resolved(own[key])) for key in named]
            return None
        self.sources.append((where, source))
        return source

    def _form(self, where: Where, raw: Any) -> str | None:
        if not isinstance(raw, Mapping):
            self.problems.add(where, f"{short(raw)} is not a source; {WAYS}")
            return None
        forms = [form for form in FORMS if form in raw]
        if len(forms) > 1:
            self.problems.add(where, f"names both {' and '.join(forms)}; keep one")
            return None
        if not forms:
            near = suggest(next(iter(raw), ""), FORMS)
            said = f"names {short(', '.join(raw))}, neither simulate nor movie nor images"
            self.problems.add(where, f"{said}; {near if near.startswith('did') else WAYS}")
            return None
        if forms[0] in INSIDE:
            for key in raw:
                if key != forms[0]:
                    said = f"unknown key; settings of {INSIDE[forms[0]]} stand inside {forms[0]}: {{...}}"
                    self.problems.add((*where, key), said)
        return forms[0]

    def _validated(
        self, place: Where, form: str, given: Mapping[str, Any], own: Mapping[str, Any], *, inherits: bool
    ) -> Source | None:
        """Validate a merged source; what is wrong with an inherited value is told where train is."""
        model = FORMS[form]
        known = [key for key in model.model_fields if key not in INTERNAL[form]]
        self.problems.unknown_keys(place, own, known)
        fields = {key: value for key, value in given.items() if key in known}
        psf = fields.pop("psf", {"name": "gaussian"} if form == "simulate" else None)
        told = "psf" in own or not inherits
        quiet = Choices(self.choices.catalog, Problems("")) if not told else self.choices
        filled = quiet.psf((*place, "psf"), psf) if psf is not None else None
        for key in FILES[form]:
            if isinstance(fields.get(key), str):
                fields[key] = self._resolved(fields[key])
        if form == "movie" and fields.get("truth_format") is not None:
            self.choices.registered("formats", (*place, "truth_format"), fields["truth_format"])
        try:
            source = model.model_validate({**fields, "kind": form, "psf": None if psf is None else filled or {}})
        except ValidationError as error:
            self._explained(error, model, place, fields, told_elsewhere=set(fields) - set(own) if inherits else set())
            return None
        usable = psf is None or filled is not None
        return source if usable and isinstance(source, SimulateSource | MovieSource | ImagesSource) else None

    def _explained(
        self,
        error: ValidationError,
        model: type[BaseModel],
        place: Where,
        fields: Mapping[str, Any],
        *,
        told_elsewhere: set[str],
    ) -> None:
        for at, text in explain(error, model, fields):
            if not at or at[0] not in told_elsewhere:
                self.problems.add((*place, *at), text)

    def _resolved(self, text: str) -> Path:
        return (self.root / Path(text).expanduser()).absolute()


def _inner(raw: Mapping[str, Any], form: str, where: Where) -> tuple[Any, Where]:
    """The mapping that holds a source's keys, and its place."""
    if form in INSIDE:
        return (raw[form] if raw[form] is not None else {}), (*where, form)
    return raw, where
