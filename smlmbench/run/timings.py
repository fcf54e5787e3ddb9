"""The timing phase: serial, in the parent, after training; once per timing_id, logged to every run that shares it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from smlmbench.inference.allocator import keep_buffers
from smlmbench.inference.checkpoint import build_network
from smlmbench.inference.engine import frame_multiple
from smlmbench.run.session import Session
from smlmbench.study.cells import Cell
from smlmbench.study.identity import short_hash, timing_id
from smlmbench.study.schema import Timing
from smlmbench.timing import BUSY, Latency, check_device, host_name, threads, time_calls
from smlmbench.tracking.records import RunRecord
from smlmbench.tracking.runs import Run, reason_of

TIMED = "smlmbench.timed."


@dataclass(frozen=True, slots=True)
class Candidate:
    """One network at one size on one device and runtime."""

    key: str
    cell: Cell
    size_px: int
    device: str
    runtime: str

    @property
    def metric(self) -> str:
        """Name of the metric, as DESIGN section 7."""
        return f"device/{self.device}_{self.runtime}_fp32_{self.size_px}px"


def candidates(cells: Sequence[Cell], timing: Timing, threads: int) -> list[Candidate]:
    """Every timing of a study, each once."""
    found: dict[str, Candidate] = {}
    for device in timing.devices:
        for runtime in timing.runtimes:
            for size in timing.sizes_px:
                on = {
                    "device": device,
                    "runtime": runtime,
                    "number_format": "fp32",
                    "threads": threads,
                    "host": host_name(),
                }
                for cell in cells:
                    key = timing_id(model=cell.model, output=cell.output, shape=(1, 1, size, size), on=on)
                    found.setdefault(key, Candidate(key, cell, size, device, runtime))
    return list(found.values())


def time_study(cells: Sequence[Cell], runs: dict[str, RunRecord], timing: Timing, session: Session) -> None:
    """Time every distinct network of a study and log it to all runs that share it.

    Args:
        cells: Cells that are done.
        runs: Their runs by cell_id.
        timing: The study's block.
        session: The command.
    """
    keep_buffers()
    with threads(timing.threads) as count:
        wanted = candidates(cells, timing, count)
        sharing = {one.key: [runs[cell.cell_id] for cell in cells if _same(cell, one.cell)] for one in wanted}
        missing = [one for one in wanted if not all(TIMED + one.key in run.tags for run in sharing[one.key])]
        fresh = [one for one in missing if not any(TIMED + one.key in run.tags for run in sharing[one.key])]
        measured = _measure(fresh, session)
    first = wanted[0] if wanted else None
    for one in missing:
        if one in fresh and one.key not in measured:
            continue
        numbers = _numbers(one, measured, sharing[one.key], headline=_is_headline(one, first))
        for run in sharing[one.key]:
            if TIMED + one.key not in run.tags:
                _log(session, run, numbers, one.key)


def _measure(fresh: Sequence[Candidate], session: Session) -> dict[str, Latency]:
    """Latency by key; networks that cannot be timed are named on a line and left out."""
    measured: dict[str, Latency] = {}
    if fresh:
        session.reporter.line(f"timing {len(fresh)} networks, batch 1, {torch.get_num_threads()} threads")
    for device, size in dict.fromkeys((one.device, one.size_px) for one in fresh):
        group = [one for one in fresh if (one.device, one.size_px) == (device, size)]
        try:
            found = time_calls({one.key: _call(one, session) for one in group}, check_device(device))
        except Exception as error:
            session.reporter.line(f"  timing at {size} px on {device} failed: {reason_of(error)}")
            continue
        measured |= found
        for one in group:
            latency = found[one.key]
            busy = "; other programs kept the processor busy" if latency.others > BUSY else ""
            session.reporter.line(
                f"  {one.cell.model.name} {size} px {device} {one.runtime} fp32: "
                f"{latency.median_ms:.2f} ms (IQR {latency.q1_ms:.2f} to {latency.q3_ms:.2f}){busy}"
            )
    return measured


def _is_headline(one: Candidate, first: Candidate | None) -> bool:
    return first is not None and (one.device, one.runtime, one.size_px) == (first.device, first.runtime, first.size_px)


def _same(cell: Cell, other: Cell) -> bool:
    def network(one: Cell) -> str:
        return short_hash({"model": one.model.model_dump(), "output": one.output.model_dump()})

    return network(cell) == network(other)


def _call(one: Candidate, session: Session) -> Callable[[], Any]:
    device, catalog = check_device(one.device), session.catalog
    given = session.materials.given(one.cell)
    network = build_network(catalog, one.cell.model.name, one.cell.model.settings, given).to(device)
    multiple = frame_multiple(catalog.card("models", one.cell.model.name).facts, given.upsampling)
    side = one.size_px + -one.size_px % multiple
    frames = torch.full((1, given.channels, side, side), given.statistics.mean, device=device)
    prepared = catalog.module("runtimes", one.runtime).prepare(network, frames, "fp32")
    return lambda: prepared(frames)


def _numbers(
    one: Candidate, measured: dict[str, Latency], sharing: Sequence[RunRecord], *, headline: bool
) -> dict[str, float]:
    if one.key in measured:
        latency = measured[one.key]
        numbers = {
            f"{one.metric}_latency_ms": latency.median_ms,
            f"{one.metric}_q1_ms": latency.q1_ms,
            f"{one.metric}_q3_ms": latency.q3_ms,
            f"{one.metric}_cpu_ms": latency.cpu_ms,
            f"{one.metric}_first_ms": latency.first_ms,
            f"{one.metric}_threads": float(latency.threads),
            f"{one.metric}_others": latency.others,
        }
    else:
        source = next(run for run in sharing if TIMED + one.key in run.tags)
        numbers = {name: value for name, value in source.metrics.items() if name.startswith(one.metric + "_")}
    if headline:
        numbers["device/latency_ms"] = numbers[f"{one.metric}_latency_ms"]
    return numbers


def _log(session: Session, record: RunRecord, numbers: dict[str, float], key: str) -> None:
    run = Run(session.store, record.run_id, experiment_id=record.experiment_id, heartbeat=False)
    run.log_metrics(dict(numbers))
    run.flush()
    run.set_tags({TIMED + key: "true", "smlmbench.timed_on": host_name()})
