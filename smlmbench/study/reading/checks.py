"""Checks of the files that a study names, before anything heavy is imported: a cheap look, seconds at most."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from smlmbench.errors import SmlmBenchError
from smlmbench.registry import Catalog
from smlmbench.study.reading.problems import Problems, Where
from smlmbench.study.schema import DataEntry, Scoring
from smlmbench.study.sources import Description, Look, Note, Place
from smlmbench.study.sources.description import missing
from smlmbench.study.sources.movie import movie_shape


def check_files(
    sources: Sequence[tuple[Where, Description]],
    entries: Sequence[tuple[Where, DataEntry]],
    catalog: Catalog,
    problems: Problems,
    raw: Mapping[str, Any],
) -> None:
    """Note every problem of the files of a study: absent, unreadable, without positions, too small, of another grid.

    `sources` are all valid ones, `entries` the data sets of these; `raw` is the study as written.
    """
    try:
        scoring = Scoring.model_validate(raw.get("scoring") or {})
    except ValidationError:
        scoring = Scoring()  # noted where the block stands
    output, look = raw.get("output"), Look(catalog, scoring.border_nm)
    for where, source in sources:
        _note(problems, where, source.check(look))
    for where, entry in entries:
        for index, path in enumerate(entry.apply):
            opened = movie_shape(path, look)
            if isinstance(opened, str):
                problems.add((*where, "apply", index), opened)
        others: dict[Place, Description] = {} if entry.val is None else {("val",): entry.val}
        others |= {("test", name): source for name, source in entry.test.items()}
        ours = entry.train.brings
        for place, other in others.items():
            if other.brings != ours:
                theirs, wanted = other.brings.replace("_", " "), ours.replace("_", " ")
                said = f"its truth is {theirs}, that of train is {wanted}"
                problems.add((*where, *place), f"{said}; give data of one kind, others under another name")
        _note(problems, where, entry.train.beside(others, look))
        _fixed(problems, where, entry.train, output if isinstance(output, Mapping) else {})


def _note(problems: Problems, where: Where, notes: Iterable[Note]) -> None:
    for place, text in notes:
        problems.add((*where, *place), text)


def _fixed(problems: Problems, where: Where, source: Description, output: Mapping[str, Any]) -> None:
    """Note where the block `output` leaves out what the files ask for."""
    try:
        fixes = source.measured().fixes
    except SmlmBenchError:
        return  # noted where the source stands
    for key, value in fixes.items():
        named = output.get(key)
        wanted = named if isinstance(named, list) else [named]
        if named is not None and value not in wanted:
            said = f"{', '.join(map(str, wanted))}, but {problems.place(where)} has {value} by its files"
            problems.add(("output", key), f"{said}; leave it out, or give {value}")


def check_there(files: Sequence[tuple[Where, Path, str]], problems: Problems) -> None:
    """Note the absent ones among files (with what they are) whose description has other problems already."""
    for where, path, what in files:
        if (absent := missing(path, what)) is not None:
            problems.add(where, absent)
