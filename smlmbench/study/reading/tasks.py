"""Which task a data entry has: the one that is named, else the one whose own its kind of truth is."""

from collections.abc import Sequence
from typing import Any

from smlmbench.study.reading.choices import Choices
from smlmbench.study.reading.problems import Where
from smlmbench.study.schema import DataEntry

Placed = tuple[Where, DataEntry]


def by_task(named: Any, placed: Sequence[Placed], choices: Choices) -> dict[str, list[Placed]]:
    """Data entries by their task, in the order of the first of each; what has none is noted.

    `named` is the key `task` as written, or None.
    """
    if named is not None and not choices.registered("tasks", ("task",), named):
        return {}
    facts = {name: choices.catalog.card("tasks", name).facts for name in choices.catalog.names("tasks")}
    groups: dict[str, list[Placed]] = {}
    for where, entry in placed:
        truth = entry.train.brings
        takes, default = (
            [name for name, stated in facts.items() if truth in stated.get(fact, [])]
            for fact in ("truths", "default_for")
        )
        wanted = [named] if named is not None else default
        if not takes:
            said = "which no registered task takes; add a plug-in with such a task under plugins"
        elif named is not None and named not in takes:
            accepted = ", ".join(facts[named].get("truths", [])) or "nothing"
            todo = f"leave task out, or give these data a part with {_any(takes)}"
            said = f"the task '{named}' takes {accepted}; {todo}"
        elif len(wanted) != 1:
            said = f"which is the default of {_any(wanted)}; name one that takes it: task: {_any(takes)}"
        else:
            groups.setdefault(str(wanted[0]), []).append((where, entry))
            continue
        choices.problems.add((*where, "train"), f"its truth is {truth}, {said}")
    return groups


def _any(names: Sequence[str]) -> str:
    return " or ".join(names) or "no registered task"
