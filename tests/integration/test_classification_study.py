"""A study of spectra: rows, page, files of answers, and what predict says of a user's table."""

import shutil

import pandas as pd
import pytest
from page_commands import run_asked

from smlmbench.report.leaderboard import leaderboard_frame
from smlmbench.run.progress import Reporter
from smlmbench.run.studies.asked import Options
from smlmbench.run.studies.study import run_study
from smlmbench.run.using.asked_of_tasks import predict_by_task
from smlmbench.run.using.predicting import Request
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan
from smlmbench.tracking.records import read_study
from smlmbench.tracking.store import open_store

STUDY = """
study: spectra
seed: 3
repeats: 2
data:
  - name: dyes
    train: {dye_spectra: {dyes: {one: 665, two: 690}, photons: 1000, overlap: 0}}
    val: {dye_spectra: {frames: 200}}
    test:
      same: {dye_spectra: {frames: 200}}
      strange: {dye_spectra: {frames: 300, strangers: {three: 640}, photons: {min: 200, max: 2000}}}
models: [{name: zhang_spectra, widths: [16]}]
references: [true_class, random_class, spectral_centroid, nearest_template]
training: {samples: 8000, batch_size: 64, lr: 0.01, validations: 2, validation_frames: 100}
timing: {devices: [cpu], runtimes: [eager], sizes_px: [64]}
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory, empty_store, short_timing):
    folder = tmp_path_factory.mktemp("spectra")
    path = folder / "spectra.yaml"
    path.write_text(STUDY)
    loaded = load_study(path)
    store = open_store(shutil.copytree(empty_store, folder / "store"))
    return loaded, store, run_study(loaded, make_plan(loaded), store, Reporter(quiet=True), Options())


def test_rows_are_scored_and_the_network_learned(ran):
    _, store, finished = ran
    assert finished.statuses == {"done": 2}
    assert finished.failed_references == []
    frame = leaderboard_frame(read_study(store, "spectra"))
    one = frame[frame.condition == "same"].pivot_table(index="label", columns="metric", values="value")
    assert one.loc["true_class", "macro_f1"] == 100
    assert one.loc["zhang_spectra", "macro_f1"] > 90 > one.loc["random_class", "macro_f1"]
    assert one.loc["nearest_template", "accuracy"] > 95
    strange = frame[(frame.condition == "strange") & (frame.metric == "strangers_kept")].set_index("label")
    assert 0 <= strange.loc["zhang_spectra", "value"] <= 100
    assert strange.loc["nearest_template", "reason"] == "the row has no reject level"
    assert {float(run.params["reject"]) >= 0 for run in read_study(store, "spectra").rows("cell")} == {True}


def test_the_page_has_curves_and_matrices(ran):
    page = ran[2].report.read_text(encoding="utf-8")
    for text in ("Macro-F1 (%)", "Accuracy (%) against the photons", "Confusion matrices on", "spectral_centroid"):
        assert text in page
    assert "efficiency" not in page.lower()


def test_answers_and_models_are_stored(ran):
    for run in read_study(ran[1], "spectra").rows("cell"):
        table = pd.read_csv(run.artifact("predictions/same.csv"))
        assert list(table.columns) == ["unit", "class", "score", "reject_below", "score_one", "score_two"]
        assert set(table["class"]) <= {"one", "two", "rejected"}
        units = pd.read_csv(run.artifact("per_frame/strange.csv"))
        assert (units["true"] == -1).sum() == units["strangers_kept"].notna().sum() > 0


def test_the_command_of_the_page_takes_spectra(ran, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [[f"b{k}" for k in range(64)], ["2"] * 64]
    (tmp_path / "spectra.csv").write_text("\n".join(",".join(row) for row in rows))
    assert "spectra_classes.csv" in run_asked(ran[2].report)


def test_a_table_of_a_user_is_told_apart(ran, tmp_path):
    loaded, store, _ = ran
    path = tmp_path / "mine.csv"
    bins = [[40 if low <= place < low + 6 else 2 for place in range(64)] for low in (18, 28)]
    path.write_text("\n".join([",".join(f"b{k}" for k in range(64)), *(",".join(map(str, row)) for row in bins)]))
    checkpoint = read_study(store, "spectra").rows("cell")[0].artifact("best.pt")
    written = predict_by_task(Request(checkpoint, path, tmp_path / "out"), loaded.catalog, lambda *_: None)
    table = pd.read_csv(written.files[0], keep_default_na=False)
    assert written.files[0].name == "mine_classes.csv"
    assert table["score_one"][0] > 0.5 > table["score_one"][1]
