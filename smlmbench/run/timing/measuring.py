"""One prepared network after another under one protocol: single frames, batches, end to end, load, size, work.

All candidates of one device and size take turns. PROTOCOL section 5.
"""

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from smlmbench.data.contracts import ArrayFrames
from smlmbench.inference.devices import free_memory, lacks_memory
from smlmbench.inference.engine import Network, ReadOut, pad, predict, raw_batches
from smlmbench.timing import Latency

BATCHES = (8, 32)  # beside single frames
CARD_BATCHES = (*BATCHES, 128)
MOST_FINE_PIXELS, MOST_FINE_PIXELS_OF_A_CARD = 2**23, 2**25
OFFLINE_ROUNDS = 7

TimeCalls = Callable[..., dict[str, Latency]]


@dataclass(frozen=True, slots=True)
class Subject:
    """One network by one runtime in one number format at one size."""

    network: nn.Module  # for counting its work
    prepare: Callable[[], Network]  # makes the callable; its seconds are the load time
    frames: NDArray[np.float32]  # (n, C, H, W) inputs of the size, real ones where there are some
    read_out: ReadOut | None = None  # for the figure end to end; None leaves that out
    work: tuple[str, float] | None = None  # what one frame holds and how many (`emitters`, 3.5)
    upsampling: int = 1  # fine pixels per camera pixel
    multiple_px: int = 1  # sides are padded to a multiple of this
    waits_frames: int = 0  # of a stream, that must have come after the one that is answered


@dataclass(frozen=True, slots=True)
class Measured:
    """Numbers of a subject: load_ms, batch, frames_per_s, mpx_per_s (camera pixels), work/s, end_to_end_ms, gflops.

    Also waits_frames, where it is not 0.
    """

    latency: Latency  # of one frame, network alone
    numbers: Mapping[str, float] = field(default_factory=dict)


def measure(
    subjects: Mapping[str, Subject], device: torch.device, time_calls: TimeCalls, *, whole: bool = True
) -> tuple[dict[str, Measured], dict[str, Exception]]:
    """Measure several subjects, interleaved: numbers by label, and why the others could not be measured.

    `time_calls` is that of `timing`; unless `whole`, only single frames are timed: no batches, end to end and work.
    """
    prepared: dict[str, Network] = {}
    failed: dict[str, Exception] = {}
    numbers: dict[str, dict[str, float]] = {}
    inputs = {label: _input(one, device) for label, one in subjects.items()}
    for label, one in subjects.items():
        began = time.perf_counter()
        try:
            call = one.prepare()
            call(inputs[label][:1])
        except Exception as error:
            failed[label] = error
            continue
        prepared[label] = call
        numbers[label] = {"load_ms": 1e3 * (time.perf_counter() - began)}
        if one.waits_frames:
            numbers[label]["waits_frames"] = float(one.waits_frames)
    if not prepared:
        return {}, failed
    single = time_calls({label: partial(call, inputs[label][:1]) for label, call in prepared.items()}, device)
    if whole:
        _offline(numbers, prepared, inputs, (subjects, single), device, time_calls)
        _end_to_end(numbers, prepared, subjects, device, time_calls)
        for label in prepared:
            numbers[label]["gflops"] = gflops(subjects[label].network, inputs[label][:1])
    finite = {label: {name: one for name, one in said.items() if np.isfinite(one)} for label, said in numbers.items()}
    return {label: Measured(single[label], finite[label]) for label in prepared}, failed


def _input(one: Subject, device: torch.device) -> torch.Tensor:
    frames = torch.from_numpy(np.ascontiguousarray(one.frames, dtype=np.float32))
    return (pad(frames, one.multiple_px) if frames.ndim == 4 else frames).to(device)


def _offline(
    numbers: dict[str, dict[str, float]],
    prepared: Mapping[str, Network],
    inputs: Mapping[str, torch.Tensor],
    known: tuple[Mapping[str, Subject], Mapping[str, Latency]],
    device: torch.device,
    time_calls: TimeCalls,
) -> None:
    """The best of several batch sizes by frames per second; those that a device has no memory for are left out."""
    (subjects, single), card = known, device.type != "cpu"
    most = MOST_FINE_PIXELS_OF_A_CARD if card else MOST_FINE_PIXELS
    for label in prepared:
        numbers[label] |= {"batch": 1.0, "frames_per_s": 1e3 / single[label].median_ms}
    for batch in CARD_BATCHES if card else BATCHES:
        calls = {}
        for label, call in prepared.items():
            given = inputs[label]
            if batch * given[0, 0].numel() * subjects[label].upsampling ** 2 <= most:
                repeats = (-(-batch // len(given)), *(1 for _ in given.shape[1:]))
                one = partial(call, given.repeat(repeats)[:batch].contiguous())
                if _fits(one, device):
                    calls[label] = one
        if not calls:
            continue
        for label, latency in time_calls(calls, device, max_rounds=OFFLINE_ROUNDS).items():
            rate = 1e3 * batch / latency.median_ms
            if rate > numbers[label]["frames_per_s"]:
                numbers[label] |= {"batch": float(batch), "frames_per_s": rate}
    for label in prepared:
        frame, rate, work = subjects[label].frames[0, 0], numbers[label]["frames_per_s"], subjects[label].work
        numbers[label]["mpx_per_s"] = rate * frame.size / 1e6
        if work is not None:
            numbers[label][f"{work[0]}_per_s"] = rate * work[1]


def _fits(call: Callable[[], Any], device: torch.device) -> bool:
    """Whether a device has the memory for a call."""
    try:
        call()
    except RuntimeError as error:
        if not lacks_memory(error):
            raise
    else:
        return True
    free_memory(device)
    return False


def _end_to_end(
    numbers: dict[str, dict[str, float]],
    prepared: Mapping[str, Network],
    subjects: Mapping[str, Subject],
    device: torch.device,
    time_calls: TimeCalls,
) -> None:
    """Milliseconds per frame through the engine: blocks, network, read-out and summed image."""
    readers = {label: one.read_out for label, one in subjects.items() if label in prepared and one.read_out is not None}
    if not readers:
        return
    calls = {label: _through(subjects[label], prepared[label], how, device) for label, how in readers.items()}
    for label, latency in time_calls(calls, device, max_rounds=OFFLINE_ROUNDS).items():
        numbers[label]["end_to_end_ms"] = latency.median_ms / len(subjects[label].frames)


def _through(one: Subject, call: Network, read_out: ReadOut, device: torch.device) -> Callable[[], Any]:
    frames = ArrayFrames(one.frames, one.frames.ndim - 2)
    whole = replace(read_out, context=1)  # the windows are cut already
    if "pixel_size_nm" in read_out.settings:
        return partial(predict, frames, call, whole, device=device)
    decode, how = read_out.output.decode, (whole.settings, whole.threshold)
    return lambda: [decode(raw, *how) for _, raw in raw_batches(frames, call, whole, device=device)]


def gflops(network: nn.Module, frames: torch.Tensor) -> float:
    """Billions of operations (2 for a multiplication with its addition) of one call; NaN where it cannot be counted."""
    from torch.utils.flop_counter import FlopCounterMode

    try:
        counted = copy.deepcopy(network).to("meta").eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            counted(frames.to("meta"))
    except Exception:  # a network of a plug-in may do what the meta device cannot
        return float("nan")
    return float(counter.get_total_flops()) / 1e9


def tiled(frames: NDArray[np.float32], count: int, side: int, axes: int = 2) -> NDArray[np.float32]:
    """`count` inputs from real ones (n, ...) repeated; where a channel has two axes, square frames of a side."""
    sides = [-(-side // size) for size in frames.shape[-2:]] if axes == 2 else [1]
    repeats = (-(-count // len(frames)), *(1 for _ in frames.shape[1 : frames.ndim - len(sides)]), *sides)
    made = np.tile(frames, repeats)[:count]
    return np.ascontiguousarray(made[..., :side, :side] if axes == 2 else made)
