"""Samples drawn from a description: an endless training stream and frozen splits, all on the CPU."""

import hashlib
import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench import psf
from smlmbench.data import limits
from smlmbench.data.contracts import ArrayFrames, Asked, Batch, Condition, Identity, Scope, Statistics
from smlmbench.data.facts import facts, frame_shift
from smlmbench.data.targets import digest_of, spread_of, statistics_of, within
from smlmbench.errors import ConfigError
from smlmbench.movies import windows
from smlmbench.predictions import Localizations, concatenate
from smlmbench.psf.draws import mean_of
from smlmbench.registry import Catalog
from smlmbench.seeds import derive_seed
from smlmbench.simulate import Emitters, Movie, draw_signal_free
from smlmbench.simulate.emitters import plain
from smlmbench.study.sources import Blinking, SimulateSource
from smlmbench.truths import emitters as truths

CARD = {
    "version": 1,
    "summary": "Frames drawn from a physical model of emitters, optics and camera",
    "facts": {"truth": "emitters", "extras": ["signal_free"]},
}

CHUNK = 64
MARGIN = 16  # frames of a chunk's own movie on both sides of its samples
CHUNK_PIXELS = 1 << 22  # fields above 256 px have fewer samples in a chunk
CHUNKS_KEPT = 2  # or as many as a batch of windows spans, which walks through them twice
MOST_THREADS = 8  # that draw ahead
STATISTICS_PIXELS = 1 << 18
STATISTICS_CHUNKS = 4
VALIDATION_EMITTERS = 5_000
VALIDATION_FRAMES = 64
TEST_FRAMES = 400
SIGNAL_FREE_FRAMES = 64


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive samples: frames (n, C, H, W), their targets ordered by frame, and where each frame's targets begin.

    `around` holds the frames with those just before and after them, where they are a movie of their own.
    """

    frames: torch.Tensor
    targets: Emitters
    offsets: torch.Tensor
    around: torch.Tensor


class SimulatedTraining:
    """An addressable stream; sample k lies in chunk k // chunk size, whatever the batch size.

    Independent samples have a structure each, and their neighbours in a window are the samples beside them. Where
    molecules persist, the samples of a chunk are consecutive frames of a movie of its own, whose windows reach over
    both of its ends into frames that are no samples.
    """

    def __init__(self, source: SimulateSource, scope: Scope, seeds: tuple[str, ...], catalog: Catalog) -> None:
        self._source, self._scope, self._seeds, self._catalog = source, scope, seeds, catalog
        self._psf = psf.build(source.psf, catalog)
        self._size = chunk_size(source.field_px)
        self._blinks = isinstance(source.track, Blinking)
        self._kept: OrderedDict[int, Chunk] = OrderedDict()
        self._room = CHUNKS_KEPT
        self._pool: ThreadPoolExecutor | None = None
        self._threads = 0
        self._coming: dict[int, Future[Chunk]] = {}
        self.output_settings: Mapping[str, float] = {"pixel_size_nm": source.pixel_size_nm}
        self.sample_shape: tuple[int, ...] = (self._psf.channels, source.field_px, source.field_px)

    def _first(self) -> list[Chunk]:
        wanted = -(-STATISTICS_PIXELS // (self._size * self._source.field_px**2))
        return [self._chunk(number) for number in range(min(STATISTICS_CHUNKS, wanted))]

    @cached_property
    def statistics(self) -> Statistics:
        """Statistics of the first chunks."""
        return statistics_of(torch.cat([chunk.frames for chunk in self._first()]).numpy())

    @cached_property
    def taught(self) -> Mapping[str, float]:
        """How far the numbers of the first chunks' emitters go."""
        chunks = [chunk.targets for chunk in self._first()]
        levels = [one.level for one in chunks if one.level is not None]
        photons, z_nm = (torch.cat([getattr(one, name) for one in chunks]) for name in ("photons", "z_nm"))
        return spread_of(photons.numpy(), z_nm.numpy(), torch.cat(levels).numpy())

    @contextmanager
    def drawing_ahead(self) -> Iterator[None]:
        """Within the block threads of their own draw the chunks that come next; the samples are the same."""
        own = torch.get_num_threads()
        self._threads = max(1, min(MOST_THREADS, own - 1))
        with ThreadPoolExecutor(self._threads, "draw", torch.set_num_threads, (1,)) as pool:
            self._pool = pool
            try:
                yield
            finally:
                self._pool = None
                self._coming.clear()
                pool.shutdown(cancel_futures=True)
                torch.set_num_threads(own)  # for threads that begin later

    def batch(self, first: int, count: int) -> Batch:
        """Samples first .. first + count - 1."""
        frames, targets, levels = [], [], []
        half = self._scope.context // 2
        low = max(0, first - half)
        around = self._ranges(low, first + count + half - low)  # with their neighbours in windows
        self._room = CHUNKS_KEPT if self._scope.context == 1 or self._blinks else max(CHUNKS_KEPT, len(around))
        for number, start, stop in self._ranges(first, count):
            chunk = self._chunk(number)
            rows = slice(int(chunk.offsets[start]), int(chunk.offsets[stop]))
            frames.append(chunk.frames[start:stop])
            columns = (chunk.targets.x_nm, chunk.targets.y_nm, chunk.targets.z_nm, chunk.targets.photons)
            sample = chunk.targets.frame[rows] + (number * self._size - first)
            targets.append((sample, *(column[rows] for column in columns)))
            if chunk.targets.level is not None:
                levels.append(chunk.targets.level[start:stop])
        sample, x_nm, y_nm, z_nm, photons = (torch.cat(parts) for parts in zip(*targets, strict=True))
        pixel_nm = self._source.pixel_size_nm
        x_nm, y_nm = (within(places.numpy(), self._source.field_px * pixel_nm) for places in (x_nm, y_nm))
        truth = truths.Sampled(sample, x_nm, y_nm, z_nm.float(), photons.float(), pixel_nm, torch.cat(levels).float())
        inputs = torch.cat(frames) if self._scope.context == 1 else self._windows(first, count, around)
        return Batch(inputs, truth, first)

    def _ranges(self, first: int, count: int) -> list[tuple[int, int, int]]:
        """The chunks that hold some samples, and which of each."""
        return [
            (number, max(first - number * self._size, 0), min(first + count - number * self._size, self._size))
            for number in range(first // self._size, (first + count - 1) // self._size + 1)
        ]

    def _windows(self, first: int, count: int, around: list[tuple[int, int, int]]) -> torch.Tensor:
        context, half = self._scope.context, self._scope.context // 2
        if self._blinks:
            ranges = self._ranges(first, count)
            inner = [(self._chunk(number).around, np.arange(start, stop) + half) for number, start, stop in ranges]
        else:
            block = torch.cat([self._chunk(number).frames[start:stop] for number, start, stop in around])
            low = around[0][0] * self._size + around[0][1]
            inner = [(block, np.arange(first, first + count) - low)]
        return torch.cat([torch.from_numpy(windows(block.numpy(), at, context)) for block, at in inner])

    def _chunk(self, number: int) -> Chunk:
        if number in self._kept:
            self._kept.move_to_end(number)
            return self._kept[number]
        if (pool := self._pool) is not None:
            for later in range(number, number + self._threads + 1):
                if later not in self._coming and later not in self._kept:
                    self._coming[later] = pool.submit(self._drawn, later)
        coming = self._coming.pop(number, None)
        self._kept[number] = self._drawn(number) if coming is None else coming.result()
        while len(self._kept) > self._room:
            self._kept.popitem(last=False)
        return self._kept[number]

    def _drawn(self, number: int) -> Chunk:
        seed, half = derive_seed(self._scope.root_seed, *self._seeds, str(number)), self._scope.context // 2
        # samples are the same in every context: the movie has a margin that no window leaves
        reach = (-MARGIN, self._size + MARGIN)
        movie = Movie(self._source, self._psf, reach, derive_seed(seed, "movie"), None, self._catalog)
        frames, emitters = movie.block(0, self._size, seed)
        frames = _by_channels(frames)
        sigma_px = self._psf.sigma_nm / self._source.pixel_size_nm
        photons, background = emitters.photons.numpy(), emitters.background_photons.numpy()
        rows = truths.is_target(photons, background, self._source.min_photons, sigma_px)
        targets = emitters.select(torch.from_numpy(rows))
        offsets = torch.searchsorted(targets.frame.contiguous(), torch.arange(self._size + 1))
        if not self._blinks or not half:
            return Chunk(frames, targets, offsets, frames)
        before, _ = movie.block(-half, 0, derive_seed(seed, "before"))
        after, _ = movie.block(self._size, self._size + half, derive_seed(seed, "after"))
        around = torch.cat((_by_channels(before), frames, _by_channels(after)))
        return Chunk(frames, targets, offsets, around)


def _by_channels(frames: torch.Tensor) -> torch.Tensor:
    """Frames (n, C, H, W), also those of one channel."""
    return frames if frames.ndim == 4 else frames[:, None]


def chunk_size(field_px: int) -> int:
    """Samples drawn at once: 64, or what keeps a chunk at 4 million pixels."""
    return max(1, min(CHUNK, CHUNK_PIXELS // field_px**2))


def training_set(train: SimulateSource, identity: Identity, scope: Scope, catalog: Catalog) -> SimulatedTraining:
    """The training stream; every sample is new and no direction is special, so nothing is augmented."""
    seeds = ("train", digest_of(identity, "train"), str(scope.repeat))
    return SimulatedTraining(train, scope, seeds, catalog)


def condition(name: str, source: SimulateSource, identity: Identity, asked: Asked, catalog: Catalog) -> Condition:
    """Draw a frozen split; it depends on neither its name nor a repeat.

    One structure is drawn for all frames (one cell), anew for every digest and role; so are molecules that persist.
    Absent `frames` are 400, for validation enough for 5,000 emitters. The further set `signal_free` is 64 frames
    without emitters, of validation a quarter as many as it has where that is more: a threshold is chosen by them.
    """
    optics = psf.build(source.psf, catalog)
    role, digest = asked.role, digest_of(identity, asked.role)
    n_frames = source.frames or (_validation_frames(source) if role == "val" else TEST_FRAMES)
    root_seed, scope = asked.root_seed, (role, digest)
    if (frozen := source.frozen) is not None:
        root_seed, scope = frozen.seed, ("condition", "")
    frames, table, around = _frozen(source, catalog, n_frames, root_seed, scope)
    if frozen is not None and frozen.sha256 not in (None, found := drawn_sha256(frames, table)):
        raise ConfigError(
            f"condition '{frozen.name}' is drawn differently here: sha256 {found}, its file states {frozen.sha256}; "
            "take the version of smlmbench that the file belongs to"
        )
    background = mean_of(plain(source.background_photons)) + source.haze_photons
    sigma_px = optics.sigma_nm / source.pixel_size_nm
    min_photons = float(truths.faintest_photons(source.min_photons, background, sigma_px))
    told = {"pixel_size_nm": source.pixel_size_nm, "background_photons": background}
    told["psf_sigma_nm"] = source.told_sigma_nm or optics.sigma_nm
    told |= source.noise.told()
    drawn = Condition(
        name=name,
        frames=ArrayFrames(frames),
        truth=truths.Emitters(
            table, min_photons, sigma_px, limits.simulated(source, optics, table, asked.taught), around
        ),
        digest=digest,
        truth_kind="simulated",
        facts=facts(table, min_photons=min_photons, psf_sigma_nm=optics.sigma_nm),
        told=told,
        block=frame_shift(table, iid=not isinstance(source.track, Blinking)),
        noise_map=source.camera.noise_map((source.field_px, source.field_px)) if source.camera.maps else None,
        optics=optics if source.told_sigma_nm is None else None,
    )
    if "signal_free" not in asked.extras:
        return drawn
    seed = derive_seed(root_seed, *scope, "signal_free")
    count = max(SIGNAL_FREE_FRAMES, n_frames // 4) if role == "val" else SIGNAL_FREE_FRAMES
    empty = ArrayFrames(draw_signal_free(source, seed, count, optics.channels))
    nothing = truths.Emitters(Localizations.empty(n_frames=empty.n_frames, field_nm=drawn.field_nm), min_photons)
    return replace(drawn, extras={"signal_free": replace(drawn, frames=empty, truth=nothing, block=1)})


def drawn_sha256(frames: NDArray[np.float32], table: Localizations) -> str:
    """Digest of frames and of every known column of their truth, the same on every machine."""
    digest = hashlib.sha256(np.ascontiguousarray(frames, dtype="<f4").tobytes())
    for name, column in table.columns().items():
        if np.isnan(column).all():
            continue
        digest.update(name.encode() + np.ascontiguousarray(column).astype(column.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def small(folder: Path) -> SimulateSource:
    """A description for checks, of a few small frames."""
    del folder
    return SimulateSource(field_px=24, frames=12, density_per_um2=1.0, psf={"name": "gaussian", "sigma_nm": 130.0})


def _validation_frames(source: SimulateSource) -> int:
    each = mean_of(plain(source.density_per_um2)) * source.area_um2
    return max(VALIDATION_FRAMES, math.ceil(VALIDATION_EMITTERS / each))


def _frozen(
    source: SimulateSource, catalog: Catalog, n_frames: int, root_seed: int, scope: tuple[str, str]
) -> tuple[np.ndarray[Any, np.dtype[np.float32]], Localizations, Localizations]:
    """Frames, the truth in the field, and who stands in the margin around it."""
    size, side, optics = chunk_size(source.field_px), source.field_px, psf.build(source.psf, catalog)
    field_nm = (side * source.pixel_size_nm, side * source.pixel_size_nm)
    shape = (side, side) if optics.channels == 1 else (optics.channels, side, side)
    frames = np.empty((n_frames, *shape), dtype=np.float32)
    tables, outside = list[Localizations](), list[Localizations]()
    seed, structure_seed = (derive_seed(root_seed, *scope, what) for what in ("molecules", "structure"))
    movie = Movie(source, optics, (0, n_frames), seed, structure_seed, catalog)
    for start in range(0, n_frames, size):
        count = min(size, n_frames - start)
        seed = derive_seed(root_seed, *scope, str(start // size))
        drawn, emitters = movie.block(start, start + count, seed)
        frames[start : start + count] = drawn.numpy()
        for part, into in ((emitters, tables), (movie.outside(start, start + count, seed), outside)):
            into.append(part.localizations(n_frames=count, field_nm=field_nm).shifted(start, n_frames=n_frames))
    whole, around = (concatenate(parts, n_frames=n_frames, field_nm=field_nm) for parts in (tables, outside))
    return frames, whole, around
