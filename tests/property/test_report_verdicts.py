"""How often does a board of equal rows call one beaten? Simulated with fixed seeds; the first is the largest of all."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from smlmbench.report.boards import intervals
from smlmbench.report.boards.intervals import Sample, gaps
from smlmbench.statistics import resample

ROWS, RESAMPLES, BOARDS = 6, 400, 160
BOARD = SimpleNamespace(asked=SimpleNamespace(falls=lambda metric: False))


def ratio(sums):
    return sums[..., 0] / sums[..., 1]


def frame_se(frames):
    """Standard error of a row over frames: hits are Poisson around 5.6 of 8 emitters."""
    return math.sqrt(0.7 * 8 / frames) / 8


def boards(seed, frames, repeats, seed_sd, count, worse=0.0):
    """Rows best first, and their samples by repeat; the repeats of a row share their frames and what is seen there."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        hits = rng.poisson(5.6, (ROWS, 1, frames)) + rng.poisson(0.05, (ROWS, repeats, frames))
        skill = rng.normal(0, seed_sd, (ROWS, repeats, 1)) - worse * (np.arange(ROWS) == ROWS - 1)[:, None, None]
        tables = np.stack(np.broadcast_arrays(hits + 8 * skill, 8.0), axis=-1).reshape(-1, frames, 2)
        drawn = resample(list(tables), ratio, resamples=RESAMPLES, seed=number).reshape(ROWS, repeats, -1)
        values = ratio(tables.sum(axis=1)).reshape(ROWS, repeats)
        found = [
            {r: Sample(values[row, r], values[row, r], drawn[row, r], (frames, 2), frames) for r in range(repeats)}
            for row in range(ROWS)
        ]
        order = np.argsort(-values.mean(axis=1))
        yield order.tolist(), [found[row] for row in order]


def judged(monkeypatch, *given, **more):
    """Of each board the order of its rows, and which places after the first are called behind: adjusted, and alone."""
    for order, found in boards(*given, **more):
        with monkeypatch.context() as patch:
            patch.setattr(intervals, "samples", lambda *_, found=found: found)
            pairs = gaps(range(ROWS), BOARD, "score", ["a"])
        mine = [pairs[0, place] for place in range(1, ROWS)]
        yield order, [one.verdict == "win" for one in mine], [one.unadjusted == "win" for one in mine]


@pytest.mark.parametrize(
    ("frames", "repeats", "share"),
    [(200, 3, 0.01), (200, 5, 0.01), (200, 3, 0.5), (200, 5, 0.5), (200, 3, 3.0), (200, 5, 3.0), (15, 5, 0.01)],
)
def test_equal_rows_are_rarely_called_behind(monkeypatch, frames, repeats, share):
    """`share`: spread between repeats over the standard error of a row over frames."""
    found = list(judged(monkeypatch, 30, frames, repeats, share * frame_se(frames), BOARDS))
    false = np.mean([any(behind) for _, behind, _ in found])
    alone = np.mean([any(behind) for _, _, behind in found])
    best = np.mean([all(behind) for _, behind, _ in found])
    # the bound is 5 % and 2 standard errors of the simulation
    assert false <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / BOARDS)
    assert best <= false
    assert alone > 0.1  # what the adjustment is for


@pytest.mark.parametrize(("repeats", "share"), [(3, 0.01), (5, 0.01), (5, 0.5)])
def test_a_row_three_standard_errors_worse_is_found_on_most_boards(monkeypatch, repeats, share):
    pair = math.sqrt(2 * frame_se(200) ** 2 * (1 + share**2 / repeats))
    found = judged(monkeypatch, 40, 200, repeats, share * frame_se(200), 100, worse=3 * pair)
    seen = [order[0] != ROWS - 1 and behind[order.index(ROWS - 1) - 1] for order, behind, _ in found]
    assert np.mean(seen) > 0.5
