"""The timing phase: serial, in the parent, after training; once per timing_id, logged to every run that shares it.

Reduced number formats are timed for the picks alone, and only where they pass the quality gate; what is not timed
leaves its reason.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench import tasks
from smlmbench.data.contracts import Condition, Given
from smlmbench.errors import SizeError, StoreLostError
from smlmbench.inference.allocator import keep_buffers
from smlmbench.inference.checkpoint import build_network, load_trained
from smlmbench.inference.engine import Network, frame_multiple
from smlmbench.inference.loading import load
from smlmbench.inference.running import prepare, read_by, why_not
from smlmbench.movies import with_context
from smlmbench.run.cells.run import CHECKPOINT
from smlmbench.run.materials import Materials
from smlmbench.run.session import Session
from smlmbench.run.studies.picks import picks
from smlmbench.run.timing import reduced
from smlmbench.run.timing.measuring import Measured, Subject, measure, tiled
from smlmbench.run.timing.memory import peak_bytes
from smlmbench.study.cells import Cell
from smlmbench.study.identity import short_hash, timing_id
from smlmbench.study.schema import Timing
from smlmbench.timing import BUSY, check_device, host_name, threads, time_calls
from smlmbench.tracking.records import RunRecord
from smlmbench.tracking.runs import Run, reason_of
from smlmbench.tracking.tags import NOT_TIMED, TIMED_ON

TIMED = "smlmbench.timed."
FRAMES = 8


@dataclass(frozen=True, slots=True)
class Candidate:
    """One network at one size on one device and runtime, in one number format."""

    key: str
    cell: Cell
    size_px: int
    device: str
    runtime: str
    number_format: str = "fp32"

    @property
    def metric(self) -> str:
        """Name of the metric, as DESIGN section 7."""
        return f"device/{self.device}_{self.runtime}_{self.number_format}_{self.size_px}px"


def candidates(cells: Sequence[Cell], timing: Timing, threads: int, materials: Materials) -> list[Candidate]:
    """Every timing of a study in fp32, each once."""
    found: dict[str, Candidate] = {}
    for device, runtime, cell in product(timing.devices, timing.runtimes, cells):
        for size in sizes_of(cell, timing, materials):
            key = _key(cell, (device, runtime, "fp32"), size, threads)
            found.setdefault(key, Candidate(key, cell, size, device, runtime))
    return list(found.values())


def sizes_of(cell: Cell, timing: Timing, materials: Materials) -> list[int]:
    """Sides of the frames to be timed; that of its units alone where they have no others."""
    return list(materials.unit_sides(cell)[-1:]) or list(timing.sizes_px)


def _key(cell: Cell, where: tuple[str, str, str], size: int, threads: int) -> str:
    device, runtime, number_format = where
    on = {"device": device, "runtime": runtime, "number_format": number_format, "threads": threads, "host": host_name()}
    key = timing_id(model=cell.model, output=cell.output, shape=(1, 1, size, size), on=on)
    # Whether a reduced format counts depends on the weights and on how they are scored, so it belongs to one cell.
    gated = {"timing": key, "cell": cell.cell_id, "scored": cell.eval_id}
    return key if number_format == "fp32" else short_hash(gated)


def time_study(
    cells: Sequence[Cell], runs: dict[str, RunRecord], timing: Timing, session: Session, *, headline: bool = True
) -> None:
    """Time every distinct network of the cells that are done and log it to all runs (by cell_id) that share it.

    `headline` stores the first timing as the latency that the leaderboard shows.
    """
    keep_buffers()
    with threads(timing.threads) as count:
        wanted = candidates(cells, timing, count, session.materials)
        sharing = {one.key: [runs[cell.cell_id] for cell in cells if _same(cell, one.cell)] for one in wanted}
        missing = [one for one in wanted if not all(TIMED + one.key in run.tags for run in sharing[one.key])]
        fresh = [one for one in missing if not any(TIMED + one.key in run.tags for run in sharing[one.key])]
        fresh = [one for one in fresh if _can_run(one, sharing[one.key], session)]
        gates = _gated(cells, runs, timing, session, count)
        gated = [one for one, _ in gates.values()]
        sharing |= {one.key: [runs[one.cell.cell_id]] for one in gated}
        measured = _measure([*fresh, *gated], runs, timing, session)
    for one in [*missing, *gated]:
        known = any(TIMED + one.key in run.tags for run in sharing[one.key])
        if one.key not in measured and not known:
            continue
        numbers = _numbers(one, measured, sharing[one.key])
        first = next(each for each in wanted if _same(each.cell, one.cell))
        if headline and one.metric == first.metric:
            numbers["device/latency_ms"] = numbers[f"{one.metric}_latency_ms"]
        numbers |= gates[one.key][1] if one.key in gates else {}
        for run in sharing[one.key]:
            if TIMED + one.key not in run.tags:
                held = _held(session, run)
                held.log_metrics(numbers)
                held.flush()
                held.set_tags({TIMED + one.key: "true", TIMED_ON: host_name()})


def _can_run(one: Candidate, sharing: Sequence[RunRecord], session: Session) -> bool:
    if reason := why_not(session.catalog, one.runtime, check_device(one.device), one.number_format):
        session.reporter.line(f"  {one.cell.model.name} {one.size_px} px {one.device}: not timed: {reason}")
        for run in sharing:
            _log_reason(session, run, one.metric, reason)
    return not reason


def _gated(
    cells: Sequence[Cell], runs: dict[str, RunRecord], timing: Timing, session: Session, count: int
) -> dict[str, tuple[Candidate, dict[str, float]]]:
    """Reduced formats of the picks that pass the gate, with their scores, by key; the others leave a reason."""
    formats = [name for name in timing.number_formats if name != "fp32"]
    found: dict[str, tuple[Candidate, dict[str, float]]] = {}
    for cell in picks(cells, runs, session.catalog) if formats else []:
        record = runs[cell.cell_id]
        told = json.loads(record.tags.get(NOT_TIMED, "{}"))
        for where in product(timing.devices, timing.runtimes, formats):
            device, runtime, number_format = where
            group = [
                Candidate(_key(cell, where, size, count), cell, size, device, runtime, number_format)
                for size in sizes_of(cell, timing, session.materials)
            ]
            group = [one for one in group if TIMED + one.key not in record.tags and one.metric not in told]
            if not group:
                continue
            outcome = reduced.judge(cell, record, where, session)
            label = f"  {cell.model.name} {device} {runtime} {number_format}"
            if outcome.gate is None or outcome.reason:
                session.reporter.line(f"{label}: not timed: {outcome.told}")
                for one in group:
                    _log_reason(session, record, one.metric, outcome.told)
                continue
            gate = outcome.gate
            session.reporter.line(f"{label}: {gate.told}")
            for one in group:
                found[one.key] = (one, {f"{one.metric}_{name}": value for name, value in gate.numbers.items()})
    return found


def _measure(
    fresh: Sequence[Candidate], runs: dict[str, RunRecord], timing: Timing, session: Session
) -> dict[str, Measured]:
    """Numbers by key; networks that cannot be timed are named on a line and left out."""
    measured: dict[str, Measured] = {}
    if fresh:
        session.reporter.line(f"timing {len(fresh)} networks, batch 1, {torch.get_num_threads()} threads")
    for device, size in dict.fromkeys((one.device, one.size_px) for one in fresh):
        group = [one for one in fresh if (one.device, one.size_px) == (device, size)]
        try:
            subjects = {one.key: _subject(one, runs[one.cell.cell_id], session) for one in group}
            found, failed = measure(subjects, check_device(device), time_calls)
        except StoreLostError:
            raise
        except Exception as error:
            session.reporter.line(f"  timing at {size} px on {device} failed: {reason_of(error)}")
            continue
        for one in group:
            label = f"  {one.cell.model.name} {size} px {device} {one.runtime} {one.number_format}"
            if one.key in failed:
                session.reporter.line(f"{label}: not timed: {reason_of(failed[one.key])}")
                _log_reason(session, runs[one.cell.cell_id], one.metric, reason_of(failed[one.key]))
                continue
            measured[one.key] = _with_file(one, found[one.key], runs[one.cell.cell_id], timing)
            latency = found[one.key].latency
            busy = "; other programs kept the processor busy" if latency.others > BUSY else ""
            session.reporter.line(
                f"{label}: {latency.median_ms:.2f} ms (IQR {latency.q1_ms:.2f} to {latency.q3_ms:.2f}){busy}"
            )
    return measured


def _with_file(one: Candidate, found: Measured, record: RunRecord, timing: Timing) -> Measured:
    """Add the size of what is run and, where asked for, the peak memory of a fresh process."""
    path = reduced.file_of(record, one.runtime, one.number_format) or record.artifact(CHECKPOINT)
    numbers = dict(found.numbers)
    if path is not None:
        numbers["file_bytes"] = float(path.stat().st_size)
        if timing.memory:
            on = torch.get_num_threads(), one.device
            numbers |= peak_bytes(path, one.runtime, one.number_format, one.size_px, on)
    return Measured(found.latency, numbers)


def _same(cell: Cell, other: Cell) -> bool:
    one, two = ({"model": each.model.model_dump(), "output": each.output.model_dump()} for each in (cell, other))
    return short_hash(one) == short_hash(two)


def _subject(one: Candidate, record: RunRecord, session: Session) -> Subject:
    """The trained network where it is stored (its read-out is timed too), else one of the same shape."""
    device, catalog = check_device(one.device), session.catalog
    given = session.materials.given(one.cell)
    frames, work = _frames(one, session, given)
    checkpoint = record.artifact(CHECKPOINT)
    if checkpoint is not None:
        trained = load_trained(checkpoint, catalog, device)
        network, read_out = trained.network, read_by(trained, one.runtime, catalog)
        multiple = trained.multiple_px
    else:
        network = build_network(catalog, one.cell.model.name, one.cell.model.settings, given).to(device)
        card = catalog.card("models", one.cell.model.name).under(one.cell.model.settings)
        read_out, multiple = None, frame_multiple(card.facts, given.upsampling)
    sides = [size + -size % multiple for size in frames.shape[2:]]
    example = torch.full((1, given.channels, *sides), given.statistics.mean, device=device)
    path = reduced.file_of(record, one.runtime, one.number_format)

    def call() -> Network:
        if path is not None:
            return load(path, catalog, device, one.runtime, one.number_format).network
        return prepare(catalog, one.runtime, network, example, one.number_format)

    waits = given.context // 2
    return Subject(network, call, frames, read_out, work, given.upsampling, multiple, waits)


def _frames(one: Candidate, session: Session, given: Given) -> tuple[NDArray[np.float32], tuple[str, float] | None]:
    """Inputs of the first test condition, repeated or cut to the size, and what one of them holds."""
    condition: Condition = next(iter(session.materials.splits(one.cell).tests.values()))
    count = min(FRAMES, condition.frames.n_frames)
    try:
        block = with_context(condition.frames, 0, count, given.context)
    except SizeError:  # inputs of several sizes
        block = None
    if block is None or (block.ndim == 4 and block.shape[1] != given.channels):  # or of which frames are made first
        # any frame of this size will do
        return np.full((FRAMES, given.channels, one.size_px, one.size_px), given.statistics.mean, np.float32), None
    work = tasks.load(one.cell.task, session.catalog).work(condition)
    if work is not None and block.ndim == 4:
        area = condition.frames.height * condition.frames.width
        work = (work[0], work[1] * one.size_px**2 / area)
    return tiled(block, FRAMES, one.size_px, block.ndim - 2), work


def _numbers(one: Candidate, measured: dict[str, Measured], sharing: Sequence[RunRecord]) -> dict[str, float]:
    if one.key not in measured:
        source = next(run for run in sharing if TIMED + one.key in run.tags)
        return {name: value for name, value in source.metrics.items() if name.startswith(one.metric + "_")}
    said = asdict(measured[one.key].latency)
    said = {"latency_ms": said.pop("median_ms"), **said, **measured[one.key].numbers}
    return {f"{one.metric}_{name}": float(value) for name, value in said.items() if name != "rounds"}


def _log_reason(session: Session, record: RunRecord, metric: str, reason: str) -> None:
    """Keep why something was not timed with the run, by the metric that it would have had."""
    stored = session.store.client.get_run(record.run_id).data.tags.get(NOT_TIMED, "{}")
    told = {**json.loads(stored), metric: reason[:200]}
    _held(session, record).set_tags({NOT_TIMED: json.dumps(told)})


def _held(session: Session, record: RunRecord) -> Run:
    return Run(session.store, record.run_id, experiment_id=record.experiment_id, heartbeat=False)
