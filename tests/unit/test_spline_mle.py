"""The 3-D fitter of a known PSF: at the bound, the right way up, beside neighbours, with its PSF from a file."""

import json

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from smlmbench import psf
from smlmbench.camera import Camera, Noise
from smlmbench.cli import app
from smlmbench.data import simulate
from smlmbench.data.contracts import ArrayFrames, Asked, Condition
from smlmbench.errors import ConfigError
from smlmbench.limit.bounds import Limit
from smlmbench.predictions import Localizations
from smlmbench.psf.contracts import Canvas, Spots
from smlmbench.references import spline_mle
from smlmbench.references.bank import seen
from smlmbench.registry import Catalog
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan
from smlmbench.study.sources import SimulateSource

PIXEL_NM, BACKGROUND = 100.0, 10.0
LENS = {"name": "astigmatic", "focus_nm": 200.0, "depth_of_focus_nm": 400.0, "range_nm": 500.0}
CATALOG = Catalog()
CARD = CATALOG.card("references", "spline_mle")


def optics_of(**changed):
    return psf.build({**LENS, **changed}, CATALOG)


def settings(**given):
    return CARD.fill("spline_mle", given)


def truth_of(x_px, y_px, z_nm, photons, *, frame=None, side):
    n = len(x_px)
    columns = {"frame": np.arange(n) if frame is None else frame, "z_nm": z_nm, "photons": photons}
    columns |= {"x_nm": x_px * PIXEL_NM, "y_nm": y_px * PIXEL_NM, "background_photons": np.full(n, BACKGROUND)}
    n_frames = int(columns["frame"].max()) + 1
    return Localizations.of(columns, n_frames=n_frames, field_nm=(side * PIXEL_NM, side * PIXEL_NM))


def mean_of(truth, optics, side):
    columns = (torch.from_numpy(each) for each in (truth.x_nm, truth.y_nm, truth.z_nm))
    spots = Spots(torch.from_numpy(truth.frame), *columns, torch.from_numpy(truth.photons).float())
    light = optics.render(spots, {}, Canvas(truth.n_frames, side, side, PIXEL_NM, torch.float64))
    return light.numpy() + BACKGROUND


def seen_by(camera, mean, optics, seed=0):
    adu = camera.expose(torch.from_numpy(mean).float(), torch.Generator().manual_seed(seed))
    told = {"pixel_size_nm": PIXEL_NM, **camera.noise.told()}
    return Condition("seen", ArrayFrames(camera.to_photons(adu.numpy())), None, told=told, optics=optics)


def alone(n, side=25, most_nm=400.0, seed=3, photons=1000.0):
    rng = np.random.default_rng(seed)
    x, y = side / 2 + rng.uniform(-1, 1, (2, n))
    return truth_of(x, y, rng.uniform(-most_nm, most_nm, n), np.full(n, photons), side=side)


def found_of(condition, **given):
    return spline_mle.predict(condition, settings(**given), {}, 0).table


def beside(truth, found):
    """Nearest found row of every true one, within 250 nm and in its frame; -1 where there is none."""
    near = np.hypot(truth.x_nm[:, None] - found.x_nm, truth.y_nm[:, None] - found.y_nm)
    near[truth.frame[:, None] != found.frame] = np.inf
    best = near.argmin(axis=1)
    return np.where(near.min(axis=1) < 250, best, -1)


def errors_of(truth, found):
    rows = beside(truth, found)
    away = [getattr(found, name)[rows] - getattr(truth, name) for name in ("x_nm", "y_nm", "z_nm")]
    return np.stack(away, axis=1)[rows >= 0], rows


@pytest.mark.parametrize("kind", ["poisson", "scmos", "emccd"])
def test_isolated_emitters_are_fitted_at_their_bound(kind):
    camera = {
        "poisson": Camera(),
        "scmos": Camera(kind="scmos", baseline_adu=100, e_per_adu=0.5, read_noise_e=1.6),
        "emccd": Camera(kind="emccd", baseline_adu=100, e_per_adu=5, em_gain=100, read_noise_e=30),
    }[kind]
    optics, truth = optics_of(), alone(800)
    found = found_of(seen_by(camera, mean_of(truth, optics, 25), optics))
    away, rows = errors_of(truth, found)
    assert (rows >= 0).mean() > 0.995
    bounds = Limit(optics, camera, PIXEL_NM, deep=True)(truth)
    variance = bounds.free.diagonal(axis1=1, axis2=2)[rows >= 0]
    ratio = np.sqrt((away**2).mean(axis=0) / variance.mean(axis=0))
    assert (ratio > 0.95).all(), ratio
    assert (ratio < 1.1).all(), ratio
    claimed = np.stack([found.sigma_x_nm, found.sigma_y_nm, found.sigma_z_nm], axis=1)[rows[rows >= 0]]
    assert np.median(claimed / np.sqrt(variance), axis=0) == pytest.approx(1, abs=0.03)
    photons = found.photons[rows[rows >= 0]]
    assert photons.mean() == pytest.approx(1000, rel=0.02)


def test_pixels_of_their_own_noise_count_as_they_tell():
    optics, truth = optics_of(), alone(300)
    rng = np.random.default_rng(1)
    added = np.where(rng.random((25, 25)) < 0.15, 400.0, 1.0)
    values = rng.poisson(mean_of(truth, optics, 25)) + rng.normal(size=(300, 25, 25)) * np.sqrt(added)
    told = {"pixel_size_nm": PIXEL_NM, **Noise(1.0, float(added.mean())).told()}
    frames = ArrayFrames(values.astype(np.float32))
    spread = []
    for noise_map in (added, None):
        condition = Condition("map", frames, None, told=told, noise_map=noise_map, optics=optics)
        away, _ = errors_of(truth, found_of(condition))
        spread.append(np.sqrt((away**2).mean(axis=0)))
    assert (spread[0] < 0.75 * spread[1]).all(), spread


@pytest.mark.parametrize("focus_nm", [200.0, -200.0])
def test_depths_have_their_sign_and_their_order(focus_nm):
    optics, z_nm = optics_of(focus_nm=focus_nm), np.linspace(-400, 400, 17)
    truth = truth_of(np.full(17, 12.3), np.full(17, 12.8), z_nm, np.full(17, 5000.0), side=25)
    found = found_of(seen_by(Camera(), mean_of(truth, optics, 25), optics))
    away, rows = errors_of(truth, found)
    assert (rows >= 0).all()
    assert (np.diff(found.z_nm[rows]) > 0).all()
    assert np.abs(away[:, 2]).max() < 60
    swapped = found_of(seen_by(Camera(), mean_of(truth, optics, 25), optics_of(focus_nm=-focus_nm)))
    assert np.corrcoef(z_nm, swapped.z_nm[beside(truth, swapped)])[0, 1] < -0.9


def test_neighbours_are_fitted_together():
    n, rng = 80, np.random.default_rng(5)
    x = np.stack([12.5 - 2.2 + rng.uniform(-0.5, 0.5, n), 12.5 + 2.2 + rng.uniform(-0.5, 0.5, n)], axis=1).ravel()
    y, z_nm = 12.5 + rng.uniform(-0.5, 0.5, 2 * n), rng.uniform(-300, 300, 2 * n)
    truth = truth_of(x, y, z_nm, np.full(2 * n, 2000.0), frame=np.repeat(np.arange(n), 2), side=25)
    optics = optics_of()
    condition = seen_by(Camera(), mean_of(truth, optics, 25), optics)
    bound = np.sqrt(Limit(optics, Camera(), PIXEL_NM, deep=True)(truth).free.diagonal(axis1=1, axis2=2))
    middle, recall = {}, {}
    for together in (1, 5):
        away, rows = errors_of(truth, found_of(condition, together=together))
        middle[together], recall[together] = np.median(np.abs(away) / bound[rows >= 0], axis=0), (rows >= 0).mean()
    assert recall[5] > 0.97
    assert (middle[5] < 0.9).all(), middle  # 0.67 of normal errors at the bound
    assert (middle[5] < middle[1]).all(), middle


def test_noise_alone_makes_few_emitters():
    frames = torch.poisson(torch.full((128, 40, 40), BACKGROUND), generator=torch.Generator().manual_seed(2))
    told = {"pixel_size_nm": PIXEL_NM, **Noise().told()}
    condition = Condition("empty", ArrayFrames(frames.numpy()), None, told=told, optics=optics_of())
    area = 128 * 16 / 1000
    assert len(found_of(condition)) <= 4 * area
    plan = spline_mle.plan_of(condition, settings(false_per_1000um2=100.0))
    maxima = seen(frames, plan.bank, plan.excess, plan.added, torch.zeros_like(frames), plan.height)
    assert len(maxima) == pytest.approx(100 * area, rel=0.3)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"optics": None}, "is told no PSF; state it"),
        ({"optics": psf.build({"name": "gaussian"}, CATALOG)}, "the same at every depth"),
        ({"optics": psf.build({"name": "biplane"}, CATALOG)}, "has 2; give"),
        ({"calibrated": False}, "state the camera"),
        ({"told": {"pixel_size_nm": PIXEL_NM}}, "state the camera"),
    ],
)
def test_what_it_cannot_fit_is_refused_in_one_line(changed, said):
    given = {"told": {"pixel_size_nm": PIXEL_NM, **Noise().told()}, "optics": optics_of(), **changed}
    condition = Condition("x", ArrayFrames(np.ones((2, 25, 25), np.float32)), None, **given)
    with pytest.raises(ConfigError, match=said) as caught:
        found_of(condition)
    assert "\n" not in str(caught.value)


def test_a_condition_states_its_psf_unless_rows_are_told_another_width():
    filled = {"name": LENS["name"], **CATALOG.card("psf", "astigmatic").fill("psf", {"range_nm": 500.0})}
    stated = []
    for told in (None, 99.0):
        source = SimulateSource(psf=filled, field_px=16, frames=2, told_sigma_nm=told)
        stated.append(simulate.condition("x", source, source.identity(CATALOG), Asked("test", 0), CATALOG).optics)
    assert stated[0].depth_nm == (-500.0, 500.0)
    assert stated[1] is None


def bead_of(folder):
    """A bead behind the lens, without noise, as a stack of planes 50 nm apart."""
    import tifffile

    z_nm = np.arange(-600.0, 601.0, 50.0)
    wide = optics_of(range_nm=600.0)
    truth = truth_of(*np.full((2, len(z_nm)), 12.5), z_nm, np.full(len(z_nm), 1e6), side=25)
    tifffile.imwrite(folder / "bead.tif", mean_of(truth, wide, 25).astype(np.float32))
    return {"name": "beads", "path": "bead.tif", "step_nm": 50.0, "focus_plane": 12, "range_nm": 500.0}


def written(tmp_path, psf=LENS):
    import tifffile

    optics, truth = optics_of(), alone(20, photons=4000.0)
    adu = np.random.default_rng(0).poisson(mean_of(truth, optics, 25)) + 100
    tifffile.imwrite(tmp_path / "movie.tif", adu.astype(np.uint16))
    (tmp_path / "camera.yaml").write_text("{kind: ideal, baseline_adu: 100}", encoding="utf-8")
    (tmp_path / "optics.yaml").write_text(yaml.safe_dump({"psf": psf}), encoding="utf-8")
    return truth


def asked(tmp_path, *more):
    base = ["predict", "spline_mle", str(tmp_path / "movie.tif"), "--camera", str(tmp_path / "camera.yaml")]
    return CliRunner().invoke(app, [*base, "--pixel-size-nm", "100", "-o", str(tmp_path), *more])


@pytest.mark.parametrize("kind", ["astigmatic", "beads"])
def test_a_movie_is_fitted_with_the_psf_of_a_file(kind, tmp_path):
    truth = written(tmp_path, LENS if kind == "astigmatic" else bead_of(tmp_path))
    done = asked(tmp_path, "--set", f"psf={tmp_path / 'optics.yaml'}", "--table-format", "smlmbench_csv")
    assert done.exit_code == 0, done.output
    lines = (tmp_path / "movie_locs.csv").read_text(encoding="utf-8").splitlines()
    named = [line for line in lines if not line.startswith("#")]
    rows = [dict(zip(named[0].split(","), map(float, line.split(",")), strict=True)) for line in named[1:]]
    assert len(rows) == len(truth)
    away = np.stack([[row[name] for row in rows] for name in ("x_nm", "y_nm", "z_nm")]) - (
        np.stack([truth.x_nm, truth.y_nm, truth.z_nm])
    )
    assert (np.sqrt((away**2).mean(axis=1)) < [6, 6, 25]).all(), np.sqrt((away**2).mean(axis=1))
    record = json.loads(next(tmp_path.glob("*.json")).read_text(encoding="utf-8"))
    assert record["settings"]["psf"]["psf"]["name"] == kind
    assert "path" not in record["settings"]["psf"]["psf"] or len(record["settings"]["psf"]["psf"]["path"]) == 64


def test_without_a_psf_a_movie_is_refused(tmp_path):
    written(tmp_path)
    refused = asked(tmp_path)
    assert refused.exit_code == 2
    assert "is told no PSF" in refused.output
    absent = asked(tmp_path, "--set", f"psf={tmp_path / 'none.yaml'}")
    assert absent.exit_code == 2
    assert "does not exist" in absent.output


STUDY = """
study: s
data: [{name: d, train: {simulate: {field_px: 16, z_nm: {min: -300, max: 300}, psf: {name: astigmatic}}}}]
output: {upsampling: 4}
models: [{name: srcnn, width: 0.25}]
losses: [mse]
references: [{name: spline_mle, psf: optics.yaml}]
"""


def test_in_a_study_the_psf_counts_by_its_content(tmp_path):
    (tmp_path / "s.yaml").write_text(STUDY, encoding="utf-8")
    known = []
    for number, name in ((200.0, "one"), (200.0, "two"), (250.0, "three")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "optics.yaml").write_text(yaml.safe_dump({**LENS, "focus_nm": number}), encoding="utf-8")
        plan = make_plan(load_study(tmp_path / "s.yaml", data_root=folder))
        known.append([row.reference_id for row in plan.references])
    assert known[0] == known[1] != known[2]
    with pytest.raises(ConfigError, match=r"optics\.yaml' does not exist"):
        load_study(tmp_path / "s.yaml", data_root=tmp_path)


def test_frames_smaller_than_a_window_and_dark_ones_are_fitted():
    optics, truth = optics_of(), truth_of(*np.full((2, 3), 5.2), np.zeros(3), np.full(3, 3000.0), side=10)
    condition = seen_by(Camera(), mean_of(truth, optics, 10), optics)
    assert (beside(truth, found_of(condition)) >= 0).all()
    values = condition.frames.values.copy()
    values[1] = 0
    dark = Condition("dark", ArrayFrames(values), None, told=condition.told, optics=optics)
    assert sorted(set(found_of(dark).frame)) == [0, 2]


def test_blocks_of_64_frames_are_answered_alone():
    optics, truth = optics_of(), alone(67, side=15, photons=2000.0)
    whole = seen_by(Camera(), mean_of(truth, optics, 15), optics)
    tables = [found_of(part).columns() for part in (whole, whole.part(0, 64), whole.part(64, 67))]
    for name in ("x_nm", "z_nm", "photons", "sigma_z_nm"):
        assert np.array_equal(tables[0][name], np.concatenate([tables[1][name], tables[2][name]])), name


def test_a_bright_pixel_is_no_emitter():
    """Of hot pixels on empty frames a tenth at most are rows."""
    values = np.random.default_rng(3).poisson(20.0, (20, 32, 32)).astype(np.float32)
    values[np.arange(20), 5 + np.arange(20), 25 - np.arange(20)] += 130
    told = {"pixel_size_nm": PIXEL_NM, **Noise().told()}
    empty = Condition("hot", ArrayFrames(values), None, told=told, optics=optics_of())
    assert len(spline_mle.predict(empty, settings(), {}, 0).table) <= 2
