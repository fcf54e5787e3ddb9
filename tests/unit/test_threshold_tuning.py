"""How smlmbench-2 chooses, on candidates whose scores are known."""

import dataclasses

import numpy as np
import pytest

from smlmbench.data.contracts import ArrayFrames, Condition
from smlmbench.predictions import Localizations
from smlmbench.study.schema import Scoring
from smlmbench.tasks.localization.tuning import (
    MIDDLE,
    RULES,
    choose_threshold,
    strata_of_background,
    strata_of_brightness,
)
from smlmbench.truths.emitters import Emitters

SIDE_PX, PIXEL_NM, FRAMES = 64, 100.0, 100
SECOND = Scoring(border_nm=0)
FIRST = Scoring(protocol="smlmbench-1", border_nm=0)


def table(count, frames=FRAMES, **columns):
    """Rows 600 nm apart, the same number in every frame."""
    number = np.arange(count)
    frame, place = number % frames, number // frames
    places = {"x_nm": 500 + 600.0 * (place % 10), "y_nm": 500 + 600.0 * (place // 10)}
    side_nm = SIDE_PX * PIXEL_NM
    return Localizations.of({"frame": frame, **places, **columns}, n_frames=frames, field_nm=(side_nm, side_nm))


def condition(truth, empty=None):
    def of(frames, known):
        told = {"pixel_size_nm": PIXEL_NM}
        return Condition("val", ArrayFrames(np.asarray(frames, np.float32)), Emitters(known, 100.0), told=told)

    extras = {} if empty is None else {"signal_free": of(empty, table(0, len(empty)))}
    return dataclasses.replace(of(np.zeros((FRAMES, SIDE_PX, SIDE_PX)), truth), extras=extras)


def dim_and_bright():
    """4000 emitters, 4 % of them dim; what is found of the dim ones is 29 nm off and has low scores.

    Errors in quadrature: with the dim ones efficiency is 94, without them 96.
    """
    dim = np.arange(4000) % 1000 < 40
    truth = table(4000, photons=np.where(dim, 200.0, 20_000.0), background_photons=np.full(4000, 100.0))
    scores = np.where(dim, np.linspace(0.2, 0.4, 4000), np.linspace(0.8, 1.0, 4000))
    found = dataclasses.replace(truth, x_nm=truth.x_nm + np.where(dim, 29.0, 1.0), probability=scores)
    return truth, found


def test_dim_emitters_that_efficiency_gives_away_are_kept():
    truth, found = dim_and_bright()
    first, second = (choose_threshold(found, condition(truth), scoring) for scoring in (FIRST, SECOND))
    dim = truth.photons < 1000
    kept = [(found.probability[dim] > chosen.settings["threshold"]).mean() for chosen in (first, second)]
    assert kept[0] < 0.1
    assert kept[1] > 0.95


def test_a_threshold_below_the_false_detections_of_the_brightest_background_is_not_taken():
    truth, found = dim_and_bright()
    # The brightest third of 60 frames without emitters has 160 detections with scores up to 0.3.
    frames = np.repeat([5.0, 50.0, 500.0], 20)[:, None, None] * np.ones((60, 8, 8))
    false = table(160, 60, probability=np.linspace(0.1, 0.3, 160))
    false = dataclasses.replace(false, frame=np.arange(160) % 20 + 40)
    # 40 emitters a frame, so 800 in as many frames: the limit of 10 % is 80 false detections in them.
    tuned = choose_threshold(found, condition(truth, frames), SECOND, empty=false)
    assert 0.19 < tuned.settings["threshold"] < 0.23
    assert (false.probability > tuned.settings["threshold"]).sum() <= 80
    tenfold = dataclasses.replace(
        table(1600, 60, probability=np.tile(np.linspace(0.1, 0.3, 160), 10)), frame=np.arange(1600) % 20 + 40
    )
    tuned = choose_threshold(found, condition(truth, frames), SECOND, empty=tenfold)
    assert (tenfold.probability > tuned.settings["threshold"]).sum() <= 80
    assert tuned.settings["threshold"] > 0.28
    assert choose_threshold(found, condition(truth, frames), FIRST, empty=tenfold).settings == (
        choose_threshold(found, condition(truth), FIRST).settings
    )


def test_what_was_chosen_says_by_which_rule():
    truth, found = dim_and_bright()
    first, second = (choose_threshold(found, condition(truth), scoring).how for scoring in (FIRST, SECOND))
    assert first == {"threshold_rule": "plateau_middle", "threshold_false_limit": "none"}
    assert second == {"threshold_rule": RULES["smlmbench-2"].name, "threshold_false_limit": "0.1"}
    assert RULES["challenge-2016"] is RULES["smlmbench-1"] is MIDDLE


def test_strata_are_as_wide_in_the_logarithm_of_brightness_and_none_has_few():
    photons = np.concatenate(
        [np.geomspace(100, 990, 150), np.geomspace(1100, 9000, 300), np.geomspace(11_000, 1e5, 300)]
    )
    truth = table(len(photons), photons=photons)
    stratum, count = strata_of_brightness(truth, np.ones(len(photons), bool))
    assert count == 4
    assert np.bincount(stratum).min() >= 100 - 1
    edges = [photons[stratum == number].min() for number in range(1, count)]
    assert edges == pytest.approx([100 * 10**0.75, 100 * 10**1.5, 100 * 10**2.25], rel=0.03)


def test_a_stratum_of_few_is_joined_with_its_smaller_neighbour():
    photons = np.concatenate([np.full(5, 100.0), np.full(300, 900.0), np.full(20, 4000.0), np.full(400, 1e5)])
    truth = table(len(photons), photons=photons)
    stratum, count = strata_of_brightness(truth, np.ones(len(photons), bool))
    assert count == 2
    assert np.bincount(stratum).tolist() == [325, 400]
    one, count = strata_of_brightness(table(30, photons=np.geomspace(100, 1e4, 30)), np.ones(30, bool))
    assert (count, set(one)) == (1, {0})


def test_who_does_not_count_or_has_no_photons_is_in_no_stratum():
    photons = np.geomspace(100, 1e4, 800)
    photons[:3] = np.nan
    counted = np.ones(800, bool)
    counted[-2:] = False
    stratum, _ = strata_of_brightness(table(800, photons=photons), counted)
    assert (stratum[:3] == -1).all()
    assert (stratum[-2:] == -1).all()
    assert (stratum[3:-2] >= 0).all()
    none, count = strata_of_brightness(table(9), np.ones(9, bool))
    assert (count, set(none)) == (0, {-1})


def test_backgrounds_are_one_stratum_where_they_hardly_differ_else_three():
    levels = np.array([5.0, 9.0, 20.0, 40.0, 200.0, 300.0])
    seen = condition(table(0), levels[:, None, None] * np.ones((6, 8, 8))).extras["signal_free"]
    assert strata_of_background(seen).tolist() == [0, 0, 1, 1, 2, 2]
    alike = condition(table(0), np.array([50.0, 60.0, 80.0])[:, None, None] * np.ones((3, 8, 8))).extras["signal_free"]
    assert strata_of_background(alike).tolist() == [0, 0, 0]
