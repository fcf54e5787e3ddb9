"""Errors over the limit: what efficient, worse and lucky estimators score, and where there is no limit."""

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.special import ndtr
from typer.testing import CliRunner

from smlmbench import psf, tasks
from smlmbench.camera import Camera
from smlmbench.cli import app
from smlmbench.data import conditions, limits
from smlmbench.data.contracts import Asked
from smlmbench.data.simulate import condition as simulated
from smlmbench.limit.bounds import Limit, drawn_from
from smlmbench.metrics import rho_med
from smlmbench.metrics.evidence import Facts, gather
from smlmbench.metrics.nearness import log_rho, near, spread
from smlmbench.predictions import Localizations, Prediction
from smlmbench.registry import Catalog
from smlmbench.study.schema import Scoring
from smlmbench.study.sources import MovieSource, SimulateSource
from smlmbench.tasks.contracts.gating import Answers
from smlmbench.truths.bounds import Bounds, lateral_nm
from smlmbench.truths.emitters import Emitters

CATALOG = Catalog()
BARE = Scoring(border_nm=0.0)
TASK = tasks.load("localization", CATALOG)


def apart(n, *, photons=1000.0, deep=0.0, seed=0):
    """One emitter in each of n frames, photons log-normal around a number, background 10."""
    numbers = np.random.default_rng(seed)
    x_nm, y_nm = numbers.uniform(900, 1100, (2, n))
    light = photons * np.exp(numbers.normal(0, 0.5, n))
    z_nm = numbers.uniform(-deep, deep, n)
    columns = {"frame": np.arange(n), "x_nm": x_nm, "y_nm": y_nm, "z_nm": z_nm, "photons": light}
    columns["background_photons"] = np.full(n, 10.0)
    return Localizations.of(columns, n_frames=n, field_nm=(2000.0, 2000.0))


def bounds_of(table, name="gaussian", **more):
    found = Limit(psf.build({"name": name}, CATALOG), Camera(), 100.0, **more)(table)
    assert isinstance(found, Bounds)
    return found


def estimated(table, covariance, *, seed=1, scale=1.0, shift=(0.0, 0.0, 0.0)):
    """Truth plus normal errors of a covariance; emitters without a bound are not found."""
    known = np.isfinite(covariance).all(axis=(1, 2))
    noise = np.random.default_rng(seed).normal(size=(int(known.sum()), covariance.shape[1]))
    away = scale * np.einsum("nij,nj->ni", np.linalg.cholesky(covariance[known]), noise)
    found = table.select(known)
    moved = {
        name: getattr(found, name) + away[:, k] + shift[k]
        for k, name in enumerate(("x_nm", "y_nm", "z_nm")[: away.shape[1]])
    }
    return replace(found, **moved)


def measured(found, truth, limit, three_d=False):
    evidence = gather(found, truth, facts=Facts(scoring=BARE, min_photons=0.0, three_d=three_d), limit=limit)
    return rho_med.measure(evidence)


@pytest.fixture(scope="module")
def lone():
    table = apart(6000)
    return table, bounds_of(table)


def test_the_table_of_the_standard(lone):
    """Section 5.4: six estimators of emitters of about 1000 photons on a background of 10."""
    table, limit = lone
    efficient = estimated(table, limit.free)
    told = measured(efficient, table, limit)
    assert told["rho_med"] == pytest.approx(1.0, abs=0.02)
    assert told["outlier_share"] < 0.001
    assert told["resolvable_fraction"] == told["resolvable_recall"] == 1.0
    assert told["bound_nm"] == pytest.approx(np.median(lateral_nm(limit.free)))
    worse = measured(estimated(table, limit.free, scale=1.3), table, limit)
    assert worse["rho_med"] == pytest.approx(1.3, abs=0.025)
    assert worse["outlier_share"] == pytest.approx(0.0047, abs=0.003)

    numbers = np.random.default_rng(2)
    radius, angle = 250 * np.sqrt(numbers.random(len(table))), 2 * np.pi * numbers.random(len(table))
    lucky = numbers.random(len(table)) < 0.02
    x_nm = np.where(lucky, table.x_nm + radius * np.cos(angle), efficient.x_nm)
    y_nm = np.where(lucky, table.y_nm + radius * np.sin(angle), efficient.y_nm)
    by_chance = measured(replace(efficient, x_nm=x_nm, y_nm=y_nm), table, limit)
    assert by_chance["rho_med"] == pytest.approx(1.015, abs=0.02)
    assert by_chance["outlier_share"] == pytest.approx(0.0186, abs=0.004)

    bright = measured(efficient.select(table.photons > np.median(table.photons)), table, limit)
    assert bright["rho_med"] == pytest.approx(1.0, abs=0.03)
    assert bright["resolvable_recall"] == pytest.approx(0.5, abs=0.01)
    shifted = measured(estimated(table, limit.free, shift=(6.25, 6.25)), table, limit)
    assert shifted["rho_med"] == pytest.approx(1.66, abs=0.05)
    gridded = replace(efficient, x_nm=(efficient.x_nm // 12.5 + 0.5) * 12.5, y_nm=(efficient.y_nm // 12.5 + 0.5) * 12.5)
    assert measured(gridded, table, limit)["rho_med"] == pytest.approx(1.23, abs=0.04)


def test_an_efficient_estimator_in_depth():
    table = apart(3000, photons=3000.0, deep=500.0)
    limit = bounds_of(table, "astigmatic", deep=True)
    assert limit.free.shape[1:] == (3, 3)
    found = estimated(table, limit.free)
    assert measured(found, table, limit, three_d=True)["rho_med"] == pytest.approx(1.0, abs=0.02)
    assert measured(found, table, limit, three_d=False)["rho_med"] == pytest.approx(1.0, abs=0.03)
    flat = replace(found, z_nm=table.z_nm + 3 * (found.z_nm - table.z_nm))
    assert measured(flat, table, limit, three_d=True)["rho_med"] > 1.5


@pytest.mark.parametrize(("density", "frames"), [(0.5, 300), (2.0, 120), (5.0, 40)])
def test_an_efficient_estimator_at_every_density(density, frames):
    source = SimulateSource(field_px=64, frames=frames, density_per_um2=density)
    asked = Asked("test", 11)
    told = simulated("dense", source, {"d": density}, asked, CATALOG)
    limit = told.truth.bounds
    scores = [
        TASK.score(Prediction(estimated(told.truth.table, limit.prior, seed=seed), None, 25.0), told, Scoring())
        for seed in range(3)
    ]
    assert np.mean([each.values["rho_med"] for each in scores]) == pytest.approx(1.0, abs=0.02)
    facts = TASK.facts(told, Scoring())
    assert facts["resolvable_fraction"] == pytest.approx(scores[0].values["resolvable_fraction"])
    assert facts["bound_nm"] == pytest.approx(scores[0].values["bound_nm"])
    assert facts["bound_nm"] < facts["bound_free_nm"]
    assert facts["bound_prior"] == 1.0
    assert facts["closer_than_bound"] < 1 - facts["resolvable_fraction"] + 0.02


def test_who_is_too_close_is_told_apart_from_who_is_dim():
    rows = [(0, 500, 500, 1000), (0, 560, 500, 1000), (1, 1000, 1000, 20), (2, 400, 400, 1000), (2, 1000, 1000, 900)]
    frame, x_nm, y_nm, photons = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    columns = {"frame": frame, "x_nm": x_nm, "y_nm": y_nm, "photons": photons, "background_photons": np.full(5, 10.0)}
    table = Localizations.of(columns, n_frames=3, field_nm=(2000.0, 2000.0))
    limit = Limit(psf.build({"name": "gaussian"}, CATALOG), Camera(), 100.0)
    told = simulated("x", SimulateSource(field_px=20, frames=3), {}, Asked("test", 0), CATALOG)
    facts = TASK.facts(replace(told, truth=Emitters(table, 0.0, None, limit)), BARE)
    assert facts["resolvable_fraction"] == pytest.approx(2 / 5)
    assert facts["closer_than_bound"] == pytest.approx(2 / 5)
    assert facts["bound_prior"] == 0.0
    nothing = pd.DataFrame({"row": []})
    said = " ".join(TASK.section(nothing, {"a": facts, "b": {"density_per_um2": 2.0}}).notes)
    assert "40.0 % on a" in said
    assert "bound_free on a" in said
    assert TASK.section(nothing, {"b": {"density_per_um2": 2.0}}).notes == ()


@pytest.mark.parametrize("photons", [500, 1000])
def test_a_maximum_likelihood_fit_reaches_the_limit(photons):
    """Fisher scoring of x, y, photons and background on Poisson pixels of emitters that stand alone."""
    rows = replace(apart(2500), photons=np.full(2500, float(photons)))
    start = np.column_stack([rows.x_nm, rows.y_nm, rows.photons, rows.background_photons])
    found = fitted(np.random.default_rng(4).poisson(mean_of(start)), start)
    errors = np.stack([found[:, 0] - rows.x_nm, found[:, 1] - rows.y_nm], axis=1)
    limit = bounds_of(rows)
    assert math.sqrt((errors**2).sum() / np.einsum("nii->", limit.free)) == pytest.approx(1.0, abs=0.03)
    near_it = replace(rows, x_nm=found[:, 0], y_nm=found[:, 1])
    assert measured(near_it, rows, limit)["rho_med"] == pytest.approx(1.0, abs=0.03)


def mean_of(at):
    """Expected pixels (n, 20, 20) of x, y, photons and background (n, 4)."""
    edges = np.arange(21) * 100.0
    across, down = (np.diff(ndtr((edges - at[:, [k]]) / 130.0), axis=1) for k in (0, 1))
    return at[:, 2, None, None] * down[:, :, None] * across[:, None, :] + at[:, 3, None, None]


def fitted(frames, start):
    """Parameters (n, 4) of one emitter in each frame, from some rounds of Fisher scoring."""
    at = start.copy()
    for _ in range(8):
        here = mean_of(at)
        steps = np.diag([1.0, 1.0, 1.0, 0.01])
        slopes = np.stack([(mean_of(at + h) - mean_of(at - h)) / (2 * h.sum()) for h in steps], axis=1)
        told = np.einsum("naij,nbij,nij->nab", slopes, slopes, 1 / here, optimize=True)
        push = np.einsum("naij,nij->na", slopes, frames / here - 1)
        at += np.linalg.solve(told, push[:, :, None])[:, :, 0]
        at[:, 2:] = np.maximum(at[:, 2:], 0.5)
    return at


def test_the_prior_is_quoted_where_train_and_test_share_the_simulator():
    alike = SimulateSource(field_px=24, frames=8, density_per_um2=3.0)
    other = alike.model_copy(update={"photons": 800.0})
    plan = type(
        "Plan",
        (),
        {
            "train": alike,
            "tests": {"same": alike, "other": other},
            "test_identity": {"same": {}, "other": {"o": 1}},
            "sheet": None,
        },
    )
    drawn = conditions(plan, 0, CATALOG)
    assert drawn["same"].truth.bounds.prior is not None
    assert drawn["other"].truth.bounds.prior is None
    taught_elsewhere = simulated("x", alike, {}, Asked("test", 0, taught=MovieSource.model_construct()), CATALOG)
    assert taught_elsewhere.truth.bounds.prior is None


def test_what_does_not_vary_is_known_exactly():
    table = apart(50)
    told = drawn_from(table)
    assert told.photons == pytest.approx(1 / table.photons.var())
    assert math.isinf(told.background)


def test_why_there_is_no_limit():
    table = apart(3)
    dark = replace(table, photons=np.full(3, np.nan))
    anywhere = replace(table, background_photons=np.full(3, np.nan))
    ranged = psf.build({"name": "gaussian", "sigma_nm": {"min": 100, "max": 150}}, CATALOG)
    limit = Limit(psf.build({"name": "gaussian"}, CATALOG), Camera(), 100.0)
    reasons = [limit(dark), limit(anywhere), Limit(ranged, Camera(), 100.0)(table)]
    flat = replace(table, z_nm=np.full(3, np.nan))
    assert "depth" in Limit(psf.build({"name": "astigmatic"}, CATALOG), Camera(), 100.0, deep=True)(flat)
    assert isinstance(limit(flat), Bounds)
    assert ["photons" in reasons[0], "background" in reasons[1], "differs" in reasons[2]] == [True] * 3
    movie = MovieSource.model_construct(camera=Camera(), pixel_size_nm=100.0)
    assert limits.stated(movie, None) == "the PSF is not stated"
    uncalibrated = MovieSource.model_construct(camera="uncalibrated", pixel_size_nm=100.0)
    assert limits.stated(uncalibrated, ranged) == "the camera is not stated"
    assert "PSF" in Emitters(table).bounds
    told = simulated("x", SimulateSource(field_px=20, frames=3), {}, Asked("test", 0), CATALOG)
    scores = TASK.score(Prediction(table, None, 25.0), replace(told, truth=Emitters(table)), BARE)
    assert "PSF" in scores.reasons["rho_med"]
    assert scores.reasons["resolvable_fraction"] == scores.reasons["rho_med"]
    assert TASK.facts(replace(told, truth=Emitters(table)), BARE) == {"no_bound": scores.reasons["rho_med"]}


def test_windows_of_frames_add_up_what_they_tell_of_a_molecule():
    columns = {
        "frame": [0, 1, 2, 5, 1],
        "x_nm": [1000.0] * 4 + [400.0],
        "y_nm": [1000.0] * 4 + [400.0],
        "photons": [900.0] * 5,
    }
    columns |= {"background_photons": [5.0] * 5, "molecule": [7, 7, 7, 7, 9]}
    table = Localizations.of(columns, n_frames=6, field_nm=(2000.0, 2000.0))
    alone = bounds_of(table)
    together = alone.seen_in(3)
    gain = alone.free[:, 0, 0] / together.free[:, 0, 0]
    assert gain == pytest.approx([2, 3, 2, 1, 1], rel=0.01)
    assert alone.seen_in(1) is alone
    anonymous = replace(alone, molecule=None)
    assert anonymous.seen_in(3) is anonymous


def test_a_row_that_sees_three_frames_is_measured_against_what_they_tell():
    """A molecule that is on in all of them: the bound is the square root of 3 lower, the same errors so much more."""
    columns = {"frame": [0, 1, 2], "x_nm": [1000.0] * 3, "y_nm": [1000.0] * 3, "photons": [900.0] * 3}
    columns |= {"background_photons": [5.0] * 3, "molecule": [7, 7, 7]}
    table = Localizations.of(columns, n_frames=3, field_nm=(2000.0, 2000.0))
    told = simulated("x", SimulateSource(field_px=20, frames=3), {}, Asked("test", 0), CATALOG)
    truth = Emitters(table, 0.0, None, Limit(psf.build({"name": "gaussian"}, CATALOG), Camera(), 100.0))
    seen = replace(table, x_nm=np.add(table.x_nm, [300.0, 9.0, 300.0]))  # only that of the middle frame is found
    one, three = (
        TASK.score(Prediction(seen, None, 25.0, context=context), replace(told, truth=truth), BARE).values
        for context in (1, 3)
    )
    assert three["rho_med"] / one["rho_med"] == pytest.approx(math.sqrt(3), rel=0.01)
    assert three["rmse_nm"] == one["rmse_nm"]
    gain = lateral_nm(truth.bounds.free)[1] / lateral_nm(truth.bounds.seen_in(3).free)[1]
    assert gain == pytest.approx(math.sqrt(3), rel=0.01)


def test_a_part_has_the_bounds_of_its_frames():
    told = simulated("x", SimulateSource(field_px=24, frames=10, density_per_um2=3.0), {}, Asked("test", 0), CATALOG)
    whole, part = told.truth, told.truth.part(3, 6)
    rows = (whole.table.frame >= 3) & (whole.table.frame < 6)
    np.testing.assert_allclose(part.bounds.prior, whole.bounds.prior[rows], rtol=1e-6)


def test_a_reduced_format_may_lose_two_percent_of_rho():
    """Errors that grow, at unchanged efficiency within a point."""
    table = apart(1000)
    limit = bounds_of(table)
    told = simulated("x", SimulateSource(field_px=20, frames=1), {}, Asked("test", 0), CATALOG)
    frames = type(told.frames)(np.broadcast_to(told.frames.values[:1], (len(table), 20, 20)))
    known = Limit(psf.build({"name": "gaussian"}, CATALOG), Camera(), 100.0)
    told = replace(told, frames=frames, truth=Emitters(table, 0.0, None, known))
    single = Answers(Prediction(estimated(table, limit.free)))

    def judged(scale):
        return TASK.gate([(Answers(Prediction(estimated(table, limit.free, scale=scale))), single, told)], BARE)

    assert judged(1.0).passed
    assert judged(1.0).numbers["rho_lost_most"] == 0.0
    assert judged(1.01).passed
    slower = judged(1.05)
    assert not slower.passed
    assert "rho_med" in slower.reason
    assert slower.numbers["rho_lost_most"] == pytest.approx(0.05, abs=0.01)


def test_the_spread_has_the_median_of_what_it_was_made_of():
    numbers = np.random.default_rng(0)
    q, frame = numbers.exponential(size=4001), numbers.integers(0, 50, 4001)
    sums = spread(q, frame, 50)
    assert sums.sum() == 4001
    assert math.exp(2 * float(log_rho(sums.sum(axis=0)))) == pytest.approx(np.median(q), rel=2e-3)
    assert isinstance(near(gather(None, None)), str)


def test_the_limit_of_a_study_from_one_command(tmp_path):
    simulate = {"density_per_um2": 1.0, "field_px": 24, "frames": 6}
    tests = {"like": {"simulate": {}}, "dim": {"simulate": {"photons": 300, "density_per_um2": 4.0}}}
    entry = {"name": "sim", "train": {"simulate": simulate}, "test": tests}
    models, losses = [{"name": "srcnn"}], [{"name": "mse"}]
    study = tmp_path / "s.yaml"
    study.write_text(yaml.safe_dump({"study": "s", "data": [entry], "models": models, "losses": losses}))
    said = CliRunner().invoke(app, ["limit", str(study), "--json"])
    assert said.exit_code == 0, said.output
    dim, like = json.loads(said.stdout)
    assert (like["data"], like["condition"], like["bound_prior"]) == ("sim", "like", 1.0)
    assert dim["bound_prior"] == 0.0
    assert dim["resolvable_fraction"] < like["resolvable_fraction"]
    assert dim["bound_nm"] == dim["bound_free_nm"] > 2 * like["bound_nm"]
    table = CliRunner().invoke(app, ["limit", str(study)]).stdout
    assert "bound_free" in table
    assert "too close" in table


def test_emitters_outside_the_field_count_where_they_are_known():
    told = simulated("x", SimulateSource(field_px=24, frames=40, density_per_um2=5.0), {}, Asked("test", 0), CATALOG)
    truth = told.truth
    x_nm, y_nm = truth.around.x_nm, truth.around.y_nm
    assert len(truth.around) > len(truth.table) / 2
    assert bool(((np.minimum(x_nm, y_nm) < 0) | (np.maximum(x_nm, y_nm) >= 2400)).all())
    known, alone = (lateral_nm(each.bounds.prior) for each in (truth, replace(truth, around=None)))
    assert bool((known > alone * (1 - 1e-9)).all())
    edge = np.minimum(
        np.minimum(truth.table.x_nm, truth.table.y_nm), 2400 - np.maximum(truth.table.x_nm, truth.table.y_nm)
    )
    ratio = known / alone
    assert np.median(ratio[edge < 200]) > 1.1 > np.median(ratio[edge > 700])
    light = told.frames.values.sum(axis=(1, 2)).mean() / 24**2 - 10
    assert light == pytest.approx((truth.table.photons.sum() / 40) / 24**2, rel=0.1)


def test_a_psf_without_depth_bounds_no_depth(lone):
    table, limit = lone
    deep = replace(table, z_nm=np.linspace(-100, 100, len(table)))
    found = replace(estimated(table, limit.free), z_nm=deep.z_nm)
    assert measured(found, deep, limit, three_d=True)["rho_med"] == pytest.approx(1.0, abs=0.02)
