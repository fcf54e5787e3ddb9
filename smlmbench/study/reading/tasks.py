"""Which task a data entry has: the one that is named, else the one whose own its kind of truth is."""

from collections.abc import Iterable, Sequence
from typing import Any

from smlmbench.registry import Catalog
from smlmbench.study.reading.choices import Choices
from smlmbench.study.reading.problems import Where
from smlmbench.study.schema import DataEntry

Placed = tuple[Where, DataEntry]


def by_task(named: Any, placed: Sequence[Placed], choices: Choices) -> dict[str, list[Placed]]:
    """Data entries by their task, in the order of the first of each; what has none is noted.

    Args:
        named: The key `task` as written, or None.
        placed: Data entries with their places.
        choices: Registered things and problems.
    """
    if named is not None and not choices.registered("tasks", ("task",), named):
        return {}
    groups: dict[str, list[Placed]] = {}
    for where, entry in placed:
        truth = entry.train.brings
        wanted = [named] if named is not None else _stating(choices.catalog, "default_for", truth)
        takes = _stating(choices.catalog, "truths", truth)
        place = (*where, "train")
        if not takes:
            said = f"its truth is {truth}, which no registered task takes"
            choices.problems.add(place, f"{said}; add a plug-in with such a task under plugins")
        elif named is not None and named not in takes:
            accepted = ", ".join(choices.catalog.card("tasks", named).facts.get("truths", [])) or "nothing"
            todo = f"leave task out, or give these data a part with {_any(takes)}"
            choices.problems.add(place, f"its truth is {truth}, the task '{named}' takes {accepted}; {todo}")
        elif len(wanted) != 1:
            said = f"its truth is {truth}, which is the default of {_any(wanted)}"
            choices.problems.add(place, f"{said}; name one that takes it: task: {_any(takes)}")
        else:
            groups.setdefault(str(wanted[0]), []).append((where, entry))
    return groups


def _stating(catalog: Catalog, fact: str, truth: str) -> list[str]:
    return [name for name in catalog.names("tasks") if truth in catalog.card("tasks", name).facts.get(fact, [])]


def _any(names: Iterable[str]) -> str:
    return " or ".join(names) or "no registered task"
