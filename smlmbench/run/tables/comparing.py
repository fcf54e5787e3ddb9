"""Score what any program found, in a file or in memory, against the truth."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from smlmbench import tasks
from smlmbench.errors import ConfigError
from smlmbench.predictions import Localizations
from smlmbench.registry import Catalog
from smlmbench.study.schema import Scoring
from smlmbench.tasks.contracts import Scores

BORDER_NM = 450.0
InMemory = TypeVar("InMemory")


def compare(
    found: Any,
    truth: Any,
    options: Mapping[str, Any],
    catalog: Catalog,
    *,
    matcher: Literal["greedy", "hungarian"] = "greedy",
    border_nm: float | None = None,
    task: str | None = None,
) -> tuple[Scores, Scoring]:
    """Score what a program found, a file or in memory, against the truth; and the protocol that the scores follow.

    The options are those of the task's comparison, such as field_nm and truth_as; a truth in memory states its
    field. By default the border is 450 nm with a field and 0 without, and the task the first that compares files.

    Raises:
        UserError: Files that cannot be read or compared.
    """
    names = catalog.names("tasks")
    if task is None:
        task = next((name for name in names if catalog.card("tasks", name).facts.get("compares")), None)
    if task is None:
        raise ConfigError(f"no task compares files; name one of {', '.join(names)}")
    field_nm = options.get("field_nm") or (truth.field_nm if isinstance(truth, Localizations) else None)
    default_nm = BORDER_NM if field_nm is not None else 0.0
    scoring = Scoring(matcher=matcher, border_nm=default_nm if border_nm is None else border_nm)
    asked = {**options, "field_nm": field_nm, "scoring": scoring}
    return tasks.load(task, catalog).compare(_path(found), _path(truth), asked), scoring


def _path(given: str | os.PathLike[str] | InMemory) -> Path | InMemory:
    return Path(given) if isinstance(given, str | os.PathLike) else given
