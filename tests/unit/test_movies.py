from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from smlmbench.camera import Camera
from smlmbench.errors import FormatError, SizeError
from smlmbench.movies import ArrayMovie, blocks, calibrated, window
from smlmbench.run.tables.projecting import project

COUNTS = np.arange(10 * 3 * 4, dtype=np.uint16).reshape(10, 3, 4) + 90


class MemoryMovie:
    path = Path("memory.tif")
    n_frames, height, width = COUNTS.shape
    dtype = COUNTS.dtype

    def __init__(self) -> None:
        self.reads: list[tuple[int, int]] = []

    def read(self, start: int, stop: int) -> NDArray[np.generic]:
        self.reads.append((start, stop))
        return COUNTS[start:stop]

    def close(self) -> None: ...


def test_a_camera_makes_photons_and_no_camera_keeps_counts() -> None:
    camera = Camera(kind="emccd", baseline_adu=100, e_per_adu=45, em_gain=300)
    photons = calibrated(MemoryMovie(), camera).read(1, 2)
    assert photons.dtype == np.float32
    assert photons[0, 0, 0] == pytest.approx((102 - 100) * 45 / 300)
    counts = calibrated(MemoryMovie(), None).read(0, 1)
    assert counts.dtype == np.float32
    assert counts[0, 0, 0] == 90


def test_counts_below_the_baseline_become_negative_photons() -> None:
    photons = calibrated(MemoryMovie(), Camera(baseline_adu=100)).read(0, 1)
    assert photons[0, 0, 0] == -10


def test_a_window_counts_from_zero_in_time_and_columns() -> None:
    part = window(calibrated(MemoryMovie(), None), frames=(4, 9), columns=(1, 3))
    assert (part.n_frames, part.height, part.width) == (5, 3, 2)
    np.testing.assert_array_equal(part.read(1, 3), COUNTS[5:7, :, 1:3])


def test_a_window_of_a_window_adds_up() -> None:
    outer = window(calibrated(MemoryMovie(), None), frames=(2, 10), columns=(1, 4))
    inner = window(outer, frames=(1, 4), columns=(1, 3))
    np.testing.assert_array_equal(inner.read(0, 3), COUNTS[3:6, :, 2:4])


@pytest.mark.parametrize("given", [{"frames": (0, 11)}, {"frames": (3, 3)}, {"columns": (-1, 2)}, {"columns": (2, 5)}])
def test_a_window_outside_is_refused(given: dict[str, tuple[int, int]]) -> None:
    with pytest.raises(SizeError, match="are not a part of"):
        window(calibrated(MemoryMovie(), None), **given)


def test_a_window_cannot_be_left_by_reading() -> None:
    part = window(calibrated(MemoryMovie(), None), frames=(4, 9))
    with pytest.raises(SizeError, match="movie of 5"):
        part.read(4, 6)


def test_blocks_cover_every_frame_once_and_nothing_reads_more_than_a_block() -> None:
    movie = MemoryMovie()
    seen = list(blocks(calibrated(movie, None), 4))
    assert [start for start, _ in seen] == [0, 4, 8]
    assert movie.reads == [(0, 4), (4, 8), (8, 10)]
    np.testing.assert_array_equal(np.concatenate([values for _, values in seen]), COUNTS)


def test_empty_blocks_are_refused() -> None:
    with pytest.raises(SizeError, match="give 1 or more"):
        next(blocks(calibrated(MemoryMovie(), None), 0))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_pixels_that_are_no_numbers_are_named_with_frame_and_count(value: float) -> None:
    frames = np.ones((6, 4, 5))
    frames[3, 1, 1:4] = value
    frames[4, 0, 0] = value
    seen = calibrated(ArrayMovie(frames), Camera(kind="scmos", baseline_adu=0.5))
    assert seen.read(0, 3).shape == (3, 4, 5)
    with pytest.raises(FormatError, match=r"frame 4 \(counted from 1\) has 3 pixels that are NaN or infinite"):
        seen.read(1, 6)
    with pytest.raises(FormatError, match="frame 4 .* 3 pixels"):
        project(ArrayMovie(frames), "mean")
    np.testing.assert_array_equal(project(ArrayMovie(frames[:3]), "mean"), np.ones((4, 5)))
