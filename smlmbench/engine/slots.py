"""What a worker process sets up before its first cell, and how a cell runs in it."""

import os
import threading
import time
from collections import OrderedDict
from typing import Any

from smlmbench.engine.contracts import INTERRUPTED, PLANNED, Result, RunCell, Spec
from smlmbench.engine.link import Link, connect
from smlmbench.version import __version__

LEAVE_AFTER_S = 1.0
JOBS_KEPT = 64

# A random number generator of torch belongs to the process, so two cells never run in one at the same time.
one_cell = threading.Lock()
_stops: "OrderedDict[str, threading.Event]" = OrderedDict()
leaving = threading.Event()


def thread_count(slots: int) -> int:
    """Threads of each of `slots` processes that share the cores of this machine that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // slots)


def thread_environment(threads: int) -> dict[str, str]:
    """What must be set before torch and numpy are loaded."""
    return {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}


def set_threads() -> None:
    """Give torch this worker's share of the cores: it reads the variable only while it is loaded."""
    import torch

    if (threads := os.environ.get("OMP_NUM_THREADS", "")).isdigit():
        torch.set_num_threads(max(1, int(threads)))


def gpu_of(slot: int, visible: str | None, present: int) -> str | None:
    """CUDA_VISIBLE_DEVICES of a slot: one GPU each, in turn; None where there is nothing to share out.

    `slot` is the number of the worker, `visible` the variable as it is, `present` the number of GPUs of the machine.
    """
    devices = visible.split(",") if visible else list(map(str, range(present)))
    return devices[slot % len(devices)] if len(devices) > 1 else None


def stop_of(job: str) -> threading.Event:
    """The event that asks the cells of one mapping in this process to stop."""
    if job not in _stops:
        _stops[job] = threading.Event()
        while len(_stops) > JOBS_KEPT:
            _stops.popitem(last=False)
    return _stops[job]


def request_stop(job: str) -> None:
    """Ask the running cell of a mapping to keep its state and end; runs in the worker."""
    stop_of(job).set()


def stop_all() -> None:
    """Ask every cell of this process to stop, and take no other."""
    leaving.set()
    for stop in _stops.values():
        stop.set()


def about() -> dict[str, Any]:
    """What the parent wants to know of a worker process."""
    return {"version": __version__, "pid": os.getpid()}


def run_in_slot(run_cell: RunCell, spec: Spec, job: str) -> Result:
    """Run one cell in this worker process; called by the engine there."""
    from distributed import get_worker

    with one_cell:
        worker = get_worker()
        stop = stop_of(job)
        if stop.is_set():
            return {"status": PLANNED}
        if leaving.is_set():
            time.sleep(LEAVE_AFTER_S)  # this process ends; no need to hurry through what is sent to it
            return {"status": INTERRUPTED}
        link = Link(lambda message: worker.log_event(topic_of(job), dict(message)), stop, job)
        link.tell({"kind": "begun", "id": spec["id"], "worker": worker.address})
        connect(link)
        try:
            return run_cell(spec)
        except KeyboardInterrupt:
            return {"status": INTERRUPTED}
        finally:
            connect(None)


def topic_of(job: str) -> str:
    """Name under which the messages of a mapping travel."""
    return f"smlmbench-{job}"
