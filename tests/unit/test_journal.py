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
from smlmbench.movies import ArrayMovie
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


def test_a_piece_that_was_taken_over_by_half_is_not_committed(tmp_path):
    first = open_journal(tmp_path)
    first.add(piece(0, 3))
    first.commit()
    with pytest.raises(ValueError, match="broadcast"):
        first.add(piece(3, 5), replace(piece(5, 6), image=np.ones((3, 3))))
    first.commit()
    again = open_journal(tmp_path)
    assert (again.done, again.rows, again.image.sum()) == (3, 3, 4 * 3)
    again.add(piece(3, 5))
    assert read_table(again.part, catalog=CATALOG, format="smlmbench_csv").frame.tolist() == [0, 1, 2, 3, 4]


def test_blocks_are_summed_alone_in_any_pieces_and_after_a_stop(tmp_path):
    parts = np.random.default_rng(0).normal(0, 1, (6, 2, 2)) * 10.0 ** np.arange(6)[:, None, None]
    whole = [(parts[0] + parts[1]) + parts[2], parts[3] + parts[4] + parts[5]]
    assert not np.array_equal(parts.cumsum(axis=0)[-1], whole[0] + whole[1])  # the order counts

    def added(folder, *groups, stop=None):
        folder.mkdir()
        append = lambda *_: None  # noqa: E731
        held = Journal(folder / "out.csv", {}, append, block=30)
        for number, pieces in enumerate(groups):
            held.add(*(Piece(10 * first, 10 * last, None, image) for first, last, image in pieces))
            if number == stop:
                held.commit()
                held = Journal(folder / "out.csv", {}, append, block=30)
        return held

    single = [[(number, number + 1, part.copy())] for number, part in enumerate(parts)]
    blocks = [[(0, 1, None), (1, 3, whole[0].copy())], [(3, 6, whole[1].copy())]]
    found = [added(tmp_path / "a", *single), added(tmp_path / "b", *blocks), added(tmp_path / "c", *single, stop=3)]
    for held in found:
        assert np.array_equal(held.image, whole[0] + whole[1])
        assert held.done == 60
    held.commit()
    held.close()
    assert list((tmp_path / "c").iterdir()) == []


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
    return network_and_movie(tmp_path_factory.mktemp("movie"))


def network_and_movie(folder):
    """`best.pt` of a tiny network, and `movie.tif`."""
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
            "seen": {},
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
    table = {"picasso_hdf5": ["movie_locs.hdf5", "movie_locs.yaml"]}.get(table_format, ["movie_locs.csv"])
    names = [*table, "movie_predict.json", "movie_sum.tif"]
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == names
    record = json.loads((tmp_path / "parts" / "movie_predict.json").read_text())
    assert (record["files"], record["finished"]) == ([*table, "movie_sum.tif"], True)


def test_work_that_was_stopped_is_not_begun_anew_for_another_movie_or_threshold(files, tmp_path):
    (tmp_path / "b").mkdir()
    other = tifffile.imread(files / "movie.tif")
    other[:, 0, 0] += 1
    tifffile.imwrite(tmp_path / "b" / "movie.tif", other, photometric="minisblack")
    asked = request(files, tmp_path / "out")

    def stop(done, total):
        if done >= 6:
            raise StoppedError

    with pytest.raises(StoppedError):
        predict_movie(asked, CATALOG, stop)
    before = {path.name: path.read_bytes() for path in asked.output.iterdir()}
    unfinished = "movie_predict.json' exists already, of"
    with pytest.raises(FormatError, match=f"{unfinished} another movie"):
        predict_movie(replace(asked, movie=tmp_path / "b" / "movie.tif"), CATALOG, lambda *_: None)
    with pytest.raises(FormatError, match=f"{unfinished} this movie with threshold 0 .now 0.5."):
        predict_movie(replace(asked, threshold=0.5), CATALOG, lambda *_: None)
    assert {path.name: path.read_bytes() for path in asked.output.iterdir()} == before
    assert predict_movie(asked, CATALOG, lambda *_: None).resumed == 6
    with pytest.raises(FormatError, match="movie_locs.csv' exists already, of this movie with frames none .now .0, 4"):
        predict_movie(replace(asked, frames=(0, 4)), CATALOG, lambda *_: None)
    again = replace(asked, movie=tmp_path / "b" / "movie.tif", overwrite=True)
    assert predict_movie(again, CATALOG, lambda *_: None).resumed == 0


def test_another_network_is_another_result(files, tmp_path):
    asked = request(files, tmp_path / "out")
    predict_movie(asked, CATALOG, lambda *_: None)
    saved = torch.load(files / "best.pt", weights_only=True)
    saved["state"] = {name: value * 1.01 for name, value in saved["state"].items()}
    torch.save(saved, tmp_path / "best.pt")
    with pytest.raises(FormatError, match="of this movie with model digest [0-9a-f]{12} .now [0-9a-f]{12}.; give"):
        predict_movie(replace(asked, checkpoint=tmp_path / "best.pt"), CATALOG, lambda *_: None)


def test_weights_beside_an_exported_file_are_the_network_too(files, tmp_path):
    asked = request(files, tmp_path)
    _, model, read_out = predicting.ready(asked, CATALOG)
    (tmp_path / "net.xml").write_text("layers")
    digests = []
    for weights in (b"one", b"two", None):
        (tmp_path / "net.bin").unlink(missing_ok=True)
        if weights is not None:
            (tmp_path / "net.bin").write_bytes(weights)
        of_file = replace(asked, checkpoint=tmp_path / "net.xml")
        record = predicting._record(of_file, model, read_out, ArrayMovie(np.ones((2, 3, 4))), CATALOG)
        digests.append(record.identity["model"]["digest"])
    assert len(set(digests)) == 3


def test_what_fails_before_its_first_frames_leaves_nothing(files, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise StoppedError
        yield

    monkeypatch.setattr(predicting, "stream", broken)
    with pytest.raises(StoppedError):
        predict_movie(request(files, tmp_path / "out"), CATALOG, lambda *_: None)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_network_without_a_threshold_continues_too(files, tmp_path):
    saved = torch.load(files / "best.pt", weights_only=True)
    saved["facts"] = {"task": "image_pairs", "tuned": {}, "calibrated": True}
    torch.save(saved, tmp_path / "best.pt")
    asked = replace(request(files, tmp_path / "out"), checkpoint=tmp_path / "best.pt")

    def stop(done, total):
        if done >= 6:
            raise StoppedError

    with pytest.raises(StoppedError):
        predict_movie(asked, CATALOG, stop)
    written = predict_movie(asked, CATALOG, lambda *_: None)
    assert (written.table, written.resumed) == (None, 6)
    assert sorted(path.name for path in asked.output.iterdir()) == ["movie_predict.json", "movie_sum.tif"]


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
