"""What is asked and how it is scored, one file (or folder) each."""

from collections.abc import Mapping
from typing import Any

from smlmbench.errors import ConfigError, FormatError
from smlmbench.registry import Catalog
from smlmbench.tasks.contracts import Task

__all__ = ["Task", "load", "of_checkpoint"]


def load(name: str, catalog: Catalog) -> Task:
    """A registered task.

    Raises:
        UnknownNameError: No such task.
        ConfigError: Its file does not build one.
    """
    task = catalog.module("tasks", name).build(name, catalog)
    if not isinstance(task, Task):
        raise ConfigError(f"build of task '{name}' returned {type(task).__name__}; derive from tasks.contracts.Task")
    return task


def of_checkpoint(facts: Mapping[str, Any], output: Mapping[str, Any], catalog: Catalog) -> Task:
    """The task of a stored network: the one that it names, unless its output settings are those of another.

    Older checkpoints name the task that theirs was a case of (`known_as`); its card says by which setting it knows
    (`adopts`).

    Raises:
        FormatError: It names none.
        UnknownNameError: The task is a plug-in that is not given.
    """
    for name in catalog.names("tasks"):
        known = catalog.card("tasks", name).facts
        if known.get("adopts") in output and facts.get("task") in (None, known.get("known_as")):
            return load(name, catalog)
    if "task" not in facts:
        raise FormatError("the checkpoint does not say its task; train it anew")
    return load(str(facts["task"]), catalog)
