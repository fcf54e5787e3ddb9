"""A movie beside what a network was trained on, from the training to the page and to `predict`."""

import json
import warnings

import numpy as np
import pytest
import tifffile
import torch
import yaml
from tiny_study import STUDY, run, write
from typer.testing import CliRunner

import smlmbench
from smlmbench.cli import app
from smlmbench.errors import UnlikeWarning
from smlmbench.run.using.finding import find_row
from smlmbench.tracking.store import open_store

CAMERA = {"kind": "scmos", "baseline_adu": 100, "e_per_adu": 0.5, "read_noise_e": 1.6}
LAW = {"density_per_um2": 0.5, "photons": 2000, "field_px": 32, "background_photons": 10, "camera": CAMERA}
LENS = {"name": "astigmatic", "sigma_x_nm": 130, "sigma_y_nm": 130}
MOVIES = {
    "same.tif": LAW,
    "bright.tif": {**LAW, "background_photons": 50},
    "lens.tif": {**LAW, "psf": LENS, "z_nm": {"min": -500, "max": 500}},
}


class Done:
    """A tiny network, trained where three movies are applied."""

    def __init__(self, folder, empty_home):
        self.folder, self.store = folder, open_store(empty_home)
        for name, law in MOVIES.items():
            counts, _ = smlmbench.simulate(law, 40, seed=5)
            tifffile.imwrite(folder / name, counts, photometric="minisblack")
        (folder / "camera.yaml").write_text(json.dumps(CAMERA))
        entry = yaml.safe_load(STUDY)["data"][0]
        entry["train"] = {"simulate": LAW}
        entry["apply"] = list(MOVIES)
        models = [{"name": "fid_storm", "blocks": 1, "width": 0.25}]
        path = write(folder, data=[entry], models=models, references=["truth"], timing=None)
        self.finished, self.lines = run(path, self.store, sets=("training.samples=240",))
        self.row, _ = find_row(self.store, "fid_storm")
        self.checkpoint = self.row.artifact("best.pt")

    def predict(self, name, *words, out="out", json_too=True):
        words = ("--camera", self.folder / "camera.yaml", "-o", self.folder / out, "--runtime", "eager", *words)
        more = ("--json",) if json_too else ()
        result = CliRunner().invoke(
            app, ["predict", str(self.checkpoint), str(self.folder / name), *map(str, words), *more]
        )
        assert result.exit_code == 0, result.output
        return result


@pytest.fixture(scope="module")
def trained(tmp_path_factory, empty_store):
    import shutil

    folder = tmp_path_factory.mktemp("fits")
    return Done(folder, shutil.copytree(empty_store, folder / "mlruns"))


def test_training_stores_what_it_saw_and_the_run_tells_of_its_applied_movies(trained):
    assert trained.finished.statuses == {"done": 1}, trained.lines
    content = torch.load(trained.checkpoint, weights_only=True)
    assert content["facts"]["seen"]["quantiles"]["background"][4] == pytest.approx(10, abs=2)
    told = {name: trained.row.json(f"applied/{name}.json")["fit"] for name in MOVIES}
    outside = {name: [key for key, one in fit["compared"].items() if one["outside"]] for name, fit in told.items()}
    assert outside["same.tif"] == []
    assert "background" in outside["bright.tif"]
    assert "elongation" in outside["lens.tif"]
    assert any(": bright.tif: background 5" in line for line in trained.lines)
    page = trained.finished.report.read_text(encoding="utf-8")
    assert "bright.tif: background 5" in page
    assert "lens.tif: spots " in page
    assert "same.tif: background" not in page


def test_predict_tells_it_once_and_writes_it_beside_the_table(trained):
    result = trained.predict("bright.tif", json_too=False)
    notes = [
        line for line in result.stderr.splitlines() if line.startswith("smlmbench: note: 'bright.tif': background")
    ]
    assert len(notes) == 1
    assert "photons a pixel; trained on " in notes[0]
    assert "retrain with `smlmbench study " in result.stderr
    assert "bright.tif --pixel-size-nm 100 --camera camera.yaml`" in result.stderr
    stored = json.loads((trained.folder / "out" / "bright_fit.json").read_text())
    assert stored["lines"][0] in notes[0]
    record = json.loads((trained.folder / "out" / "bright_predict.json").read_text())
    assert "bright_fit.json" in record["files"]
    again = trained.predict("bright.tif")  # nothing is left to do
    assert json.loads(again.stdout)["fit"] == stored
    assert "background 5" in again.stderr
    same = trained.predict("same.tif")
    assert "trained on" not in same.stderr
    assert not any(one["outside"] for one in json.loads(same.stdout)["fit"]["compared"].values())


def test_nothing_found_where_a_fitter_sees_spots_is_never_silent(trained):
    result = trained.predict("same.tif", "--threshold", 1e6, out="none")
    told = json.loads(result.stdout)
    assert told["localizations"] == 0
    counted = told["fit"]["counted"]
    assert counted["frames"] == 40
    assert (
        f"'same.tif': 0 localizations in 40 frames where a fitter sees {counted['spots']} spots: retrain"
        in result.stderr
    )
    part = trained.predict("same.tif", "--threshold", 1e6, "--frames", "11:30", out="part")
    assert json.loads(part.stdout)["fit"]["counted"]["frames"] == 20


def test_workers_tell_the_same(trained):
    here = trained.predict("lens.tif", out="here")
    there = trained.predict("lens.tif", "--workers", 2, out="there")
    assert json.loads(here.stdout)["fit"] == json.loads(there.stdout)["fit"]
    assert "% longer than wide; trained on" in there.stderr


def test_the_function_and_the_figure_warn_too(trained, monkeypatch):
    given = {"camera": trained.folder / "camera.yaml", "runtime": "eager"}
    with pytest.warns(UnlikeWarning, match=r"background 5.* photons a pixel; trained on"):
        smlmbench.predict(trained.checkpoint, trained.folder / "bright.tif", **given)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnlikeWarning)
        smlmbench.predict(trained.checkpoint, trained.folder / "same.tif", threshold=0.0, **given)
    monkeypatch.chdir(trained.folder)
    words = ["figure", "fid_storm", "--condition", "lens.tif", "--store", str(trained.store.home)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "note: 'lens.tif': spots " in result.stderr


def test_results_of_an_older_network_say_so_and_keep_no_comparison_of_another(trained, tmp_path):
    trained.predict("bright.tif", out="old")
    content = torch.load(trained.checkpoint, weights_only=True)
    del content["facts"]["seen"]
    torch.save(content, tmp_path / "best.pt")
    words = (
        "--camera",
        trained.folder / "camera.yaml",
        "-o",
        trained.folder / "old",
        "--runtime",
        "eager",
        "--overwrite",
    )
    result = CliRunner().invoke(
        app, ["predict", *map(str, (tmp_path / "best.pt", trained.folder / "bright.tif", *words))]
    )
    assert result.exit_code == 0, result.output
    assert result.stderr.count("was not stored when it was trained") == 1
    assert not (trained.folder / "old" / "bright_fit.json").exists()
    assert np.all([path.stat().st_size for path in (trained.folder / "old").iterdir()])
