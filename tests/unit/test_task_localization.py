import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from smlmbench import tasks
from smlmbench.conformance import examples
from smlmbench.data.contracts import ArrayFrames, Condition
from smlmbench.errors import ConfigError, FormatError
from smlmbench.inference.engine import ReadOut, predict
from smlmbench.metrics.pooling import SUMS
from smlmbench.metrics.ratios import efficiency
from smlmbench.outputs import raster
from smlmbench.predictions import Localizations, Prediction, Raster
from smlmbench.registry import Catalog
from smlmbench.study.schema import Scoring
from smlmbench.tasks.contracts.gating import Answers
from smlmbench.tasks.localization import choose_threshold, tuning
from smlmbench.tasks.localization.tuning import LOWEST_SCORE
from smlmbench.truths.emitters import Emitters
from smlmbench.truths.target_images import TargetImages

CATALOG = Catalog()
TASK = tasks.load("localization", CATALOG)
BARE = Scoring(border_nm=0)
FIRST = Scoring(protocol="smlmbench-1", border_nm=0)
SIDE_PX = 64


def table(x_nm, y_nm, frame=None, *, n_frames=4, **columns):
    frame = np.zeros(len(x_nm)) if frame is None else frame
    side_nm = SIDE_PX * 100.0
    return Localizations.of(
        {"frame": frame, "x_nm": x_nm, "y_nm": y_nm, **columns}, n_frames=n_frames, field_nm=(side_nm, side_nm)
    )


def condition(truth, *, n_frames=4, **changes):
    frames = ArrayFrames(np.zeros((n_frames, SIDE_PX, SIDE_PX), dtype=np.float32))
    known = Emitters(truth, 100.0) if isinstance(truth, Localizations) else truth
    return Condition(**{"name": "c", "frames": frames, "truth": known, "told": {"pixel_size_nm": 100.0}} | changes)


def score(prediction, condition, scoring=BARE, extras=None, task=TASK):
    return task.score(dataclasses.replace(prediction, grid_nm=50.0), condition, scoring, extras)


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
        chosen = choose_threshold(found, condition(truth), FIRST, steps)
        assert chosen.settings["threshold"] == pytest.approx(0.6, abs=0.03)
        assert chosen.reached == 100.0
        assert chosen.tried == sorted(chosen.tried)
        assert len(chosen.tried) == len(chosen.curve)
        assert max(chosen.curve) == 100.0


def test_the_threshold_is_the_middle_of_the_plateau_not_the_peak():
    # One false detection at 0.8 costs 0.1 point of 1000 emitters, so the plateau reaches from 0.3 to 0.9.
    truth = spread(1000, n_frames=20)
    truth = table(truth.x_nm, truth.y_nm, truth.frame, n_frames=20, photons=truth.photons)
    found = candidates(truth, np.linspace(0.9, 1.0, 1000), [*np.linspace(0.05, 0.3, 200), 0.8])
    chosen = choose_threshold(found, condition(truth, n_frames=20), FIRST)
    assert chosen.settings["threshold"] == pytest.approx(0.6, abs=0.03)
    assert chosen.reached == pytest.approx(100 - 100 / 1001)


def test_a_plateau_ends_where_it_is_interrupted(monkeypatch):
    # Efficiency against the lowest score that is kept: good below 0.3 and from 0.5 on, where it is best.
    def row(self, value):
        lowest = found.probability[found.probability > value].min(initial=2.0)
        return (90.0 if lowest < 0.3 else 80.0 if lowest < 0.5 else 90.1), np.zeros(0), 1.0, np.zeros(0)

    monkeypatch.setattr(tuning._Look, "_row", row)
    truth = spread(100)
    found = table(truth.x_nm, truth.y_nm, truth.frame, probability=np.linspace(0.1, 0.9, 100))
    chosen = choose_threshold(found, condition(truth), FIRST)
    assert chosen.reached == 90.1
    # From 0.5 to the last quantile that is tried, 98 % of 0.1 to 0.9.
    assert chosen.settings["threshold"] == pytest.approx((0.5 + 0.884) / 2, abs=0.02)


def test_without_candidates_or_truth_the_lowest_threshold_is_kept():
    nothing = Localizations.empty(n_frames=4, field_nm=(6400, 6400))
    assert choose_threshold(nothing, condition(spread(8)), BARE).settings == {"threshold": LOWEST_SCORE}
    found = candidates(spread(8), np.ones(8), [])
    without = choose_threshold(found, condition(None), BARE)
    assert (without.settings, without.reached, without.tried) == ({"threshold": LOWEST_SCORE}, 0.0, ())


def test_a_threshold_that_keeps_nothing_is_better_than_only_wrong_detections():
    found = table(np.full(40, 3000.0), np.full(40, 3300.0), probability=np.linspace(0.1, 0.5, 40))
    assert choose_threshold(found, condition(spread(4)), BARE).reached <= 0


def test_a_perfect_table_has_full_marks():
    truth = spread(40)
    scores = score(Prediction(table=truth), condition(truth), Scoring())
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
    scores = score(Prediction(table=found), condition(truth))
    assert list(scores.per_unit) == list(SUMS)
    assert {len(column) for column in scores.per_unit.values()} == {4}
    sums = np.array([scores.per_unit[name] for name in SUMS]).sum(axis=1)
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
    dark = condition(truth, extras={"signal_free": condition(None, n_frames=10)})
    # 10 frames of 6.4 x 6.4 um.
    scores = score(Prediction(table=truth), dark, extras={"signal_free": Prediction(table=spread(8))})
    assert scores.values["false_per_1000um2"] == pytest.approx(1000 * 8 / 409.6)
    assert "false_per_1000um2" in score(Prediction(table=truth), dark).reasons


def test_more_false_detections_are_told_from_chance_by_the_variance_of_a_sample():
    """0, 0, 1, 1 more: mean 0.5, variance 1 / 3, half an interval of 1.96 sqrt(1 / 12) = 0.57; by n it is 0.49."""

    def judged(false_frames):
        places = np.full(len(false_frames), 500.0)
        dark = table(places, places, false_frames)
        single, reduced = (
            Answers(Prediction(table=spread(8)), {"signal_free": Prediction(table=rows)})
            for rows in (table([], []), dark)
        )
        return TASK.gate([(reduced, single, condition(spread(8), extras={"signal_free": condition(None)}))], BARE)

    assert judged([2, 3]).passed, judged([2, 3]).reason
    assert "more false detections" in judged([1, 2, 3]).reason


def test_without_truth_every_number_has_a_reason():
    scores = score(Prediction(table=spread(8)), condition(None))
    assert scores.values == {}
    assert (scores.intervals, scores.per_unit) == ({}, {})
    assert scores.reasons["efficiency"] == "the condition has no true positions"
    assert scores.reasons["nmse_star"]
    empty = score(Prediction(), condition(spread(8)))
    assert empty.reasons["efficiency"] == "this row gives no table of localizations"
    assert empty.reasons["nmse_star"] == "this row gives no image"


def test_an_image_alone_has_image_scores_on_its_own_grid():
    truth = spread(8)
    grid = Raster(np.zeros((1, 128, 128), np.float32), 50.0)
    grid.values[0, (truth.y_nm // 50).astype(int), (truth.x_nm // 50).astype(int)] = 7.0
    scores = TASK.score(Prediction(image=grid, grid_nm=12.5), condition(truth), BARE)
    assert scores.values["nmse_star"] == pytest.approx(0, abs=1e-9)
    assert scores.reasons["efficiency"] == "this row gives no table of localizations"
    assert scores.per_unit == {}


def test_emitters_lost_in_their_own_background_are_neutral():
    # 2 sigma of the background under a PSF of 1.3 px: about 2 sqrt(4 pi 1.69 b), 9 photons at b = 1 and 922 at 10,000.
    truth = table([1000.0, 3000.0], [1000.0, 3000.0], photons=[500.0, 500.0], background_photons=[1.0, 10_000.0])
    found = table([1000.0], [1000.0])
    known = score(Prediction(table=found), condition(Emitters(truth, 100.0, sigma_px=1.3)))
    assert known.values["recall"] == 1.0
    unknown = score(Prediction(table=found), condition(truth))
    assert unknown.values["recall"] == 0.5


@pytest.mark.parametrize("upsampling", [2, 4, 8])
def test_the_target_of_the_raster_is_a_perfect_answer(upsampling):
    batch = examples.batch(frames=3, side_px=32, seed=2)
    taught = batch.truth
    settings = {
        **CATALOG.card("outputs", "raster").fill("raster", {"upsampling": upsampling}),
        "pixel_size_nm": taught.pixel_size_nm,
    }
    spikes = raster.targets(batch, settings)["spikes"]
    frames = ArrayFrames(batch.inputs[:, 0].numpy())
    prediction = predict(
        frames, lambda block: spikes[: len(block)], ReadOut(raster, settings, 0.5), device=torch.device("cpu"), batch=64
    )
    columns = {"frame": taught.sample, "x_nm": taught.x_nm, "y_nm": taught.y_nm, "photons": taught.photons}
    columns = {name: column.numpy() for name, column in columns.items()}
    truth = Localizations.of(columns, n_frames=3, field_nm=(3200.0, 3200.0))
    own = Condition("c", frames, Emitters(truth, 100.0), "d", told={"pixel_size_nm": 100.0})
    fine_nm = 100.0 / upsampling
    scores = TASK.score(dataclasses.replace(prediction, grid_nm=fine_nm), own, Scoring())
    assert scores.values["jaccard"] == 1.0
    # A spike says no more than its pixel: at most half a diagonal off.
    assert 0 < scores.values["rmse_nm"] <= fine_nm / math.sqrt(2)
    assert scores.values["nmse_star"] == pytest.approx(0, abs=1e-6)
    assert TASK.watch(prediction, own, Scoring()).mass == pytest.approx(1.0)


def test_the_mass_ratio_is_over_the_number_of_emitters():
    nothing = Localizations.empty(n_frames=4, field_nm=(6400.0, 6400.0))

    def mass(total, known):
        image = Raster(np.full((1, 2, 2), total / 4, np.float32), 3200.0)
        return TASK.watch(Prediction(nothing, image), known, BARE).mass

    assert mass(5.0, condition(spread(20))) == 0.25
    assert mass(5.0, condition(None)) == 1.0
    assert mass(0.0, condition(nothing)) == 1.0
    assert TASK.watch(Prediction(nothing), condition(spread(20)), BARE).mass == 1.0


def test_what_is_watched_in_training_is_the_primary_at_a_quickly_chosen_threshold():
    truth = spread(200)
    found = candidates(truth, np.linspace(0.8, 1.0, 200), np.linspace(0.05, 0.4, 400))
    watched = TASK.watch(Prediction(found), condition(truth), BARE)
    assert watched.score == watched.numbers["efficiency"] == 100.0
    assert watched.tuned == {"threshold": watched.numbers["threshold"]}
    assert watched.tuned["threshold"] == pytest.approx(0.6, abs=0.03)


def test_tuning_needs_every_candidate_and_keeps_those_above(tmp_path):
    truth = spread(200)
    found = candidates(truth, np.linspace(0.8, 1.0, 200), np.linspace(0.05, 0.4, 400))
    asked = []

    def movie(frames, threshold, *, keep_image, on_frames):
        asked.append((threshold, keep_image, on_frames))
        return Prediction(found)

    model = SimpleNamespace(movie=movie, settings={"upsampling": 4})
    answer = TASK.answer(model, condition(truth))
    chosen = TASK.tune(answer, condition(truth), BARE)
    kept = TASK.at(answer, chosen.settings)
    assert len(kept.table) == 200
    assert kept.table.probability.min() > chosen.settings["threshold"]
    TASK.answer(model, condition(truth), chosen.settings, whole=False, on_units=print)
    assert asked == [(LOWEST_SCORE, True, None), (chosen.settings["threshold"], False, print)]
    assert (answer.grid_nm, kept.grid_nm) == (25.0, 25.0)


def test_an_output_kind_without_a_table_cannot_localize():
    model = SimpleNamespace(movie=lambda *_, **__: Prediction(), settings={})
    with pytest.raises(FormatError, match="this output kind gives no table; task 'localization' needs one"):
        TASK.answer(model, condition(spread(8)))


def test_images_as_truth_are_refused():
    other = condition(TargetImages([np.zeros((2, 2), np.float32)]))
    with pytest.raises(ConfigError, match="condition 'c' has target_images, localization is scored against emitters"):
        score(Prediction(table=spread(8)), other)


def test_a_reference_is_drawn_on_the_grid_that_it_is_told_and_by_its_own_label_rule():
    class Asked(SimpleNamespace):
        def __call__(self, condition):
            return Prediction(condition.truth.table)

    plain = TASK.refer(Asked(settings={}, output={"upsampling": 8}), condition(spread(8)))
    assert (plain.grid_nm, plain.label_rule, len(plain.table)) == (12.5, "floor", 8)
    assert TASK.refer(Asked(settings={"label_rule": "ds"}, output={}), condition(spread(8))).label_rule == "ds"


def test_efficiency_in_three_dimensions_is_that_of_threshold_gate_and_score():
    # Axial errors of 100 nm cost 0.5 % each: with no other error 50 of the 100 points by the axial part.
    truth = spread(200)
    deep = dataclasses.replace(truth, z_nm=np.zeros(200))
    found = dataclasses.replace(deep, z_nm=np.full(200, 100.0), probability=np.ones(200))
    for three_d in (False, True):
        known = condition(deep, facts={"three_d": three_d})
        scored = score(Prediction(found), known).values["efficiency"]
        assert scored == pytest.approx(75.0 if three_d else 100.0)
        assert choose_threshold(found, known, BARE).reached == pytest.approx(scored)
        judged = TASK.gate([(Answers(Prediction(found)), Answers(Prediction(found)), known)], BARE)
        assert judged.numbers["efficiency"] == pytest.approx(scored)


def test_what_is_stored_of_each_frame_gives_the_number_back():
    truth = spread(200)
    found = candidates(truth, np.ones(170), np.ones(20))
    scores = score(Prediction(table=found), condition(truth))
    stored = pd.DataFrame(dict(scores.per_unit))
    sums = TASK.sums("jaccard", stored)
    assert sums.shape == (4, len(SUMS))
    for name in ("efficiency", "jaccard", "recall"):
        assert float(TASK.statistic(name, {})(sums.sum(axis=0))) == pytest.approx(scores.values[name])
    assert TASK.statistic("ssim", {}) is None
    # an older store: two columns by other names, others not at all, a frame without pairs
    older = pd.DataFrame({"tp": [1, 0], "fp": [2, 0], "fn": [0, 0], "sse_lateral": [9.0, np.nan]})
    expected = {"tp": [1, 0], "fp": [2, 0], "lateral_sq": [9, 0]}
    sums = TASK.sums("jaccard", older)
    assert all(sums[:, k].tolist() == expected.get(name, [0, 0]) for k, name in enumerate(SUMS))
    assert TASK.sums("jaccard", pd.DataFrame({"nmse_star": [0.5]})) is None


def test_the_work_of_a_frame_is_the_emitters_in_it():
    assert TASK.work(condition(spread(200))) == ("emitters", 50.0)
    assert TASK.work(condition(None)) is None


def test_an_answer_is_written_read_and_taken_apart(tmp_path):
    table_ = table([100.0, 300.0, 550.5], [200.0, 400.0, 50.25], [0, 2, 2], probability=[0.5, 0.75, 1.0])
    image = Raster(np.ones((1, 4, 4), np.float32), 100.0)
    answer = Prediction(table_, image, 25.0, "ds")
    (path,) = TASK.write(answer, tmp_path, "low")
    assert path == tmp_path / "low.csv"
    back = TASK.read(tmp_path, "low").table
    for name in ("frame", "x_nm", "y_nm", "probability"):
        assert getattr(back, name).tolist() == getattr(table_, name).tolist()
    assert TASK.read(tmp_path, "high") is None
    one = TASK.unit(answer, 2)
    assert (one.table.frame.tolist(), one.table.x_nm.tolist(), one.table.n_frames) == ([0, 0], [300.0, 550.5], 1)
    assert (one.image, one.grid_nm, one.label_rule) == (None, 25.0, "ds")
    assert len(TASK.unit(answer, 1).table) == 0
    drawn = Prediction(image=image)
    assert TASK.unit(drawn, 0) is None
    assert TASK.write(drawn, tmp_path, "m") == []
    assert [path.name for path in TASK.write(drawn, tmp_path, "m", applied=True)] == ["m_sum.tif"]


def test_the_fullest_frame_is_shown_and_channels_are_summed():
    true = table([150.0, 250.0, 350.0], [150.0, 250.0, 350.0], [1, 1, 2])
    values = np.arange(4 * 2 * SIDE_PX**2, dtype=np.float32).reshape(4, 2, SIDE_PX, SIDE_PX)
    known = condition(true, frames=ArrayFrames(values))
    assert TASK.example(known) == 1
    found = table([155.0, 5000.0], [150.0, 5000.0], [1, 3])
    shown = TASK.panels(Prediction(found), known)
    assert np.array_equal(shown.input_image, values[1, 0] + values[1, 1])
    assert shown.truth_nm.tolist() == [[150, 150], [250, 250]]
    assert shown.found_nm.tolist() == [[155, 150]]
    assert (shown.said, shown.pixel_nm, shown.unit) == ("2 true, 1 found", 100.0, "photons")
    # drawn on a quarter of a camera pixel
    assert shown.prediction.shape == shown.truth.shape == (256, 256)
    assert shown.truth.sum() == 2
    assert np.argwhere(shown.truth).tolist() == [[6, 6], [10, 10]]
    assert TASK.example(condition(None)) is None
    nothing = condition(Localizations.empty(n_frames=4, field_nm=(6400, 6400)))
    assert TASK.example(nothing) is None


def test_a_row_with_an_image_alone_is_shown_whole():
    values = np.arange(4, dtype=np.float32)[:, None, None, None] * np.ones((1, 2, SIDE_PX, SIDE_PX), np.float32)
    image = Raster(np.full((1, 2 * SIDE_PX, 2 * SIDE_PX), 3.0, np.float32), 50.0)
    shown = TASK.panels(Prediction(image=image), condition(spread(8), frames=ArrayFrames(values)))
    # the mean of frames 0 .. 3, of two channels each
    assert np.array_equal(shown.input_image, np.full((SIDE_PX, SIDE_PX), 3.0))
    assert np.array_equal(shown.prediction, image.values[0])
    assert (shown.truth.sum(), shown.found_nm, shown.truth_nm) == (8, None, None)
    with pytest.raises(ConfigError, match="this row makes neither positions nor an image of a frame"):
        TASK.panels(Prediction(), condition(spread(8)))


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
    scores = score(Prediction(table=truth), condition(truth), task=tasks.load("localization", Catalog([path])))
    assert scores.values["rows"] == 8.0
    assert scores.reasons["nothing"] == "the number is not finite"
