"""A part of a movie: a rectangle and a range of frames, with the positions of the whole movie's table."""

from dataclasses import replace

import pytest
import tifffile
from study_fakes import write_movie, write_study
from test_data_movie import held, stream_of, write

from smlmbench.errors import ConfigError, FormatError
from smlmbench.formats import TableOptions, read_table
from smlmbench.registry import Catalog
from smlmbench.run.tables.converting import Conversion, convert
from smlmbench.study.load import load_study
from smlmbench.study.sources import MovieSource

ROI = {"x_px": 5, "y_px": 8, "width_px": 30, "height_px": 24}


def loaded(folder, **stated):
    return load_study(write_study(folder, data=[{"name": "own", "train": write_movie(folder) | stated}]))


def test_pixels_and_positions_are_those_of_the_rectangle_and_the_frames(tmp_path):
    rows = [(3, 700.0, 900.0, 1000), (4, 700.0, 900.0, 1000), (4, 300.0, 900.0, 1000), (5, 700.0, 3300.0, 1000)]
    source = MovieSource(**write(tmp_path, rows=rows), roi=ROI, frames="5:12", track="iid")
    part = held(source)
    assert (part.frames.n_frames, part.frames.height, part.frames.width) == (8, 24, 30)
    # the pixel (y, x) of frame k holds 100 k + y + x photons; frame 5 is the one of number 4
    assert part.frames.read(0, 1)[0, :2, :2].tolist() == [[413, 414], [414, 415]]
    assert part.frames.read(7, 8)[0, 0, 0] == 1113
    # the first row is before the frames, the third left of the rectangle, the last below it
    assert list(zip(part.truth.table.frame, part.truth.table.x_nm, part.truth.table.y_nm, strict=True)) == [
        (0, 200.0, 100.0)
    ]
    assert part.field_nm == (3000.0, 2400.0)


def test_training_draws_crops_of_the_part_alone(tmp_path):
    source = MovieSource(**write(tmp_path), roi=ROI, frames="5..12", track="iid", crop_px=16)
    stream = stream_of(source)
    batch = stream.batch(0, 64)
    assert float(batch.inputs.min()) >= 413  # of frame 4
    assert float(batch.inputs.max()) <= 1100 + 31 + 34  # of frame 11, the lower right corner


def test_a_part_is_cut_again_into_training_and_validation(tmp_path):
    source = MovieSource(**write(tmp_path), roi=ROI, frames="1:20", track="iid")
    train, val = (source.cuts(val=False, test=True)[role] for role in ("train", "val"))
    assert held(train).frames.n_frames + held(val).frames.n_frames == 20
    assert held(val).frames.read(0, 1)[0, 0, 0] == 100 * held(train).frames.n_frames + 13


def test_it_counts_for_the_identity_where_it_is_stated(tmp_path):
    given, catalog = write(tmp_path), Catalog()
    whole, part = MovieSource(**given), MovieSource(**given, roi=ROI, frames="1:5")
    assert not {"roi", "frames"} & set(whole.identity(catalog))
    assert part.identity(catalog)["roi"] == ROI
    assert part.identity(catalog)["frames"] == {"first": 1, "last": 5}


def test_a_drift_that_the_table_lacks_goes_back_on_its_positions(tmp_path):
    (tmp_path / "drift.csv").write_text("frame,x_nm,y_nm\n0,0,0\n10,100,-50\n19,100,-50\n")
    given = write(tmp_path)
    table = held(MovieSource(**given, drift=tmp_path / "drift.csv", track="iid")).truth.table
    plain = held(MovieSource(**given, track="iid")).truth.table
    moved = table.x_nm - plain.x_nm, table.y_nm - plain.y_nm
    assert moved[0][[0, 5, 19]].tolist() == pytest.approx([0, 50, 100])
    assert moved[1][[0, 5, 19]].tolist() == pytest.approx([0, -25, -50])
    assert "drift_sha256" in MovieSource(**given, drift=tmp_path / "drift.csv").identity(Catalog())
    assert "drift_sha256" not in MovieSource(**given).identity(Catalog())


def test_a_test_movie_has_a_part_of_its_own(tmp_path):
    train = write_movie(tmp_path) | {"roi": {**ROI, "x_px": 50}, "frames": "1:9", "crop_px": 16, "track": "iid"}
    test = {"b": {key: write_movie(tmp_path, "b")[key] for key in ("movie", "truth")}}
    entry = load_study(write_study(tmp_path, data=[{"name": "own", "train": train, "test": test}])).study.data[0]
    assert (entry.test["b"].roi, entry.test["b"].frames) == (None, None)


def two(folder, **further):
    """Two acquisitions; the second has 12 frames and is 1000 photons brighter."""
    (folder / "one").mkdir()
    (folder / "two").mkdir()
    given, other = write(folder / "one"), write(folder / "two", 12)
    pixels = tifffile.imread(other["movie"]) + 2000
    tifffile.imwrite(other["movie"], pixels, photometric="minisblack")
    return given, {"movie": other["movie"], "truth": other["truth"], **further}


def test_acquisitions_follow_each_other(tmp_path):
    given, other = two(tmp_path)
    source = MovieSource(**given, more=[other], track="iid")
    part = held(source)
    assert part.frames.n_frames == 32
    assert part.frames.read(19, 22)[:, 0, 0].tolist() == [1900, 1000, 1100]
    assert len(part.truth.table) == 32
    assert part.truth.table.x_nm[part.truth.table.frame == 20].tolist() == [150.0]
    train, val = (source.cuts(val=False, test=True)[role] for role in ("train", "val"))
    assert held(train).frames.n_frames + held(val).frames.n_frames == 32
    assert held(val).frames.read(0, 1)[0, 0, 0] > 1000
    assert len(source.identity(Catalog())["more"]) == 1
    assert "more" not in MovieSource(**given).identity(Catalog())


def test_each_acquisition_has_a_part_and_a_place_of_its_own(tmp_path):
    given, other = two(tmp_path, roi=ROI, frames="3:4")
    part = held(MovieSource(**given, roi={**ROI, "x_px": 0}, frames="1:2", more=[other], track="iid"))
    assert part.frames.read(0, 4)[:, 0, 0].tolist() == [8, 108, 1000 + 213, 1000 + 313]
    train = write_movie(tmp_path) | {"track": "iid", "more": [{"movie": "gone.tif", "truth": "a.csv"}]}
    with pytest.raises(ConfigError, match=r"train\.more\[0\]\.movie: .*gone\.tif' does not exist"):
        load_study(write_study(tmp_path, data=[{"name": "own", "train": train}]))
    train["more"] = [{"movie": "a.tif", "truth": "a.csv"}]
    test = {"b": {key: write_movie(tmp_path, "c")[key] for key in ("movie", "truth")}}
    test["b"]["more"] = [{"movie": "a.tif", "truth": "a.csv"}]
    with pytest.raises(ConfigError, match=r"'a\.tif' is also the training movie"):
        load_study(write_study(tmp_path, data=[{"name": "own", "train": train, "test": test}]))
    narrow = write_movie(tmp_path, "b", width=100)
    train["more"] = [{key: narrow[key] for key in ("movie", "truth")}]
    with pytest.raises(ConfigError, match=r"frames of 100 x 32 px, those of 'a\.tif' 200 x 32"):
        load_study(write_study(tmp_path, data=[{"name": "own", "train": train}]))


def test_a_drift_is_taken_away_from_a_table(tmp_path):
    (tmp_path / "drift.txt").write_text("0 0\n0.5 -1\n")
    (tmp_path / "a.csv").write_text("frame,x_nm,y_nm\n0,500,600\n1,500,600\n")
    known = TableOptions(pixel_size_nm=100, first_frame=0)
    asked = Conversion(tmp_path / "a.csv", tmp_path / "b.csv", known=known, drift=tmp_path / "drift.txt")
    convert(replace(asked, target_format="smlmbench_csv"), Catalog())
    moved = read_table(tmp_path / "b.csv", catalog=Catalog())
    assert moved.x_nm.tolist() == [500, 450]
    assert moved.y_nm.tolist() == [600, 700]
    with pytest.raises(FormatError, match="positions of a table alone"):
        convert(replace(asked, source=write(tmp_path)["movie"], target=tmp_path / "c.tif"), Catalog())


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"frames": "0:5"}, "data[0].train.frames: '0:5' is no range of frames; write A:B with 1 <= A <= B"),
        ({"frames": "9:3"}, "'9:3' is no range of frames"),
        ({"frames": "1:41"}, "data[0].train.frames: frames 1:41 are asked for, the movie has 40; give fewer"),
        ({"roi": {**ROI, "x_px": 180}}, "data[0].train.roi: the roi goes to x 210, y 32 px, the frames have 200 x 32"),
        ({"roi": {**ROI, "width_px": 4}}, "roi"),
        ({"roi": {**ROI, "left": 4}}, "roi"),
        ({"roi": ROI, "crop_px": 32}, "frames of 30 x 24 px are smaller than crops of 32 px"),
    ],
)
def test_a_part_that_is_none_is_told_in_one_line(tmp_path, stated, said):
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, **stated)
    assert said in str(caught.value).splitlines()[0]


def test_movies_to_predict_have_names_of_their_own(tmp_path):
    (tmp_path / "day2").mkdir()
    train = write_movie(tmp_path)
    write_movie(tmp_path / "day2")
    data = [{"name": "own", "train": train, "apply": ["a.tif", "day2/a.tif"]}]
    with pytest.raises(ConfigError, match=r"data\[0\]\.apply\[1\]: another movie of the list is named 'a\.tif' too"):
        load_study(write_study(tmp_path, data=data))
