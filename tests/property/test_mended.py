"""Pixels that are no numbers are replaced by the median of their neighbours; everything else stays as it is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smlmbench.errors import FormatError, LossWarning
from smlmbench.movies import RINGS, ArrayMovie, MendedMovie, calibrated, mending

NO_NUMBERS = (np.nan, np.inf, -np.inf)


def by_hand(frame: np.ndarray) -> np.ndarray:
    """The rule of `MendedMovie`, pixel by pixel."""
    known = frame.astype(np.float64)
    known[~np.isfinite(frame)] = np.nan
    middle = np.median(known[np.isfinite(known)])
    for _ in range(RINGS):
        found = known.copy()
        for row, column in np.argwhere(np.isnan(known)):
            around = known[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            if np.isfinite(around).any():
                found[row, column] = np.median(around[np.isfinite(around)])
        known = found
    return np.where(np.isnan(known), middle, known)


@settings(max_examples=60)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 12), st.integers(1, 25)),
    share=st.sampled_from([0.0, 0.02, 0.3, 0.9]),
    dtype=st.sampled_from(["f2", "f4", "f8"]),
    seed=st.integers(0, 2**32),
    step=st.integers(1, 4),
)
def test_bad_pixels_are_the_median_of_their_neighbours(shape, share, dtype, seed, step):
    draws = np.random.default_rng(seed)
    frames = draws.integers(0, 1000, shape).astype(dtype)
    bad = draws.random(shape) < share
    bad[:, draws.integers(shape[1]), draws.integers(shape[2])] = False  # one number is left in each frame
    frames[bad] = draws.choice(NO_NUMBERS, bad.sum())
    given_frames = frames.copy()
    movie = MendedMovie(ArrayMovie(frames))
    found = np.concatenate([movie.read(start, min(start + step, len(frames))) for start in range(0, len(frames), step)])
    np.testing.assert_array_equal(found, np.stack([by_hand(frame) for frame in given_frames]).astype(dtype))
    np.testing.assert_array_equal(found[~bad], given_frames[~bad])
    np.testing.assert_array_equal(frames, given_frames)
    told = {"replaced_pixels": bad.sum(), "replaced_frames": bad.any(axis=(1, 2)).sum()}
    assert MendedMovie(ArrayMovie(frames)).scan() == told
    assert (sum(movie.replaced.values()), len(movie.replaced)) == tuple(told.values())


def test_whole_numbers_are_not_looked_at_and_an_empty_frame_is_refused():
    counts = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    movie = MendedMovie(ArrayMovie(counts))
    assert movie.read(0, 2) is not None
    assert movie.scan() == {"replaced_pixels": 0, "replaced_frames": 0}
    lost = counts.astype(np.float32)
    lost[1] = np.nan
    with pytest.raises(FormatError, match=r"frame 2 \(counted from 1\) has no pixel that is a number; leave it out"):
        MendedMovie(ArrayMovie(lost)).read(0, 2)


def test_what_was_replaced_is_told_once_and_only_where_it_is_asked_for():
    frames = np.ones((3, 4, 5), dtype=np.float64)
    frames[2, 0, :2] = np.nan, 1e300
    said = "'array': 2 pixels of 1 frames were NaN or infinite and are replaced"
    with pytest.warns(LossWarning, match=said) as told, mending(ArrayMovie(frames), "median") as movie:
        assert calibrated(movie, None).read(0, 3).max() == 1
    assert len(told) == 1
    with mending(ArrayMovie(frames), "refuse") as movie, pytest.raises(FormatError, match="frame 3 .* has 2 pixels"):
        calibrated(movie, None).read(0, 3)
