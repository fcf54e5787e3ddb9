"""A whole task from files outside the package: source, truth, output kind, network, loss, metric, references, page."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from smlmbench.cli import app
from smlmbench.conformance import run_checks
from smlmbench.errors import ConfigError
from smlmbench.registry import Catalog
from smlmbench.report.leaderboard import leaderboard_frame
from smlmbench.run.progress import Reporter
from smlmbench.run.studies.asked import Options
from smlmbench.run.studies.checking import check_plan
from smlmbench.run.studies.study import run_study
from smlmbench.run.using.exporting import export
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan
from smlmbench.tracking.records import read_study
from smlmbench.tracking.store import open_store

FILES = sorted((Path(__file__).parent.parent / "plugins" / "gauge").rglob("*.py"))
STUDY = """
study: gauge
seed: 3
repeats: 2
data:
  - name: lines
    arm: alone
    train: {spectra: {counts: 300}}
    test: {bright: {spectra: {counts: 600}}, dim: {spectra: {counts: 30}}}
models: [line_net]
training: {samples: 1600, batch_size: 16, validations: 2}
timing: {devices: [cpu], runtimes: [eager], sizes_px: [64]}
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory, empty_store, short_timing):
    folder = tmp_path_factory.mktemp("gauge")
    path = folder / "gauge.yaml"
    path.write_text(STUDY + f"plugins: {json.dumps([str(file) for file in FILES])}\n")
    loaded = load_study(path)
    plan = make_plan(loaded)
    store = open_store(shutil.copytree(empty_store, folder / "store"))
    finished = run_study(loaded, plan, store, Reporter(quiet=True), Options())
    return loaded, plan, store, finished


def test_every_row_of_the_task_is_done(ran):
    _, plan, store, finished = ran
    assert finished.statuses == {"done": 2}
    assert finished.failed_references == []
    assert {cell.task for cell in plan.cells} == {"gauge"}
    assert sorted(row.reference.name for row in plan.references) == ["centroid", "told"]
    runs = read_study(store, "gauge").rows("cell")
    assert all(run.artifact("best.pt") and run.artifact("predictions/bright.csv") for run in runs)
    assert all(float(run.params["reject"]) >= 0 and run.params["threshold"] == "none" for run in runs)
    assert all(run.metrics["device/cpu_eager_fp32_32px_lines_per_s"] > 0 for run in runs)


def test_the_truth_is_perfect_and_the_network_learned(ran):
    frame = leaderboard_frame(read_study(ran[2], "gauge"))
    mean = frame[(frame.metric == "place_rmse") & (frame.condition == "")].set_index("label")
    assert mean.loc["told", "value"] == 0
    assert 0 < mean.loc["line_net", "value"] < 0.2
    assert mean.loc["line_net", "low"] < mean.loc["line_net", "value"] < mean.loc["line_net", "high"]
    dark = frame[(frame.metric == "dark_told") & (frame.label == "centroid") & (frame.condition == "dim")]
    assert dark.value.tolist() == [1.0]


def test_the_page_has_the_section_of_the_task(ran):
    page = ran[3].report.read_text(encoding="utf-8")
    for text in (
        "RMSE of the place",
        "Gauges tell places of lines.",
        "The place of a line runs from 0 to 1.",
        "A gauge",
        "All gauges: lines (alone): bright, dim",
    ):
        assert text in page
    assert "efficiency" not in page.lower()
    csv = pd.read_csv(ran[3].report.with_suffix(".csv"))
    assert set(csv["task"]) == {"gauge"}
    assert csv.loc[csv["model"] == "told", "test.dim/place_rmse"].tolist() == [0.0]


def test_the_same_command_again_trains_nothing(ran):
    loaded, plan, store, _ = ran
    before = {run.run_id for run in read_study(store, "gauge").runs if run.role == "cell"}
    run_study(loaded, plan, store, Reporter(quiet=True), Options())
    assert {run.run_id for run in read_study(store, "gauge").runs if run.role == "cell"} == before


def test_its_networks_are_exported_for_the_one_length_that_they_take(ran, tmp_path):
    pytest.importorskip("onnxscript")
    loaded, _, store, _ = ran
    run = read_study(store, "gauge").rows("cell")[0]
    made = export(run.artifact("best.pt"), "onnx", tmp_path, loaded.catalog)
    assert made.parity.passed
    assert made.parity.sizes == [[8, 1, 32]]  # of one line it may tell a single number, which has no range
    with pytest.raises(ConfigError, match="this one takes 32 alone; give onnx"):
        export(run.artifact("best.pt"), "bioimageio", tmp_path, loaded.catalog)


def test_the_task_writes_what_its_networks_say_of_a_file(ran, tmp_path):
    loaded, _, store, _ = ran
    cell = read_study(store, "gauge").rows("cell")[0]
    spectra, place = loaded.catalog.module("data", "spectra").drawn(5000.0, 3, 12)
    np.save(tmp_path / "mine.npy", spectra)
    plugins = [part for file in FILES for part in ("--plugin", str(file))]
    where = ["-o", str(tmp_path), "--store", store.place]
    command = ["predict", cell.run_id, str(tmp_path / "mine.npy"), *where, *plugins]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert (done.exit_code, done.stdout.strip()) == (0, str(tmp_path / "mine_places.csv"))
    told = pd.read_csv(tmp_path / "mine_places.csv").place
    assert len(told) == 12
    assert np.nanmean(np.abs(told - place)) < 0.1
    again = CliRunner().invoke(app, command)
    assert (again.exit_code, "give another folder with --output" in again.stderr) == (2, True)
    crewed = CliRunner().invoke(app, [*command, "--overwrite", "--workers", "2"])
    assert (crewed.exit_code, "networks of task gauge take no workers" in crewed.stderr) == (2, True)


def test_a_plan_with_it_can_be_checked(ran):
    loaded, plan, *_ = ran
    checked = check_plan(plan, loaded.catalog, probes=False)
    assert [(one.n_params, one.problem) for one in checked.built] == [(562, "")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_file_of_the_task_passes_its_checks(path):
    catalog = Catalog(FILES)
    outcomes = run_checks(catalog, path.parent.name, path.stem)
    assert [one for one in outcomes if not one.passed] == []
    if path.parent.name == "tasks":
        assert not [one.name for one in outcomes if one.skipped]
