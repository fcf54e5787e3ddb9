"""A movie without truth: agreement by hand, drift and blinking told apart from numbers, what is stored and shown."""

import numpy as np
import pytest
import torch
from test_shape import CAMERAS, share

from smlmbench.data.contracts import ArrayFrames, Condition
from smlmbench.predictions import Localizations, Prediction
from smlmbench.registry import Catalog
from smlmbench.tasks import load
from smlmbench.tasks.contracts.applied import AppliedRow, Untrue
from smlmbench.tasks.localization.applied.agreement import agreement, matrix
from smlmbench.tasks.localization.applied.spreads import over_time, spreads
from smlmbench.tasks.localization.applied.verdicts import moving, shaped

TASK = load("localization", Catalog())


def table(rows, n_frames=4, **more):
    frame, x, y = np.array(rows, dtype=float).reshape(-1, 3).T
    columns = {"frame": frame.astype(int), "x_nm": x, "y_nm": y, **more}
    return Localizations.of(columns, n_frames=n_frames, field_nm=(2000.0, 1000.0))


def row(label="net", answer=None, reference=False, pictures=None, lines=(), reasons=None, profiles=None, **values):
    stored = {"alone": {"values": values, "reasons": reasons or {}, "profiles": profiles or {}, "lines": list(lines)}}
    return AppliedRow(label, reference, 0, stored, pictures or {}, lambda: answer)


def test_agreement_by_hand():
    one = table([(0, 100, 100), (0, 900, 100), (1, 500, 500)])
    other = table([(0, 130, 140), (0, 900, 351), (1, 500, 500), (2, 500, 500)])
    found = agreement(one, other)  # pairs 50 nm and 0 nm apart; 251 nm is too far: 2 of 3 + 4 - 2
    assert found.jaccard == pytest.approx(2 / 5)
    assert found.rms_nm == pytest.approx((50**2 / 2) ** 0.5)
    turned = agreement(one, table([(2, 100, 100), (2, 900, 100), (3, 500, 500)]))
    assert (turned.jaccard, turned.chance) == (0, 1)
    assert np.isnan(turned.rms_nm)
    assert agreement(table([]), table([])) is None


def test_the_matrix_has_every_pair_and_what_chance_makes():
    tables = {"a": table([(0, 100, 100), (1, 100, 100)]), "b": table([(0, 103, 104)]), "c": table([(3, 900, 900)])}
    grid = matrix(tables)
    assert grid.columns == ("Row", "a", "b", "c")
    assert grid.rows == (("a", "–", "0.50, 5 nm", "0.00"), ("b", "0.50, 5 nm", "–", "0.00"), ("c", "0.00", "0.00", "–"))
    assert "250 nm" in grid.caption
    assert matrix({"a": tables["a"]}) is None


def test_of_long_tables_the_first_frames_are_compared(monkeypatch):
    monkeypatch.setattr("smlmbench.tasks.localization.applied.agreement.MOST_ROWS", 40)
    rows = [(frame, 100, 100) for frame in range(100)]
    grid = matrix({"a": table(rows, 100), "b": table(rows, 100)})
    assert grid.rows[0] == ("a", "–", "1.00, 0 nm")
    assert "of the first 20 frames" in grid.caption


QUIET = {"odd_even_nm": 60.0, "blocks_nm": 61.0, "halves_nm": 62.0, "splits_high_nm": 64.0, "splits_least_nm": 58.0}


@pytest.mark.parametrize(
    ("change", "drifts", "stays"),
    [
        ({}, False, False),
        ({"halves_nm": 80.0}, True, False),
        ({"halves_nm": 64.1, "splits_high_nm": 64.0}, True, False),
        ({"halves_nm": 63.9}, False, False),  # within what any way to halve it gives
        ({"halves_nm": 62.5, "splits_high_nm": 62.0}, False, False),  # 2 % more are no matter
        ({"halves_nm": None}, True, False),
        ({"odd_even_nm": 40.0}, False, True),
        ({"odd_even_nm": 57.9, "splits_least_nm": 58.0}, False, True),
        ({"odd_even_nm": 58.5}, False, False),
        ({"odd_even_nm": 40.0, "halves_nm": 90.0}, True, True),
    ],
)
def test_drift_and_blinking_are_told_apart(change, drifts, stays):
    values = {name: value for name, value in (QUIET | change).items() if value is not None}
    said = moving(row(on_frames=3.2, drift_nm=31.0, **values))
    assert ("the sample drifts (measured: 31 nm)" in said) is drifts
    assert ("molecules stay on over frames (detections come in runs of 3.2 frames)" in said) is stays
    assert ("agree" in said) is not (drifts or stays)


def test_a_resolution_at_the_limit_of_the_grid_is_that_or_better():
    assert "agree (≤ 5, 61, 62 nm)" in moving(
        row(**(QUIET | {"odd_even_nm": 5.0, "splits_least_nm": 5.0}), frc_limit_nm=5.0)
    )


def test_without_numbers_the_reason_is_said():
    assert moving(row(reasons={"blocks_nm": "12 positions"})) == "Fourier ring correlation: n/a (12 positions)."
    assert shaped(row(reasons={"shape_beyond": "no camera"})) == "Shapes of spots: n/a (no camera)."
    assert moving(row()) == shaped(row()) == ""


@pytest.mark.parametrize(
    ("beyond", "tested", "odd"), [(0.05, 1000, False), (0.07, 1000, False), (0.09, 1000, True), (0.09, 60, False)]
)
def test_odd_shapes_are_more_than_noise_makes(beyond, tested, odd):
    said = shaped(row(shape_beyond=beyond, shape_tested=tested, shape_width=0.3))
    assert ("as noise alone makes it" in said) is not odd
    assert ("two molecules in one spot" in said) is odd


def test_counts_over_the_movie_by_hand():
    one = table([(0, 1, 1), (0, 5, 5), (3, 1, 1)], photons=[100.0, 300.0, 50.0])
    found = over_time(one)
    assert found.values == {"rows": 3, "per_frame": 0.75, "per_um2": pytest.approx(0.375)}
    profile = found.profiles["over_time"]
    assert profile["frame"] == [0.5, 1.5, 2.5, 3.5]
    assert profile["per_um2"] == [1.0, 0.0, 0.0, 0.5]
    assert profile["photons"] == [200.0, None, None, 50.0]
    assert "background" not in profile


def test_spreads_have_quantiles_and_bars_that_sum_to_one():
    one = table([(0, 1, 1)] * 100, photons=np.arange(1.0, 101.0))
    found = spreads(one)
    assert found.values["photons_middle"] == 50.5
    assert found.values["photons_low"] == pytest.approx(5.95)
    assert sum(found.profiles["photons"]["share"]) == pytest.approx(1)
    assert found.reasons["background_middle"] == "the table has no such column"


def movie(camera, n_frames=300, seed=0):
    """Two spots in each frame of 21 x 21 px, at places that come again; the table is the truth."""
    rng = np.random.default_rng(seed)
    places = np.array([[6.0, 6.5], [15.0, 15.2]]) + rng.normal(0, 0.1, (n_frames, 2, 2))
    mean = np.full((n_frames, 21, 21), 20.0)
    for spot in range(2):
        x, y = places[:, spot].T
        mean += 3000 * share(y, 1.3)[:, :, None] * share(x, 1.3)[:, None, :]
    counts = camera.expose(torch.from_numpy(mean).float(), torch.Generator().manual_seed(seed)).numpy()
    told = {"pixel_size_nm": 100.0, "psf_sigma_nm": 130.0} | camera.noise.told()
    condition = Condition("m.tif", ArrayFrames(camera.to_photons(counts).astype(np.float32)), None, told=told)
    columns = {"frame": np.repeat(np.arange(n_frames), 2), "x_nm": 100 * places[..., 0].ravel()}
    columns |= {"y_nm": 100 * places[..., 1].ravel(), "photons": np.full(2 * n_frames, 3000.0)}
    return condition, Localizations.of(columns, n_frames=n_frames, field_nm=(2100.0, 2100.0))


def test_what_is_stored_of_an_answer_reaches_the_page_without_the_movie():
    condition, found = movie(CAMERAS["scmos"])
    stored = TASK.applied(Prediction(found, None, 12.5), condition, condition)
    assert set(stored.pictures) == {"errors", "training"}
    assert all(image.startswith(b"\x89PNG") for image in stored.pictures.values())
    assert stored.values["shape_tested"] == 600
    assert stored.values["shape_beyond"] == pytest.approx(0.05, abs=0.04)
    assert stored.values["per_frame"] == 2
    assert stored.values["drift_nm"] < 20
    assert {"over_time", "photons", "shape"} <= set(stored.profiles)
    assert stored.lines == ("The movie looks like the training.",)
    shown = [
        AppliedRow(name, name == "b", 0, {"alone": stored.block, "values": {"rsp": 0.9, "rse": 2.0}}, stored.pictures,
                   lambda: Prediction(found))
        for name in "ab"
    ]  # fmt: skip
    part = TASK.movie(shown)
    numbers, agreed = part.grids
    assert dict(zip(numbers.columns, numbers.rows[0], strict=True))["RSP"] == "0.9"
    assert agreed.rows[0] == ("a", "–", "1.00, 0 nm")
    assert part.sentences[0] == "The movie looks like the training."
    assert any("a: RSP 0.9" in one.alt for one in part.drawings)
    assert all(one.alt and one.caption for one in part.drawings)
    assert "recall" in part.unknown[0]


def test_without_a_camera_or_a_table_reasons_stand_for_numbers():
    condition, found = movie(CAMERAS["ideal"], n_frames=20)
    plain = Condition("m", condition.frames, None, told={"pixel_size_nm": 100.0}, calibrated=False)
    stored = TASK.applied(Prediction(found, None, 12.5), plain, plain)
    assert stored.reasons["shape_beyond"] == "no camera is given, so counts are no photons"
    assert stored.reasons["blocks_nm"].startswith("40 positions in 20 frames")
    assert stored.reasons["drift_nm"]
    assert TASK.applied(Prediction(None), condition, condition).values == {}
    none = TASK.applied(Prediction(found.select(np.zeros(len(found), dtype=bool)), None, 12.5), condition, condition)
    assert none.values["rows"] == 0
    assert none.reasons["photons_middle"] == "nothing was found"
    TASK.movie([row("a", Prediction(found)), row("b")])


def test_blocks_join():
    both = Untrue({"a": 1.0}, {"b": "why"}, lines=("x",)).joined(Untrue({"c": 2.0}, pictures={"p": b"1"}))
    assert both == Untrue({"a": 1.0, "c": 2.0}, {"b": "why"}, {}, {"p": b"1"}, ("x",))
    assert both.block == {"values": {"a": 1.0, "c": 2.0}, "reasons": {"b": "why"}, "profiles": {}, "lines": ["x"]}
