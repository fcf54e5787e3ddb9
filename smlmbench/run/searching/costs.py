"""What a network costs before it is trained: parameters and latency depend on settings, not on weights."""

from collections.abc import Collection

import torch

from smlmbench.inference.allocator import keep_buffers
from smlmbench.inference.checkpoint import build_network
from smlmbench.inference.engine import frame_multiple
from smlmbench.run.session import Session
from smlmbench.study.cells import Cell
from smlmbench.study.identity import timing_id
from smlmbench.study.reading.search import LATENCY, N_PARAMS
from smlmbench.study.schema import Timing
from smlmbench.timing import check_device, host_name, threads, time_calls

BUDGET_S = 1.0


class Costs:
    """Measures each network once, in this process, while nothing trains.

    Attributes:
        session: The command.
        timing: Device, runtime, size and threads: the first of each counts.
    """

    def __init__(self, session: Session, timing: Timing) -> None:
        self.session, self.timing = session, timing
        self._known: dict[str, float] = {}

    def of(self, cell: Cell, wanted: Collection[str]) -> dict[str, float]:
        """The numbers that are wanted of `device/latency_ms` and `n_params`."""
        found: dict[str, float] = {}
        if N_PARAMS in wanted:
            network = self._network(cell)
            found[N_PARAMS] = float(sum(each.numel() for each in network.parameters() if each.requires_grad))
        if LATENCY in wanted:
            found[LATENCY] = self._latency_ms(cell)
        return found

    def learn(self, cell: Cell, latency_ms: float) -> None:
        """Take over what an earlier command has measured on this machine."""
        self._known.setdefault(self.key(cell), latency_ms)

    def key(self, cell: Cell) -> str:
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
        given = self.session.materials.given(cell)
        return build_network(self.session.catalog, cell.model.name, cell.model.settings, given)

    def _latency_ms(self, cell: Cell) -> float:
        key = self.key(cell)
        if key not in self._known:
            keep_buffers()
            device, catalog = check_device(self.timing.devices[0]), self.session.catalog
            given = self.session.materials.given(cell)
            card = catalog.card("models", cell.model.name).under(cell.model.settings)
            multiple = frame_multiple(card.facts, given.upsampling)
            _, *sides = self.session.materials.training(cell).sample_shape
            if len(sides) == 2:
                sides = [self.timing.sizes_px[0] + -self.timing.sizes_px[0] % multiple] * 2
            frames = torch.full((1, given.channels, *sides), given.statistics.mean, device=device)
            runtime = catalog.module("runtimes", self.timing.runtimes[0])
            with threads(self.timing.threads):
                prepared = runtime.prepare(self._network(cell).to(device).eval(), frames, "fp32")
                found = time_calls({key: lambda: prepared(frames)}, device, budget_s=BUDGET_S)
            self._known[key] = found[key].median_ms
        return self._known[key]
