"""A small study of crops to its page, and the trained network on a movie at the places of a table."""

import shlex
import shutil

import numpy as np
import pandas as pd
import pytest
import tifffile
from page_commands import run_asked
from typer.testing import CliRunner

from smlmbench.cli import app
from smlmbench.report.leaderboard import leaderboard_frame
from smlmbench.run.progress import Reporter
from smlmbench.run.studies.asked import Options
from smlmbench.run.studies.checking import check_plan
from smlmbench.run.studies.study import run_study
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan
from smlmbench.tracking.records import read_study
from smlmbench.tracking.store import open_store

STUDY = """
study: crops
seed: 3
repeats: 2
data:
  - name: lens
    train:
      psf_crops:
        field_px: 9
        z_nm: {min: -400, max: 400}
        photons: 5000
        parameters: z_nm
        psf: {name: astigmatic, focus_nm: 250, range_nm: 500}
        camera: {kind: scmos, baseline_adu: 100, e_per_adu: 0.5, read_noise_e: 1.6}
    val: {psf_crops: {frames: 100}}
    test:
      bright: {psf_crops: {frames: 200}}
      dim: {psf_crops: {frames: 200, photons: 800}}
models: [{name: smnet, width: 0.0625}]
references: [true_parameters, crop_mle, phasor, crop_middle]
training: {samples: 9600, batch_size: 32, validations: 3, validation_frames: 100, lr: 0.003}
timing: {devices: [cpu], runtimes: [eager], sizes_px: [9]}
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory, empty_store, short_timing):
    folder = tmp_path_factory.mktemp("crops")
    (folder / "s.yaml").write_text(STUDY)
    loaded = load_study(folder / "s.yaml")
    plan = make_plan(loaded)
    store = open_store(shutil.copytree(empty_store, folder / "store"))
    return loaded, plan, store, run_study(loaded, plan, store, Reporter(quiet=True), Options()), folder


def test_every_row_has_its_numbers(ran):
    _, _, store, finished, _ = ran
    assert finished.statuses == {"done": 2}
    assert finished.failed_references == []
    frame = leaderboard_frame(read_study(store, "crops"))
    mean = frame[(frame.metric == "crlb_ratio") & (frame.condition == "")].set_index("label")["value"]
    assert mean["true_parameters"] == 0
    assert 0.8 < mean["crop_mle"] < 1.2
    assert mean["crop_mle"] < mean["smnet"] < 0.5 * mean["crop_middle"]
    bound = frame[(frame.metric == "crlb_z") & (frame.label == "smnet")].set_index("condition")["value"]
    assert bound["dim"] > 2 * bound["bright"] > 0


def test_the_page_shows_errors_beside_the_bound_and_bias_over_depth(ran):
    page = ran[3].report.read_text(encoding="utf-8")
    for text in ("RMSE / CRLB", "z RMSE (nm)", "z CRLB (nm)", "Bias and spread of z_nm against the true depth"):
        assert text in page
    assert "photons RMSE" not in page
    csv = pd.read_csv(ran[3].report.with_suffix(".csv"))
    assert set(csv["task"]) == {"psf_regression"}


def test_the_plan_can_be_checked(ran):
    loaded, plan, *_ = ran
    (built,) = check_plan(plan, loaded.catalog, probes=False).built
    assert built.problem == ""
    assert 5_000 < built.n_params < 20_000


def test_the_command_of_the_page_answers_places_of_a_movie(ran, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frames = np.random.default_rng(0).poisson(10, (6, 24, 30)) * 2 + 100
    tifffile.imwrite("movie.tif", frames.astype(np.uint16))
    (tmp_path / "camera.yaml").write_text("{kind: scmos, baseline_adu: 100, e_per_adu: 0.5, read_noise_e: 1.6}")
    (tmp_path / "places.csv").write_text("frame,x_nm,y_nm\n0,1450,1250\n5,1450,1250\n")
    assert "movie_parameters.csv" in run_asked(ran[3].report)
    assert len(pd.read_csv("results/movie_parameters.csv", comment="#")) == 2
    told = CliRunner().invoke(app, ["report", "crops", "--budget-ms", "1e6", "--store", str(ran[2].home)]).stdout
    (within,) = [line.strip() for line in told.splitlines() if line.strip().startswith("smlmbench predict")]
    done = CliRunner().invoke(app, [*shlex.split(within)[1:], "--overwrite"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "movie_parameters.csv").is_file()


def test_predict_answers_places_of_a_movie(ran):
    _, _, store, _, folder = ran
    run = read_study(store, "crops").rows("cell")[0]
    frames = np.random.default_rng(0).poisson(10, (6, 24, 30)) * 2 + 100
    frames[:, 11:14, 13:16] += 900
    tifffile.imwrite(folder / "movie.tif", frames.astype(np.uint16))
    (folder / "places.csv").write_text("frame,x_nm,y_nm\n" + "".join(f"{k},1450,1250\n" for k in range(6)))
    said = [
        "predict", str(run.artifact("best.pt")), str(folder / "movie.tif"), "--output", str(folder / "out"),
        "--camera", "{kind: scmos, baseline_adu: 100, e_per_adu: 0.5, read_noise_e: 1.6}",
        "--places", str(folder / "places.csv"),
    ]  # fmt: skip
    asked = CliRunner().invoke(app, said)
    assert asked.exit_code == 0, asked.output
    found = pd.read_csv(folder / "out" / "movie_parameters.csv", comment="#")
    assert len(found) == 6
    assert found["z_nm"].between(-800, 800).all()
    assert (found["x_nm"] == 1450).all()
    refused = CliRunner().invoke(app, [*said[:-2], "--overwrite"])  # without places
    assert refused.exit_code == 2
    assert "--places" in str(refused.output) + str(refused.exception)
