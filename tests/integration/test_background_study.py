"""Backgrounds from a study to its page, off a user's movie, and into an exported file."""

import shutil

import numpy as np
import pandas as pd
import pytest
import tifffile
from typer.testing import CliRunner

from smlmbench.cli import app
from smlmbench.report.leaderboard import leaderboard_frame
from smlmbench.run.progress import Reporter
from smlmbench.run.studies.asked import Options
from smlmbench.run.studies.study import run_study
from smlmbench.run.using.exporting import export
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan
from smlmbench.tracking.records import read_study
from smlmbench.tracking.store import open_store

STUDY = """
study: beneath
seed: 3
repeats: 2
data:
  - name: spots
    train: {background_crops: {side_px: 12, empty: 0.5, neighbours: 0.5, pixel_size_nm: 110}}
    val: {background_crops: {frames: 20}}
    test:
      smooth: {background_crops: {octaves: 1, empty: 0, neighbours: 0, frames: 30}}
      rough: {background_crops: {octaves: 4, empty: 0, neighbours: 0, frames: 30}}
    apply: [mine.tif]
models: [{name: bgnet, width: 0.25}]
training: {samples: 1600, batch_size: 16, lr: 0.01, schedule: one_cycle, validations: 2}
timing: {devices: [cpu], runtimes: [eager], sizes_px: [32]}
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory, empty_store, short_timing):
    folder = tmp_path_factory.mktemp("beneath")
    slope = np.linspace(20, 80, 30)[None, None, :]
    movie = np.random.default_rng(0).poisson(slope, (5, 26, 30)).astype(np.uint16)
    tifffile.imwrite(folder / "mine.tif", movie)
    (folder / "beneath.yaml").write_text(STUDY)
    loaded = load_study(folder / "beneath.yaml", data_root=folder)
    store = open_store(shutil.copytree(empty_store, folder / "store"))
    finished = run_study(loaded, make_plan(loaded), store, Reporter(quiet=True), Options())
    return folder, loaded, store, finished


def test_every_row_is_done_and_the_truth_is_perfect(ran):
    _, _, store, finished = ran
    assert (finished.statuses, finished.failed_references) == ({"done": 2}, [])
    frame = leaderboard_frame(read_study(store, "beneath"))
    mean = frame[(frame.metric == "background_rmse") & (frame.condition == "")].set_index("label").value
    assert mean["true_background"] == 0
    assert 0 < mean["bgnet"] < 1 < mean["no_background"]
    ratio = frame[(frame.metric == "fit_spread_ratio") & (frame.condition == "rough")].set_index("label").value
    assert ratio["true_background"] == 1 < ratio["edge_median"]
    run = read_study(store, "beneath").rows("cell")[0]
    assert len(pd.read_csv(run.artifact("per_frame/rough.csv"))) == 30
    assert run.metrics["device/cpu_eager_fp32_12px_crops_per_s"] > 0


def test_the_page_has_its_section(ran):
    page = ran[3].report.read_text(encoding="utf-8")
    for text in (
        "Background RMSE / mean",
        "Spread / with true background",
        "spots: background RMSE",
        "smooth",
        "1 oct.",
    ):
        assert text in page


def test_a_movie_is_taken_off_its_background(ran, tmp_path):
    folder, _, store, _ = ran
    run = read_study(store, "beneath").rows("cell")[0]
    mean = tifffile.imread(run.artifact("applied/mine.tif_mean_background.tif"))
    where = ["-o", str(tmp_path), "--store", store.place, "--camera", "{kind: ideal}"]
    command = ["predict", run.run_id, str(folder / "mine.tif"), *where]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    names = ["mine_background.tif", "mine_less_background.tif"]
    assert done.stdout.split() == [str(tmp_path / name) for name in names]
    background, less = (tifffile.imread(tmp_path / name) for name in names)
    movie = tifffile.imread(folder / "mine.tif").astype(np.float32)
    assert np.array_equal(movie - background, less)
    assert background.mean(axis=0) == pytest.approx(mean, rel=1e-4)
    assert background[:, :, 20:].mean() > 1.3 * background[:, :, :10].mean()
    again = CliRunner().invoke(app, command)
    assert (again.exit_code, "give another folder with --output" in again.stderr) == (2, True)


def test_it_is_exported_for_its_crops(ran, tmp_path):
    pytest.importorskip("onnxscript")
    _, loaded, store, _ = ran
    run = read_study(store, "beneath").rows("cell")[0]
    made = export(run.artifact("best.pt"), "onnx", tmp_path, loaded.catalog)
    assert made.parity.passed
    assert all(size[1:] == [1, 12, 12] for size in made.parity.sizes)
