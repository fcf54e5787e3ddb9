"""What a task does by default, and the gate of reduced number formats, by hand-made answers."""

import numpy as np
import pandas as pd
import pytest

from smlmbench import tasks
from smlmbench.data.contracts import ArrayFrames, Condition
from smlmbench.errors import ConfigError
from smlmbench.predictions import Localizations, Prediction
from smlmbench.registry import Catalog
from smlmbench.study.schema import Scoring
from smlmbench.tasks.contracts import Scores, Task, Tuned, mean_of_sums, mean_over_conditions
from smlmbench.tasks.contracts.gating import MOST_LOST, Answers
from smlmbench.truths.emitters import Emitters

CATALOG = Catalog()
LOCALIZATION = tasks.load("localization", CATALOG)
BARE = Scoring(border_nm=0)
FIELD_NM = (6400.0, 6400.0)


def table(x_nm, y_nm, frame, *, n_frames=4):
    return Localizations.of({"frame": frame, "x_nm": x_nm, "y_nm": y_nm}, n_frames=n_frames, field_nm=FIELD_NM)


def spread(count, n_frames=4):
    """Emitters at least 600 nm apart, the same number in every frame."""
    number = np.arange(count)
    frame, place = number % n_frames, number // n_frames
    return table(500 + 600.0 * (place % 10), 500 + 600.0 * (place // 10), frame)


def condition(truth, *, n_frames=4, **more):
    frames = ArrayFrames(np.zeros((n_frames, 64, 64), dtype=np.float32))
    known = None if truth is None else Emitters(truth, 100.0)
    return Condition("c", frames, known, told={"pixel_size_nm": 100.0}, **more)


def gated(reduced, single, known, extras=({}, {}), most_lost=1.0):
    pair = [
        Answers(Prediction(found), {name: Prediction(other) for name, other in more.items()})
        for found, more in zip((reduced, single), extras, strict=True)
    ]
    return LOCALIZATION.gate([(*pair, known)], BARE, most_lost)


def test_a_number_format_that_localizes_as_well_counts():
    truth = spread(200)
    gate = gated(truth, truth, condition(truth))
    assert (gate.passed, gate.reason) == (True, "")
    assert gate.told == "efficiency 100.00, fp32 100.00"
    assert gate.numbers == {"efficiency": 100.0, "efficiency_fp32": 100.0, "lost_most": 0.0}
    # better than fp32 counts too
    assert gated(truth, truth.select(np.arange(200) < 150), condition(truth)).passed


def test_a_number_format_that_loses_more_than_a_point_does_not_count():
    truth = spread(200)
    # every frame of 50 loses the same 2: exactly 4 points
    lost = truth.select(np.arange(200) < 192)
    gate = gated(lost, truth, condition(truth))
    assert not gate.passed
    assert gate.reason == "it may lose 4.00 points of efficiency (at most 1)"
    assert gate.numbers["lost_most"] == pytest.approx(4)
    assert gate.numbers["efficiency"] == pytest.approx(96)
    assert gated(lost, truth, condition(truth), most_lost=4.5).passed


def test_a_number_format_with_more_false_detections_does_not_count():
    truth = spread(200)
    dark = condition(None, n_frames=10)
    known = condition(truth, extras={"signal_free": dark})
    frames = np.arange(10)
    many = table(np.full(10, 3000.0), np.full(10, 3000.0), frames, n_frames=10)
    few = Localizations.empty(n_frames=10, field_nm=many.field_nm)
    gate = gated(truth, truth, known, ({"signal_free": many}, {"signal_free": few}))
    # one in each of 10 frames of 40.96 um2
    assert not gate.passed
    assert gate.reason == "more false detections: 24.4 against 0 per 1000 um2"
    assert gate.numbers["false"] == pytest.approx(1000 / 40.96)
    assert gate.numbers["false_fp32"] == 0
    assert gated(truth, truth, known, ({"signal_free": few}, {"signal_free": many})).passed
    # in one frame of ten it may be chance
    once = table([3000.0], [3000.0], [4], n_frames=10)
    assert gated(truth, truth, known, ({"signal_free": once}, {"signal_free": few})).passed


def test_a_number_format_that_cannot_be_judged_does_not_count():
    gate = gated(spread(8), spread(8), condition(None))
    assert (gate.passed, gate.reason, gate.numbers) == (False, "no condition with true positions to be judged on", {})


class Measured(Task):
    """An answer is a list of numbers, one for each unit; their mean ranks."""

    def answer(self, *_, **__):
        raise AssertionError("not asked")

    watch = answer

    def score(self, answer, condition, scoring, extras=None):
        numbers = np.asarray(answer, dtype=float)
        known = numbers[np.isfinite(numbers)]
        return Scores({self.primary: known.mean()} if len(known) else {}, per_unit={self.primary: numbers.tolist()})


def judged(reduced, single, task="image_pairs", **more):
    return Measured(task, CATALOG).gate([(Answers(reduced), Answers(single), condition(None))], BARE, **more)


def test_by_default_the_interval_of_the_primary_must_exclude_a_loss():
    # image_pairs ranks by an error: more is worse
    steady = [0.5, 0.25, 0.75, 0.5]
    gate = judged([value + 0.125 for value in steady], steady, most_lost=0.25)
    assert (gate.passed, gate.reason, gate.told) == (True, "", "nmse_star 0.625, fp32 0.500")
    assert gate.numbers == {"nmse_star": 0.625, "nmse_star_fp32": 0.5, "lost_most": pytest.approx(0.125)}
    lost = judged([value + 0.125 for value in steady], steady, most_lost=0.0625)
    assert (lost.passed, lost.reason) == (False, "it may lose 0.125 of nmse_star (at most 0.0625)")
    assert judged([value - 0.125 for value in steady], steady, most_lost=0.0625).passed
    # the mean of the differences is 0, but single units differ so much that 0.25 may be lost
    assert not judged([1.5, 0.25, 0.75, -0.5], steady, most_lost=0.25).passed


def test_by_default_less_is_worse_where_up_is_better():
    steady = [50.0, 60.0, 55.0]
    lost = judged([value - 2 for value in steady], steady, "localization")
    assert (lost.passed, lost.told) == (False, "efficiency 53.0, fp32 55.0")
    assert lost.reason == "it may lose 2 of efficiency (at most 1)"
    assert judged([value + 2 for value in steady], steady, "localization").passed


def test_the_worst_condition_decides():
    steady, worse = [0.5, 0.25], [0.75, 0.5]
    pairs = [(Answers(one), Answers(steady), condition(None)) for one in (steady, worse)]
    gate = Measured("image_pairs", CATALOG).gate(pairs, BARE, 0.125)
    assert not gate.passed
    assert gate.numbers["lost_most"] == pytest.approx(0.25)
    assert gate.numbers["nmse_star"] == pytest.approx((0.375 + 0.625) / 2)


def test_units_without_a_number_do_not_make_a_number_format_better():
    # what is left is as good as before, or better
    gate = judged([0.5, np.nan, 0.25], [0.5, 0.75, 0.25])
    assert (gate.passed, gate.reason) == (False, "it has nmse_star for 2 units, fp32 for 3")
    assert judged([0.5, np.nan, 0.25], [0.5, np.nan, 0.25]).passed
    assert judged([0.5, 0.75, 0.25], [0.5, np.nan, 0.25], most_lost=1.0).passed


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_a_condition_without_a_number_is_no_proof_wherever_it_stands(order):
    pairs = [(Answers(one), Answers(one), condition(None)) for one in ([0.5, 0.25], [np.nan, np.nan])]
    gate = Measured("image_pairs", CATALOG).gate(pairs[order], BARE)
    assert (gate.passed, gate.reason) == (False, "it may lose nan of nmse_star (at most 0.01)")


def test_without_conditions_or_sums_a_number_format_does_not_count():
    assert Measured("image_pairs", CATALOG).gate([], BARE).reason == "no condition with a truth to be judged on"

    class Silent(Measured):
        def score(self, answer, condition, scoring, extras=None):
            return Scores({self.primary: 1.0})

    silent = Silent("image_pairs", CATALOG).gate([(Answers([1]), Answers([1]), condition(None))], BARE)
    assert (silent.passed, silent.reason) == (False, "nmse_star has no sums per unit to be compared by")


def test_the_mean_of_units_is_a_number_and_its_count():
    task = Measured("image_pairs", CATALOG)
    stored = pd.DataFrame({"nmse_star": [0.5, np.nan, 0.25], "ssim": [np.nan] * 3})
    sums = task.sums("nmse_star", stored)
    assert sums.tolist() == [[0.5, 1.0], [0.0, 0.0], [0.25, 1.0]]
    assert float(mean_of_sums(sums.sum(axis=0))) == 0.375
    assert task.sums("psnr", stored) is None
    none = task.sums("ssim", stored)
    assert none.tolist() == [[0, 0]] * 3
    assert np.isnan(mean_of_sums(none.sum(axis=0)))
    several = mean_of_sums(np.array([[3.0, 2.0], [0.0, 0.0], [4.0, 1.0]]))
    assert (several[[0, 2]].tolist(), np.isnan(several[1])) == ([1.5, 4.0], True)
    assert task.statistic("nmse_star", {}) is mean_of_sums


def test_a_task_that_writes_little_tunes_and_shows_nothing(tmp_path):
    task = Measured("image_pairs", CATALOG)
    assert task.tune([1], condition(None), BARE) == Tuned()
    assert task.at([1], {}) == [1]
    assert (task.example(condition(None)), task.panels([1], condition(None)), task.work(condition(None))) == (None,) * 3
    assert (task.write([1], tmp_path, "a"), task.read(tmp_path, "a"), task.unit([1], 0)) == ([], None, None)
    assert task.section(pd.DataFrame(), {}).columns == tuple(task.card.facts["headline"])
    with pytest.raises(ConfigError, match="task image_pairs compares no files"):
        task.compare(tmp_path / "a", tmp_path / "b", {})


def test_a_mean_needs_the_number_on_every_condition():
    one = Scores({"efficiency": 40.0, "recall": 0.5}, {}, {}, {})
    other = Scores({"efficiency": 60.0}, {"recall": "no"}, {}, {})
    assert mean_over_conditions({"a": one, "b": other}) == {"efficiency": 50.0}
    assert mean_over_conditions({"a": one}) == {"efficiency": 40.0, "recall": 0.5}
    assert mean_over_conditions({}) == {}


@pytest.mark.parametrize(
    ("settings", "drawn"),
    [
        ({}, "floor"),
        ({"label_rule": "floor"}, "floor"),
        ({"label_rule": "ds"}, "ds"),
        ({"label_rule": "linear"}, "floor"),
    ],
)
def test_the_image_of_a_network_is_compared_by_the_rule_that_it_was_taught(settings, drawn):
    class Network:
        def __init__(self):
            self.settings = {"upsampling": 2, **settings}

        def movie(self, frames, threshold, **_):
            return Prediction(Localizations.empty(n_frames=frames.n_frames, field_nm=(800.0, 800.0)))

    told = Condition("c", ArrayFrames(np.zeros((1, 8, 8), np.float32)), None, told={"pixel_size_nm": 100.0})
    answer = LOCALIZATION.answer(Network(), told)
    assert answer.label_rule == drawn
    assert answer.grid_nm == 50.0


@pytest.mark.parametrize("name", CATALOG.names("tasks"))
def test_a_gate_loses_a_hundredth_of_the_range_at_most(name):
    task = tasks.load(name, CATALOG)
    ranges = {
        metric: (facts.low, facts.high)
        for file in task.metric_files()
        for metric, facts in CATALOG.card("metrics", file).gives.items()
    }
    lost, (low, high) = float(task.card.facts.get("most_lost", MOST_LOST)), ranges[task.primary]
    assert lost <= (0.05 if high is None else 0.01 * (high - max(low or 0.0, 0.0)))


@pytest.mark.parametrize("name", CATALOG.names("tasks"))
def test_a_task_whose_outputs_are_no_tables_says_so(name):
    models = [model for model in CATALOG.names("models") if name in CATALOG.served_by(model)]
    kinds = {CATALOG.card("models", model).output for model in models}
    tabled = bool(kinds & {"raster", "gaussian_mixture", "point_set", "voxel_grid"}) and name != "image_pairs"
    assert bool(CATALOG.card("tasks", name).facts.get("keeps_table", True)) == tabled
