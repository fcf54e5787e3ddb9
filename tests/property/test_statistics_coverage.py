"""Do the intervals cover? Simulated with fixed seeds; the bound is 90 % minus 3 standard errors of the simulation."""

import math

import numpy as np
import pytest

from smlmbench.statistics import combine_seeds, frame_bootstrap, paired_difference

FRAMES, RESAMPLES = 60, 200


def ratio(sums):
    return sums[..., 0] / sums[..., 1]


def least(experiments):
    return 0.90 - 3 * math.sqrt(0.90 * 0.10 / experiments)


def simulate(rng, seeds, seed_sd, block=1):
    """Hits and emitters per frame: frames differ in density and hardness, seeds in skill; true value 0.7 at skill 0."""
    frames = FRAMES // block
    emitters = np.repeat(rng.poisson(8, frames) + 1.0, block)
    hardness = np.repeat(rng.normal(0, 0.08, frames), block)
    skill = rng.normal(0, seed_sd, seeds)
    noise = rng.normal(0, 0.05, (seeds, FRAMES))
    return [np.column_stack([emitters * (0.7 + s + hardness + n), emitters]) for s, n in zip(skill, noise, strict=True)]


def covered(interval, value):
    return interval.low <= value <= interval.high


def test_the_frame_bootstrap_covers():
    rng, experiments = np.random.default_rng(0), 300
    hits = sum(
        covered(frame_bootstrap(ratio, simulate(rng, 1, 0.0)[0], resamples=RESAMPLES, seed=k), 0.7)
        for k in range(experiments)
    )
    assert hits / experiments >= least(experiments)


def test_frames_that_persist_need_blocks():
    rng, experiments = np.random.default_rng(1), 200
    runs = [simulate(rng, 1, 0.0, block=3)[0] for _ in range(experiments)]
    rate = {
        block: np.mean(
            [covered(frame_bootstrap(ratio, r, block=block, resamples=RESAMPLES, seed=0), 0.7) for r in runs]
        )
        for block in (1, 3)
    }
    assert rate[3] >= least(experiments)
    assert rate[1] < 0.85


@pytest.mark.parametrize("seeds", [2, 3])
@pytest.mark.parametrize("seed_sd", [0.0, 0.01, 0.05])
def test_the_interval_over_few_seeds_covers_whichever_part_dominates(seeds, seed_sd):
    rng, experiments, hits = np.random.default_rng(10), 200, 0
    for _ in range(experiments):
        rows = [frame_bootstrap(ratio, sums, resamples=RESAMPLES, seed=0) for sums in simulate(rng, seeds, seed_sd)]
        hits += covered(combine_seeds([r.value for r in rows], [r.variance for r in rows]), 0.7)
    assert hits / experiments >= least(experiments)


@pytest.mark.parametrize(("seed_sd", "frame_sd"), [(1.0, 0.0), (0.0, 1.0)])
def test_the_paired_interval_of_3_repeats_covers_as_often_as_it_says(seed_sd, frame_sd):
    """With one part alone it is an exact t-interval, over 3 seeds or 5 frames, and covers 95 %.

    The binomial error of the count is 0.27 % and the bounds are three of them away, 94.2 and 95.8 %. A variance divided
    by n in place of n - 1 covers 92.8 % (seeds) or 93.2 % (frames) by the law of t, at least three errors below that.
    """
    rng, experiments, frames, hits = np.random.default_rng(30), 6500, 5, 0
    ones = np.ones(frames)
    for _ in range(experiments):
        shared = rng.normal(0, frame_sd, frames)
        a, b = (np.column_stack([values, ones]) for values in (shared, 0 * ones))
        runs = [a + np.outer(ones * skill, [1, 0]) for skill in rng.normal(0, seed_sd, 3)]
        hits += covered(paired_difference(runs, [b], ratio, resamples=RESAMPLES, seed=0), 0.0)
    assert hits / experiments == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / experiments))


def test_equal_models_rarely_win():
    rng, experiments = np.random.default_rng(20), 200
    wins = 0
    for _ in range(experiments):
        rows = simulate(rng, 6, 0.03)
        wins += paired_difference(rows[:3], rows[3:], ratio, resamples=RESAMPLES, seed=0).verdict != "tie"
    assert wins / experiments <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / experiments)
