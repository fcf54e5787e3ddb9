"""Batches made and sent while a card works on those before, so that it need not wait for the processor."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch

from smlmbench.data.contracts import Batch, TrainingSet

AHEAD = 3  # batches


def sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor on a device; a card copies it out of page-locked memory when its turn comes, and nobody waits."""
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def on_device(batch: Batch, device: torch.device) -> Batch:
    """A batch on a device, with the tensors of its truth where that is a dataclass."""
    truth, ranges = batch.truth, batch.frame_range
    if is_dataclass(truth) and not isinstance(truth, type):
        held = {one.name: getattr(truth, one.name) for one in fields(truth)}
        moved: Any = {name: sent(one, device) for name, one in held.items() if isinstance(one, torch.Tensor)}
        truth = replace(truth, **moved)
    ranges = None if ranges is None else sent(ranges, device)
    return replace(batch, inputs=sent(batch.inputs, device), truth=truth, frame_range=ranges)


class _Ahead:
    """A stream that makes the batches after the one that it was asked for."""

    def __init__(self, stream: TrainingSet, device: torch.device, samples: int, pool: ThreadPoolExecutor) -> None:
        self._stream, self._device, self._samples, self._pool = stream, device, samples, pool
        self._coming: dict[tuple[int, int], Future[Batch]] = {}

    def _make(self, first: int, count: int) -> Batch:
        return on_device(self._stream.batch(first, count), self._device)

    def batch(self, first: int, count: int) -> Batch:
        """Samples first .. first + count - 1, on the device."""
        if (first, count) not in self._coming:  # the beginning, or another batch size
            self._coming = {}
        for start in range(first, max(first + 1, min(first + (1 + AHEAD) * count, self._samples)), count):
            if (start, count) not in self._coming:
                self._coming[start, count] = self._pool.submit(self._make, start, count)
        return self._coming.pop((first, count)).result()


@contextmanager
def ahead(stream: TrainingSet, device: torch.device, samples: int, *, moves: bool) -> Iterator[TrainingSet | _Ahead]:
    """Within the block, a stream of `samples` whose next batches are made while a card works; itself on the processor.

    Where it `moves` the batches lie on the card. A stream with a block `drawing_ahead()` is asked within it.
    """
    if device.type == "cpu":
        yield stream
        return
    drawing = getattr(stream, "drawing_ahead", nullcontext)
    with drawing(), ThreadPoolExecutor(1, "ahead") as pool:
        try:
            yield _Ahead(stream, device if moves else torch.device("cpu"), samples, pool)
        finally:
            pool.shutdown(cancel_futures=True)
