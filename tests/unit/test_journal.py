import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch

from smlmbench.camera import Camera
from smlmbench.cli.predict import frame_range
from smlmbench.data.contracts import Given, Statistics
from smlmbench.errors import ConfigError, FormatError, SizeError
from smlmbench.formats import TableOptions, read_table
from smlmbench.inference import engine, journal
from smlmbench.inference.checkpoint import build_network, checkpoint_of
from smlmbench.inference.engine import Piece
from smlmbench.inference.journal import Journal
from smlmbench.predictions import Localizations
from smlmbench.registry import Catalog
from smlmbench.run.using import predicting
from smlmbench.run.using.predicting import Request, predict_movie
from smlmbench.training import save_atomically

CATALOG = Catalog()
FRAMES = 12


def piece(start, stop, rows=1):
    columns = {"frame": np.repeat(np.arange(start, stop), rows), "x_nm": np.ones(rows * (stop - start)) * start}
    table = Localizations.of({**columns, "y_nm": columns["x_nm"]}, n_frames=9, field_nm=(100.0, 100.0))
    return Piece(start, stop, table, np.full((2, 2), float(stop - start)))


def open_journal(folder, identity=None):
    module = CATALOG.module("formats", "smlmbench_csv")
    append = lambda table, path, rows: module.append_table(table, path, TableOptions(), rows)  # noqa: E731
    return Journal(folder / "out.csv", identity or {"a": 1}, append)


def test_what_was_committed_is_there_again_and_what_was_not_is_cut_off(tmp_path):
    first = open_journal(tmp_path)
    first.add(piece(0, 3))
    first.commit()
    first.add(piece(3, 5))  # on disk, but the process dies before it is committed
    again = open_journal(tmp_path)
    assert (again.done, again.rows, again.resumed) == (3, 3, 3)
    assert again.image.sum() == 4 * 3
    again.add(piece(3, 5))
    again.commit()
    last = open_journal(tmp_path)
    assert (last.done, last.rows) == (5, 5)
    table = read_table(last.part, catalog=CATALOG, format="smlmbench_csv")
    assert table.frame.tolist() == [0, 1, 2, 3, 4]
    assert last.image.sum() == 4 * 5
    last.close()
    assert list(tmp_path.iterdir()) == []


def test_other_results_and_odd_journals_are_begun_anew(tmp_path):
    first = open_journal(tmp_path)
    first.add(piece(0, 3))
    first.commit()
    assert open_journal(tmp_path, {"a": 2}).done == 0
    assert not (tmp_path / "out.csv.part").exists()
    (tmp_path / "out.csv.journal.json").write_text("{")
    assert open_journal(tmp_path).done == 0


def test_it_commits_from_time_to_time(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "COMMIT_S", -1.0)
    monkeypatch.setattr(journal, "MOST_TIME_SHARE", 1e9)
    first = open_journal(tmp_path)
    first._wait_s = -1.0
    first.add(piece(0, 3))
    assert json.loads((tmp_path / "out.csv.journal.json").read_text())["done"] == 3


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("movie")
    given = Given(1, 2, 100.0, Statistics(10.0, 5.0, 0.0, 80.0))
    card = CATALOG.card("models", "fid_storm")
    settings = card.fill("fid_storm", card.tiny)
    torch.manual_seed(0)
    network = build_network(CATALOG, "fid_storm", settings, given)
    torch.nn.init.normal_(list(network.parameters())[-1], 5.0)
    output = {**CATALOG.card("outputs", "raster").fill("raster", {"upsampling": 2}), "pixel_size_nm": 100.0}
    content = checkpoint_of(
        network.eval(),
        given,
        {"name": "fid_storm", "version": 1, "settings": settings},
        {"name": "raster", "version": 1, "settings": output},
        {
            "task": "localization",
            "threshold": 0.0,
            "calibrated": True,
            "cell_id": "abcdef012345",
            "psf_sigma_nm": 130.0,
        },
    )
    save_atomically(content, folder / "best.pt")
    frames = np.random.default_rng(0).poisson(10, (FRAMES, 20, 24)).astype(np.uint16)
    frames[:, ::7, ::5] += 200
    tifffile.imwrite(folder / "movie.tif", frames, photometric="minisblack")
    return folder


def request(files, out, **changes):
    return Request(files / "best.pt", files / "movie.tif", out, Camera(kind="ideal"), **changes)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(engine, "FINE_PIXELS_PER_BATCH", 2 * 20 * 24 * 4)


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("table_format", ["thunderstorm_csv", "smlmbench_csv", "picasso_hdf5"])
def test_a_prediction_that_was_stopped_continues_and_ends_alike(files, tmp_path, table_format, monkeypatch, recwarn):
    whole = predict_movie(request(files, tmp_path / "whole", table_format=table_format), CATALOG, lambda *_: None)
    asked = request(files, tmp_path / "parts", table_format=table_format)
    calls = []

    def stop(done, total):
        calls.append((done, total))
        if done >= 6:
            raise StoppedError

    with pytest.raises(StoppedError):
        predict_movie(asked, CATALOG, stop)
    assert calls[-1] == (6, FRAMES)
    assert not (tmp_path / "parts" / whole.table.name).exists()
    read = []
    stream = predicting.stream
    monkeypatch.setattr(predicting, "stream", lambda *a, **k: read.append(k["first"]) or stream(*a, **k))
    written = predict_movie(asked, CATALOG, lambda done, total: calls.append((done, total)))
    assert read == [6]
    assert (written.resumed, written.frames, written.localizations) == (6, FRAMES, whole.localizations)
    assert calls[-1] == (FRAMES - 6, FRAMES - 6)
    if table_format != "picasso_hdf5":  # which holds the time it was written
        assert written.table.read_bytes() == whole.table.read_bytes()
    ours, theirs = (read_table(one.table, catalog=CATALOG, format=table_format) for one in (written, whole))
    assert np.array_equal(ours.frame, theirs.frame)
    assert np.allclose(tifffile.imread(written.image), tifffile.imread(whole.image), rtol=1e-6)
    assert {path.name.partition(".")[2] for path in (tmp_path / "parts").iterdir()} <= {"csv", "tif", "hdf5", "yaml"}


def test_a_range_of_frames_keeps_their_numbers(files, tmp_path):
    whole = predict_movie(request(files, tmp_path / "whole"), CATALOG, lambda *_: None)
    some = predict_movie(request(files, tmp_path / "some", frames=(4, 9)), CATALOG, lambda *_: None)
    assert some.frames == 5
    ours, theirs = (read_table(one.table, catalog=CATALOG) for one in (some, whole))
    kept = (theirs.frame >= 4) & (theirs.frame < 9)
    assert ours.x_nm == pytest.approx(theirs.x_nm[kept], abs=1e-3)
    assert np.array_equal(ours.frame, theirs.frame[kept])
    with pytest.raises(SizeError, match="frames 9:50 are not a part of 0:12"):
        predict_movie(request(files, tmp_path / "no", frames=(9, 50)), CATALOG, lambda *_: None)


def test_frames_on_the_command_line():
    assert frame_range("3:10") == (2, 10)
    assert frame_range("5:5") == (4, 5)
    assert frame_range(None) is None
    for odd in ("3", "a:b", "0:5", "7:2", "-1:4"):
        with pytest.raises(ConfigError, match="write A:B"):
            frame_range(odd)


def test_what_cannot_be_loaded_says_so(files, tmp_path):
    with pytest.raises(ConfigError, match="int8 is calibrated on training frames"):
        predict_movie(request(files, tmp_path, number_format="int8"), CATALOG, lambda *_: None)
    odd = tmp_path / "odd.zip"
    odd.write_bytes(b"no zip")
    with pytest.raises(FormatError, match="not a bioimage.io package"):
        predict_movie(Request(odd, files / "movie.tif", tmp_path), CATALOG, lambda *_: None)


@pytest.mark.parametrize(
    ("table_format", "said"), [("thunderstorm_csv", 1), ("picasso_hdf5", 1), ("smlmbench_csv", 0)], ids=str
)
def test_columns_that_a_format_has_no_place_for_are_named_once(files, tmp_path, table_format, said, monkeypatch):
    real = predicting.stream

    def stream(*args, **options):
        for each in real(*args, **options):
            yield replace(each, table=replace(each.table, more={"llr": np.zeros(len(each.table))}))

    monkeypatch.setattr(predicting, "stream", stream)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        predict_movie(request(files, tmp_path, table_format=table_format), CATALOG, lambda *_: None)
    lost = [str(each.message) for each in caught if "llr" in str(each.message)]
    assert len(lost) == said
    assert all("has no place for llr; smlmbench_csv keeps every column" in line for line in lost)
