"""Scores of image pairs by hand: means over pairs, the interval over pairs, the numbers that pick a step."""

from dataclasses import dataclass

import numpy as np
import pytest

from smlmbench.data.contracts import ArrayFrames, Condition
from smlmbench.registry import Catalog
from smlmbench.study.schema import Scoring
from smlmbench.tasks import localization
from smlmbench.tasks.contracts import Task

CATALOG = Catalog()
SIDE = 16


@dataclass
class Held:
    pairs: list

    @property
    def names(self):
        return [str(number) for number in range(len(self.pairs))]

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, number):
        return self.pairs[number]


def condition_of(*targets):
    given = np.zeros((SIDE // 2, SIDE // 2), np.float32)
    pairs = Held([(given, target) for target in targets])
    frames = ArrayFrames(np.stack([given] * len(targets)))
    return Condition("test", frames, None, float("nan"), 0.0, "digest", pairs=pairs)


def spikes(*places, height=1.0):
    image = np.zeros((SIDE, SIDE), np.float32)
    for row, column in places:
        image[row, column] = height
    return image


def scored(images, condition):
    return localization.score_images(images, condition, Scoring(), CATALOG)


def test_each_image_is_held_to_its_own_target_and_the_numbers_are_averaged():
    targets = spikes((4, 4), height=7), spikes((9, 2), (2, 9), height=3)
    # first: perfect up to a gain; second: one spike of two, so half of the power is missing
    found = scored([2 * targets[0], spikes((9, 2))], condition_of(*targets))
    assert found.per_frame["nmse_star"] == pytest.approx([0, 0.5])
    assert found.values["nmse_star"] == pytest.approx(0.25)
    # as it comes: the doubled image is wrong by its own power; |1 - 3|^2 + 3^2 over 2 * 3^2
    assert found.per_frame["nmse"] == pytest.approx([1, 13 / 18])
    swapped = scored([spikes((9, 2)), 2 * targets[0]], condition_of(*targets))
    assert swapped.values["nmse_star"] == pytest.approx(1)


def test_the_interval_is_over_pairs():
    targets = [spikes((4, 4))] * 40
    images = [spikes((4, 4))] * 20 + [spikes((9, 9))] * 20
    low, high = scored(images, condition_of(*targets)).intervals["nmse_star"]
    # a share of 20 in 40: 0.5 with a standard error of sqrt(0.25 / 40) = 0.079
    assert (low, high) == (pytest.approx(0.5 - 0.155, abs=0.03), pytest.approx(0.5 + 0.155, abs=0.03))
    assert scored(images[:1], condition_of(*targets[:1])).intervals == {}


def test_what_needs_positions_says_why_not():
    found = scored([spikes((1, 1))], condition_of(spikes((1, 1))))
    for name in ("efficiency", "jaccard", "rmse_nm", "recall", "mjac_c", "false_per_1000um2"):
        assert found.reasons[name] == "image pairs have no positions"
    assert not set(found.values) & set(found.reasons)


def test_a_blank_target_has_no_error_of_its_own():
    targets = spikes((4, 4)), spikes()
    found = scored([spikes((4, 4)), spikes((1, 1))], condition_of(*targets))
    assert found.values["nmse_star"] == 0
    assert np.isnan(found.per_frame["nmse_star"][1])
    assert "nmse_star" in scored([spikes()], condition_of(spikes())).reasons


def test_a_row_must_answer_every_pair():
    with pytest.raises(ValueError, match="longer than"):
        scored([spikes((4, 4))], condition_of(spikes((4, 4)), spikes((4, 4))))


def test_what_picks_the_best_step():
    targets = spikes((4, 4), height=10), spikes((9, 9), height=30)
    numbers = localization.validate_pairs([spikes((4, 4), height=1), spikes((1, 1), height=1)], condition_of(*targets))
    assert numbers == {"nmse_star": pytest.approx(0.5), "mass": pytest.approx(2 / 40)}
    broken = localization.validate_pairs([np.full((SIDE, SIDE), np.nan)], condition_of(targets[0]))
    assert np.isnan(broken["mass"])


@pytest.mark.parametrize(
    ("name", "ranked"), [("localization", ("efficiency", "up", 1.0)), ("image_pairs", ("nmse_star", "down", -1.0))]
)
def test_the_metric_that_ranks_is_that_of_the_task(name, ranked):
    task = Task(name, CATALOG)
    assert (task.primary, task.direction, task.sign) == ranked
    assert task.card.facts["headline"][0] == task.primary
