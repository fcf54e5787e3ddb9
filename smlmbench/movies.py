"""Movies: frames of a file as photons, read in blocks, cut in time and in columns; nothing loads a movie whole."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import FormatError, SizeError

STRETCHES, STRETCH_FRAMES, STRETCH_PIXELS = 32, 4, 2**17
GOLDEN = 0.6180339887


class Extent(Protocol):
    """The size of a movie."""

    @property
    def n_frames(self) -> int:
        """Number of frames."""

    @property
    def height(self) -> int:
        """Rows of a frame."""

    @property
    def width(self) -> int:
        """Columns of a frame."""


class Movie(Extent, Protocol):
    """An open movie file: camera counts as they are stored.

    `read` may be called from another thread than the one that opened the movie (read-ahead).
    """

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Type of a count, in the machine's byte order."""

    def read(self, start: int, stop: int) -> NDArray[np.generic]:
        """Frames start .. stop - 1 as (n, height, width) in `dtype`."""

    def close(self) -> None:
        """Release the file; reading is over."""


class Frames(Extent, Protocol):
    """Frames in photons (or counts where uncalibrated), float32."""

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Frames start .. stop - 1 as float32, (n, height, width), or (n, channels, height, width) of several."""


class Calibration(Protocol):
    """What turns camera counts into photons (a `Camera`)."""

    def to_photons(self, adu: NDArray[np.generic]) -> NDArray[np.float32]:
        """Counts of any shape as detected photo-electrons."""


class ArrayMovie:
    """Camera counts in memory, (frames, height, width), as a movie.

    Raises:
        SizeError: Another shape.
    """

    path = Path("array")

    def __init__(self, values: NDArray[np.generic]) -> None:
        if values.ndim != 3 or not values.size or values.dtype.kind not in "uif":
            raise SizeError(
                f"an array of shape {values.shape} and type {values.dtype} is no movie; "
                "give numbers (frames, height, width)"
            )
        self.values, self.dtype = values, values.dtype
        self.n_frames, self.height, self.width = values.shape

    def read(self, start: int, stop: int) -> NDArray[np.generic]:
        """Frames start .. stop - 1."""
        return self.values[start:stop]

    def close(self) -> None:
        """Nothing to release."""


class CalibratedFrames:
    """A movie seen in photons; build with `calibrated`."""

    def __init__(self, movie: Movie, camera: Calibration | None) -> None:
        self.movie, self.camera = movie, camera
        self.n_frames, self.height, self.width = movie.n_frames, movie.height, movie.width

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Frames start .. stop - 1 as (n, height, width) float32 (FormatError: NaN or infinity among them)."""
        counts = self.movie.read(start, stop)
        check_finite(self.movie.path.name, start, counts)
        return counts.astype(np.float32) if self.camera is None else self.camera.to_photons(counts)


class WindowedFrames:
    """A range of frames and columns of other frames, counted from 0 in both; build with `window`."""

    def __init__(self, source: Frames, frames: tuple[int, int], columns: tuple[int, int]) -> None:
        self.source, self.first, self.columns = source, frames[0], slice(*columns)
        self.n_frames, self.height, self.width = frames[1] - frames[0], source.height, columns[1] - columns[0]
        self.axes: int = getattr(source, "axes", 2)

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Frames start .. stop - 1 of the window as (n, height, width) float32."""
        check_block(start, stop, self.n_frames)
        return np.ascontiguousarray(self.source.read(self.first + start, self.first + stop)[..., self.columns])


def calibrated(movie: Movie, camera: Calibration | None) -> CalibratedFrames:
    """See a movie in detected photo-electrons; no camera leaves the counts as they are, to be marked `uncalibrated`."""
    return CalibratedFrames(movie, camera)


def window(
    source: Frames, *, frames: tuple[int, int] | None = None, columns: tuple[int, int] | None = None
) -> WindowedFrames:
    """See a part of a movie without copying it: first and the one after the last, None for all; columns in camera px.

    Raises:
        SizeError: An empty range, or one that leaves the movie.
    """
    picked = []
    for what, given, size in (("frames", frames, source.n_frames), ("columns", columns, source.width)):
        start, stop = (0, size) if given is None else given
        if not 0 <= start < stop <= size:
            raise SizeError(f"{what} {start}:{stop} are not a part of 0:{size}; give 0 <= start < stop <= {size}")
        picked.append((start, stop))
    return WindowedFrames(source, *picked)


def blocks(frames: Frames, size: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Walk through a movie by the number of the first frame and (n, height, width) float32 with n <= size.

    Raises:
        SizeError: `size` is below 1, or frames of several channels.
    """
    if size < 1:
        raise SizeError(f"a block of {size} frames is empty; give 1 or more")
    for start in range(0, frames.n_frames, size):
        block = frames.read(start, min(start + size, frames.n_frames))
        if block.ndim != 3:
            raise SizeError(f"frames of {block.shape[1]} channels where single images are needed; name another row")
        yield start, block


def stretches(movie: Extent) -> list[tuple[int, int]]:
    """Up to 32 short stretches of a movie, first frame and the one after the last.

    They do not overlap, and are spread evenly wherever their order is broken off.
    """
    each = max(1, min(STRETCH_FRAMES, STRETCH_PIXELS // (movie.height * movie.width)))
    count = max(1, min(STRETCHES, movie.n_frames // each))
    order = sorted(range(count), key=lambda number: number * GOLDEN % 1)
    starts = [number * (movie.n_frames - each) // max(1, count - 1) for number in order]
    return [(start, min(start + each, movie.n_frames)) for start in starts]


def with_context(frames: Frames, start: int, stop: int, context: int = 1) -> NDArray[np.float32]:
    """Frames start .. stop - 1 as a network takes them: with a channel axis, each between its neighbours.

    Returns:
        (n, context * channels, ...) of images, or of spectra (which say `axes` 1), the channels of the earliest frame
        first; `context` is odd, and the ends of a movie are repeated outwards.
    """
    half, last = context // 2, frames.n_frames - 1
    low, high = max(0, start - half), min(last, stop - 1 + half)
    block = frames.read(low, high + 1)
    if block.ndim == getattr(frames, "axes", 2) + 1:
        block = block[:, None]
    return block if context == 1 else windows(block, np.arange(start, stop) - low, context)


def windows(block: NDArray[np.float32], middle: NDArray[np.int64], context: int) -> NDArray[np.float32]:
    """Windows (n, context * C, ...) around some frames of a block (F, C, ...), its ends repeated outwards."""
    offsets = np.arange(context) - context // 2
    chosen: NDArray[np.float32] = block[np.clip(middle[:, None] + offsets, 0, len(block) - 1)]
    return chosen.reshape(len(middle), context * block.shape[1], *block.shape[2:])


def check_finite(name: str, start: int, counts: NDArray[np.generic]) -> None:
    """Refuse frames of floats, from number `start` on, with pixels that are no numbers (FormatError)."""
    if counts.dtype.kind != "f":
        return
    with np.errstate(over="ignore"):
        bad = ~np.isfinite(counts.astype(np.float32, copy=False)).reshape(len(counts), -1)
    if bad.any():
        first = int(bad.any(axis=1).argmax())
        raise FormatError(
            f"'{name}': frame {start + first + 1} (counted from 1) has {bad[first].sum()} pixels that are NaN or"
            " infinite; cut the border that a registration left, or fill them with the background"
        )


def check_block(start: int, stop: int, n_frames: int) -> None:
    """Refuse to read outside a movie (slices would silently be cut).

    Raises:
        SizeError: Not 0 <= start <= stop <= n_frames.
    """
    if not 0 <= start <= stop <= n_frames:
        raise SizeError(f"frames {start}:{stop} are not in a movie of {n_frames}; give 0 <= start <= stop <= its end")
