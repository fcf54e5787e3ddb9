"""Training crops of a movie: sample k is a place, a frame and a symmetry that are hashed from its number."""

from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench.data.contracts import Batch, Scope, Statistics
from smlmbench.data.targets import spread_of, statistics_of, within
from smlmbench.movies import Frames
from smlmbench.predictions import Localizations
from smlmbench.seeds import derive_seed
from smlmbench.truths.emitters import Sampled

SYMMETRIES = 8
HELD_BYTES = 200_000_000
READ_FRAMES = 64
STATISTICS_FRAMES = 256


class Place(NamedTuple):
    """Where a sample is taken: frame, upper left camera pixel, symmetry 0 .. 7."""

    frame: int
    row: int
    column: int
    symmetry: int


def turn_crop(crop: NDArray[np.float32], symmetry: int) -> NDArray[np.float32]:
    """Apply one of the 8 symmetries of the square to (n, n): bit 2 swaps x and y, then bit 0 mirrors x, bit 1 y."""
    turned = crop.T if symmetry & 4 else crop
    return turned[:: -1 if symmetry & 2 else 1, :: -1 if symmetry & 1 else 1]


def turn_places(
    x_nm: NDArray[np.float64], y_nm: NDArray[np.float64], symmetry: int, extent_nm: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Move positions in a crop of this extent as `turn_crop` moves its pixels (corner origin: x becomes extent - x)."""
    if symmetry & 4:
        x_nm, y_nm = y_nm, x_nm
    return (extent_nm - x_nm if symmetry & 1 else x_nm), (extent_nm - y_nm if symmetry & 2 else y_nm)


class Pages:
    """Single frames of a movie, held in memory up to 200 MB: all of a small movie, else those used last."""

    def __init__(self, frames: Frames, held_bytes: int = HELD_BYTES) -> None:
        room = max(1, held_bytes // (frames.height * frames.width * 4))
        self._frames, self._fits = frames, frames.n_frames <= room
        self._one = lru_cache(maxsize=room)(lambda number: frames.read(number, number + 1)[0])

    def __getitem__(self, number: int) -> NDArray[np.float32]:
        page: NDArray[np.float32] = self._all[number] if self._fits else self._one(number)
        return page

    @cached_property
    def _all(self) -> NDArray[np.float32]:
        n = self._frames.n_frames
        held = np.empty((n, self._frames.height, self._frames.width), dtype=np.float32)
        for start in range(0, n, READ_FRAMES):
            held[start : start + READ_FRAMES] = self._frames.read(start, min(start + READ_FRAMES, n))
        return held


class CropTraining:
    """Square crops of calibrated frames with the emitters in them; addressable by sample number."""

    def __init__(
        self,
        frames: Frames,
        targets: Localizations,
        pixel_size_nm: float,
        crop_px: int,
        scope: Scope,
        seeds: tuple[str, ...],
    ) -> None:
        """Take crops of the whole of `frames`, the train part in photons; their side is cut to its shorter one.

        Targets have the corner origin of the same part and no dim emitters; seeds are role, digest and repeat.
        """
        self._targets = targets.select(np.argsort(targets.frame, kind="stable"))
        self._offsets = np.searchsorted(self._targets.frame, np.arange(frames.n_frames + 1))
        self._frames, self._pages = frames, Pages(frames)
        self._pixel_size_nm = pixel_size_nm
        self._side = min(crop_px, frames.height, frames.width)
        self._root_seed, self._context, self._seeds = scope.root_seed, scope.context, seeds
        self._symmetries = SYMMETRIES if scope.augment else 1
        self._ranges: dict[int, tuple[float, float]] = {}
        self.output_settings: Mapping[str, float] = {"pixel_size_nm": pixel_size_nm}
        self.taught = spread_of(targets.photons, targets.z_nm, targets.background_photons)
        self.sample_shape: tuple[int, ...] = (1, self._side, self._side)

    @cached_property
    def statistics(self) -> Statistics:
        """Statistics of up to 256 evenly spaced frames."""
        n = self._frames.n_frames
        numbers = np.linspace(0, n - 1, min(n, STATISTICS_FRAMES)).round().astype(int)
        return statistics_of(np.stack([self._pages[int(number)] for number in numbers]))

    def place(self, sample: int) -> Place:
        """Where sample k is taken."""
        number = derive_seed(self._root_seed, *self._seeds, str(sample))
        number, frame = divmod(number, self._frames.n_frames)
        number, row = divmod(number, self._frames.height - self._side + 1)
        number, column = divmod(number, self._frames.width - self._side + 1)
        return Place(frame, row, column, number % self._symmetries)

    def batch(self, first: int, count: int) -> Batch:
        """Samples first .. first + count - 1."""
        side = self._side
        frames = np.empty((count, self._context, side, side), dtype=np.float32)
        places = [self.place(first + number) for number in range(count)]
        ranges = np.array([self._range(place.frame) for place in places], dtype=np.float32)
        picked = [self._sample(place, frames[number]) for number, place in enumerate(places)]
        sample = torch.from_numpy(np.repeat(np.arange(count, dtype=np.int64), [len(rows) for *_, rows in picked]))
        x_nm, y_nm, rows = (np.concatenate(parts) for parts in zip(*picked, strict=True))
        extent = side * self._pixel_size_nm
        z_nm, photons = (
            torch.from_numpy(column[rows].astype(np.float32)) for column in (self._targets.z_nm, self._targets.photons)
        )
        truth = Sampled(sample, within(x_nm, extent), within(y_nm, extent), z_nm, photons, self._pixel_size_nm)
        return Batch(torch.from_numpy(frames), truth, first, torch.from_numpy(ranges.reshape(count, 2)))

    def _range(self, frame: int) -> tuple[float, float]:
        """Lowest and highest value of a whole frame of the part."""
        if frame not in self._ranges:
            page = self._pages[frame]
            self._ranges[frame] = float(page.min()), float(page.max())
        return self._ranges[frame]

    def _sample(
        self, place: Place, into: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
        """Write the crop and those of its neighbours in time; return places in it and rows of the targets."""
        frame, row, column, symmetry = place
        side, pixel = self._side, self._pixel_size_nm
        for layer in range(self._context):
            near = min(max(frame + layer - self._context // 2, 0), self._frames.n_frames - 1)
            into[layer] = turn_crop(self._pages[near][row : row + side, column : column + side], symmetry)
        rows = np.arange(self._offsets[frame], self._offsets[frame + 1])
        x_nm, y_nm = self._targets.x_nm[rows] - column * pixel, self._targets.y_nm[rows] - row * pixel
        inside = (x_nm >= 0) & (x_nm < side * pixel) & (y_nm >= 0) & (y_nm < side * pixel)
        x_nm, y_nm = turn_places(x_nm[inside], y_nm[inside], symmetry, side * pixel)
        return x_nm, y_nm, rows[inside]
