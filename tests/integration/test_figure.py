"""smlmbench figure on the rows of the tiny study."""

import json
import shutil

import numpy as np
import pytest
import tifffile
from PIL import Image
from tiny_study import run, write
from typer.testing import CliRunner

from smlmbench.cli import app
from smlmbench.errors import ConfigError
from smlmbench.registry import Catalog
from smlmbench.run.studies.sources import sources_of
from smlmbench.run.using.finding import find_row, find_trained
from smlmbench.run.using.showing import Look, show


def figure(*words):
    return CliRunner().invoke(app, ["figure", *map(str, words)])


def refused(*words):
    result = figure(*words)
    assert result.exit_code == 2, result.output
    assert len(result.stderr.splitlines()) == 1
    return result.stderr


def test_a_frame_of_a_network_by_every_name(done, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    row = done.row("fid_storm")
    for name in (row.run_id, row.run_id[:10], row.cell_id, row.name, "fid_storm"):
        assert find_row(done.store, name)[0].run_id == row.run_id
    words = ("--frame", 2, "--condition", "high", "--store", done.store.home, "--json")
    for name, more in ((row.run_id[:10], ()), ("fid_storm", ("--overwrite",))):
        result = figure(name, *words, *more)
        assert result.exit_code == 0, result.output
        said = json.loads(result.stdout)
        assert (said["run_id"], said["condition"], said["frame"], said["frames"]) == (row.run_id, "high", 2, 8)
    with Image.open(f"{row.name}-high-frame2.png") as picture:
        assert picture.size[0] > 1500
    assert "-high-frame2.png' exists already; give another file with --out, or --over" in refused("fid_storm", *words)


def test_a_network_is_found_by_the_same_names(done):
    row = done.row("fid_storm")
    for name in (row.run_id, row.name, "fid_storm"):
        found = find_trained(name, lambda: done.store)
        assert (found.record.run_id, found.checkpoint) == (row.run_id, row.artifact("best.pt"))
        assert str(found).startswith(f"run {row.run_id[:12]} (fid_storm, l1l2 λ=")
    by_file = find_trained(str(found.checkpoint), lambda: pytest.fail("the store is not needed"))
    assert (by_file.record, str(by_file)) == (None, str(found.checkpoint))
    with pytest.raises(ConfigError, match="has no best.pt; give a trained cell"):
        find_trained("truth", lambda: done.store)


def test_frames_are_counted_from_one_and_show_that_frame(done):
    record, study = find_row(done.store, "fid_storm")
    sources = sources_of(record, done.store, study, [])
    condition = sources.condition("low")
    counts = np.bincount(condition.truth.table.frame, minlength=condition.frames.n_frames)
    for number in (1, 8):
        shown = show(record, condition, Look(number, histogram=False), sources.catalog)
        assert (shown.frame, shown.true) == (number, counts[number - 1])
    fullest = show(record, condition, Look(histogram=False), sources.catalog)
    assert fullest.true == counts.max()
    wide = show(record, condition, Look(fullest.frame, threshold=0.0, histogram=False), sources.catalog)
    assert wide.found >= fullest.found


def test_a_reference_is_shown_from_its_table(done, tmp_path):
    table = tmp_path / "t.svg"
    result = figure("truth", "--condition", "low", "--store", done.store.home, "-o", table, "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["found"] == said["true"] > 0
    assert "<svg" in table.read_text(encoding="utf-8")


def test_what_is_not_there_is_refused(done, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = ("--store", done.store.home)
    assert "has no frame 9; give 1 ... 8" in refused("fid_storm", "--frame", 9, *store)
    assert "did you mean 'high'" in refused("fid_storm", "--condition", "hgh", *store)
    assert "no run 'u_strm'" in refused("u_strm", *store)
    assert "accepted: .png, .svg, .pdf" in refused("fid_storm", "-o", "a.gif", *store)
    assert "give a path in an existing folder" in refused("fid_storm", "-o", "no/a.png", *store)
    assert list(tmp_path.iterdir()) == []


def test_a_study_file_stands_in_for_what_the_store_does_not_say(done, tmp_path):
    home = shutil.copytree(done.store.home, tmp_path / "mlruns")
    for file in home.rglob("sources.json"):
        file.unlink()
    row = done.row("fid_storm")
    store = ("--store", home, "-o", tmp_path / "a.png", "--overwrite")
    assert "give --study FILE" in refused(row.run_id, *store)
    assert figure(row.run_id, *store, "--study", done.path).exit_code == 0
    other = write(tmp_path, "other", seed=99)
    assert "has no row" in refused(row.run_id, *store, "--study", other)


def test_a_movie_that_changed_since_is_refused(tmp_path, store):
    import tifffile

    from smlmbench.formats import TableOptions, write_table
    from smlmbench.predictions import Localizations

    rng = np.random.default_rng(0)
    frames, numbers = rng.integers(100, 110, (40, 32, 32), dtype=np.uint16), np.arange(120) // 3
    spots = {name: rng.uniform(0, 3200, 120) for name in ("x_nm", "y_nm")}
    frames[numbers, (spots["y_nm"] // 100).astype(int), (spots["x_nm"] // 100).astype(int)] += 1000
    tifffile.imwrite(tmp_path / "a.tif", frames)
    locs = Localizations.of({"frame": numbers, **spots}, n_frames=40, field_nm=(3200.0, 3200.0))
    write_table(locs, tmp_path / "a.csv", catalog=Catalog(), format="smlmbench_csv", options=TableOptions())
    source = {"movie": "a.tif", "truth": "a.csv", "pixel_size_nm": 100, "camera": "uncalibrated", "track": "iid"}
    entry = {"name": "mine", "train": source, "apply": ["a.tif"]}
    path = write(
        tmp_path,
        data=[entry],
        references=["truth"],
        timing=None,
        models=[{"name": "fid_storm", "blocks": 1, "width": 0.25}],
    )
    finished, lines = run(path, store, sets=("training.samples=200",), infer_device="cpu")
    assert finished.statuses == {"done": 1}, lines
    record, study = find_row(store, "fid_storm")
    assert (record.params["infer_device"], record.params["device"]) == ("cpu", "cpu")
    sources = sources_of(record, store, study, [])
    assert "a.tif" in sources.names
    for condition in ("a.tif", "val", "test"):
        result = figure(
            "fid_storm", "--condition", condition, "--store", store.home, "-o", tmp_path / f"{condition}.png"
        )
        assert result.exit_code == 0, result.output
    shown = show(record, sources.condition("a.tif"), Look(40, histogram=False), sources.catalog)
    assert (shown.frame, shown.frames, shown.true) == (40, 40, None)
    tifffile.imwrite(tmp_path / "new.tif", rng.integers(100, 200, (40, 32, 32), dtype=np.uint16))
    (tmp_path / "new.tif").replace(tmp_path / "a.tif")
    assert "its movie changed since the run" in refused("fid_storm", "--store", store.home)
    (tmp_path / "a.tif").unlink()
    assert "give --study FILE" in refused("fid_storm", "--store", store.home)


@pytest.mark.parametrize("device", ["cuda:99", "tpu"])
def test_a_device_for_scoring_that_is_not_there_is_refused(tmp_path, store, device):
    from smlmbench.errors import ConfigError

    with pytest.raises(ConfigError, match=f"device '{device}' is not on this machine"):
        run(write(tmp_path), store, infer_device=device)


def test_a_table_is_drawn_by_number_and_depth(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [f"{frame + 1},{100 + 40 * frame},{250},{z}" for frame, z in enumerate((-400, -200, 0, 200, 400))]
    (tmp_path / "deep.csv").write_text("frame,x [nm],y [nm],z [nm]\n" + "\n".join(rows) + "\n")
    (tmp_path / "flat.csv").write_text("frame,x [nm],y [nm]\n1,100,250\n2,140,250\n2,140,250\n")
    result = figure("deep.csv", "--pixel-size-nm", 100)
    assert (result.exit_code, result.stdout) == (0, "5 localizations, 5 with a depth: deep.png\n"), result.output
    colours = np.asarray(Image.open("deep.png").convert("RGB")).reshape(-1, 3).astype(int).tolist()
    assert any(blue > red + 60 for red, _, blue in colours)
    assert any(red > blue + 60 for red, _, blue in colours)
    assert figure("flat.csv", "--pixel-size-nm", 100, "--fine-pixel-nm", 20, "-o", "flat.tif").exit_code == 0
    counts = tifffile.imread("flat.tif")
    assert counts.sum() == 3
    assert (counts[12, 5], counts[12, 7]) == (1, 2)
    assert "belong to runs and movies" in refused("flat.csv", "--sum")
