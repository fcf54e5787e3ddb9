"""What a network costs before it is trained: parameters and latency depend on settings, not on weights."""

from collections.abc import Collection

import torch

from smlmbench.inference.allocator import keep_buffers
from smlmbench.inference.checkpoint import build_network
from smlmbench.run.cells.training import n_trainable
from smlmbench.run.session import Session
from smlmbench.study.cells import Cell
from smlmbench.study.identity import timing_id
from smlmbench.study.reading.search import LATENCY, N_PARAMS
from smlmbench.study.schema import Timing
from smlmbench.timing import check_device, host_name, threads, time_calls

BUDGET_S = 1.0


class Costs:
    """Measures each network once, in this process, while nothing trains; of each list of `timing` the first counts."""

    def __init__(self, session: Session, timing: Timing) -> None:
        self.materials, self.timing = session.materials, timing
        self._known: dict[str, float] = {}

    def of(self, cell: Cell, wanted: Collection[str]) -> dict[str, float]:
        """The numbers that are wanted of `device/latency_ms` and `n_params`."""
        found: dict[str, float] = {}
        if N_PARAMS in wanted:
            found[N_PARAMS] = float(n_trainable(self._network(cell)))
        if LATENCY in wanted:
            found[LATENCY] = self._latency_ms(cell)
        return found

    def learn(self, cell: Cell, latency_ms: float) -> None:
        """Take over what an earlier command has measured on this machine."""
        self._known.setdefault(self._key(cell), latency_ms)

    def _key(self, cell: Cell) -> str:
        """Identity of the timing."""
        size = self.timing.sizes_px[0]
        on = {
            "device": self.timing.devices[0],
            "runtime": self.timing.runtimes[0],
            "number_format": "fp32",
            "threads": self.timing.threads or torch.get_num_threads(),
            "host": host_name(),
        }
        return timing_id(model=cell.model, output=cell.output, shape=(1, 1, size, size), on=on)

    def _network(self, cell: Cell) -> torch.nn.Module:
        return build_network(self.materials.catalog, cell.model.name, cell.model.settings, self.materials.given(cell))

    def _latency_ms(self, cell: Cell) -> float:
        key, size = self._key(cell), self.timing.sizes_px[0]
        if key not in self._known:
            keep_buffers()
            device, given = check_device(self.timing.devices[0]), self.materials.given(cell)
            _, *sides = self.materials.training(cell).sample_shape
            if not given.unit_sides and len(sides) == 2:
                sides = [size + -size % self.materials.multiple_px(cell)] * 2
            frames = torch.full((1, given.channels, *sides), given.statistics.mean, device=device)
            runtime = self.materials.catalog.module("runtimes", self.timing.runtimes[0])
            with threads(self.timing.threads):
                prepared = runtime.prepare(self._network(cell).to(device).eval(), frames, "fp32")
                found = time_calls({key: lambda: prepared(frames)}, device, budget_s=BUDGET_S)
            self._known[key] = found[key].median_ms
        return self._known[key]
