"""A study file to a validated `Study`: every problem in one pass, each naming the nearest key or name."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smlmbench.errors import SmlmBenchError
from smlmbench.registry import Catalog
from smlmbench.study.reading.checks import check_files, check_there
from smlmbench.study.reading.choices import Choices
from smlmbench.study.reading.distill import read_distill
from smlmbench.study.reading.entries import Entries
from smlmbench.study.reading.problems import Problems, Where, short
from smlmbench.study.reading.search import read_search
from smlmbench.study.reading.tasks import by_task
from smlmbench.study.reading.text import override, parse, read_text
from smlmbench.study.schema import Choice, DataEntry, Study
from smlmbench.study.sources import SimulateSource

DATA_VARIABLE = "SMLMBENCH_DATA"
WHOLE = ("study", "seed", "repeats", "timing", "plugins", "log_models", "max_hours")  # keys that no part has


@dataclass(frozen=True, slots=True)
class Loaded:
    """A study that passed every check.

    Attributes:
        study: The validated study; paths are absolute, `lambda` is the key `weight`. Of several parts: what they
            share, the data of all, and the first block `search`.
        text: The file as written, without `--set`.
        catalog: Registered things with the study's plug-ins.
        task: Of a study, or part, that has one; empty where the parts have several.
    """

    study: Study
    text: str
    path: Path
    catalog: Catalog
    task: str = ""
    several: tuple["Loaded", ...] = ()

    @property
    def parts(self) -> tuple["Loaded", ...]:
        """What has one task each; a study of one task is its own part."""
        return self.several or (self,)

    def part_of(self, data: str) -> "Loaded":
        """The part that holds the data entry of a name."""
        return next(part for part in self.parts if any(entry.name == data for entry in part.study.data))


def load_study(
    path: Path | str, *, sets: Sequence[str] = (), data_root: Path | None = None, plugins: Sequence[Path] = ()
) -> Loaded:
    """Read, check and validate a study file and the files that it names.

    Args:
        path: The study file (YAML).
        sets: Overrides such as `training.samples=500` or `models.0.blocks=4`, applied before validation.
        data_root: Folder of relative data paths; by default `SMLMBENCH_DATA`, else the study file's folder.
        plugins: Further plug-in files, relative to the working directory.

    Raises:
        ConfigError: One line per problem, all in one pass.

    Example:
        A study with fewer samples than its file says::

            study = load_study("experiments/quickstart.yaml", sets=["training.samples=500"])
            study.study.repeats
    """
    path = Path(path)
    text = read_text(path)
    raw = parse(text, path.name)
    override(raw, sets)
    problems = Problems(path.name)
    folder = path.absolute().parent
    files, catalog = _plugins(raw.get("plugins"), folder, plugins, problems)
    names: dict[str, str] = {}
    found: list[tuple[str, Study]] = []
    root = Path(data_root or os.environ.get(DATA_VARIABLE) or folder).expanduser().absolute()
    for block, here in _blocks(raw, problems):
        found += _Part(block, Choices(catalog, here), root, files).studies(names)
    problems.raise_if_any()
    parts = tuple(Loaded(study, text, path, catalog, task) for task, study in found)
    if len(parts) == 1:
        return parts[0]
    data = [entry for part in parts for entry in part.study.data]
    search = next((part.study.search for part in parts if part.study.search is not None), None)
    whole = parts[0].study.model_copy(update={"task": None, "data": data, "search": search})
    return Loaded(whole, text, path, catalog, several=parts)


def _blocks(raw: Mapping[str, Any], problems: Problems) -> Iterator[tuple[Mapping[str, Any], Problems]]:
    """The parts of a study, each with what it takes from around it; a study without `parts` is one."""
    problems.unknown_keys((), raw, [*Study.model_fields, "parts"])
    around = {key: value for key, value in raw.items() if key != "parts"}
    parts = raw.get("parts")
    if parts is None:
        yield around, problems
        return
    if "data" in raw:
        problems.add(("data",), "stands beside parts; put each data set into the part whose task it has")
    if not isinstance(parts, list) or not parts:
        problems.add(("parts",), f"{short(parts)} is not a list of parts; write [{{task: ..., data: [...]}}]")
        return
    for index, part in enumerate(parts):
        if not problems.expect(("parts", index), part, Mapping, "a part; write {task: ..., data: [...]}"):
            continue
        here = problems.inside(("parts", index), {*part, "data"})
        for key in [key for key in part if key in WHOLE]:
            here.add((key,), "belongs to the whole study; write it beside parts")
        here.unknown_keys((), part, list(Study.model_fields))
        yield {**around, "data": None, **part}, here


@dataclass(frozen=True, slots=True)
class _Part:
    """Reads a study, or one part of it.

    Attributes:
        raw: As written, with what it takes from around it.
        choices: Registered things and problems.
        root: Folder of relative data paths.
        plugins: Files of the study.
    """

    raw: Mapping[str, Any]
    choices: Choices
    root: Path
    plugins: list[Path]

    def studies(self, names: dict[str, str]) -> list[tuple[str, Study]]:
        """A study of one task for every task of the data; those with problems are left out.

        `names` are the places of data sets by name, over all parts.
        """
        problems = self.choices.problems
        entries = Entries(self.choices, self.root, names)
        placed = entries.read(self.raw.get("data"))
        groups = by_task(self.raw.get("task"), placed, self.choices)
        read = [(task, self._study(task, [entry for _, entry in group])) for task, group in groups.items()]
        if not read:
            self._study(None, [DataEntry(name="none", train=SimulateSource())])  # for the problems of other blocks
        check_files(entries.sources, placed, self.choices.catalog, problems, self.raw)
        check_there(entries.files, problems)
        return [(task, study) for task, study in read if study is not None]

    def _study(self, task: str | None, data: list[DataEntry]) -> Study | None:
        raw, choices = self.raw, self.choices
        models = choices.models(raw.get("models"), task)
        blocks: dict[str, Any] = {
            "data": data,
            "models": models or [{"name": "none"}],
            "losses": choices.losses(("losses",), raw["losses"]) if raw.get("losses") is not None else [],
            "references": self._references(),
            "output": choices.output(raw["output"], models) if raw.get("output") is not None else {},
            "training": choices.training(raw["training"]) if raw.get("training") is not None else {},
            "plugins": self.plugins,
            "distill": read_distill(raw.get("distill"), choices, task, self.root),
        }
        blocks["search"] = read_search(raw.get("search"), models, blocks["losses"], task, choices)
        if isinstance(raw.get("models"), list) and not raw["models"]:
            choices.problems.add(("models",), "an empty list; name at least one model")
        timing = raw.get("timing")
        runtimes = timing.get("runtimes") if isinstance(timing, Mapping) else None
        for index, name in enumerate(runtimes if isinstance(runtimes, list) else []):
            choices.registered("runtimes", ("timing", "runtimes", index), name)
        rest = {key: value for key, value in raw.items() if key in Study.model_fields and key not in blocks}
        return choices.problems.validated((), Study, {**rest, **blocks}, rest)

    def _references(self) -> list[Choice] | None:
        """The setting `path` and that of the fact `optics` are files: resolved, and looked whether they are there."""
        references = self.choices.references(self.raw.get("references"))
        for index, choice in enumerate(references or []):
            optics = str(self.choices.catalog.card("references", choice["name"]).facts.get("optics", ""))
            for key in [key for key in ("path", optics) if choice.get(key)]:
                path = (self.root / Path(choice[key]).expanduser()).absolute()
                check_there([(("references", index, key), path, "file")], self.choices.problems)
                choice[key] = str(path)
        return references


def _plugins(raw: Any, folder: Path, further: Sequence[Path], problems: Problems) -> tuple[list[Path], Catalog]:
    """The plug-in files that can be used, and the catalog with them; each bad one is a problem of its own."""
    wanted: list[tuple[Where, Path]] = []
    if raw is not None and (not isinstance(raw, list) or not all(isinstance(item, str) for item in raw)):
        problems.add(("plugins",), f"{short(raw)} is not a list of files; write [./my_net.py]")
    else:
        wanted = [(("plugins", index), folder / Path(item).expanduser()) for index, item in enumerate(raw or [])]
    wanted += [(("--plugin",), Path(item).expanduser()) for item in further]
    good: list[Path] = []
    for where, path in wanted:
        tried = list(dict.fromkeys([*good, path.resolve()]))
        try:
            Catalog(tried).names("models")
            good = tried
        except SmlmBenchError as error:
            problems.add(where, str(error))
    return good, Catalog(good)
