"""Inference timing: serial, in the parent, when nothing trains; one clock for everyone.

Candidates take turns in an order drawn anew: a drifting clock rate does not reorder them, and none always follows the
same other one. In its turn each runs untimed until it has settled, as it does frame after frame of a stream: threads of
the one before still spin, and its data fill the caches, which doubled to quadrupled latencies without that. The median
and the quartiles over all timed calls are kept. Source of the protocol: PROTOCOL section 5.
"""

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench.errors import ConfigError
from smlmbench.inference.devices import exact, present_devices, synchronise

WARM_UP_S = 0.3
SETTLE_S = 0.06
IN_TURN = 5
MIN_ROUNDS = 15
MAX_ROUNDS = 200
BUDGET_S = 3.0
BUSY = 0.2
LOOK_S = 0.3
ORDER_SEED = 5


@dataclass(frozen=True, slots=True)
class Latency:
    """Wall-clock quantiles and more for one call, batch 1."""

    median_ms: float
    q1_ms: float
    q3_ms: float
    p90_ms: float
    cpu_ms: float  # median CPU time of the process (all threads)
    first_ms: float  # the first call, apart
    rounds: int  # number of timed calls
    threads: int  # that torch was allowed
    others: float  # share of the processor (0..1) that other programs used just before; above BUSY the row is marked


def host_name() -> str:
    """The names of processor and cards, for rows that are only comparable on one machine."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        name = ""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    cards = dict.fromkeys(torch.cuda.get_device_name(number) for number in range(count))
    return ", ".join([name or platform.processor() or platform.machine(), f"{os.cpu_count()} cores", *cards])


def check_device(name: str) -> torch.device:
    """The torch device of a timing entry.

    Raises:
        ConfigError: Not a device here.
    """
    present = present_devices()
    if name not in present:
        which = "; CUDA_VISIBLE_DEVICES=1 takes the second card" if name.startswith("cuda:") else ""
        raise ConfigError(f"device '{name}' cannot be timed on this machine; accepted: {', '.join(present)}{which}")
    return exact(torch.device(name))


@contextmanager
def threads(count: int | None) -> Iterator[int]:
    """Let torch use a number of threads (None: as many as it does) within a block; yields the number."""
    earlier = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(earlier)


def used_by_others() -> float:
    """Share of the processor (0..1) in use while this process sleeps for a moment."""
    import psutil

    return float(psutil.cpu_percent(interval=LOOK_S)) / 100


def refuse_busy() -> None:
    """Refuse to time while other programs use the processor.

    Raises:
        ConfigError: They use more than BUSY of it.
    """
    others = used_by_others()
    if others > BUSY:
        raise ConfigError(
            f"other programs use {100 * others:.0f} % of the processor, at most {100 * BUSY:.0f} % is accepted; "
            "wait until they end, or leave --refuse-busy out to have the rows marked"
        )


def time_calls(
    calls: Mapping[str, Callable[[], object]],
    device: torch.device,
    *,
    budget_s: float = BUDGET_S,
    max_rounds: int = MAX_ROUNDS,
) -> dict[str, Latency]:
    """Time several callables, interleaved, by label; their inputs are resident on the device.

    Each is timed for about `budget_s` seconds, at least 15 and at most `max_rounds` times.
    """
    others = used_by_others()
    first, slowest = {}, 0.0
    for label, call in calls.items():
        first[label] = _once(call, device)[0]
        began, last = time.perf_counter(), 0.0
        while time.perf_counter() - began < WARM_UP_S:
            last = _once(call, device)[0]
        slowest = max(slowest, last or first[label])
    rounds = int(np.clip(budget_s / max(slowest, 1e-6), MIN_ROUNDS, max_rounds))
    seen: dict[str, list[tuple[float, float]]] = {label: [] for label in calls}
    draws = np.random.default_rng(ORDER_SEED)
    labels = list(calls)
    for done in range(0, rounds, IN_TURN):
        for at in draws.permutation(len(labels)):
            call, timed = calls[labels[at]], seen[labels[at]]
            if len(labels) > 1:
                _settle(call, device)
            timed.extend(_once(call, device) for _ in range(min(IN_TURN, rounds - done)))
    return {label: _latency(np.array(samples) * 1e3, first[label] * 1e3, others) for label, samples in seen.items()}


def _settle(call: Callable[[], object], device: torch.device) -> None:
    began = time.perf_counter()
    _once(call, device)
    while time.perf_counter() - began < SETTLE_S:
        _once(call, device)


def _once(call: Callable[[], object], device: torch.device) -> tuple[float, float]:
    synchronise(device)
    cpu, wall = time.process_time(), time.perf_counter()
    call()
    synchronise(device)
    return time.perf_counter() - wall, time.process_time() - cpu


def _latency(samples_ms: NDArray[np.float64], first_ms: float, others: float) -> Latency:
    median, q1, q3, p90 = (float(each) for each in np.percentile(samples_ms[:, 0], [50, 25, 75, 90]))
    cpu_ms = float(np.median(samples_ms[:, 1]))
    return Latency(median, q1, q3, p90, cpu_ms, first_ms, len(samples_ms), torch.get_num_threads(), others)
