"""Labels, class scores, their loss and their numbers, by hand."""

import math

import numpy as np
import pytest
import torch

from smlmbench.data.contracts import ArrayFrames, Batch, Condition
from smlmbench.errors import ConfigError, FormatError, SizeError
from smlmbench.losses import cross_entropy
from smlmbench.metrics import accuracy, calibration_error
from smlmbench.metrics.classified import Classified, counts_of, kept_by_wrong, macro_f1
from smlmbench.outputs import classes
from smlmbench.predictions import ClassScores
from smlmbench.registry import Catalog
from smlmbench.study.schema import Scoring
from smlmbench.tasks import load
from smlmbench.tasks.classification.answers import Answer, evidence_of, log_loss, read_answer, write_answer
from smlmbench.tasks.classification.rejecting import choose, profiles
from smlmbench.truths.labels import Labelled, Labels

NAMES = {"classes": ["red", "green"]}


def labels(*index, names=("red", "green")):
    return Labels(names, np.array(index), np.linspace(100, 1000, len(index)))


def condition(truth):
    return Condition("test", ArrayFrames(np.ones((len(truth), 1, 4), dtype=np.float32), axes=1), truth)


def answer(scores, names=("red", "green")):
    return Answer(ClassScores(np.array(scores, dtype=np.float32), names))


def classified(true, said, scores=None, level=math.nan, n=2):
    scores = np.ones(len(true)) if scores is None else np.array(scores)
    return Classified(np.array(true), np.array(said), scores, np.full(len(true), 500.0), n, level)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"classes": ("red",)}, "at least two different"),
        ({"classes": ("red", "red")}, "at least two different"),
        ({"index": np.array([0, 2])}, "numbered 0 to 2; accepted: 0 to 1, -1 for strangers"),
        ({"photons": np.ones(3)}, "2 classes and 3 photons"),
        ({"templates": np.ones((3, 1, 4))}, "3 templates for 2 classes"),
    ],
)
def test_labels_that_fit_nothing_are_refused(changed, words):
    given = {"classes": ("red", "green"), "index": np.array([0, 1]), "photons": np.ones(2)} | changed
    with pytest.raises(SizeError, match=words):
        Labels(**given)


def test_targets_are_one_for_the_class_and_equal_for_strangers():
    batch = Batch(torch.zeros(3, 1, 4), Labelled(torch.tensor([1, 0, -1])))
    share = classes.targets(batch, NAMES)["share"]
    assert share.tolist() == [[0, 1], [1, 0], [0.5, 0.5]]
    with pytest.raises(ConfigError, match="learns labels, not str"):
        classes.targets(Batch(torch.zeros(1, 1, 4), "words"), NAMES)
    with pytest.raises(ConfigError, match="at least two classes, got 0"):
        classes.targets(batch, {})


def test_scores_are_the_softmax_of_raw_output():
    found = classes.decode(torch.tensor([[0.0, math.log(3)], [800.0, 0.0]]), NAMES, math.nan)
    np.testing.assert_allclose(found.scores, [[0.25, 0.75], [1, 0]], atol=1e-6)
    assert found.classes == ("red", "green")
    with pytest.raises(SizeError, match="no score for each of 2"):
        classes.decode(torch.zeros(2, 3), NAMES, math.nan)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_that_of_torch(smoothing):
    raw, index = torch.randn(7, 3, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 1, 2, 1, 1, 0, 2])
    share = torch.nn.functional.one_hot(index, 3).float()
    loss = cross_entropy.build({"smoothing": smoothing}, {})
    wanted = torch.nn.functional.cross_entropy(raw, index, label_smoothing=smoothing)
    assert float(loss(raw, {"share": share})["loss"]) == pytest.approx(float(wanted), rel=1e-6)


def test_the_best_answer_to_a_stranger_is_no_choice():
    loss, stranger = cross_entropy.build({"smoothing": 0.0}, {}), {"share": torch.full((1, 2), 0.5)}
    undecided, sure = (float(loss(torch.tensor([raw]), stranger)["loss"]) for raw in ([0.0, 0.0], [3.0, -3.0]))
    assert undecided == pytest.approx(math.log(2))
    assert undecided < sure


def test_macro_f1_by_hand_leaves_strangers_and_absent_classes_out():
    # class 0: 2 hits, said 3 times, true 3 times; class 1: 1, 2, 2; class 2 never occurs
    true, said = np.array([0, 0, 0, 1, 1, -1]), np.array([0, 0, 1, 1, 0, 1])
    counts = counts_of(true, said, 3)
    assert counts.sum(axis=0).tolist() == [2, 1, 0, 3, 2, 0, 3, 2, 0]
    assert float(macro_f1(counts.sum(axis=0))) == pytest.approx(100 * (2 * 2 / 6 + 2 * 1 / 4) / 2)
    assert math.isnan(float(macro_f1(np.zeros(9))))


def test_what_is_kept_counts_ties_together():
    levels, kept, wrong = kept_by_wrong(np.array([True, False, True, True]), np.array([0.9, 0.6, 0.6, 0.5]))
    assert levels.tolist() == [0.9, 0.6, 0.5]
    assert kept.tolist() == [0.25, 0.75, 1.0]
    np.testing.assert_allclose(wrong, [0, 1 / 3, 1 / 4])


def test_numbers_of_kept_units_by_hand():
    found = accuracy.measure(classified([0, 0, 1, 1, -1], [0, 1, 1, 1, 0], [0.9, 0.6, 0.8, 0.7, 0.75], level=0.7))
    assert found["accuracy"] == pytest.approx(75)
    assert found["coverage"] == pytest.approx(75)
    assert found["accuracy_kept"] == pytest.approx(100)
    assert found["strangers_kept"] == pytest.approx(100)
    assert found["accuracy_at_90"] == pytest.approx(75)
    assert found["utilisation_at_1"] == pytest.approx(40)  # the third by its score is a stranger
    never = accuracy.measure(classified([0, 1], [0, 1]))
    assert never["coverage"] == "the row has no reject level"
    assert never["utilisation_at_1"] == pytest.approx(100)


def test_the_calibration_error_is_the_gap_of_scores_and_hits():
    right = calibration_error.measure(classified([0] * 4, [0, 0, 0, 1], [0.75] * 4))
    assert right["ece"] == pytest.approx(0)
    boasting = calibration_error.measure(classified([0] * 4, [0, 0, 1, 1], [0.95] * 4))
    assert boasting["ece"] == pytest.approx(45)


@pytest.mark.parametrize("module", [accuracy, calibration_error])
def test_without_truth_or_known_units_there_are_reasons(module):
    assert set(module.measure(None).values()) == {"there is no truth"}
    strangers = module.measure(classified([-1, -1], [0, 1]))
    assert all(isinstance(value, str) for name, value in strangers.items() if name != "utilisation_at_1")


def test_the_level_keeps_as_much_as_one_percent_of_wrong_allows():
    right = np.ones(400, dtype=bool)
    right[[120, 250, 300, 350, 360, 370]] = False  # the level lies behind the third wrong one of 300 and more
    scores = np.column_stack([np.linspace(1, 0.5, 400), np.zeros(400)])
    truth = labels(*np.where(right, 0, 1))
    chosen = choose(answer(scores), condition(truth))
    kept = scores[:, 0] >= chosen.settings["reject"]
    assert (~right[kept]).mean() <= 0.01
    assert kept.sum() == 350  # three wrong ones of 350; the next would be the fourth of 351
    assert chosen.how["reject_rule"] == "at most 1 % of the kept are wrong"


def test_where_nothing_is_clean_the_cleanest_tenth_or_more_is_kept():
    scores = np.column_stack([np.linspace(1, 0.5, 40), np.zeros(40)])
    truth = labels(*([1] * 4 + [0, 1] * 18))
    chosen = choose(answer(scores), condition(truth))
    assert "nowhere 1 % wrong" in chosen.how["reject_rule"]
    assert (scores[:, 0] >= chosen.settings["reject"] - 1e-6).mean() >= 0.1


def test_a_stated_level_is_not_chosen():
    stated = Answer(answer([[0.9, 0.1]]).scores, stated=0.8)
    assert choose(stated, condition(labels(0))).settings == {"reject": 0.8}


def test_classes_are_matched_by_their_names():
    truth = labels(0, 1, 1)
    turned = answer([[0.1, 0.9], [0.8, 0.2], [0.2, 0.8]], names=("green", "red"))
    found = evidence_of(turned, condition(truth))
    assert found.right.tolist() == [True, True, False]
    other = evidence_of(answer([[0.1, 0.9]] * 3, names=("red", "blue")), condition(truth))
    assert (other.classes, other.said.tolist()) == (3, [2, 2, 2])
    assert not other.right.any()


def test_scores_that_are_no_numbers_say_nothing():
    found = evidence_of(answer([[np.nan, 0.5], [0.9, 0.1]]), condition(labels(0, 0)))
    assert found.said.tolist() == [-1, 0]
    watched = load("classification", Catalog()).watch(
        answer([[np.nan, 0.5], [0.9, 0.1]]), condition(labels(0, 0)), Scoring()
    )
    assert math.isnan(watched.mass)
    assert math.isfinite(watched.score)


def test_scores_of_another_number_of_units_are_refused():
    with pytest.raises(FormatError, match="1 x 2 for 2 units"):
        evidence_of(answer([[0.5, 0.5]]), condition(labels(0, 1)))


def test_surer_answers_win_where_macro_f1_is_equal():
    task, truth = load("classification", Catalog()), condition(labels(0, 1))
    unsure, sure = (task.watch(answer([[one, 1 - one], [1 - one, one]]), truth, Scoring()) for one in (0.6, 0.9))
    assert sure.numbers["macro_f1"] == unsure.numbers["macro_f1"] == 100
    assert sure.score > unsure.score
    assert log_loss(answer([[0.5, 0.5], [0.25, 0.75]]), truth) == pytest.approx(-(math.log(0.5) + math.log(0.75)) / 2)


def test_profiles_count_every_unit_once():
    made = profiles(classified([0, 1, 1, -1], [0, 0, 1, 1], [0.9, 0.5, 0.9, 0.4], level=0.6))
    cells = list(zip(*(made["confusion"][name] for name in ("true", "said", "units", "kept")), strict=True))
    assert [cell for cell in cells if cell[2] or cell[3]] == [
        (-1, -1, 0, 1), (-1, 1, 1, 0), (0, 0, 1, 1), (1, -1, 0, 1), (1, 0, 1, 0), (1, 1, 1, 1)
    ]  # fmt: skip
    binned = profiles(classified([0, 1], [0, 0]))
    assert "by_photons" not in binned  # all have the same
    many = Classified(np.zeros(80, dtype=int), np.repeat([1, 0], 40), np.ones(80), np.linspace(1, 80, 80), 2)
    by_photons = profiles(many)["by_photons"]
    assert sum(by_photons["units"]) == 80
    assert by_photons["accuracy"] == [0.0] * 4 + [100.0] * 4


def test_an_answer_comes_back_from_its_table(tmp_path):
    given = answer([[0.25, 0.75], [np.nan, np.nan], [0.55, 0.45]]).rejecting(0.6)
    path = write_answer(given, tmp_path / "a.csv", {"frame": [3, 4, 5]})
    again = read_answer(path)
    np.testing.assert_allclose(again.scores.scores, given.scores.scores)
    assert (again.level, again.scores.classes) == (0.6, ("red", "green"))
    text = path.read_text().splitlines()
    assert text[0] == "unit,frame,class,score,reject_below,score_red,score_green"
    assert [line.split(",")[2] for line in text[1:]] == ["green", "", "rejected"]
    (tmp_path / "b.csv").write_text("x\n1\n")
    with pytest.raises(FormatError, match="no scores of classes"):
        read_answer(tmp_path / "b.csv")


def test_two_rows_are_compared_by_their_units():
    task, truth = load("classification", Catalog()), condition(labels(0, 1, 0, 1))
    import pandas as pd

    scored = task.score(answer([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]).rejecting(0.7), truth, Scoring())
    units = pd.DataFrame(dict(scored.per_unit))
    for name in ("macro_f1", "accuracy", "coverage", "accuracy_kept"):
        sums = task.sums(name, units)
        assert float(task.statistic(name, {})(sums.sum(axis=0))) == scored.values[name]
    assert scored.intervals["macro_f1"][0] <= scored.values["macro_f1"] <= scored.intervals["macro_f1"][1]
