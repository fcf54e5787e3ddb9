"""What a cell has of the engine while it runs: a way to tell how far it is, and whether it shall stop."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Link:
    """The line from a running cell to its engine."""

    tell: Callable[[Mapping[str, Any]], None] = lambda _message: None  # sends a small message of plain values
    stop: threading.Event = field(default_factory=threading.Event)  # set where the cell shall keep its state and end
    job: str = ""  # name of the mapping that the cell belongs to


_current = Link()


def current() -> Link:
    """The link of the cell that runs in this process; one that says nothing and never stops where there is none."""
    return _current


def connect(link: Link | None) -> None:
    """Make a link the current one of this process."""
    global _current  # noqa: PLW0603 (one cell runs in a process at a time)
    _current = link if link is not None else Link()
