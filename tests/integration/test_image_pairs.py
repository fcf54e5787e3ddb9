"""Image pairs from two folders to the leaderboard, beside simulated data, and a prediction of a network of theirs."""

import csv
import json

import image_pairs
import numpy as np
import pytest
import tifffile
import tiny_study
import torch
from typer.testing import CliRunner

from smlmbench.cli import app
from smlmbench.study.cells import Cell
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan
from smlmbench.tracking.records import read_study
from smlmbench.tracking.store import open_store

SIM = {
    "name": "sim",
    "train": {"simulate": {"photons": 2000, "field_px": 16}},
    "val": {"simulate": {"frames": 6}},
    "test": {"t": {"simulate": {"frames": 4}}},
}
LOSSES = [
    {"name": "l1l2", "lambda": 400},
    {"name": "weighted_mse", "lambda": 400},
    {"name": "weighted_mae", "lambda": 10},
    {"name": "mse"},
]


class Done:
    def __init__(self, folder, home):
        sources = [SIM, {"name": "pairs", "train": image_pairs.write(folder, 8)}]
        sources[1]["apply"] = ["X/im0.tif"]
        self.path = tiny_study.write(
            folder,
            name="pairs",
            study="pairs",
            repeats=2,
            data=sources,
            output={},
            models=[{"name": "fid_storm", "blocks": 1, "width": 0.25}],
            losses=[{"name": "l1l2", "lambda": 4000}],
            references=["truth", "blank", "bicubic", "random"],
            training={"samples": 96, "batch_size": 8, "validations": 2, "lr": 0.003},
            timing=None,
        )
        self.folder, self.store = folder, open_store(home)
        self.finished, self.lines = tiny_study.run(self.path, self.store)
        self.record = read_study(self.store, "pairs")

    def rows(self, role="cell"):
        return [row for row in self.record.rows(role) if row.params["data"] == "pairs"]


@pytest.fixture(scope="module")
def done(tmp_path_factory, empty_store):
    import shutil

    folder = tmp_path_factory.mktemp("pairs")
    return Done(folder, shutil.copytree(empty_store, folder / "mlruns"))


def test_every_row_is_there_and_what_needs_positions_is_skipped_with_its_reason(done):
    assert done.finished.statuses == {"done": 4, "skipped": 1}
    assert done.finished.failed_references == []
    (skipped,) = done.record.plan["skipped"]
    assert (skipped["labels"]["data"], skipped["labels"]["model"]) == ("pairs", "random")
    assert skipped["reason"] == "random serves localization, the data have the task image_pairs"
    assert {row.params["model"] for row in done.rows("reference")} == {"truth", "blank", "bicubic"}


def test_upsampling_is_the_ratio_of_the_pairs_and_the_cards_for_other_data(done):
    found = {row.params["data"]: row.params["upsampling"] for row in done.record.rows("cell")}
    assert found == {"pairs": "2", "sim": "8"}


def test_validation_picks_by_nmse_star_and_positions_are_not_available(done):
    for row in done.rows():
        content = row.json("metrics.json")
        assert 0 < content["val"]["values"]["nmse_star"] < 1
        test = content["test"]["test"]
        assert set(test["values"]) >= {"nmse_star", "nmse", "ssim", "psnr"}
        for name in ("efficiency", "jaccard", "rmse_nm", "mjac_c", "recall"):
            assert name not in {**test["values"], **test["reasons"]}
            assert f"test/{name}" not in row.metrics
        assert "threshold" not in content
        assert row.params["threshold"] == "none"
        with row.artifact("per_frame/test.csv").open() as file:
            by_pair = [float(line["nmse_star"]) for line in csv.DictReader(file)]
        assert len(by_pair) == 1  # 15 % of 8 pairs
        assert np.mean(by_pair) == pytest.approx(row.metrics["test/nmse_star"])
        assert "figures/test.png" in row.artifacts()
        assert not [name for name in row.artifacts() if name.startswith("predictions/")]


def test_references_frame_the_scale(done):
    values = {row.params["model"]: row.metrics["test/nmse_star"] for row in done.rows("reference")}
    assert values["truth"] == 0
    assert values["blank"] == 1
    assert 0 < values["bicubic"] < 1


def test_the_network_draws_in_the_unit_of_the_targets(done):
    row = done.rows()[0]
    saved = torch.load(row.artifact("best.pt"), weights_only=True)
    assert saved["output"]["settings"]["image_scale"] == pytest.approx(255)
    assert saved["facts"]["tuned"] == {}
    assert "nmse_star" in json.loads(row.artifact("applied/im0.tif.json").read_text())["reasons"]
    applied = tifffile.imread(row.artifact("applied/im0.tif_sum.tif"))
    assert applied.shape == (32, 32)
    assert applied.max() > 2


def test_predict_gives_an_image_and_no_table(done, tmp_path):
    row = done.rows()[0]
    movie = tifffile.imread(done.folder / "X" / "im0.tif")
    tifffile.imwrite(tmp_path / "movie.tif", np.stack([movie, movie]))
    words = ["predict", str(row.artifact("best.pt")), str(tmp_path / "movie.tif"), "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(app, [*words, "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["table"] is None
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["movie_predict.json", "movie_sum.tif"]
    image = tifffile.imread(tmp_path / "out" / "movie_sum.tif")
    assert image.shape == (32, 32)
    single = tifffile.imread(row.artifact("applied/im0.tif_sum.tif"))
    np.testing.assert_allclose(image, 2 * single, rtol=1e-4, atol=1e-3)


def test_the_board_is_ranked_by_nmse_star_down(done):
    text = (done.finished.report.parent / "leaderboard.md").read_text()
    assert r"efficiency on sim (higher is better), NMSE\* on pairs (lower is better)" in text
    board = text.split("## pairs")[1].split("## All rows")[0]
    header = board.splitlines()[2]
    assert "NMSE" in header
    assert "Efficiency" not in header
    lines = [line.split("|")[2].split()[0] for line in board.splitlines() if line.startswith("| ")][1:]
    order = [name for name in lines if name in ("truth", "fid_storm", "bicubic", "blank")]
    values = {row.params["model"]: row.metrics["test/nmse_star"] for row in done.rows("reference")}
    values["fid_storm"] = np.mean([row.metrics["test/nmse_star"] for row in done.rows()])
    assert order == sorted(values, key=values.get)
    assert "there are no positions, so nothing is said of them" in board
    assert "| Ranked by | Validation | Test |" in text


def test_the_same_command_does_nothing_again(done):
    finished, lines = tiny_study.run(done.path, done.store)
    assert finished.statuses == done.finished.statuses
    assert sum("done before" in line for line in lines) == 4


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss["name"])
def test_every_loss_trains_on_pairs(tmp_path, store, loss):
    path = tiny_study.write(
        tmp_path,
        data=[{"name": "pairs", "train": image_pairs.write(tmp_path, 4)}],
        output={},
        models=[{"name": "fid_storm", "blocks": 1, "width": 0.25, "normalisation": "frame_minmax"}],
        losses=[loss],
        references=[],
        training={"samples": 64, "batch_size": 8, "validations": 2, "lr": 0.003},
        timing=None,
    )
    finished, lines = tiny_study.run(path, store)
    assert finished.statuses == {"done": 1}, lines
    (row,) = read_study(store, "tiny").rows("cell")
    assert row.metrics["test/nmse_star"] < 1
    assert np.isfinite(row.metrics["train/loss"])


def test_val_and_test_may_be_folders_of_their_own(tmp_path):
    train = image_pairs.write(tmp_path, 4)
    for name in ("v", "t"):
        image_pairs.write(tmp_path / name, 2)
    entry = {
        "name": "pairs",
        "train": train,
        "val": {"images": {"input": "v/X", "target": "v/Y"}},
        "test": {"other": {"images": {"input": "t/X", "target": "t/Y", "pixel_size_nm": 80}}},
    }
    path = tiny_study.write(tmp_path, data=[entry], output={}, references=[])
    (cell, *_) = make_plan(load_study(path)).cells
    assert cell.data.train.part is None
    assert cell.data.val.input == tmp_path / "v" / "X"
    assert cell.data.val.crop_px == 16  # what is not named is as in train
    assert cell.data.tests["other"].pixel_size_nm == 80
    assert cell.output.settings["upsampling"] == 2
    assert Cell.model_validate(json.loads(json.dumps(cell.model_dump(mode="json")))) == cell  # as it goes to a worker


def test_at_ratio_1_the_network_that_cannot_is_skipped_and_its_seed_variant_runs(tmp_path):
    entry = {"name": "pairs", "train": image_pairs.write(tmp_path, 4, ratio=1)}
    models = [{"name": "fid_storm", "blocks": 5, "variant": "published"}, {"name": "fid_storm", "variant": "seed"}]
    path = tiny_study.write(tmp_path, data=[entry], output={}, references=[], models=models)
    plan = make_plan(load_study(path))
    assert [cell.model.settings["variant"] for cell in plan.cells] == ["seed"]
    (skipped,) = plan.skipped
    assert skipped.settings["model"]["variant"] == "published"
    assert "upsampling" in skipped.reason


def test_figure_shows_any_pair_beside_its_target(done, tmp_path):
    row, out = done.rows()[0], tmp_path / "pair.svg"
    words = ["figure", row.run_id, "--store", done.store.home, "--frame", "1", "-o", out, "--json"]
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert (said["frame"], said["found"], said["true"]) == (1, None, None)
    assert said["frames"] >= 1
    assert "<svg" in out.read_text(encoding="utf-8")
    words[5] = "99"
    words.append("--overwrite")
    assert "has no frame 99; give 1 ..." in CliRunner().invoke(app, list(map(str, words))).stderr
