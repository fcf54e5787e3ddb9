"""Scores of image pairs by hand: means over pairs, the interval over pairs, the numbers that pick a step."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from smlmbench import tasks
from smlmbench.data.contracts import ArrayFrames, Condition
from smlmbench.errors import ConfigError, FormatError, SizeError
from smlmbench.predictions import Prediction, Raster
from smlmbench.registry import Catalog, MetricCard
from smlmbench.study.schema import Scoring
from smlmbench.tasks.image_pairs import Drawn
from smlmbench.truths.target_images import TargetImages

CATALOG = Catalog()
TASK = tasks.load("image_pairs", CATALOG)
SIDE = 16


def condition_of(*targets):
    given = np.arange(len(targets), dtype=np.float32)[:, None, None] * np.ones((SIDE // 2, SIDE // 2), np.float32)
    return Condition("test", ArrayFrames(given), TargetImages(list(targets)), "digest")


def answer_of(images):
    """What a network or a reference made of each input."""
    made = [Prediction(image=None if image is None else Raster(np.asarray(image)[None], 50.0)) for image in images]
    return Drawn(made.__getitem__, len(made))


def spikes(*places, height=1.0):
    image = np.zeros((SIDE, SIDE), np.float32)
    for row, column in places:
        image[row, column] = height
    return image


def scored(images, condition):
    return TASK.score(answer_of(images), condition, Scoring())


def test_each_image_is_held_to_its_own_target_and_the_numbers_are_averaged():
    targets = spikes((4, 4), height=7), spikes((9, 2), (2, 9), height=3)
    # first: perfect up to a gain; second: one spike of two, so half of the power is missing
    found = scored([2 * targets[0], spikes((9, 2))], condition_of(*targets))
    assert found.per_unit["nmse_star"] == pytest.approx([0, 0.5])
    assert found.values["nmse_star"] == pytest.approx(0.25)
    # as it comes: the doubled image is wrong by its own power; |1 - 3|^2 + 3^2 over 2 * 3^2
    assert found.per_unit["nmse"] == pytest.approx([1, 13 / 18])
    swapped = scored([spikes((9, 2)), 2 * targets[0]], condition_of(*targets))
    assert swapped.values["nmse_star"] == pytest.approx(1)


def test_the_interval_is_over_pairs():
    targets = [spikes((4, 4))] * 40
    images = [spikes((4, 4))] * 20 + [spikes((9, 9))] * 20
    low, high = scored(images, condition_of(*targets)).intervals["nmse_star"]
    # a share of 20 in 40: 0.5 with a standard error of sqrt(0.25 / 40) = 0.079
    assert (low, high) == (pytest.approx(0.5 - 0.155, abs=0.03), pytest.approx(0.5 + 0.155, abs=0.03))
    assert scored(images[:1], condition_of(*targets[:1])).intervals == {}


def test_only_numbers_of_images_are_given_or_missed():
    found = scored([spikes((1, 1))], condition_of(spikes((1, 1))))
    cards = [CATALOG.card("metrics", name) for name in CATALOG.names("metrics")]
    known = {name for card in cards if isinstance(card, MetricCard) and TASK.name in card.tasks for name in card.gives}
    assert set(found.values) | set(found.reasons) == known
    assert set(TASK.card.facts["headline"]) <= known
    assert not known & {"efficiency", "jaccard", "rmse_nm", "recall", "mjac_c", "false_per_1000um2"}
    assert not set(found.values) & set(found.reasons)


def test_a_blank_target_has_no_error_of_its_own():
    targets = spikes((4, 4)), spikes()
    found = scored([spikes((4, 4)), spikes((1, 1))], condition_of(*targets))
    assert found.values["nmse_star"] == 0
    assert np.isnan(found.per_unit["nmse_star"][1])
    assert "nmse_star" in scored([spikes()], condition_of(spikes())).reasons


def test_a_row_must_answer_every_pair():
    with pytest.raises(ValueError, match="longer than"):
        scored([spikes((4, 4))], condition_of(spikes((4, 4)), spikes((4, 4))))


def test_what_picks_the_best_step():
    targets = spikes((4, 4), height=10), spikes((9, 9), height=30)
    images = [spikes((4, 4), height=1), spikes((1, 1), height=1)]
    watched = TASK.watch(answer_of(images), condition_of(*targets), Scoring())
    assert watched.numbers == {"nmse_star": pytest.approx(0.5), "mass": pytest.approx(2 / 40)}
    assert (watched.score, watched.mass, watched.tuned) == (pytest.approx(-0.5), pytest.approx(2 / 40), {})
    broken = TASK.watch(answer_of([np.full((SIDE, SIDE), np.nan)]), condition_of(targets[0]), Scoring())
    assert np.isnan(broken.mass)
    assert (broken.score, broken.numbers["nmse_star"]) == (-1, 1)


def test_a_network_draws_one_input_after_the_other():
    seen = []

    def movie(frames, threshold, *, keep_table, on_frames=None):
        seen.append((frames.n_frames, np.isnan(threshold), keep_table))
        return Prediction(image=Raster(np.full((1, SIDE, SIDE), frames.read(0, 1).max()), 50.0))

    condition, done = condition_of(spikes(), spikes(), spikes()), []
    answer = TASK.answer(SimpleNamespace(movie=movie, settings={}), condition, {}, on_units=done.append)
    assert seen == []
    assert [image.max() for image in answer] == [0, 1, 2]
    assert seen == [(1, True, False)] * 3
    assert done == [1, 2, 3]
    assert answer[2].image.values.max() == 2


def test_without_targets_the_movie_is_summed_and_the_sum_is_written(tmp_path):
    summed = Prediction(image=Raster(np.full((1, SIDE, SIDE), 7.0, np.float32), 50.0))
    condition = Condition("movie", ArrayFrames(np.zeros((5, 8, 8), np.float32)), None)
    answer = TASK.answer(SimpleNamespace(movie=lambda *_, **__: summed, settings={}), condition)
    assert TASK.write(answer, tmp_path, "movie") == []
    (path,) = TASK.write(answer, tmp_path, "movie", applied=True)
    assert (path.name, path.stat().st_size > 4 * SIDE**2) == ("movie_sum.tif", True)


def test_a_reference_sees_one_pair_and_must_draw():
    condition, seen = condition_of(spikes(), spikes()), []

    def refer(one):
        seen.append((one.frames.read(0, 1).max(), len(one.truth), one.digest))
        return Prediction(image=Raster(np.zeros((1, SIDE, SIDE)), 50.0))

    assert len(list(TASK.refer(refer, condition))) == 2
    assert seen == [(0, 1, "digest:0"), (1, 1, "digest:1")]
    with pytest.raises(FormatError, match="its card must not state task image_pairs"):
        next(iter(TASK.refer(lambda _: Prediction(), condition)))
    with pytest.raises(SizeError, match="the output kind makes no image"):
        scored([None], condition_of(spikes()))
    with pytest.raises(ConfigError, match="condition 'm' has no target images"):
        TASK.watch(answer_of([]), Condition("m", condition.frames, None), Scoring())


def test_without_targets_every_number_of_the_headline_has_a_reason():
    found = TASK.score(answer_of([spikes()]), Condition("m", condition_of(spikes()).frames, None), Scoring())
    assert (found.values, found.intervals, found.per_unit) == ({}, {}, {})
    assert set(found.reasons) == set(TASK.card.facts["headline"])
    assert set(found.reasons.values()) == {"the condition has no target images"}


def test_the_middle_of_a_large_pair_is_shown():
    given = np.arange(200 * 300, dtype=np.float32).reshape(1, 200, 300)
    target = given[0].repeat(2, 0).repeat(2, 1)
    condition = Condition("c", ArrayFrames(given), TargetImages([target]), told={"pixel_size_nm": 100.0})
    shown = TASK.panels(answer_of([target]), condition)
    assert np.array_equal(shown.input_image, given[0, 36:164, 86:214])
    assert np.array_equal(shown.truth, target[72:328, 172:428])
    assert np.array_equal(shown.prediction, shown.truth)
    assert (shown.pixel_nm, shown.found_nm, TASK.example(condition)) == (100.0, None, 0)
    assert TASK.example(Condition("c", ArrayFrames(given), None)) is None
    two = dataclasses.replace(condition, frames=ArrayFrames(np.stack([given, 2 * given], axis=1)))
    assert np.array_equal(TASK.panels(answer_of([target]), two).input_image, 3 * given[0, 36:164, 86:214])


def test_sums_of_a_stored_number_leave_out_pairs_that_have_none():
    stored = pd.DataFrame({"nmse_star": [0.25, np.nan, 0.75]})
    sums = TASK.sums("nmse_star", stored)
    assert sums.tolist() == [[0.25, 1], [0, 0], [0.75, 1]]
    assert float(TASK.statistic("nmse_star", {})(sums.sum(axis=0))) == 0.5
    assert TASK.sums("ssim", stored) is None


@pytest.mark.parametrize(
    ("name", "ranked"), [("localization", ("efficiency", "up", 1.0)), ("image_pairs", ("nmse_star", "down", -1.0))]
)
def test_the_metric_that_ranks_is_that_of_the_task(name, ranked):
    task = tasks.load(name, CATALOG)
    assert (task.primary, task.direction, task.sign) == ranked
    assert task.card.facts["headline"][0] == task.primary
