"""Cells in worker processes by dask.distributed: here, at an existing scheduler, or as jobs of a queue."""

import queue
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from smlmbench.engine.contracts import FAILED, INTERRUPTED, NO_HOOKS, Hooks, OnResult, Result, RunCell, Spec, failure
from smlmbench.engine.order import Order
from smlmbench.engine.slots import request_stop, run_in_slot, topic_of
from smlmbench.errors import EngineError, StoreLostError

if TYPE_CHECKING:
    from distributed import Client, Future

POLL_S = 0.5
DEATHS = 2  # a cell whose worker dies is repeated once
UNBEGUN_DEATHS = 5  # workers that died before they had begun the cell that was sent to them
INTERRUPTS = 20
PATIENCE_S = 180.0  # without any worker of our own
GONE = "the scheduler does not answer any more; the same command continues what is left"


@dataclass(slots=True)
class _Flight:
    """A cell that was sent out."""

    spec: Spec
    future: "Future"
    begun: bool = False


class Workers:
    """Worker processes behind one scheduler; `map_cells` has the shape of the inline one.

    Where they are `ours`, started here, a dead one is reported at once and replaced, and without any we give up. `job`
    names this command's work, by which workers tell its cells from others'.
    """

    def __init__(self, client: "Client", *, ours: bool, patience_s: float | None = PATIENCE_S) -> None:
        self.client, self.ours, self.patience_s, self.job = client, ours, patience_s, uuid.uuid4().hex

    def map_cells(
        self, run_cell: RunCell, specs: Sequence[Spec], *, on_result: OnResult, hooks: Hooks = NO_HOOKS
    ) -> list[Result]:
        """Run every cell in some worker, as many at a time as there are workers, each with what it needs done before.

        A cell whose worker dies is repeated once, then it is `failed`; one that raises is not repeated. Ctrl-C asks
        the running cells to keep their state, waits for them and is passed on; a second one is passed on at once.
        Arguments and results are those of the inline engine; workers must be able to import `run_cell`, and
        `on_result` is called in this thread.

        Raises:
            EngineError: The scheduler has gone away, or no worker comes.
            StoreLostError: The store has gone away; the cells that ran were asked to keep their state.
        """
        return _Mapping(self, run_cell, specs, on_result, hooks).run()


class _Mapping:
    """The state of one `map_cells`."""

    def __init__(
        self, workers: Workers, run_cell: RunCell, specs: Sequence[Spec], on_result: OnResult, hooks: Hooks
    ) -> None:
        self._workers, self._client, self._run_cell, self._hooks = workers, workers.client, run_cell, hooks
        self._job = f"{workers.job}-{uuid.uuid4().hex[:6]}"
        self._specs, self._on_result = specs, on_result
        self._order = Order(specs, hooks.settled)
        self._results: dict[str, Result] = {}
        self._flights: dict[str, _Flight] = {}
        self._tries: dict[str, list[str]] = {}
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._alone_since: float | None = None
        self._stopping = False

    def run(self) -> list[Result]:
        topic = topic_of(self._job)
        # Called in the client's thread, hence the inbox.
        self._client.subscribe_topic(topic, lambda event: self._inbox.put(lambda: self._told(event[1])))
        try:
            self._work()
        except (KeyboardInterrupt, StoreLostError):
            self._wind_down()
            raise
        finally:
            if self._client.status == "running":
                self._client.unsubscribe_topic(topic)
        return [self._results[str(spec["id"])] for spec in self._specs]

    def _work(self) -> None:
        while True:
            for spec, result in self._order.blocked():
                self._end(spec, result)
            self._send()
            if not self._flights and (not self._order or not self._hooks.may_begin()):
                break
            try:
                happened = self._inbox.get(timeout=POLL_S)
            except queue.Empty:
                if self._client.status != "running":
                    raise EngineError(GONE) from None
            else:
                happened()
        for spec, result in self._order.rest():
            self._end(spec, result)

    def _end(self, spec: Spec, result: Result) -> None:
        self._results[str(spec["id"])] = result
        self._on_result(spec, result)

    def _send(self) -> None:
        """Send out as many cells as there are workers without one, so that none waits behind another's death.

        Short ones may wait (`Hooks.ahead`).
        """
        if not self._order:
            return
        free = self._alive() * (1 + self._hooks.ahead) - len(self._flights)
        while free > 0 and self._order and self._hooks.may_begin():
            # Where none runs, the next one is what they wait for.
            if self._flights and self._hooks.held_back() > len(self._flights):
                break
            spec = self._order.take()
            number = str(spec["id"])
            key = f"smlmbench-{number}-{uuid.uuid4().hex[:8]}"
            sent = self._hooks.pack(spec)
            future = self._client.submit(run_in_slot, self._run_cell, sent, self._job, key=key, pure=False)
            self._flights[number] = _Flight(spec, future)
            future.add_done_callback(lambda ended, number=number: self._inbox.put(lambda: self._landed(number, ended)))
            free -= 1

    def _alive(self) -> int:
        """Number of workers; says so while there is none (EngineError: the scheduler is gone, or none comes)."""
        try:
            count = len(self._client.nthreads())
        except (OSError, RuntimeError):
            raise EngineError(GONE) from None
        if count:
            self._alone_since = None
        elif self._alone_since is None:
            self._alone_since = monotonic()
            self._hooks.on_event({"kind": "line", "text": "waiting for workers ..."})
        elif self._workers.patience_s is not None and monotonic() - self._alone_since > self._workers.patience_s:
            raise EngineError(
                f"no worker has come for {self._workers.patience_s:.0f} s; the same command continues what is left"
            )
        return count

    def _told(self, message: Mapping[str, Any]) -> None:
        flight = self._flights.get(str(message.get("id")))
        if flight is not None and message.get("kind") == "begun":
            flight.begun = True
        self._hooks.on_event(message)

    def _landed(self, number: str, future: "Future") -> None:
        from distributed import KilledWorker

        flight = self._flights.get(number)
        if flight is None or flight.future is not future:
            return
        del self._flights[number]
        status = future.status
        if status not in ("finished", "error"):
            if self._client.status != "running" or status == "lost":
                raise EngineError(GONE)
            self._order.again(flight.spec)
            return
        error = future.exception() if status == "error" else None
        result = future.result() if error is None else None
        future.release()  # a result that stays in a worker would be made anew if that worker died
        if isinstance(error, StoreLostError):
            raise error
        if error is not None:
            result = self._died(flight, error) if isinstance(error, KilledWorker) else failure(error)
        elif result is not None and result.get("status") == INTERRUPTED:
            result = self._repeat(flight, "its worker was told to end", INTERRUPTS)
        if result is not None:
            self._order.ended(flight.spec, result)
            self._end(flight.spec, result)

    def _died(self, flight: _Flight, error: BaseException) -> Result | None:
        """Note a death; None where the cell is repeated."""
        last = getattr(getattr(error, "last_worker", None), "address", "unknown")
        self._hooks.on_death(flight.spec, f"its worker at {last} died")
        if not self._workers.ours:
            why = "its workers died, as often as the scheduler repeats a task"
            return {"status": FAILED, "reason": why, "given_up": True}
        return self._repeat(flight, "its worker died", DEATHS if flight.begun else UNBEGUN_DEATHS)

    def _repeat(self, flight: _Flight, why: str, limit: int) -> Result | None:
        if self._stopping:
            return {"status": INTERRUPTED}
        tries = self._tries.setdefault(str(flight.spec["id"]), [])
        tries.append(why)
        if tries.count(why) >= limit:
            return {"status": FAILED, "reason": f"{why}, {limit} times in a row", "given_up": True}
        self._hooks.on_event({"kind": "repeat", "id": flight.spec["id"], "reason": why})
        self._order.again(flight.spec)
        return None

    def _wind_down(self) -> None:
        """Ask the running cells to keep their state, and take in how they end."""
        self._stopping = True
        if not self._flights:
            return
        self._hooks.on_event({"kind": "stopping", "running": len(self._flights)})
        self._client.run(request_stop, self._job, on_error="ignore")
        while self._flights:
            try:
                self._inbox.get(timeout=POLL_S)()
            except StoreLostError:
                continue  # said already
            except queue.Empty:
                if self._client.status != "running":
                    return
                self._withdraw()

    def _withdraw(self) -> None:
        """Cancel what no worker has."""
        held = {key for keys in self._client.processing().values() for key in keys}
        for number, flight in list(self._flights.items()):
            if flight.future.key not in held and not flight.future.done():
                del self._flights[number]
                flight.future.cancel()
