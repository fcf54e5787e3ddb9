"""The time of a whole movie is told once, from its own first frames."""

import pytest

from smlmbench.run.pace import Pace


def told(times, total):
    clock = iter(seconds for _, seconds in times)
    pace = Pace(lambda: next(clock))
    return [pace.said(done, total) for done, _ in times]


def test_it_is_told_once_after_two_seconds_without_the_first_block():
    # the first block of 100 frames took 50 s, the next hundreds 1 s each
    said = told([(100, 50.0), (200, 51.0), (300, 52.0), (400, 53.0)], 60_000)
    assert said == ["", "", "about 10 min for 60000 frames (100 frames/s)", ""]


@pytest.mark.parametrize(
    ("total", "shown"), [(2_000, ""), (9_000, "about 90 s"), (1_440_000, "about 4.0 h"), (40_000, "about 7 min")]
)
def test_short_movies_are_not_told_and_long_ones_in_their_unit(total, shown):
    said = told([(0, 0.0), (200, 2.0)], total)[1]
    assert said.partition(" for ")[0] == shown


def test_without_frames_there_is_no_pace():
    assert told([(0, 0.0), (0, 9.0)], 1000) == ["", ""]
