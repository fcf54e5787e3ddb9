"""Parameters of crops are scored by hand-made errors; page, picture, and what predict writes."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from smlmbench.data.contracts import ArrayFrames, Condition
from smlmbench.errors import ConfigError, SizeError
from smlmbench.formats import TableOptions, read_table
from smlmbench.movies import window
from smlmbench.predictions import Localizations, Parameters
from smlmbench.registry import Catalog
from smlmbench.study.schema import Scoring
from smlmbench.tasks import load
from smlmbench.tasks.contracts.predicting import Predicted
from smlmbench.tasks.contracts.sections import Along
from smlmbench.truths.parameter_table import ParameterTable

CATALOG = Catalog()
TASK = load("psf_regression", CATALOG)
N = 200
DRAWS = np.random.default_rng(5)
TRUE = {
    "x_nm": DRAWS.uniform(700, 900, N),
    "z_nm": np.linspace(-500, 500, N),
    "azimuth_deg": DRAWS.uniform(0, 360, N),
}
BOUND = {"x_nm": np.full(N, 4.0), "z_nm": np.full(N, 20.0), "azimuth_deg": np.full(N, 3.0)}
TRUTH = ParameterTable.of(tuple(TRUE), {**TRUE, "photons": np.full(N, 900.0)}, BOUND, {"azimuth_deg": 360.0})


def condition(truth=TRUTH, side: int = 9) -> Condition:
    frames = ArrayFrames(DRAWS.poisson(10.0, (N, side, side)).astype(np.float32))
    return Condition("t", frames, truth, "d", told={"pixel_size_nm": 100.0, "psf_sigma_nm": 130.0})


def answer(**off: float) -> Parameters:
    """The truth, each parameter off by plus and minus a number by turns; angles are told one turn on."""
    signs = np.where(np.arange(N) % 2, 1.0, -1.0)
    found = {name: values + signs * off.get(name, 0.0) for name, values in TRUE.items()}
    return Parameters(found | {"azimuth_deg": (found["azimuth_deg"] + 360) % 360})


def test_the_primary_is_the_geometric_mean_of_rmse_over_the_bound():
    scores = TASK.score(answer(x_nm=4.0, z_nm=80.0, azimuth_deg=6.0), condition(), Scoring())
    assert scores.values["crlb_ratio"] == pytest.approx((1 * 4 * 2) ** (1 / 3))
    assert scores.values["own_ratio"] == pytest.approx(2.0)
    wanted = {"rmse_x": 4.0, "ratio_z": 4.0, "crlb_azimuth": 3.0, "rmse_azimuth": 6.0, "bias_z": 0.0}
    for name, value in wanted.items():
        assert scores.values[name] == pytest.approx(value, abs=1e-9), name
    assert not [name for name in (*scores.values, *scores.reasons) if name.endswith(("photons", "_y", "zernike"))]
    low, high = scores.intervals["crlb_ratio"]
    assert low <= scores.values["crlb_ratio"] <= high


def test_sums_give_the_number_also_after_a_file():
    scores = TASK.score(answer(x_nm=3.0, z_nm=17.0, azimuth_deg=5.0), condition(), Scoring())
    stored = pd.DataFrame(dict(scores.per_unit))
    sums = TASK.sums("crlb_ratio", stored)
    statistic = TASK.statistic("crlb_ratio", {})
    assert float(statistic(sums.sum(axis=0))) == scores.values["crlb_ratio"]
    both = np.stack([sums.sum(axis=0), sums[:50].sum(axis=0)])
    assert statistic(both).shape == (2,)
    assert TASK.sums("crlb_ratio", pd.DataFrame({"a": [1.0]})) is None


def test_what_a_row_does_not_tell_has_a_reason():
    some = Parameters({"x_nm": TRUE["x_nm"]})
    scores = TASK.score(some, condition(), Scoring())
    assert "does not tell z_nm, azimuth_deg" in scores.reasons["crlb_ratio"]
    assert scores.values["rmse_x"] == 0
    watch = TASK.watch(some, condition(), Scoring())
    assert np.isnan(watch.mass)
    assert watch.score == -np.inf


def test_without_a_bound_errors_stand_beside_the_spread_of_the_truth():
    bare = ParameterTable.of(("z_nm",), TRUE)
    scores = TASK.score(Parameters({"z_nm": np.zeros(N)}), condition(bare), Scoring())
    assert "no bound is known" in scores.reasons["crlb_ratio"]
    assert scores.values["relative_rmse"] == pytest.approx(1.0)
    assert TASK.watch(Parameters({"z_nm": np.zeros(N)}), condition(bare), Scoring()).score == pytest.approx(-1)
    assert scores.intervals == {}


def test_crops_that_tell_nothing_count_on_neither_side():
    bound = BOUND["z_nm"].copy()
    bound[: N // 2] = np.inf
    half = ParameterTable.of(("z_nm",), TRUE, {"z_nm": bound})
    off = np.where(np.isinf(bound), 500.0, 20.0)
    scores = TASK.score(Parameters({"z_nm": TRUE["z_nm"] + off}), condition(half), Scoring())
    assert scores.values["crlb_ratio"] == pytest.approx(1.0)


def test_bias_and_spread_stand_against_depth_and_are_drawn():
    signs = np.where(np.arange(N) % 2, 1.0, -1.0)
    tilted = Parameters({**TRUE, "z_nm": 1.1 * TRUE["z_nm"] + 5 * signs})
    profile = TASK.score(tilted, condition(), Scoring()).profiles
    assert set(profile) == set(TRUE)
    z = profile["z_nm"]
    assert np.allclose(np.array(z["bias"]), 0.1 * np.array(z["z_nm"]), atol=2)
    assert np.allclose(z["crlb"], 20.0)
    assert all(abs(spread - np.hypot(5, 0.1 * 1000 / 10 / 12**0.5)) < 0.5 for spread in z["spread"])
    far = TASK.score(answer(z_nm=900.0), condition(), Scoring()).profiles
    runs = [Along("net", "t", "pick", 0, (profile, profile)), Along("lost", "t", "pick", 1, (far,))]
    drawings = TASK.along(runs)
    assert [one.caption.split()[4] for one in drawings] == ["z_nm"]  # nothing else was off
    (drawn,) = drawings
    assert b"<svg" in drawn.image
    assert "Not drawn, as they lie above 6 times the bound: lost" in drawn.caption
    assert "net" in drawn.alt
    assert "lost" not in drawn.alt
    flat = ParameterTable.of(("x_nm",), {"x_nm": TRUE["x_nm"], "z_nm": np.zeros(N)}, BOUND)
    assert TASK.score(Parameters({"x_nm": TRUE["x_nm"]}), condition(flat), Scoring()).profiles == {}


def test_the_picture_shows_the_answers_psf_beside_the_truths():
    known = {**TRUE, "y_nm": np.full(N, 450.0), "photons": np.full(N, 900.0), "background_photons": np.full(N, 10.0)}
    known["x_nm"] = np.full(N, 350.0)
    crops = condition(ParameterTable.of(("x_nm",), known, {"x_nm": np.full(N, 4.0)}))
    shown = TASK.panels(Parameters({"x_nm": np.full(N, 550.0)}), crops)
    centres = [
        np.average(np.arange(9) + 0.5, weights=image.sum(axis=0) - 90) for image in (shown.prediction, shown.truth)
    ]
    assert centres == pytest.approx([5.5, 3.5], abs=0.02)
    assert "x_nm 550 (true 350) nm" in shown.said


class Fake:
    """Tells the mean of a crop as z, and its middle as x and y."""

    settings = {"side_px": 4}

    def raw(self, frames, on_frames=None):
        for start in range(0, frames.n_frames, 3):
            crops = torch.from_numpy(frames.read(start, min(start + 3, frames.n_frames)))
            yield crops.mean(dim=(1, 2))[:, None]

    def decoded(self, raw, threshold=float("nan")):
        z = raw[:, 0].double().numpy()
        return Parameters(
            {"z_nm": z, "x_nm": np.full(len(z), 210.0), "y_nm": np.full(len(z), 190.0), "polar_deg": 2 * z}
        )


def asked(tmp_path, frames, places, pixel_nm: float = 100.0) -> Predicted:
    given = SimpleNamespace(frames=frames, path=tmp_path / "m.tif", table=None)
    return Predicted(given, places, {}, pixel_nm, (), tmp_path, "m", lambda done, all_: None)


def movie(n: int = 150) -> ArrayFrames:
    frames = np.zeros((n, 12, 10), dtype=np.float32) + np.arange(n, dtype=np.float32)[:, None, None]
    frames[:, 3, 2] += 16
    return ArrayFrames(frames)


def table(frame, x_nm, y_nm) -> Localizations:
    return Localizations.of({"frame": frame, "x_nm": x_nm, "y_nm": y_nm}, n_frames=150, field_nm=(1000.0, 1200.0))


def test_predict_answers_every_place_in_its_order(tmp_path):
    places = table([140, 3, 3, 80], [500.0, 250.0, 30.0, 720.0], [600.0, 340.0, 500.0, 800.0])
    (path,) = TASK.predict(Fake(), asked(tmp_path, movie(), places))
    assert path.name == "m_parameters.csv"
    found = read_table(path, catalog=CATALOG, options=TableOptions())
    assert found.frame.tolist() == [140, 3, 3, 80]
    # the third place's crop leaves the frame: it keeps its place and has no numbers
    assert found.x_nm.tolist() == [510.0, 210.0, 30.0, 710.0]
    assert found.y_nm.tolist() == [590.0, 290.0, 500.0, 790.0]
    assert np.allclose(found.z_nm, [140, 4, np.nan, 80], equal_nan=True)
    assert np.allclose(found.more["polar_deg"], [280, 8, np.nan, 160], equal_nan=True)


def test_predict_takes_a_movie_of_crops(tmp_path):
    crops = window(movie(5), frames=(0, 5), columns=(0, 4), rows=(0, 4))
    (path,) = TASK.predict(Fake(), asked(tmp_path, crops, None))
    found = read_table(path, catalog=CATALOG, options=TableOptions())
    assert found.frame.tolist() == [0, 1, 2, 3, 4]
    assert found.z_nm.tolist() == [1, 2, 3, 4, 5]


def test_predict_refuses_in_one_line(tmp_path):
    with pytest.raises(ConfigError, match="--places TABLE"):
        TASK.predict(Fake(), asked(tmp_path, movie(), None))
    with pytest.raises(ConfigError, match="none of 1 places"):
        TASK.predict(Fake(), asked(tmp_path, movie(), table([0], [90000.0], [90000.0])))
    with pytest.raises(ConfigError, match="--pixel-size-nm"):
        TASK.predict(Fake(), asked(tmp_path, movie(), table([0], [500.0], [500.0]), float("nan")))
    assert not list(tmp_path.iterdir())


def test_crops_of_another_size_are_refused():
    with pytest.raises(SizeError, match="crops of 9 x 9 px, the network learned 4 x 4"):
        TASK.answer(Fake(), condition())


def test_places_are_counted_in_pixels_and_units_must_agree():
    small = condition(side=4)
    told = dict(small.told)
    same, wide = (Condition("t", small.frames, TRUTH, told={**told, "pixel_size_nm": nm}) for nm in (100.0, 150.0))
    fake = Fake()
    fake.settings = {"side_px": 4, "pixel_size_nm": 100.0, "photons": True}
    first, second = (TASK.answer(fake, one).values for one in (same, wide))
    assert np.allclose(second["x_nm"], 1.5 * first["x_nm"])
    assert np.array_equal(second["z_nm"], first["z_nm"])
    counts = Condition("t", small.frames, TRUTH, told=told, calibrated=False)
    with pytest.raises(ConfigError, match="has counts and the network learned photons"):
        TASK.answer(fake, counts)


def test_answers_travel_through_a_file(tmp_path):
    given = answer(x_nm=2.0)
    TASK.write(given, tmp_path, "t")
    back = TASK.read(tmp_path, "t")
    assert all(np.allclose(back.values[name], values, rtol=1e-7) for name, values in given.values.items())
    assert TASK.read(tmp_path, "none") is None
    assert TASK.unit(given, 3).values["x_nm"].tolist() == [given.values["x_nm"][3]]
