"""Milliseconds per frame of classical fitters, on the frames that they are scored on."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from smlmbench.data.contracts import ArrayFrames, Condition
from smlmbench.run.cells.evaluation import referee_of
from smlmbench.run.session import Session
from smlmbench.run.timing.measuring import tiled
from smlmbench.run.timing.timings import TIMED
from smlmbench.study.cells import Reference
from smlmbench.study.identity import short_hash
from smlmbench.study.schema import Timing
from smlmbench.timing import Latency, host_name, time_calls
from smlmbench.tracking.records import RunRecord
from smlmbench.tracking.runs import Run, reason_of

FRAMES = 16


def time_fitters(references: Sequence[Reference], runs: dict[str, RunRecord], timing: Timing, session: Session) -> None:
    """Time the references whose card says `timed`, once per size and machine, and log it to their runs.

    A fitter's time depends on the emitters in a frame, so it gets real frames of its first test condition (tiled or
    cut to the size), 16 at a time; the figure is per frame, read-out included, on the CPU in float64.
    """
    for reference in references:
        run, name = runs.get(reference.reference_id), reference.reference.name
        timed = session.catalog.card("references", name).facts.get("timed")
        if run is None or not timed or "cpu" not in timing.devices:
            continue
        condition = next(iter(session.materials.splits(reference).tests.values()))
        numbers: dict[str, float] = {}
        tags: dict[str, str] = {}
        whole = session.catalog.card("tasks", reference.task).facts.get("whole_units")
        sizes = [condition.frames.width] if whole else timing.sizes_px
        for size in sizes:
            key = short_hash({"reference": reference.reference_id, "size": size, "host": host_name()})
            if TIMED + key in run.tags:
                continue
            try:
                latency = _latency(reference, condition, size, session)
            except Exception as error:
                session.reporter.line(f"  timing {name} at {size} px failed: {reason_of(error)}")
                continue
            metric, per_frame_ms = f"device/cpu_classical_fp64_{size}px", latency.median_ms / FRAMES
            numbers[f"{metric}_latency_ms"] = per_frame_ms
            numbers[f"{metric}_q1_ms"] = latency.q1_ms / FRAMES
            numbers[f"{metric}_q3_ms"] = latency.q3_ms / FRAMES
            numbers[f"{metric}_threads"] = float(torch.get_num_threads())
            if size == sizes[0]:
                numbers["device/latency_ms"] = per_frame_ms
            tags[TIMED + key] = "true"
            session.reporter.line(f"  {name} {size} px cpu: {per_frame_ms:.2f} ms per frame")
        if numbers:
            held = Run(session.store, run.run_id, experiment_id=run.experiment_id, heartbeat=False)
            held.log_metrics(dict(numbers))
            held.flush()
            held.set_tags(tags)


def _latency(reference: Reference, condition: Condition, size: int, session: Session) -> Latency:
    block = condition.frames.read(0, min(FRAMES, condition.frames.n_frames))
    axes = getattr(condition.frames, "axes", 2)
    frames = ArrayFrames(tiled(block, FRAMES, size, axes), axes)
    timed = replace(condition, frames=frames, truth=None, extras={}, noise_map=None)  # a map is of another size
    referee = referee_of(reference, session.catalog).knowing(timed)

    def call() -> object:
        return referee(timed)

    label = reference.reference.name
    return time_calls({label: call}, torch.device("cpu"))[label]
