"""Map the cells of a plan over workers. Here: inline, one after the other in this process.

An engine knows nothing of models or stores. It sends specs (plain dicts) to `run_cell`, which claims the cell, trains
it and writes the results to the store itself; what comes back is small. Any engine has the shape of `map_cells`, so
workers in other processes are one more file.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from smlmbench.errors import SmlmBenchError

Spec = Mapping[str, Any]
Result = Mapping[str, Any]


def map_cells(
    run_cell: Callable[[Spec], Result], specs: Iterable[Spec], *, on_result: Callable[[Spec, Result], None]
) -> list[Result]:
    """Run every cell in turn; one that fails does not stop the others.

    Ctrl-C stops at once: the cell that runs closes its own run as interrupted, no other is begun, and KeyboardInterrupt
    goes on to the caller, which has had `on_result` for every finished cell.

    Args:
        run_cell: Spec to result, at least {"status": ...}; it catches what belongs to its run.
        specs: Taken one at a time, so a generator can stop early or look at what was done before.
        on_result: Called after each cell.

    Returns:
        One result per spec, in order; a cell that raised has {"status": "failed", "reason": ...}.
    """
    results: list[Result] = []
    for spec in specs:
        try:
            result = run_cell(spec)
        except Exception as error:
            words = " ".join(str(error).split())
            known = isinstance(error, SmlmBenchError)
            result = {"status": "failed", "reason": words if known else f"{type(error).__name__}: {words}"}
        results.append(result)
        on_result(spec, result)
    return results
