"""A study file to a validated `Study`: every problem in one pass, each naming the nearest key or name."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from smlmbench.errors import SmlmBenchError
from smlmbench.registry import Catalog
from smlmbench.study.reading.checks import check_files, check_there
from smlmbench.study.reading.choices import Choices
from smlmbench.study.reading.distill import read_distill
from smlmbench.study.reading.entries import Entries
from smlmbench.study.reading.problems import Problems, Where, explain, short
from smlmbench.study.reading.search import Reader, read_search
from smlmbench.study.reading.text import override, parse, read_text
from smlmbench.study.schema import DataEntry, Study
from smlmbench.study.sources import SimulateSource

DATA_VARIABLE = "SMLMBENCH_DATA"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A study that passed every check.

    Attributes:
        study: The validated study; paths are absolute, `lambda` is the key `weight`.
        text: The file as written, without `--set`.
        path: The file.
        catalog: Registered things with the study's plug-ins.
    """

    study: Study
    text: str
    path: Path
    catalog: Catalog


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
    """
    path = Path(path)
    text = read_text(path)
    raw = parse(text, path.name)
    override(raw, sets)
    problems = Problems(path.name)
    folder = path.absolute().parent
    files, catalog = _plugins(raw.get("plugins"), folder, plugins, problems)
    study = _study(raw, catalog, problems, _root(folder, data_root), files)
    problems.raise_if_any()
    assert study is not None  # noqa: S101 (no problem means a study)
    return Loaded(study, text, path, catalog)


def _study(
    raw: Mapping[str, Any], catalog: Catalog, problems: Problems, root: Path, plugins: list[Path]
) -> Study | None:
    choices = Choices(catalog, problems)
    problems.unknown_keys((), raw, list(Study.model_fields))
    entries = Entries(choices, problems, root)
    placed = entries.read(raw.get("data"))
    task = raw.get("task", "localization")
    choices.registered("tasks", ("task",), task)
    models = choices.models(raw.get("models"), str(task))
    blocks: dict[str, Any] = {
        "data": [entry for _, entry in placed] or [DataEntry(name="none", train=SimulateSource())],
        "models": models or [{"name": "none"}],
        "losses": choices.losses(("losses",), raw["losses"]) if raw.get("losses") is not None else [],
        "references": _with_paths(choices.references(raw.get("references"), str(task)), root, problems),
        "output": choices.output(raw["output"], models) if raw.get("output") is not None else {},
        "training": choices.training(raw["training"]) if raw.get("training") is not None else {},
        "plugins": plugins,
        "distill": read_distill(raw.get("distill"), choices, str(task), root),
    }
    reader = Reader(catalog, problems)
    blocks["search"] = read_search(raw.get("search"), models, blocks["losses"], str(task), reader)
    if isinstance(raw.get("models"), list) and not raw["models"]:
        problems.add(("models",), "an empty list; name at least one model")
    _runtimes(raw.get("timing"), choices)
    check_files(entries.sources, placed, catalog, problems, blocks["output"])
    check_there(entries.files, problems)
    rest = {key: value for key, value in raw.items() if key in Study.model_fields and key not in blocks}
    try:
        return Study.model_validate({**rest, **blocks})
    except ValidationError as error:
        for where, text in explain(error, Study, rest):
            problems.add(where, text)
        return None


def _runtimes(timing: Any, choices: Choices) -> None:
    named = timing.get("runtimes") if isinstance(timing, Mapping) else None
    for index, name in enumerate(named if isinstance(named, list) else []):
        choices.registered("runtimes", ("timing", "runtimes", index), name)


def _root(folder: Path, data_root: Path | None) -> Path:
    chosen = data_root if data_root is not None else os.environ.get(DATA_VARIABLE) or folder
    return Path(chosen).expanduser().absolute()


def _with_paths(references: list[dict[str, Any]] | None, root: Path, problems: Problems) -> list[dict[str, Any]] | None:
    """Resolve the setting `path` of references that are files, and look whether they are there."""
    for index, choice in enumerate(references or []):
        if choice.get("path"):
            path = (root / Path(choice["path"]).expanduser()).absolute()
            check_there([(("references", index, "path"), path)], problems)
            choice["path"] = str(path)
    return references


def _plugins(raw: Any, folder: Path, further: Sequence[Path], problems: Problems) -> tuple[list[Path], Catalog]:
    """The plug-in files that can be used, and the catalog with them; each bad one is a problem of its own."""
    wanted: list[tuple[Where, Path]] = []
    if raw is not None and (not isinstance(raw, list) or not all(isinstance(item, str) for item in raw)):
        problems.add(("plugins",), f"{short(raw)} is not a list of files; write [./my_net.py]")
    else:
        wanted = [(("plugins", index), folder / Path(item).expanduser()) for index, item in enumerate(raw or [])]
    wanted += [(("--plugin",), Path(item).expanduser().absolute()) for item in further]
    good: list[Path] = []
    for where, path in wanted:
        resolved = path.resolve()
        if resolved in good:
            continue
        try:
            Catalog([*good, resolved]).names("models")
        except SmlmBenchError as error:
            problems.add(where, str(error))
        else:
            good.append(resolved)
    return good, Catalog(good)
