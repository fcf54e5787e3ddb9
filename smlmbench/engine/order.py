"""Which cell may run next: those that others need first, and none before what it needs is done."""

import heapq
from collections.abc import Iterator, Mapping, Sequence

from smlmbench.engine.contracts import BLOCKED, DONE, PLANNED, Result, Spec


class Order:
    """Specs by what they need.

    A spec has `id` and, where it needs other cells, `needs`: their ids. An id that is neither among the specs nor in
    `settled` is taken as there; the cell itself then says what is missing. A spec without an id needs nothing.
    """

    def __init__(self, specs: Sequence[Spec], settled: Mapping[str, str] | None = None) -> None:
        self._specs = list(specs)
        self._index = {str(spec.get("id", f"#{number}")): number for number, spec in enumerate(self._specs)}
        self._status = dict(settled or {})
        self._missing: dict[int, set[str]] = {}
        self._dependents: dict[str, list[int]] = {}
        self._ready: list[tuple[bool, int]] = []
        self._blocked: list[tuple[Spec, Result]] = []
        for number, spec in enumerate(self._specs):
            needs = {name for name in spec.get("needs") or () if name in self._index or name in self._status}
            for name in needs:
                self._dependents.setdefault(name, []).append(number)
            self._missing[number] = {name for name in needs if self._status.get(name) != DONE}
        for number, missing in self._missing.items():
            if not missing:
                self._push(number)
        for name, status in list(self._status.items()):
            if status != DONE:
                self._block(name, status, "")

    def _push(self, number: int) -> None:
        name = str(self._specs[number].get("id", f"#{number}"))
        heapq.heappush(self._ready, (name not in self._dependents, number))

    def __bool__(self) -> bool:
        return bool(self._ready)

    def take(self) -> Spec:
        """The next spec that may run."""
        number = heapq.heappop(self._ready)[1]
        del self._missing[number]
        return self._specs[number]

    def again(self, spec: Spec) -> None:
        """Put back a spec that was taken and did not end."""
        number = self._index[str(spec["id"])]
        self._missing[number] = set()
        self._push(number)

    def ended(self, spec: Spec, result: Result) -> None:
        """Note how a cell ended, which frees or blocks those that need it."""
        name = str(spec.get("id", ""))
        status = str(result.get("status"))
        self._status[name] = status
        if status != DONE:
            self._block(name, status, str(result.get("reason") or ""))
            return
        for number in self._dependents.get(name, ()):
            if number in self._missing:
                self._missing[number].discard(name)
                if not self._missing[number]:
                    self._push(number)

    def _block(self, name: str, status: str, reason: str) -> None:
        for number in self._dependents.get(name, ()):
            if self._missing.pop(number, None) is None:
                continue
            spec = self._specs[number]
            why = f"needs cell {name[:12]}, which is {status}" + (f" ({reason})" if reason else "")
            outcome = PLANNED if status in (PLANNED, "left", "interrupted") else BLOCKED
            self._blocked.append((spec, {"status": outcome, "reason": why}))
            self._block(str(spec.get("id", "")), outcome, "")

    def blocked(self) -> Iterator[tuple[Spec, Result]]:
        """Specs that cannot run any more, each once, with the result that says why."""
        while self._blocked:
            yield self._blocked.pop(0)

    def rest(self) -> Iterator[tuple[Spec, Result]]:
        """Everything that was not begun."""
        early = bool(self._ready)
        for number in sorted(self._missing):
            why = f"needs cells that need it: {', '.join(sorted(self._missing[number]))}"
            yield self._specs[number], {"status": PLANNED} if early else {"status": BLOCKED, "reason": why}
        self._missing.clear()
        self._ready.clear()
