"""Training samples by their number: their seeds, the chunks in which they are drawn, and a stream of them."""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench.data.contracts import Batch, Identity, Scope, Statistics
from smlmbench.data.targets import digest_of, statistics_of
from smlmbench.errors import ConfigError
from smlmbench.seeds import derive_seed

CHUNKS_KEPT = 4
Drawn = TypeVar("Drawn")


def seeds_of(scope: Scope, identity: Identity) -> Callable[[int], int]:
    """The seed of every training sample, or chunk of them, by its number; the repeat moves it."""
    own = ("train", digest_of(identity, "train"), str(scope.repeat))
    return lambda number: derive_seed(scope.root_seed, *own, str(number))


def no_neighbours(scope: Scope, what: str) -> None:
    """Refuse networks that see several frames at once (ConfigError)."""
    if scope.context > 1:
        raise ConfigError(f"{what} have no neighbours in time; choose a network that sees one frame")


class Chunks(Generic[Drawn]):
    """Samples that are drawn `size` at once by the number of their chunk; the last four chunks are kept."""

    def __init__(self, draw: Callable[[int], Drawn], size: int) -> None:
        self._draw, self.size = lru_cache(maxsize=CHUNKS_KEPT)(draw), size

    def parts(self, first: int, count: int) -> Iterator[tuple[Drawn, int, int]]:
        """The chunks of samples first .. first + count - 1, and which of each, `start` .. `stop` - 1."""
        for number in range(first // self.size, (first + count - 1) // self.size + 1):
            begin = number * self.size
            yield self._draw(number), max(first - begin, 0), min(first + count - begin, self.size)


class Stream:
    """A training stream of a function that makes its batches, and one that tells the pixels of its statistics."""

    def __init__(
        self,
        make: Callable[[int, int], Batch],
        shape: tuple[int, ...],
        told: Mapping[str, Any],
        pixels: Callable[[], NDArray[np.float32]],
    ) -> None:
        self.batch, self.sample_shape, self.output_settings, self._pixels = make, shape, told, pixels

    @cached_property
    def statistics(self) -> Statistics:
        """Of the pixels."""
        return statistics_of(self._pixels())


def chunked(
    chunks: Chunks[tuple[torch.Tensor, torch.Tensor]],
    taught: Callable[[torch.Tensor], Any],
    shape: tuple[int, ...],
    told: Mapping[str, Any],
    seen: int,
) -> Stream:
    """A stream of chunks of inputs and what is taught of them; its statistics are those of the first `seen` samples."""

    def batch(first: int, count: int) -> Batch:
        parts = [[each[start:stop] for each in chunk] for chunk, start, stop in chunks.parts(first, count)]
        inputs, truth = (torch.cat(each) for each in zip(*parts, strict=True))
        return Batch(inputs, taught(truth), first)

    def pixels() -> NDArray[np.float32]:
        return np.asarray(batch(0, seen).inputs.numpy())

    return Stream(batch, shape, told, pixels)
