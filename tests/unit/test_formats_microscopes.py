"""Movies of Nikon (.nd2) and Andor (.sif): streamed, one movie or refused, and one line without the libraries.

The files are made by the tests from what the libraries expect; no file of a microscope is at hand.
"""

import sys
import tracemalloc
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from microscopes import write_nd2, write_sif

from smlmbench.errors import FormatError, MissingExtraError, SizeError
from smlmbench.formats import find, open_movie
from smlmbench.registry import Catalog

CATALOG = Catalog()
COUNTS = (np.arange(6 * 5 * 7).reshape(6, 5, 7) + 100).astype(np.uint16)
WRITERS = {"nd2": (write_nd2, "nd2"), "sif": (write_sif, "sif_parser")}


def refused(path: Path) -> str:
    with pytest.raises(FormatError) as caught, closing(open_movie(path, catalog=CATALOG)) as movie:
        movie.read(0, movie.n_frames)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", WRITERS)
def test_frames_come_as_they_were_written(tmp_path: Path, name: str) -> None:
    write, module = WRITERS[name]
    pytest.importorskip(module)
    path = write(tmp_path / f"a.{name}", COUNTS)
    assert find(path, "movie", catalog=CATALOG) == name
    with closing(open_movie(path, catalog=CATALOG)) as movie:
        assert (movie.n_frames, movie.height, movie.width) == (6, 5, 7)
        assert movie.dtype == ("uint16" if name == "nd2" else "float32")
        assert movie.read(0, 6).dtype == movie.dtype
        np.testing.assert_array_equal(movie.read(0, 6), COUNTS)
        np.testing.assert_array_equal(movie.read(4, 5), COUNTS[4:5])
        assert movie.read(3, 3).shape == (0, 5, 7)
        with pytest.raises(SizeError, match="not in a movie of 6"):
            movie.read(5, 7)


@pytest.mark.parametrize("name", WRITERS)
def test_small_movies_of_microscopes(tmp_path: Path, name: str) -> None:
    write, module = WRITERS[name]
    pytest.importorskip(module)
    for shape in ((1, 5, 7), (3, 1, 7), (3, 5, 1), (1, 1, 1)):
        frames = COUNTS[: shape[0], : shape[1], : shape[2]]
        with closing(open_movie(write(tmp_path / f"a.{name}", frames), catalog=CATALOG)) as movie:
            np.testing.assert_array_equal(movie.read(0, shape[0]), frames)


@pytest.mark.parametrize("name", WRITERS)
def test_a_movie_of_a_microscope_is_never_read_whole(tmp_path: Path, name: str) -> None:
    write, module = WRITERS[name]
    pytest.importorskip(module)
    path = write(tmp_path / f"a.{name}", np.ones((400, 128, 128), np.uint16))
    with closing(open_movie(path, catalog=CATALOG)) as movie:
        movie.read(0, 1)
        tracemalloc.start()
        movie.read(200, 210)
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak_bytes < 2e6  # ten frames have 0.3 or 0.7 MB, all have 13 or 26


@pytest.mark.parametrize("name", WRITERS)
def test_broken_files_of_microscopes_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    write, module = WRITERS[name]
    pytest.importorskip(module)
    path = write(tmp_path / f"a.{name}", COUNTS)
    content = path.read_bytes()
    for kept in (50, 200, 400, len(content) // 2, len(content) - 10):
        path.write_bytes(content[:kept])
        assert "'a." in refused(path)
    path.write_bytes(b"\xda\xce\xbe\x0a" if name == "nd2" else b"Andor Technology Multi-Channel File\n")
    assert "is not a readable" in refused(path)


def test_what_is_not_one_movie_is_refused_with_both_numbers(tmp_path: Path) -> None:
    pytest.importorskip("nd2")
    path = tmp_path / "a.nd2"
    write_nd2(path, np.stack([COUNTS, COUNTS], axis=-1))
    assert "has 6 frames x 2 channels, not one movie" in refused(path)
    write_nd2(path, COUNTS, loop="planes")
    assert "has 1 frames x 6 planes, not one movie" in refused(path)
    write_nd2(path, COUNTS, count=4)
    assert "holds 6 images and states 4 frames in time" in refused(path)


def test_frames_that_were_never_written_are_refused_and_those_never_taken_do_not_count(tmp_path: Path) -> None:
    pytest.importorskip("nd2")
    path = write_nd2(tmp_path / "a.nd2", COUNTS, left_out=2)
    assert "frame 3 (counted from 1) is absent or zero throughout" in refused(path)
    with closing(open_movie(write_nd2(path, COUNTS, count=9), catalog=CATALOG)) as movie:
        np.testing.assert_array_equal(movie.read(0, movie.n_frames), COUNTS)


def test_several_regions_of_a_sensor_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("sif_parser")
    path = write_sif(tmp_path / "a.sif", COUNTS[:, :4], regions=2)
    assert "has 6 frames x 2 regions; save one region" in refused(path)


@pytest.mark.parametrize("name", WRITERS)
def test_without_the_library_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write, module = WRITERS[name]
    path = write(tmp_path / f"a.{name}", COUNTS)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        MissingExtraError, match=rf"needs {module}, .*; pip install 'smlmbench\[microscopes\]'"
    ) as caught:
        open_movie(path, catalog=CATALOG)
    assert "\n" not in str(caught.value)


def test_an_old_file_names_what_its_reader_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Lacking:
        @staticmethod
        def ND2File(path: Path) -> None:  # noqa: N802
            raise ImportError("imagecodecs is required\nto read legacy files")

    monkeypatch.setitem(sys.modules, "nd2", Lacking)
    (tmp_path / "a.nd2").write_bytes(b"\0\0\0\x0cjP  ")
    with pytest.raises(MissingExtraError, match="imagecodecs is required to read legacy files; install it"):
        open_movie(tmp_path / "a.nd2", catalog=CATALOG)
