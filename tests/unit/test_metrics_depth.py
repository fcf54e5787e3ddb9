"""Axial numbers: what is scored in 3-D, what is not for want of z, and scores against depth."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from smlmbench.data.contracts import ArrayFrames, Condition
from smlmbench.metrics import depth, efficiency, efficiency_parts, mad, rmse
from smlmbench.metrics.evidence import Facts, gather
from smlmbench.metrics.pooling import SUMS
from smlmbench.predictions import Localizations, Prediction
from smlmbench.registry import Catalog
from smlmbench.run.cells.evaluation import Evaluation
from smlmbench.run.cells.logging import log_evaluation
from smlmbench.study.schema import Scoring
from smlmbench.tasks import load
from smlmbench.tasks.contracts.gating import Answers
from smlmbench.tasks.localization.tuning import choose_threshold
from smlmbench.truths.emitters import Emitters

SIDE = 6400.0
DEEP = Facts(three_d=True)
TASK = load("localization", Catalog())
NO_Z = "the found table has no z: scored in 2-D"


def table(x_nm, z_nm, n_frames=1, **columns):
    rows = {"frame": np.zeros(len(x_nm), int), "x_nm": x_nm, "y_nm": np.full(len(x_nm), 3000.0), "z_nm": z_nm}
    return Localizations.of(rows | columns, n_frames=n_frames, field_nm=(SIDE, SIDE))


def test_efficiency_in_3d_is_the_mean_of_its_parts():
    # 60 of 100 emitters found, 30 nm off laterally and 60 nm axially: the standard's case, 50 and 50
    frame, x_nm = np.arange(100), np.full(100, 3000.0)
    truth = table(x_nm, np.zeros(100), 100, frame=frame)
    found = table(x_nm[:60] + 30, np.full(60, 60.0), 100, frame=frame[:60])
    evidence = gather(found, truth, facts=DEEP)
    assert efficiency_parts.measure(evidence) == {
        "efficiency_lateral": pytest.approx(50.0),
        "efficiency_axial": pytest.approx(50.0),
    }
    # 120 nm axially: 100 - sqrt(40^2 + 60^2)
    evidence = gather(dataclasses.replace(found, z_nm=np.full(60, 120.0)), truth, facts=DEEP)
    axial = 100 - np.hypot(40, 60)
    assert efficiency_parts.measure(evidence)["efficiency_axial"] == pytest.approx(axial)
    assert efficiency.measure(evidence) == {"efficiency": pytest.approx((50 + axial) / 2)}
    flat = efficiency_parts.measure(gather(found, truth))
    assert flat == {"efficiency_lateral": pytest.approx(50.0), "efficiency_axial": "scored in 2-D"}


def test_mean_absolute_errors_are_summed_over_the_lateral_axes():
    truth, found = table([1000.0, 3000.0], [0.0, 0.0]), table([1030.0, 2990.0], [-40.0, 100.0])
    found = dataclasses.replace(found, y_nm=np.array([2980.0, 3000.0]))
    answers = mad.measure(gather(found, truth, facts=DEEP))
    assert answers == {"mad_nm": pytest.approx((30 + 20 + 10) / 2), "mad_axial_nm": pytest.approx(70.0)}
    assert mad.measure(gather(found, truth))["mad_axial_nm"] == "scored in 2-D"
    none = mad.measure(gather(table([], []), truth))
    assert none == {"mad_nm": "no detection was matched", "mad_axial_nm": "scored in 2-D"}


def test_a_table_without_z_is_scored_in_2d_on_a_truth_with_depth():
    truth, found = table([1000.0, 3000.0], [-400.0, 300.0]), table([1030.0, 3000.0], [np.nan, np.nan])
    evidence = gather(found, truth, facts=DEEP)
    assert efficiency.measure(evidence) == {"efficiency": pytest.approx(100 - np.sqrt(900 / 2))}
    assert efficiency_parts.measure(evidence)["efficiency_axial"] == NO_Z
    assert rmse.measure(evidence) == {"rmse_nm": pytest.approx(np.sqrt(900 / 2)), "rmse_axial_nm": NO_Z}
    assert mad.measure(evidence)["mad_axial_nm"] == NO_Z
    assert np.isnan(evidence.sums[:, [SUMS.index("axial_sq"), SUMS.index("dz")]]).all()
    back = gather(truth, dataclasses.replace(truth, z_nm=np.full(2, np.nan)), facts=DEEP)
    assert rmse.measure(back)["rmse_axial_nm"] == "the true table has no z: scored in 2-D"
    # some rows without z stay what they are in 3-D: without a partner
    some = dataclasses.replace(truth, z_nm=np.array([np.nan, 300.0]))
    assert gather(some, truth, facts=DEEP).matches.n_matched == 1
    # no row at all is no table without z
    assert gather(table([], []), truth, facts=DEEP).facts.three_d


def test_what_is_stored_of_a_table_without_z_knows_it():
    rng, n = np.random.default_rng(2), 300
    x_nm, frame = rng.uniform(600, 5800, n), np.sort(rng.integers(0, 8, n))
    truth = table(x_nm, rng.uniform(-400, 400, n), 8, frame=frame, photons=np.full(n, 900.0))
    truth = dataclasses.replace(truth, y_nm=rng.uniform(600, 5800, n))
    found = dataclasses.replace(truth, x_nm=x_nm + 20, z_nm=np.full(n, np.nan), probability=np.ones(n)).select(
        frame < 7
    )
    movie = ArrayFrames(np.zeros((8, 64, 64), np.float32))
    known = Condition("c", movie, Emitters(truth), facts={"three_d": 1.0}, told={"pixel_size_nm": 100.0})
    scoring = Scoring(border_nm=0.0)
    scores = TASK.score(Prediction(found, None, 100.0), known, scoring)
    expected = scores.values["efficiency"]
    assert expected == pytest.approx(scores.values["efficiency_lateral"])
    assert scores.reasons["efficiency_axial"] == NO_Z
    sums = TASK.sums("efficiency", pd.DataFrame(dict(scores.per_unit)))
    for name in ("efficiency", "efficiency_lateral", "jaccard", "rmse_nm"):
        assert float(TASK.statistic(name, known.facts)(sums.sum(axis=0))) == pytest.approx(scores.values[name]), name
    assert np.isnan(TASK.statistic("efficiency_axial", known.facts)(sums.sum(axis=0)))
    assert choose_threshold(found, known, scoring).reached == pytest.approx(expected)
    judged = TASK.gate([(Answers(Prediction(found)), Answers(Prediction(found)), known)], scoring)
    assert judged.numbers["efficiency"] == pytest.approx(expected)
    low, high = scores.intervals["efficiency"]
    assert low < expected < high


def test_profiles_are_stored_with_the_numbers():
    truth = table(np.linspace(600, 5800, 20), np.linspace(-400, 400, 20), photons=np.linspace(500, 900, 20))
    movie = ArrayFrames(np.zeros((1, 64, 64), np.float32))
    known = Condition("c", movie, Emitters(truth), facts={"three_d": 1.0}, told={"pixel_size_nm": 100.0})
    answer = Prediction(truth, None, 100.0)
    scores = TASK.score(answer, known, Scoring())
    stored = {}
    run = SimpleNamespace(log_dict=lambda content, name: stored.update({name: content}))
    for name in ("log_metrics", "log_text", "log_artifact", "log_image", "log_bytes"):
        setattr(run, name, lambda *_, **__: None)
    log_evaluation(run, Evaluation(tests={"c": scores}, answers={"c": answer}), {"c": known}, Scoring(), TASK)
    profiles = json.loads(json.dumps(stored["metrics.json"], allow_nan=False))["test"]["c"]["profiles"]
    assert set(profiles) == {"brightness", "z"}
    assert profiles["z"]["recall"] == [1.0] * 10
    assert profiles["brightness"]["brightness_to"][-1] == 900


def test_scores_against_depth_by_hand():
    # 10 emitters in each of 10 bins of 100 nm from -500 to 500 nm; found from -300 to 300 nm, worse above 200 nm
    z_nm = np.repeat(np.linspace(-450, 450, 10), 10)
    z_nm[[0, -1]] = -500.0, 500.0
    x_nm = np.full(100, 3000.0)
    frame = np.arange(100)
    truth = table(x_nm, z_nm, 100, frame=frame)
    inner = np.abs(z_nm) < 300
    inner[10:14] = True  # 4 of 10 in the bin of -350 nm
    found = table(x_nm + np.where(z_nm > 200, 70.0, 10.0), z_nm, 100, frame=frame).select(inner)
    answers = depth.measure(gather(found, truth, facts=DEEP))
    assert answers["z_range_recall_nm"] == pytest.approx(600)
    assert answers["z_range_rmse_nm"] == pytest.approx(600)  # the bin of -350 nm has it, that of 250 nm not
    assert answers["recall_deepest_tenths"] == 0.0
    assert answers["rmse_nm_deepest_tenths"] == "no detection was matched at the ends of the depth"
    drawn = depth.profile(gather(found, truth, facts=DEEP))["z"]
    assert drawn["z_nm_from"][0] == -500
    assert drawn["z_nm_to"][-1] == 500
    assert drawn["emitters"] == [10.0] * 10
    assert drawn["recall"] == [0, 0.4, 1, 1, 1, 1, 1, 1, 0, 0]
    assert drawn["rmse_nm"][0] is None
    assert drawn["rmse_nm"][7] == pytest.approx(70.0)
    assert "rmse_axial_nm" in drawn
    assert "rmse_axial_nm" not in depth.profile(gather(found, truth))["z"]
    # both ends count, and nothing between
    ends = depth.measure(gather(table(x_nm[85:], z_nm[85:], 100, frame=frame[85:]), truth))
    assert ends["recall_deepest_tenths"] == 0.5
    assert ends["rmse_nm_deepest_tenths"] == 0.0
    # a table without z has them too
    without = dataclasses.replace(found, z_nm=np.full(len(found), np.nan))
    assert depth.measure(gather(without, truth, facts=DEEP)) == answers


def test_scores_against_depth_have_reasons():
    truth = table([1000.0, 3000.0], [np.nan, np.nan])
    assert set(depth.measure(gather(truth, truth)).values()) == {"the true table has no z"}
    level = table([1000.0, 3000.0], [20.0, 20.0])
    assert set(depth.measure(gather(level, level)).values()) == {"all true emitters are at one depth"}
    assert depth.profile(gather(level, level)) == {}
