"""Copies of one model on boards that are ranked as those of the page are (`benchmarks/ties.py`)."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from smlmbench.report.boards import intervals

BOARDS = 500


@pytest.fixture(scope="module")
def ties():
    spec = importlib.util.spec_from_file_location("ties", Path(__file__).parents[2] / "benchmarks/ties.py")
    made = importlib.util.module_from_spec(spec)
    sys.modules["ties"] = made  # its dataclasses look themselves up there
    spec.loader.exec_module(made)
    yield made
    del sys.modules["ties"]


@pytest.fixture(autouse=True)
def _resampled(monkeypatch):
    monkeypatch.setattr(intervals, "RESAMPLES", 200)  # so that 500 boards take seconds


@pytest.mark.parametrize("share", [0.0, 3.0])
def test_copies_of_one_model_are_tied_on_at_least_465_of_500_boards(ties, share):
    """Whether the frames or the trainings are what differs (`share`)."""
    found = ties.count(BOARDS, ties.Setting(rows=3, repeats=3, frames=40, share=share))
    assert found["tied"] >= 465
    assert found["unadjusted"] < BOARDS  # the boards can tell rows apart
    assert found["single_best"] <= BOARDS - found["tied"]


def test_a_model_that_is_worse_is_not_tied(ties, monkeypatch):
    """The same boards, one row of which finds a quarter less."""
    drawn = ties.sums_of

    def worse(rng, setting):
        for number, sums in enumerate(drawn(rng, setting)):
            if number < setting.repeats:
                lost = np.floor(sums[:, 0] / 4)
                sums[:, 0], sums[:, 2] = sums[:, 0] - lost, sums[:, 2] + lost
            yield sums

    monkeypatch.setattr(ties, "sums_of", worse)
    assert ties.count(40, ties.Setting(rows=3, repeats=3, frames=200, share=0.5))["tied"] <= 4
