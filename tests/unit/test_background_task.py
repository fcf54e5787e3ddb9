"""The background task: its numbers by hand, the fixed fit, the median of the edge, what is taken off a movie."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from scipy import optimize, special

from smlmbench import tasks
from smlmbench.camera import Noise
from smlmbench.data.contracts import ArrayFrames, Condition
from smlmbench.errors import ConfigError, DoubtWarning, UnlikeWarning
from smlmbench.metrics import background_error, corrected, fixed_fit
from smlmbench.metrics.corrected import Corrected
from smlmbench.predictions import Localizations, Raster
from smlmbench.psf.gaussian import Gaussian
from smlmbench.references import edge_median, no_background, true_background
from smlmbench.registry import Catalog
from smlmbench.study.schema import Scoring
from smlmbench.tasks.background import subtracting
from smlmbench.tasks.background.fixed import fitted
from smlmbench.tasks.contracts.gating import Answers
from smlmbench.tasks.contracts.predicting import Predicted
from smlmbench.truths.background_maps import BackgroundMaps

CATALOG = Catalog()
SIDE, PIXEL_NM, SIGMA_NM = 12, 100.0, 130.0
TASK = tasks.load("background", CATALOG)


def spot(x_nm, y_nm, photons):
    """A Gaussian by its own formula."""
    edges = np.arange(SIDE + 1) * PIXEL_NM
    across, down = (np.diff(special.ndtr((edges - at) / SIGMA_NM)) for at in (x_nm, y_nm))
    return photons * down[:, None] * across


def truth_at(x_nm, y_nm, photons, maps):
    n = len(x_nm)
    shapes = {"sigma_nm": torch.full((n,), SIGMA_NM, dtype=torch.float64)}
    columns = (np.asarray(one, dtype=np.float64) for one in (x_nm, y_nm, np.zeros(n), photons))
    return BackgroundMaps(np.asarray(maps, dtype=np.float32), *columns, Gaussian(SIGMA_NM), shapes)


def columns(**given):
    n = len(next(iter(given.values())))
    names = (*corrected.ERROR, *corrected.FIT, *corrected.BEST)
    return {name: np.array(given.get(name, [math.nan] * n), dtype=np.float64) for name in names}


def test_errors_of_the_background_by_hand():
    # found - true is 1 in one crop of 10 photons, -3 in one of 20
    evidence = Corrected(columns(square=[1, 9], offset=[1, -3], level=[10, 20]))
    found = background_error.measure(evidence)
    assert found["background_rmse_photons"] == pytest.approx(math.sqrt(5))
    assert found["background_rmse"] == pytest.approx(math.sqrt(5) / 15)
    assert found["background_offset"] == pytest.approx(-2 / 30)
    assert found["free_background_rmse"] == "there are no crops without an emitter"
    free = columns(square=[4], offset=[2], level=[8])
    assert background_error.measure(Corrected(evidence.crops, free))["free_background_rmse"] == pytest.approx(0.25)
    assert background_error.measure(Corrected(None))["background_rmse"] == "there is no true background"
    dark = background_error.measure(Corrected(columns(square=[1], offset=[1], level=[0])))
    assert dark["background_rmse"] == "the mean background is 0"


def test_spread_and_bias_of_the_fit_by_hand():
    # x: mean 2, variance 1; y: mean 2, variance 4; a crop without an emitter does not count
    told = columns(
        x_nm=[1, 3, math.nan], y_nm=[0, 4, math.nan], photons=[10, -4, math.nan], lost=[0, 1, math.nan],
        best_x_nm=[1, 2, math.nan], best_y_nm=[5, 4, math.nan],
    )  # fmt: skip
    found = fixed_fit.measure(Corrected(told))
    assert (found["fit_spread_x_nm"], found["fit_spread_y_nm"]) == (1.0, 2.0)
    assert found["fit_spread_nm"] == pytest.approx(math.sqrt(2.5))
    assert found["fit_spread_ratio"] == pytest.approx(math.sqrt(2.5) / 0.5)
    assert (found["fit_bias_x_nm"], found["fit_bias_y_nm"]) == (2.0, 2.0)
    assert (found["fit_photons_bias"], found["fit_photons_spread"], found["fit_lost"]) == (3.0, 7.0, 0.5)
    nobody = fixed_fit.measure(Corrected(columns(x_nm=[math.nan])))
    assert all(isinstance(value, str) for value in nobody.values())


def test_the_fit_finds_what_is_there_without_noise():
    at = [570.0, 640.0], [655.0, 601.0], [900.0, 4000.0]
    maps = np.full((2, SIDE, SIDE), 7.0)
    crops = np.stack([spot(*one) for one in zip(*at, strict=True)]).astype(np.float32)
    moved = truth_at([at[0][0] + 80, at[0][1] - 50], at[1], [600.0, 5000.0], maps)  # from where the fit starts
    found = fitted(crops, moved, PIXEL_NM, Noise())
    assert found.x_nm == pytest.approx([-80, 50], abs=0.05)
    assert found.y_nm == pytest.approx([0, 0], abs=0.05)
    assert found.photons == pytest.approx([50, -20], abs=0.05)
    assert found.lost.tolist() == [0, 0]


def test_what_was_not_subtracted_goes_where_the_likelihood_puts_it():
    slope = 2.0 * np.arange(SIDE)[None, :] * np.ones((SIDE, 1))
    crop, level = spot(600, 600, 1500) + slope, 11.0
    found = fitted(
        crop[None].astype(np.float32), truth_at([600], [600], [1500], [np.full_like(slope, level)]), 100.0, Noise()
    )

    def loss(at):
        mean = spot(600 + at[0], 600 + at[1], 1500 * (1 + at[2] / 100)) + level
        return float((mean - (crop + level) * np.log(mean)).sum())

    best = optimize.minimize(loss, [0, 0, 0], method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-9}).x
    assert best[0] > 3  # it is pulled to the brighter side
    assert [found.x_nm[0], found.y_nm[0], found.photons[0]] == pytest.approx(best, abs=0.02)


def test_less_the_true_background_its_spread_is_the_bound():
    draws, n, level, photons = np.random.default_rng(2), 3000, 9.0, 1500.0
    light = spot(600, 600, photons)
    crops = draws.poisson(light + level, (n, SIDE, SIDE)) - level
    maps = np.full((n, SIDE, SIDE), level)
    truth = truth_at(np.full(n, 600.0), np.full(n, 600.0), np.full(n, photons), maps)
    found = fitted(crops.astype(np.float32), truth, PIXEL_NM, Noise())
    by_x = (spot(601, 600, photons) - spot(599, 600, photons)) / 2
    bound = (by_x**2 / (light + level)).sum() ** -0.5
    assert found.x_nm.std() == pytest.approx(bound, rel=0.05)
    assert abs(found.x_nm.mean()) < 4 * bound / math.sqrt(n)
    assert found.photons.std() == pytest.approx(
        100 * ((light / photons) ** 2 / (light + level)).sum() ** -0.5 / photons, rel=0.05
    )


def test_a_fit_never_ends_below_where_it_began():
    draws, n, level = np.random.default_rng(6), 60, 3.0
    crops = draws.normal(0, 40, (n, SIDE, SIDE)) + spot(600, 600, 300)
    truth = truth_at(np.full(n, 600.0), np.full(n, 600.0), np.full(n, 300.0), np.full((n, SIDE, SIDE), level))
    found = fitted(crops.astype(np.float32), truth, PIXEL_NM, Noise())
    for number, crop in enumerate(crops):
        means = [
            spot(600 + x, 600 + y, 300 * (1 + photons / 100)) + level
            for x, y, photons in ((0, 0, 0), (found.x_nm[number], found.y_nm[number], found.photons[number]))
        ]
        began, ended = (float(((crop + level) * np.log(mean) - mean).sum()) for mean in means)
        assert ended >= began - 1e-3


def test_a_fit_that_runs_away_is_told_and_stops_at_its_box():
    crop = np.zeros((SIDE, SIDE), dtype=np.float32)
    crop[6, 11] = 5000.0
    found = fitted(crop[None], truth_at([700], [600], [1000], [np.full((SIDE, SIDE), 3.0)]), PIXEL_NM, Noise())
    assert found.lost.tolist() == [1.0]
    assert found.x_nm[0] == pytest.approx(300.0)


def test_without_an_emitter_or_a_psf_nothing_is_fitted():
    truth = truth_at([math.nan, 600], [math.nan, 600], [0, 1000], np.ones((2, SIDE, SIDE)))
    crops = np.stack([np.zeros((SIDE, SIDE)), spot(600, 600, 1000)]).astype(np.float32)
    found = fitted(crops, truth, PIXEL_NM, Noise())
    assert np.isnan(found.x_nm).tolist() == [True, False]
    bare = BackgroundMaps(truth.maps, truth.x_nm, truth.y_nm, truth.z_nm, truth.photons)
    assert np.isnan(fitted(crops, bare, PIXEL_NM, Noise()).x_nm).all()


@pytest.fixture
def condition():
    draws, n = np.random.default_rng(0), 30
    slope = 5 + draws.uniform(0, 1.5, (n, 1, 1)) * np.arange(SIDE) + np.zeros((n, SIDE, 1))
    light = np.stack([spot(600, 600, 1500)] * n)
    truth = truth_at(np.full(n, 600.0), np.full(n, 600.0), np.full(n, 1500.0), slope)
    frames = ArrayFrames(draws.poisson(slope + light).astype(np.float32))
    return Condition("tilted", frames, truth, "d", told={"pixel_size_nm": PIXEL_NM})


def test_references_and_their_scores(condition):
    scores = {}
    for name, module in (("true", true_background), ("none", no_background), ("edge", edge_median)):
        scores[name] = TASK.score(module.predict(condition, {"border_px": 1}, {}, 0), condition, Scoring()).values
    assert scores["true"]["background_rmse"] == 0
    assert scores["true"]["fit_spread_ratio"] == 1
    assert scores["none"]["background_offset"] == pytest.approx(-1)
    assert 0 < scores["edge"]["background_rmse"] < scores["none"]["background_rmse"]
    assert scores["true"]["fit_spread_nm"] < scores["edge"]["fit_spread_nm"]
    assert scores["none"]["fit_photons_bias"] > 20 > abs(scores["true"]["fit_photons_bias"])


def test_sums_give_every_number(condition):
    found = TASK.score(edge_median.predict(condition, {"border_px": 1}, {}, 0), condition, Scoring())
    table = pd.DataFrame(dict(found.per_unit))
    for name in corrected.STATISTICS:
        sums = TASK.sums(name, table)
        assert sums is not None
        assert float(TASK.statistic(name, {})(sums.sum(axis=0))) == found.values[name]
    low, high = found.intervals["background_rmse"]
    assert low < found.values["background_rmse"] < high
    assert TASK.sums("free_background_rmse", table) is None
    assert TASK.sums("background_rmse", table.drop(columns="square")) is None


def test_a_reduced_format_may_lose_a_hundredth_of_the_background(condition):
    exact = edge_median.predict(condition, {"border_px": 1}, {}, 0)
    passed = {}
    for off in (0.001, 0.05):
        level = condition.truth.maps.mean()
        coarse = Raster(exact.values + np.where(exact.values > condition.truth.maps, off, -off) * level, PIXEL_NM)
        found = TASK.gate([(Answers(coarse), Answers(exact), condition)], Scoring())
        passed[off] = found.passed
    assert passed == {0.001: True, 0.05: False}


def test_the_median_of_the_edge_by_hand():
    crop = np.random.default_rng(4).normal(50, 20, (1, 6, 6)).astype(np.float32)
    flat = Condition("c", ArrayFrames(crop), None, told={"pixel_size_nm": 100.0})
    for wide, outer in ((1, (0, 5)), (2, (0, 1, 4, 5)), (8, range(6))):
        edge = [crop[0, row, column] for row in range(6) for column in range(6) if row in outer or column in outer]
        found = edge_median.predict(flat, {"border_px": wide}, {}, 0).values
        assert found.shape == crop.shape
        assert np.unique(found).tolist() == [np.float32(np.median(edge))]


class Fake:
    """A network that answers each crop by a function of it."""

    def __init__(self, side, answer, **learned):
        self.settings = {"side_px": side, "pixel_size_nm": PIXEL_NM, "empty": 0.5, "neighbours": 0.5, **learned}
        self.answer, self.crops = answer, []

    def raw(self, frames, on_units=None):
        self.crops.append(frames.n_frames)
        yield torch.from_numpy(self.answer(frames.read(0, frames.n_frames))[:, None])

    def decoded(self, raw, threshold=math.nan):
        return Raster(raw[:, 0].numpy(), PIXEL_NM)


@pytest.mark.parametrize("shape", [(3, 20, 31), (2, 8, 8), (2, 5, 17), (1, 1, 1)])
def test_crops_cover_every_pixel_and_are_blended_to_one(shape):
    movie = np.random.default_rng(1).normal(10, 5, shape).astype(np.float32)
    found = subtracting.backgrounds(Fake(8, lambda crops: crops), ArrayFrames(movie), 0, shape[0])
    assert found == pytest.approx(movie, rel=1e-5)
    flat = subtracting.backgrounds(Fake(8, lambda crops: 0 * crops + 4), ArrayFrames(movie), 0, shape[0])
    assert np.ptp(flat) < 1e-5


def test_where_crops_overlap_the_nearer_middle_counts_more():
    def by_place(crops):
        return np.where(
            crops == crops.max(axis=(1, 2), keepdims=True), crops, 0 * crops + crops.max(axis=(1, 2), keepdims=True)
        )

    movie = np.zeros((1, 4, 6), dtype=np.float32)
    movie[0, :, 5] = 12.0  # crops at columns 0 and 2: the first sees no light, the second does
    found = subtracting.backgrounds(Fake(4, by_place), ArrayFrames(movie), 0, 1)[0, 0]
    # weights of the first 2, 1 and of the second 1, 2 in columns 2 and 3
    assert found.tolist() == pytest.approx([0, 0, 12 / 3, 12 * 2 / 3, 12, 12])


def asked_of(folder, movie, places=None):
    told = []
    given = SimpleNamespace(frames=ArrayFrames(movie), path=folder / "m.tif")
    return Predicted(given, places, {}, PIXEL_NM, (), folder, "m", lambda *done: told.append(done)), told


def test_both_movies_add_up_to_the_one_that_was_given(tmp_path, monkeypatch):
    monkeypatch.setattr(subtracting, "CROP_PIXELS", 2 * 9 * 64)  # two frames of nine crops at a time
    movie = np.random.default_rng(3).poisson(4, (7, 16, 16)).astype(np.float32)
    model = Fake(8, lambda crops: 0 * crops + crops.mean(axis=(1, 2), keepdims=True))
    asked, told = asked_of(tmp_path, movie)
    files = TASK.predict(model, asked)
    assert [file.name for file in files] == ["m_background.tif", "m_less_background.tif"]
    assert [file.name.removeprefix("m") for file in files] == list(TASK.card.facts["predicts"])
    background, less = (tifffile.imread(file) for file in files)
    assert background.dtype == less.dtype == np.float32
    assert np.array_equal(movie - background, less)
    assert less.min() < 0
    assert max(model.crops) <= 18
    assert told[-1] == (14, 14)


def test_a_movie_in_a_study_has_its_mean_background(tmp_path):
    movie = np.stack([np.full((9, 11), level, dtype=np.float32) for level in (2, 4, 9)])
    found = TASK.answer(Fake(8, lambda crops: crops), Condition("m", ArrayFrames(movie), None))
    assert found.values == pytest.approx(np.full((1, 9, 11), 5.0))
    (file,) = TASK.write(found, tmp_path, "m", applied=True)
    assert tifffile.imread(file).shape == (9, 11)
    assert TASK.write(found, tmp_path, "m") == []


def test_crops_of_another_side_than_learned_are_refused(condition):
    with pytest.raises(
        ConfigError, match=r"crops of 12 x 12 px, the network learned 8 x 8; give both the same side_px"
    ):
        TASK.answer(Fake(8, lambda crops: crops), condition)
    with pytest.raises(ConfigError, match="does not say the side of its crops"):
        TASK.answer(SimpleNamespace(settings={}), condition)


def table_of(*rows):
    frame, x_nm, y_nm = zip(*rows, strict=True)
    return Localizations.of({"frame": frame, "x_nm": x_nm, "y_nm": y_nm}, n_frames=9, field_nm=(1e4, 1e4))


def test_emitters_closer_than_half_a_crop_are_counted():
    # crops of 800 nm: within 400 nm along both axes in one frame
    near = [(0, 100, 100), (0, 450, 480), (0, 900, 100), (1, 100, 100), (2, 0, 0), (2, 399, 401)]
    assert subtracting.share_close(table_of(*near), 800.0) == pytest.approx(2 / 6)
    assert subtracting.share_close(table_of(*near).select(np.zeros(6, dtype=bool)), 800.0) == 0


def test_what_a_movie_has_and_the_training_had_not_is_told(tmp_path):
    movie = np.ones((1, 16, 16), dtype=np.float32)
    places = table_of((0, 100, 100), (0, 450, 480), (0, 900, 900), (1, 100, 100))
    single = Fake(8, lambda crops: crops, empty=0.0, neighbours=0.0)
    with pytest.warns(DoubtWarning) as told:
        subtracting.tell(single, asked_of(tmp_path, movie)[0])
    unlike, doubt = (str(one.message) for one in told)
    assert "those of a movie have it anywhere, or none" in unlike
    assert "learned one emitter in 8 x 8 px; --places TABLE counts" in doubt
    with pytest.warns(UnlikeWarning, match="50% of 4 emitters have another within half a crop"):
        subtracting.tell(Fake(8, None, neighbours=0.0), asked_of(tmp_path, movie, places)[0])


def test_the_page_draws_error_and_spread_against_complexity():
    shared = {"kind": "pick", "picked": True, "ceiling": False, "model": "bgnet", "style": 0, "low": None, "high": None}
    rows = [
        {**shared, "condition": f"o{octaves}", "metric": metric, "value": 0.1 * octaves}
        for octaves in (1, 4) for metric in ("background_rmse", "fit_spread_nm", "fit_photons_bias")
    ]  # fmt: skip
    board = SimpleNamespace(
        data="dh", arm="", frame=pd.DataFrame(rows), conditions={"o1": {"octaves": 1}, "o4": {"octaves": 4}}
    )
    (drawing,) = TASK.across([board])
    assert "dh: background RMSE" in drawing.caption
    assert drawing.image.startswith(b"<?xml")
    board.frame["value"] = None
    assert list(TASK.across([board])) == []  # nothing was scored
    board.conditions = {"o1": {"octaves": 1}, "o4": {"octaves": {"min": 1, "max": 4}}}
    assert list(TASK.across([board])) == []
