"""What goes to an engine and what comes back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from smlmbench.addresses import hidden
from smlmbench.errors import SmlmBenchError

Spec = Mapping[str, Any]
Result = Mapping[str, Any]
RunCell = Callable[[Spec], Result]
OnResult = Callable[[Spec, Result], None]

DONE = "done"
PLANNED = "planned"
BLOCKED = "blocked"
FAILED = "failed"
INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a caller may add to a mapping.

    Attributes:
        may_begin: False ends the mapping early; cells not begun are `planned`.
        pack: Makes of a spec what travels to a worker, when its turn has come.
        on_event: Receives what a cell tells while it runs in a worker (`kind`, `id`, ...).
        on_death: Called when the worker of a cell has died, before the cell is repeated.
        settled: Status by id of what is needed and known before, so it is not among the specs.
        held_back: Number of results whose turn has not come for the caller; no cell is sent to a worker while they are
            more than those that run.
        ahead: Cells that are sent to each worker beside the one that it runs, so that it need not wait for the next.
    """

    may_begin: Callable[[], bool] = lambda: True
    pack: Callable[[Spec], Spec] = lambda spec: spec
    on_event: Callable[[Mapping[str, Any]], None] = lambda _event: None
    on_death: Callable[[Spec, str], None] = lambda _spec, _why: None
    settled: Mapping[str, str] | None = None
    held_back: Callable[[], int] = lambda: 0
    ahead: int = 0


NO_HOOKS = Hooks()


def failure(error: BaseException) -> Result:
    """The result of a cell that raised."""
    words = hidden(" ".join(str(error).split()))
    known = isinstance(error, SmlmBenchError)
    return {"status": FAILED, "reason": words if known else f"{type(error).__name__}: {words}"}
