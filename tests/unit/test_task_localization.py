import math

import numpy as np
import pytest
import torch

from smlmbench.conformance import examples
from smlmbench.data.contracts import ArrayFrames, Condition
from smlmbench.inference.engine import ReadOut, predict
from smlmbench.metrics.pooling import SUMS
from smlmbench.metrics.ratios import efficiency
from smlmbench.outputs import raster
from smlmbench.predictions import Localizations, Prediction, Raster
from smlmbench.registry import Catalog
from smlmbench.study.schema import Scoring
from smlmbench.tasks import localization
from smlmbench.tasks.localization import ImageRule, choose_threshold, mass_ratio, mean_over_conditions, score
from smlmbench.tasks.values import Scores

CATALOG = Catalog()
BARE = Scoring(border_nm=0)
RULE = ImageRule(50.0)
SIDE_PX = 64


def table(x_nm, y_nm, frame=None, *, n_frames=4, **columns):
    frame = np.zeros(len(x_nm)) if frame is None else frame
    side_nm = SIDE_PX * 100.0
    return Localizations.of(
        {"frame": frame, "x_nm": x_nm, "y_nm": y_nm, **columns}, n_frames=n_frames, field_nm=(side_nm, side_nm)
    )


def condition(truth, *, n_frames=4, **changes):
    frames = ArrayFrames(np.zeros((n_frames, SIDE_PX, SIDE_PX), dtype=np.float32))
    given = {"name": "c", "pixel_size_nm": 100.0, "min_photons": 100.0, "digest": "d"}
    return Condition(frames=frames, truth=truth, **given | changes)


def spread(count, n_frames=4):
    """Emitters at least 600 nm apart, a tenth of them in a row, over all frames."""
    number = np.arange(count)
    frame, place = number % n_frames, number // n_frames
    return table(500 + 600.0 * (place % 10), 500 + 600.0 * (place // 10), frame, photons=np.full(count, 1000.0))


def candidates(truth, true_scores, false_scores):
    """The truth at its own places, and detections 300 nm beside it, with these scores."""
    true_scores, false_scores = np.asarray(true_scores, float), np.asarray(false_scores, float)
    number = np.arange(len(false_scores)) % len(truth)
    return table(
        np.concatenate([truth.x_nm[: len(true_scores)], truth.x_nm[number] + 300]),
        np.concatenate([truth.y_nm[: len(true_scores)], truth.y_nm[number]]),
        np.concatenate([truth.frame[: len(true_scores)], truth.frame[number]]),
        probability=np.concatenate([true_scores, false_scores]),
    )


def test_the_threshold_is_the_middle_of_the_gap_between_right_and_wrong():
    truth = spread(200)
    found = candidates(truth, np.linspace(0.8, 1.0, 200), np.linspace(0.05, 0.4, 400))
    for steps in (50, 16):
        chosen = choose_threshold(found, condition(truth), BARE, steps)
        assert chosen.value == pytest.approx(0.6, abs=0.03)
        assert chosen.reached == 100.0
        assert chosen.tried == sorted(chosen.tried)
        assert len(chosen.tried) == len(chosen.curve)
        assert max(chosen.curve) == 100.0


def test_the_threshold_is_the_middle_of_the_plateau_not_the_peak():
    # One false detection at 0.8 costs 0.1 point of 1000 emitters, so the plateau reaches from 0.3 to 0.9.
    truth = spread(1000, n_frames=20)
    truth = table(truth.x_nm, truth.y_nm, truth.frame, n_frames=20, photons=truth.photons)
    found = candidates(truth, np.linspace(0.9, 1.0, 1000), [*np.linspace(0.05, 0.3, 200), 0.8])
    chosen = choose_threshold(found, condition(truth, n_frames=20), BARE)
    assert chosen.value == pytest.approx(0.6, abs=0.03)
    assert chosen.reached == pytest.approx(100 - 100 / 1001)


def test_a_plateau_ends_where_it_is_interrupted(monkeypatch):
    # Efficiency against the lowest score that is kept: good below 0.3 and from 0.5 on, where it is best.
    def curve(found, condition, scoring):
        lowest = found.probability.min(initial=2.0)
        return 90.0 if lowest < 0.3 else 80.0 if lowest < 0.5 else 90.1

    monkeypatch.setattr(localization, "_efficiency", curve)
    truth = spread(100)
    found = table(truth.x_nm, truth.y_nm, truth.frame, probability=np.linspace(0.1, 0.9, 100))
    chosen = choose_threshold(found, condition(truth), BARE)
    assert chosen.reached == 90.1
    # From 0.5 to the last quantile that is tried, 98 % of 0.1 to 0.9.
    assert chosen.value == pytest.approx((0.5 + 0.884) / 2, abs=0.02)


def test_without_candidates_or_truth_the_lowest_threshold_is_kept():
    lowest = localization.candidates_threshold()
    nothing = Localizations.empty(n_frames=4, field_nm=(6400, 6400))
    assert choose_threshold(nothing, condition(spread(8)), BARE).value == lowest
    found = candidates(spread(8), np.ones(8), [])
    without = choose_threshold(found, condition(None), BARE)
    assert (without.value, without.reached, without.tried) == (lowest, 0.0, [])


def test_a_threshold_that_keeps_nothing_is_better_than_only_wrong_detections():
    found = table(np.full(40, 3000.0), np.full(40, 3300.0), probability=np.linspace(0.1, 0.5, 40))
    assert choose_threshold(found, condition(spread(4)), BARE).reached <= 0


def test_a_perfect_table_has_full_marks():
    truth = spread(40)
    scores = score(Prediction(table=truth), condition(truth), RULE, Scoring(), CATALOG)
    assert scores.values["efficiency"] == 100.0
    assert (scores.values["jaccard"], scores.values["rmse_nm"]) == (1.0, 0.0)
    assert scores.intervals == {"efficiency": (100.0, 100.0)}
    assert "scored in 2-D" in scores.reasons["rmse_axial_nm"]
    assert scores.reasons["false_per_1000um2"] == "the condition has no signal-free frames"
    assert set(scores.values).isdisjoint(scores.reasons)
    assert all(math.isfinite(value) for value in scores.values.values())


def test_the_sums_of_frames_give_the_pooled_number_and_its_interval():
    truth = spread(200)
    found = candidates(truth, np.ones(170), np.ones(20))
    found = table(found.x_nm + 20, found.y_nm, found.frame)
    scores = score(Prediction(table=found), condition(truth), RULE, BARE, CATALOG)
    assert list(scores.per_frame) == list(SUMS)
    assert {len(column) for column in scores.per_frame.values()} == {4}
    sums = np.array([scores.per_frame[name] for name in SUMS]).sum(axis=1)
    assert dict(zip(SUMS, sums, strict=True))["tp"] == 170
    # Jaccard 170 / (170 + 20 + 30), every pair 20 nm off.
    expected = 100 - math.hypot(100 * 50 / 220, 20)
    assert scores.values["efficiency"] == pytest.approx(expected)
    assert float(efficiency(sums)) == pytest.approx(expected)
    low, high = scores.intervals["efficiency"]
    assert low <= expected <= high
    assert low < high


def test_false_detections_are_counted_on_the_signal_free_frames():
    truth = spread(8)
    dark = condition(truth, signal_free=np.zeros((10, SIDE_PX, SIDE_PX), np.float32))
    # 10 frames of 6.4 x 6.4 um.
    scores = score(Prediction(table=truth), dark, RULE, BARE, CATALOG, spread(8))
    assert scores.values["false_per_1000um2"] == pytest.approx(1000 * 8 / 409.6)
    assert "false_per_1000um2" in score(Prediction(table=truth), dark, RULE, BARE, CATALOG).reasons


def test_without_truth_every_number_has_a_reason():
    scores = score(Prediction(table=spread(8)), condition(None), RULE, BARE, CATALOG)
    assert scores.values == {}
    assert (scores.intervals, scores.per_frame) == ({}, {})
    assert scores.reasons["efficiency"] == "the condition has no true positions"
    assert scores.reasons["nmse_star"]
    empty = score(Prediction(), condition(spread(8)), RULE, BARE, CATALOG)
    assert empty.reasons["efficiency"] == "this row gives no table of localizations"
    assert empty.reasons["nmse_star"] == "this row gives no image"


def test_an_image_alone_has_image_scores_on_its_own_grid():
    truth = spread(8)
    grid = Raster(np.zeros((1, 128, 128), np.float32), 50.0)
    grid.values[0, (truth.y_nm // 50).astype(int), (truth.x_nm // 50).astype(int)] = 7.0
    scores = score(Prediction(image=grid), condition(truth), ImageRule(12.5), BARE, CATALOG)
    assert scores.values["nmse_star"] == pytest.approx(0, abs=1e-9)
    assert scores.reasons["efficiency"] == "this row gives no table of localizations"
    assert scores.per_frame == {}


def test_emitters_lost_in_their_own_background_are_neutral():
    # 2 sigma of the background under a PSF of 1.3 px: about 2 sqrt(4 pi 1.69 b), 9 photons at b = 1 and 922 at 10,000.
    truth = table([1000.0, 3000.0], [1000.0, 3000.0], photons=[500.0, 500.0], background_photons=[1.0, 10_000.0])
    found = table([1000.0], [1000.0])
    known = score(Prediction(table=found), condition(truth, psf_sigma_nm=130.0), RULE, BARE, CATALOG)
    assert known.values["recall"] == 1.0
    unknown = score(Prediction(table=found), condition(truth), RULE, BARE, CATALOG)
    assert unknown.values["recall"] == 0.5


@pytest.mark.parametrize("upsampling", [2, 4, 8])
def test_the_target_of_the_raster_is_a_perfect_answer(upsampling):
    batch = examples.batch(frames=3, side_px=32, seed=2)
    settings = {
        **CATALOG.card("outputs", "raster").fill("raster", {"upsampling": upsampling}),
        "pixel_size_nm": batch.pixel_size_nm,
    }
    spikes = raster.targets(batch, settings)["spikes"]
    frames = ArrayFrames(batch.frames[:, 0].numpy())
    prediction = predict(
        frames, lambda block: spikes[: len(block)], ReadOut(raster, settings, 0.5), device=torch.device("cpu"), batch=64
    )
    columns = {"frame": batch.sample, "x_nm": batch.x_nm, "y_nm": batch.y_nm, "photons": batch.photons}
    columns = {name: column.numpy() for name, column in columns.items()}
    truth = Localizations.of(columns, n_frames=3, field_nm=(3200.0, 3200.0))
    own = Condition("c", frames, truth, 100.0, 100.0, "d")
    fine_nm = 100.0 / upsampling
    scores = score(prediction, own, ImageRule(fine_nm), Scoring(), CATALOG)
    assert scores.values["jaccard"] == 1.0
    # A spike says no more than its pixel: at most half a diagonal off.
    assert 0 < scores.values["rmse_nm"] <= fine_nm / math.sqrt(2)
    assert scores.values["nmse_star"] == pytest.approx(0, abs=1e-6)
    assert mass_ratio(float(prediction.image.values.sum()), own) == pytest.approx(1.0)


def test_the_mass_ratio_is_over_the_number_of_emitters():
    assert mass_ratio(5.0, condition(spread(20))) == 0.25
    assert mass_ratio(5.0, condition(None)) == 1.0
    assert mass_ratio(0.0, condition(Localizations.empty(n_frames=4, field_nm=(1.0, 1.0)))) == 1.0


def test_a_mean_needs_the_number_on_every_condition():
    one = Scores({"efficiency": 40.0, "recall": 0.5}, {}, {}, {})
    other = Scores({"efficiency": 60.0}, {"recall": "no"}, {}, {})
    assert mean_over_conditions({"a": one, "b": other}) == {"efficiency": 50.0}
    assert mean_over_conditions({"a": one}, ["recall", "psnr"]) == {"recall": 0.5}
    assert mean_over_conditions({}) == {}


def test_a_metric_file_of_the_users_own_is_measured(tmp_path):
    path = tmp_path / "metrics" / "mine.py"
    path.parent.mkdir()
    card = {
        "version": 1,
        "summary": "Mine",
        "tasks": ["localization"],
        "gives": {name: {"direction": "none", "help": name} for name in ("rows", "nothing")},
    }
    answer = "{'rows': len(evidence.found), 'nothing': float('nan')}"
    path.write_text(f"CARD = {card!r}\ndef measure(evidence):\n    return {answer}\n")
    truth = spread(8)
    scores = score(Prediction(table=truth), condition(truth), RULE, BARE, Catalog([path]))
    assert scores.values["rows"] == 8.0
    assert scores.reasons["nothing"] == "the number is not finite"
