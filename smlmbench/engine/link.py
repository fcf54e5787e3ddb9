"""What a cell has of the engine while it runs: a way to tell how far it is, and whether it shall stop."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


def _nowhere(message: Mapping[str, Any]) -> None:  # noqa: ARG001 (the signature of `tell`)
    return None


@dataclass(slots=True)
class Link:
    """The line from a running cell to its engine.

    Attributes:
        tell: Sends a small message of plain values.
        stop: Set where the cell shall keep its state and end.
        job: Name of the mapping that the cell belongs to, or "".
    """

    tell: Callable[[Mapping[str, Any]], None] = _nowhere
    stop: threading.Event = field(default_factory=threading.Event)
    job: str = ""


_current = Link()


def current() -> Link:
    """The link of the cell that runs in this process; one that says nothing and never stops where there is none."""
    return _current


def connect(link: Link | None) -> None:
    """Make a link the current one of this process."""
    global _current  # noqa: PLW0603 (one cell runs in a process at a time)
    _current = link if link is not None else Link()
