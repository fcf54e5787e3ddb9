"""Movies: frames of a file as photons, read in blocks, cut in time and in columns; nothing loads a movie whole."""

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import FormatError, LossWarning, SizeError

BadPixels = Literal["refuse", "median"]  # what is done with pixels that are NaN or infinite
RINGS = 8  # camera pixels
BLOCK_BYTES = 1 << 24
DIGESTED_BYTES, DIGESTED_FRAMES = 1 << 28, 1024
AROUND = np.array([(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1) if (row, column) != (0, 0)])

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


class MendedMovie:
    """A movie without pixels that are NaN or infinite as float32: each is replaced by the median of its neighbours.

    These are the up to eight pixels around it in its frame that are numbers. Where there are none it waits for those
    around it to be replaced, up to 8 px from the nearest number; farther off it takes the median of all numbers of the
    frame. `replaced` counts the pixels by frame, of the frames read so far.
    """

    def __init__(self, movie: Movie) -> None:
        self.movie, self.path, self.dtype = movie, movie.path, movie.dtype
        self.n_frames, self.height, self.width = movie.n_frames, movie.height, movie.width
        self.replaced: dict[int, int] = {}

    def read(self, start: int, stop: int) -> NDArray[np.generic]:
        """As the movie's own (FormatError: also a frame without any number)."""
        counts = self.movie.read(start, stop)
        bad = _no_numbers(counts)
        if bad is None:
            return counts
        counts = counts.copy()
        for number in np.flatnonzero(bad.any(axis=(1, 2))):
            if bad[number].all():
                said = f"'{self.path.name}': frame {start + number + 1} (counted from 1) has no pixel that is a number"
                raise FormatError(f"{said}; leave it out")
            _mend(counts[number], bad[number])
            self.replaced[start + int(number)] = int(bad[number].sum())
        return counts

    def scan(self) -> dict[str, float]:
        """Read all frames once, to know what is replaced in them: `replaced_pixels` and `replaced_frames`."""
        step = max(1, BLOCK_BYTES // (self.height * self.width * self.dtype.itemsize))
        for start in range(0, self.n_frames if self.dtype.kind == "f" else 0, step):
            self.read(start, min(start + step, self.n_frames))
        return {"replaced_pixels": float(sum(self.replaced.values())), "replaced_frames": float(len(self.replaced))}

    def tell(self) -> None:
        """Say as a LossWarning how many pixels were replaced, if any."""
        if self.replaced:
            pixels, frames = sum(self.replaced.values()), len(self.replaced)
            warnings.warn(
                f"'{self.path.name}': {pixels} pixels of {frames} frames were NaN or infinite and are replaced by the"
                " median of their neighbours (bad_pixels: median)",
                LossWarning,
                stacklevel=3,
            )

    def close(self) -> None:
        """Release the file."""
        self.movie.close()


@contextmanager
def mending(movie: Movie, bad_pixels: BadPixels | None) -> Iterator[Movie]:
    """A movie to be read, mended where `bad_pixels` is median; at the end it is closed, and told what was replaced."""
    seen = MendedMovie(movie) if bad_pixels == "median" else movie
    try:
        yield seen
    finally:
        movie.close()
    if isinstance(seen, MendedMovie):
        seen.tell()


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
    """A range of frames, columns and rows of other frames, counted from 0 in each; build with `window`."""

    def __init__(
        self, source: Frames, frames: tuple[int, int], columns: tuple[int, int], rows: tuple[int, int]
    ) -> None:
        self.source, self.first = source, frames[0]
        whole = rows == (0, source.height)  # spectra have no rows
        self.inside = (..., slice(*columns)) if whole else (..., slice(*rows), slice(*columns))
        self.n_frames, self.height, self.width = (stop - start for start, stop in (frames, rows, columns))
        self.axes: int = getattr(source, "axes", 2)

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Frames start .. stop - 1 of the window as (n, height, width) float32."""
        check_block(start, stop, self.n_frames)
        return np.ascontiguousarray(self.source.read(self.first + start, self.first + stop)[self.inside])


def calibrated(movie: Movie, camera: Calibration | None) -> CalibratedFrames:
    """See a movie in detected photo-electrons; no camera leaves the counts as they are, to be marked `uncalibrated`."""
    return CalibratedFrames(movie, camera)


def window(
    source: Frames,
    *,
    frames: tuple[int, int] | None = None,
    columns: tuple[int, int] | None = None,
    rows: tuple[int, int] | None = None,
) -> WindowedFrames:
    """See a part of a movie without copying it: first and the one after the last, None for all; sides in camera px.

    Raises:
        SizeError: An empty range, or one that leaves the movie.
    """
    picked = []
    wanted = (("frames", frames, source.n_frames), ("columns", columns, source.width), ("rows", rows, source.height))
    for what, given, size in wanted:
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


class OneOf:
    """A frame of a movie as a movie of its own, in which windows still see it between its neighbours."""

    n_frames = 1

    def __init__(self, frames: Frames, number: int) -> None:
        self.frames, self.number, self.axes = frames, number, getattr(frames, "axes", 2)
        self.height, self.width = frames.height, frames.width

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """The frame."""
        return self.frames.read(self.number + start, self.number + stop)


def with_context(frames: Frames, start: int, stop: int, context: int = 1) -> NDArray[np.float32]:
    """Frames start .. stop - 1 as a network takes them: with a channel axis, each between its neighbours.

    Returns:
        (n, context * channels, ...) of images, or of spectra (which say `axes` 1), the channels of the earliest frame
        first; `context` is odd, and the ends of a movie are repeated outwards.
    """
    if isinstance(frames, OneOf):
        return with_context(frames.frames, frames.number + start, frames.number + stop, context)
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


def pixel_digest(movie: Movie) -> str:
    """sha256 of a movie's size, type and pixels, wherever its files lie and whatever they are called.

    Up to 256 MiB every pixel counts, half a second of reading; beyond, as much of at most 1024 whole frames, evenly
    spread from the first to the last. Noise makes every frame of an acquisition unlike those of all others, so two
    acquisitions always differ; of one so long, a copy that was edited only between these frames does not.
    """
    frame_bytes = movie.height * movie.width * movie.dtype.itemsize
    step, most = max(1, BLOCK_BYTES // frame_bytes), max(2, min(DIGESTED_FRAMES, DIGESTED_BYTES // frame_bytes))
    if movie.n_frames * frame_bytes <= DIGESTED_BYTES or movie.n_frames <= most:
        starts = np.arange(0, movie.n_frames, step)
    else:
        starts, step = np.linspace(0, movie.n_frames - 1, most).astype(int), 1
    found = hashlib.sha256(repr((movie.n_frames, movie.height, movie.width, movie.dtype.name)).encode())
    for start in starts.tolist():
        found.update(np.ascontiguousarray(movie.read(start, min(start + step, movie.n_frames))).data)
    return found.hexdigest()


def check_finite(name: str, start: int, counts: NDArray[np.generic]) -> None:
    """Refuse frames of floats, from number `start` on, with pixels that are no numbers (FormatError)."""
    bad = _no_numbers(counts)
    if bad is not None:
        first = int(bad.any(axis=(1, 2)).argmax())
        raise FormatError(
            f"'{name}': frame {start + first + 1} (counted from 1) has {bad[first].sum()} pixels that are NaN or"
            " infinite; cut the border that a registration left, or fill them: bad_pixels: median does it for movies"
        )


def _no_numbers(counts: NDArray[np.generic]) -> NDArray[np.bool_] | None:
    """Which pixels of frames (n, H, W) are NaN or infinite in single precision; None where there are none."""
    if counts.dtype.kind != "f":
        return None
    with np.errstate(over="ignore"):
        good = np.isfinite(counts.astype(np.float32, copy=False))
    return None if good.all() else ~good


def _mend(frame: NDArray[np.floating], bad: NDArray[np.bool_]) -> None:
    """Replace some pixels of a frame (H, W) in place, as `MendedMovie` says; others are numbers."""
    left = np.argwhere(bad)
    low, high = np.maximum(left.min(axis=0) - RINGS, 0), left.max(axis=0) + RINGS + 1
    box = (slice(low[0], high[0]), slice(low[1], high[1]))
    known = np.pad(np.where(bad[box], np.nan, frame[box].astype(np.float64)), 1, constant_values=np.nan)
    left += 1 - low
    for _ in range(RINGS):
        near = known[tuple(np.moveaxis(left[:, None] + AROUND, -1, 0))]
        some = np.isfinite(near).any(axis=1)
        near = np.sort(near[some])  # NaN comes last
        count, rows = np.isfinite(near).sum(axis=1), np.arange(len(near))
        known[tuple(left[some].T)] = (near[rows, (count - 1) // 2] + near[rows, count // 2]) / 2
        left = left[~some]
        if not len(left):
            break
    if len(left):
        known[tuple(left.T)] = np.median(frame[~bad])
    frame[box] = known[1:-1, 1:-1]


def check_block(start: int, stop: int, n_frames: int) -> None:
    """Refuse to read outside a movie (slices would silently be cut).

    Raises:
        SizeError: Not 0 <= start <= stop <= n_frames.
    """
    if not 0 <= start <= stop <= n_frames:
        raise SizeError(f"frames {start}:{stop} are not in a movie of {n_frames}; give 0 <= start <= stop <= its end")
