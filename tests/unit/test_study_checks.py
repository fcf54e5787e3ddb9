import pytest
from study_fakes import write_movie, write_study

from smlmbench.data.parts import block_of
from smlmbench.errors import ConfigError, SizeError
from smlmbench.study.load import load_study
from smlmbench.study.sources import Part
from smlmbench.study.sources.movie import cut, text_header


@pytest.fixture(autouse=True)
def _no_data_root(monkeypatch):
    monkeypatch.delenv("SMLMBENCH_DATA", raising=False)


def problems(folder, train, **entry):
    with pytest.raises(ConfigError) as caught:
        load_study(write_study(folder, data=[{"name": "cells", "train": train, **entry}]))
    return [line.removeprefix("dots.yaml: data[0].") for line in str(caught.value).splitlines()]


def test_a_movie_with_its_table_passes(tmp_path):
    source = write_movie(tmp_path)
    loaded = load_study(write_study(tmp_path, data=[{"name": "cells", "train": source}]))
    assert [entry.name for entry in loaded.study.data] == ["cells"]


def test_absent_files_are_told_with_the_nearest_name(tmp_path):
    source = write_movie(tmp_path) | {"movie": "aa.tif", "truth": "sub/a.csv"}
    found = problems(tmp_path, source)
    assert found[0] == f"train.movie: '{tmp_path / 'aa.tif'}' does not exist; did you mean 'a.tif'?"
    assert found[1].startswith(f"train.truth: '{tmp_path / 'sub/a.csv'}' does not exist; give the path of a table")


def test_absent_files_are_told_beside_other_problems(tmp_path):
    found = problems(tmp_path, {"movie": "no.tif", "truth": "no.csv", "pixel_size_nm": -100, "camera": "uncalibrated"})
    assert [line.partition(":")[0] for line in found] == ["train.pixel_size_nm", "train.movie", "train.truth"]


def test_an_absent_file_of_a_reference_is_told(tmp_path):
    path = write_study(tmp_path, references=["dot_guess", {"name": "dot_file", "path": "r.mat"}])
    with pytest.raises(ConfigError) as caught:
        load_study(path)
    told = f"dots.yaml: references[1].path: '{tmp_path / 'r.mat'}' does not exist; give the path of a file"
    assert str(caught.value).startswith(told)


def test_an_empty_folder_and_an_empty_file_are_no_movies(tmp_path):
    source = write_movie(tmp_path)
    (tmp_path / "none").mkdir()
    (tmp_path / "zero.tif").touch()
    found = problems(tmp_path, source | {"movie": "none"}, apply=["zero.tif"])
    assert found == [
        f"train.movie: folder '{tmp_path / 'none'}' is empty; give a movie",
        f"apply[0]: '{tmp_path / 'zero.tif'}' is an empty file; give a movie",
    ]


def test_a_movie_that_does_not_open_is_told(tmp_path):
    source = write_movie(tmp_path)
    (tmp_path / "a.tif").write_bytes(b"II*\0 this is no movie")
    (told,) = problems(tmp_path, source)
    assert told.startswith("train.movie: ")
    assert "a.tif" in told


def test_a_table_without_x_is_told_with_what_it_has(tmp_path):
    source = write_movie(tmp_path)
    (tmp_path / "a.csv").write_text("index,frame,y [nm],photons\n1,1,2,3\n")
    (told,) = problems(tmp_path, source)
    assert told.startswith("train.truth: 'a.csv' has no column for x; it has index, frame, y [nm], photons")


@pytest.mark.parametrize("header", ["frame,x_nm,y_nm", '"id","frame","x [nm]","y [nm]"', "frame,x (px),y (px)"])
def test_common_headers_pass(tmp_path, header):
    source = write_movie(tmp_path)
    cells = header.count(",") + 1
    (tmp_path / "a.csv").write_text(f"{header}\n{','.join('1' * cells)}\n")
    loaded = load_study(write_study(tmp_path, data=[{"name": "cells", "train": source}]))
    assert loaded.study.data[0].train.truth == tmp_path / "a.csv"


def test_named_columns_must_be_in_the_table(tmp_path):
    source = write_movie(tmp_path) | {"columns": {"x_nm": "Xpos", "y_nm": "ypos", "frame": "t"}}
    (tmp_path / "a.csv").write_text("t,xpos,ypos\n1,2,3\n")
    (told,) = problems(tmp_path, source)
    assert told == "train.columns.x_nm: 'Xpos' is not a column of 'a.csv'; it has t, xpos, ypos"
    load_study(
        write_study(
            tmp_path,
            data=[{"name": "c", "train": source | {"columns": {"x_nm": "xpos", "y_nm": "ypos", "frame": "t"}}}],
        )
    )


def test_an_unknown_format_of_the_table_is_told_once(tmp_path):
    source = write_movie(tmp_path) | {"truth_format": "thunderstorm"}
    (told,) = problems(tmp_path, source)
    assert told.startswith("train.truth_format: unknown format 'thunderstorm': did you mean 'thunderstorm_csv'?")


def test_training_and_scoring_need_truth(tmp_path):
    source = write_movie(tmp_path)
    source.pop("truth")
    (told,) = problems(tmp_path, source)
    assert told.startswith("train.truth: required and not given; a movie without truth can only be predicted")


def test_crops_must_fit_the_frames(tmp_path):
    source = write_movie(tmp_path, height=24) | {"crop_px": 32}
    assert problems(tmp_path, source) == [
        "train.crop_px: frames of 200 x 24 px are smaller than crops of 32 px; give at most 24"
    ]


def test_a_field_too_narrow_to_cut_is_told(tmp_path):
    source = write_movie(tmp_path, width=64)
    (told,) = problems(tmp_path, source)
    assert told.startswith("train: 'a.tif' is 64 px wide: its train block of 16 px needs 32 px beside guards of 16 px")
    test = {"b": write_movie(tmp_path, "b")}
    (told,) = problems(tmp_path, source, test=test)
    assert "its val block of 8 px needs 17 px" in told
    load_study(
        write_study(tmp_path, data=[{"name": "c", "train": source, "test": test, "val": write_movie(tmp_path, "v")}])
    )
    load_study(write_study(tmp_path, data=[{"name": "c", "train": source | {"track": "iid"}}]))


@pytest.mark.parametrize(("border_nm", "needed"), [(0, None), (400, None), (401, 17), (450, 17), (2000, 48)])
def test_the_scoring_border_of_the_study_counts(tmp_path, border_nm, needed):
    source = write_movie(tmp_path, width=16) | {"track": "iid", "crop_px": 16, "pixel_size_nm": 100}
    path = write_study(tmp_path, data=[{"name": "c", "train": source}], scoring={"border_nm": border_nm})
    if needed is None:
        load_study(path)
        return
    with pytest.raises(ConfigError, match=f"'a.tif' is 16 px wide, val needs {needed} px; give scoring: "):
        load_study(path)


def test_a_movie_too_short_to_cut_is_told(tmp_path):
    (told,) = problems(tmp_path, write_movie(tmp_path, frames=2) | {"track": "iid"})
    assert "2 frames cannot be cut into parts of at least 1; give val and test of their own" in told


def test_the_training_movie_is_no_test(tmp_path):
    source = write_movie(tmp_path)
    found = problems(tmp_path, source, test={"same": {"movie": "a.tif", "truth": "a.csv"}})
    assert found[0].startswith("test.same: 'a.tif' is also the training movie, so scores would show memory")


def test_a_header_is_read_without_guessing_numbers(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("# made by hand\n\nframe;x;y\n1;2,5;3\n")
    assert text_header(path) == ["frame", "x", "y"]
    path.write_text("1,2,3\n4,5,6\n")
    assert text_header(path) is None
    path.write_bytes(b"\0\1\2,\0\n")
    assert text_header(path) is None
    assert text_header(tmp_path / "t.h5") is None


@pytest.mark.parametrize(("role", "columns"), [("train", (0, 118)), ("val", (134, 159)), ("test", (175, 200))])
def test_columns_are_cut_with_guards(role, columns):
    # 200 - 2 x 16 = 168 usable; 15 % are 25.2, so 25 and 25; 118 remain for training
    found = cut(Part(role=role, rule="columns", guard_px=16), n_frames=40, width_px=200)
    assert (found.start, found.stop, found.x0, found.x1) == (0, 40, *columns)


@pytest.mark.parametrize(("role", "frames"), [("train", (0, 28)), ("val", (28, 34)), ("test", (34, 40))])
def test_frames_are_cut_without_gaps(role, frames):
    found = cut(Part(role=role, rule="frames"), n_frames=40, width_px=200)
    assert (found.start, found.stop, found.x0, found.x1) == (*frames, 0, 200)


@pytest.mark.parametrize("rule", ["frames", "columns"])
@pytest.mark.parametrize("shares", [(0.15, 0.15), (0.15, 0.0), (0.0, 0.15), (0.3, 0.1)])
@pytest.mark.parametrize("size", [1, 2, 20, 55, 64, 65, 128, 1001])
def test_what_is_checked_is_what_is_cut(rule, shares, size):
    roles = ["train"] + [role for role, share in zip(["val", "test"], shares, strict=True) if share]
    for role in roles:
        part = Part(role=role, rule=rule, val=shares[0], test=shares[1])
        try:
            block = block_of(part, size, size)
        except SizeError:
            with pytest.raises(SizeError):
                cut(part, n_frames=size, width_px=size)
        else:
            found = cut(part, n_frames=size, width_px=size)
            assert ((found.start, found.stop), (found.x0, found.x1)) == (block.frames, block.columns)
