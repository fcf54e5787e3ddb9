"""One slot: the cells one after the other in this process."""

from collections.abc import Sequence

from smlmbench.engine.contracts import NO_HOOKS, Hooks, OnResult, Result, RunCell, Spec, failure
from smlmbench.engine.order import Order
from smlmbench.errors import StoreLostError


def map_cells(
    run_cell: RunCell, specs: Sequence[Spec], *, on_result: OnResult, hooks: Hooks = NO_HOOKS
) -> list[Result]:
    """Run every cell in turn, those that others need first; one that fails does not stop the others.

    Ctrl-C stops at once: the cell that runs closes its own run as interrupted, no other is begun, and KeyboardInterrupt
    goes on to the caller, which has had `on_result` for every finished cell.

    Args:
        run_cell: Spec to result, at least {"status": ...}; it catches what belongs to its run.
        specs: Plain dicts with `id` and, where they need other cells, `needs`.
        on_result: Called after each cell.
        hooks: What the caller adds.

    Returns:
        One result per spec, in order. A cell that raised has {"status": "failed", "reason": ...}; one that needs a cell
        that is not done has "blocked"; one not begun "planned".

    Raises:
        StoreLostError: The store has gone away, so nothing more can be kept.
    """
    order = Order(specs, hooks.settled)
    results: dict[int, Result] = {}

    def end(spec: Spec, result: Result) -> None:
        results[id(spec)] = result
        on_result(spec, result)

    while True:
        for spec, result in order.blocked():
            end(spec, result)
        if not order or not hooks.may_begin():
            break
        spec = order.take()
        try:
            result = run_cell(hooks.pack(spec))
        except StoreLostError:
            raise
        except Exception as error:
            result = failure(error)
        order.ended(spec, result)
        end(spec, result)
    for spec, result in order.rest():
        end(spec, result)
    return [results[id(spec)] for spec in specs]
