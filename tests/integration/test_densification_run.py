"""ANNA-PALM from a study to its page, and a table of a user made dense by what was trained."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from page_commands import run_asked

from smlmbench.errors import FormatError, SizeError
from smlmbench.formats import read_image
from smlmbench.registry import Catalog
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

CATALOG = Catalog()
STUDY = """
study: dense
seed: 3
repeats: 1
data:
  - name: tubes
    train: {renderings: {structure: {name: filaments, filaments: 20}, field_px: 32}}
    val: {renderings: {frames: 2, field_px: 176}}
    test:
      few: {renderings: {frames: 2, field_px: 176, sparse_frames: 100}}
      many: {renderings: {frames: 2, field_px: 176, sparse_frames: 1000, widefield: false}}
models: [{name: anna_palm, levels: 3, width: 4}]
losses: [{name: anna_palm, features: 4}, {name: msssim_l1}]
training: {samples: 12, batch_size: 2, validations: 1, number_format: fp32}
timing: null
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory, empty_store):
    folder = tmp_path_factory.mktemp("dense")
    path = folder / "dense.yaml"
    path.write_text(STUDY)
    loaded = load_study(path)
    plan, store = make_plan(loaded), open_store(shutil.copytree(empty_store, folder / "store"))
    finished = run_study(loaded, plan, store, Reporter(quiet=True), Options())
    return plan, store, finished


@pytest.fixture(scope="module")
def checkpoint(ran):
    return read_study(ran[1], "dense").rows("cell")[0].artifact("best.pt")


def test_trainings_of_one_and_of_three_players_and_references_are_scored(ran):
    plan, store, finished = ran
    assert finished.statuses == {"done": 2}
    assert finished.failed_references == []
    assert sorted(cell.method.name for cell in plan.cells) == ["players", "supervised"]
    assert sorted(row.reference.name for row in plan.references) == ["blurred_sparse", "dense_truth"]
    frame = leaderboard_frame(read_study(store, "dense"))
    of = frame[(frame.metric == "ms_ssim") & (frame.condition == "few")].set_index("label").value
    assert of["dense_truth"] == 1
    assert of.drop("dense_truth").between(0, 0.99).all()
    assert len(of) == 4
    reasons = frame[(frame.metric == "rsp") & (frame.condition == "many")].reason
    assert set(reasons) == {"the condition has no widefield"}


def test_each_player_is_logged(ran):
    (run,) = (one for one in read_study(ran[1], "dense").rows("cell") if one.params["loss"] == "anna_palm")
    assert {"train/discriminator", "train/low_resolution", "train/adversarial"} <= set(run.metrics)
    metrics = json.loads(run.artifact("metrics.json").read_text())
    assert metrics["facts"]["few"]["sparse_frames"] == 100


def test_the_page_shows_what_is_gained_with_frames(ran):
    page = ran[2].report.read_text(encoding="utf-8")
    for text in ("Gain with frames", "100 frames", "hallucinated", "RSP is"):
        assert text in page


@pytest.fixture
def table(tmp_path):
    draws = np.random.default_rng(0)
    columns = {"frame": np.arange(300), "x_nm": draws.uniform(0, 1590, 300), "y_nm": draws.uniform(0, 790, 300)}
    pd.DataFrame(columns).to_csv(tmp_path / "mine.csv", index=False)
    return tmp_path / "mine.csv"


def asked(checkpoint, movie, folder, **more):
    return predict_by_task(
        Request(checkpoint, movie, folder, task="densification", device="cpu", **more), CATALOG, units
    )


def units(done, total):
    assert 0 <= done <= total == 1


def test_a_table_of_a_user_is_made_dense(checkpoint, table, tmp_path):
    made = asked(checkpoint, table, tmp_path / "out")
    assert [path.name for path in made.files] == ["mine_dense.tif", "mine_sparse.tif"]
    dense, sparse = (read_image(path, catalog=CATALOG) for path in made.files)
    assert dense.shape == sparse.shape == (40, 80)
    assert sparse.sum() == 300
    assert dense.min() >= 0
    assert dense.max() > 0
    with pytest.raises(FormatError, match="mine_dense.tif"):
        asked(checkpoint, table, tmp_path / "out")


def test_the_command_of_the_page_takes_a_table(ran, table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(table, "table.csv")
    assert "table_dense.tif" in run_asked(ran[2].report)


def test_a_sparse_image_is_made_dense_as_its_table_is(checkpoint, table, tmp_path):
    dense, sparse = asked(checkpoint, table, tmp_path / "out").files
    again = asked(checkpoint, sparse, tmp_path / "again").files
    assert [path.name for path in again] == ["mine_sparse_dense.tif"]
    assert np.array_equal(read_image(again[0], catalog=CATALOG), read_image(dense, catalog=CATALOG))


def test_a_widefield_beside_the_table_changes_the_answer(checkpoint, table, tmp_path):
    import tifffile

    wide = tmp_path / "wide.tif"
    tifffile.imwrite(wide, np.random.default_rng(1).uniform(0, 400, (10, 20)).astype(np.float32))
    alone = read_image(asked(checkpoint, table, tmp_path / "out").files[0], catalog=CATALOG)
    both = asked(checkpoint, wide, tmp_path / "both", places=table).files
    dense = read_image(both[0], catalog=CATALOG)
    assert dense.shape == alone.shape
    assert not np.allclose(dense, alone)
    tifffile.imwrite(wide, np.zeros((10, 10), dtype=np.float32))
    with pytest.raises(SizeError, match="40 x 80 render pixels, the widefield 10 x 10"):
        asked(checkpoint, wide, tmp_path / "none", places=table)


def test_what_is_neither_a_table_nor_an_image_is_refused(checkpoint, tmp_path):
    path = tmp_path / "what.csv"
    path.write_text("nothing,of,this\n1,2,3\n")
    with pytest.raises(FormatError, match=r"what\.csv"):
        asked(checkpoint, path, tmp_path / "out")
