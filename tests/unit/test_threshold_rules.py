import numpy as np
import pytest

from smlmbench.tasks.localization.rules import (
    Curve,
    every_stratum,
    mean_of_strata,
    plateau,
    plateau_low,
    plateau_middle,
    precise,
)

TRIED = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])


def curve(reached, *, strata=None, false=None, precision=None):
    """What is left out is the same everywhere: no stratum, nothing false, always right."""
    none = np.zeros((len(reached), 0))
    return Curve(
        TRIED[: len(reached)],
        np.asarray(reached, float),
        none if strata is None else np.asarray(strata, float),
        none if false is None else np.asarray(false, float),
        np.ones(len(reached)) if precision is None else np.asarray(precision, float),
    )


LIMITED = (plateau_low, every_stratum, mean_of_strata)
FLAT = [80.0, 89.9, 90.0, 90.1, 89.95, 85.0]
QUIETER = [[0.5], [0.2], [0.06], [0.04], [0.0], [0.0]]


def test_a_plateau_has_every_value_around_the_best_that_loses_little_without_interruption():
    assert plateau(np.array(FLAT)) == (1, 4)
    assert plateau(np.array([90.0, 80.0, 90.1, 90.0])) == (2, 3)
    assert plateau(np.array([5.0])) == (0, 0)


def test_the_middle_and_the_low_end_of_the_plateau():
    assert plateau_middle(curve(FLAT)) == pytest.approx(0.35)
    assert plateau_low(curve(FLAT), limit=0.05) == 0.2


def test_a_limit_of_false_detections_excludes_low_thresholds():
    made = curve(FLAT, false=QUIETER, strata=np.full((6, 2), 50.0))
    for rule in LIMITED:
        assert rule(made, limit=0.05) == 0.4
        assert rule(made, limit=0.1) == 0.3
    assert plateau_low(made, limit=0.3) == 0.2  # not 0.1, which is not on the plateau


def test_the_background_with_most_false_detections_decides():
    dark_and_bright = [[0.0, 0.3], [0.0, 0.2], [0.0, 0.1], [0.0, 0.07], [0.0, 0.01], [0.0, 0.0]]
    assert plateau_low(curve(FLAT, false=dark_and_bright), limit=0.05) == 0.5


def test_quiet_is_a_threshold_above_which_all_are_quiet():
    once_more = [[0.0], [0.0], [0.0], [0.3], [0.0], [0.0]]
    assert plateau_low(curve(FLAT, false=once_more), limit=0.05) == 0.5


def test_where_no_threshold_is_quiet_the_highest_of_the_plateau_is_the_least_bad():
    made = curve(FLAT, false=np.full((6, 1), 9.0), strata=np.full((6, 2), 50.0))
    for rule in LIMITED:
        assert rule(made, limit=0.05) == 0.5


def test_a_limit_costs_two_points_of_efficiency_at_most():
    # Quiet from 0.5 on, where 1.9 points, or 10, are lost.
    for lost, chosen in ((1.9, 0.5), (10.0, 0.4)):
        reached = [90.0, 90.0, 90.0, 90.0, 90.0 - lost, 70.0]
        made = curve(reached, false=[[0.4], [0.3], [0.2], [0.1], [0.0], [0.0]])
        assert every_stratum(made, limit=0.05) == mean_of_strata(made, limit=0.05) == chosen


def test_dim_emitters_weigh_as_much_as_bright_ones():
    # Of all emitters few are dim: efficiency is best at 0.5. The dim ones fall away from 0.3 on.
    reached = [88.0, 89.0, 89.5, 89.8, 90.0, 85.0]
    strata = [[70.0, 89.0], [69.0, 90.0], [69.9, 90.5], [60.0, 90.8], [40.0, 91.0], [10.0, 88.0]]
    made = curve(reached, strata=strata)
    assert plateau_low(made, limit=0.05) == 0.4
    assert mean_of_strata(made, limit=0.05) == 0.3
    assert every_stratum(made, limit=0.05) == 0.3


def test_without_strata_the_plateau_of_efficiency_counts():
    for rule in (every_stratum, mean_of_strata):
        assert rule(curve(FLAT), limit=0.05) == 0.2


def test_the_lowest_threshold_that_is_precise_and_loses_at_most_a_point():
    precision = [0.9, 0.95, 0.97, 0.985, 0.99, 1.0]
    assert precise(curve([89.5] * 6, precision=precision), limit=0.05) == 0.4
    assert precise(curve([80.0, 80.0, 80.0, 80.0, 89.5, 90.0], precision=precision), limit=0.05) == 0.5
