"""Score a file of any program against a true one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smlmbench import tasks
from smlmbench.errors import ConfigError
from smlmbench.registry import Catalog
from smlmbench.tasks.values import Scores


def compare(found: Path, truth: Path, options: Mapping[str, Any], catalog: Catalog, task: str | None = None) -> Scores:
    """Score one file against the truth.

    Args:
        found: What a program made.
        truth: What is true.
        options: Of the task's comparison, such as scoring, field_nm, fine_pixel_nm.
        catalog: Registered things.
        task: Whose numbers; by default the first task that compares files.

    Raises:
        UserError: Files that cannot be read or compared.
    """
    if task is None:
        names = catalog.names("tasks")
        task = next((name for name in names if catalog.card("tasks", name).facts.get("compares")), "")
        if not task:
            raise ConfigError(f"no task compares files; name one of {', '.join(names)}")
    return tasks.load(task, catalog).compare(found, truth, options)
