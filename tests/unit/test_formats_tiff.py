import struct
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from smlmbench.errors import FormatError, MissingExtraError, SizeError
from smlmbench.formats.tiff import open_movie, write_movie

COUNTS = np.arange(20 * 8 * 6, dtype=np.uint16).reshape(20, 8, 6) * 7


@pytest.mark.parametrize(
    ("dtype", "how"),
    [
        ("uint16", {}),
        ("uint16", {"imagej": True}),
        ("uint16", {"bigtiff": True, "byteorder": ">"}),
        ("uint8", {"imagej": True}),
        ("float32", {"imagej": True}),
        ("uint16", {"compression": "zlib"}),
        ("uint16", {"compression": "zlib", "byteorder": ">", "predictor": True}),
        ("uint16", {"rowsperstrip": 3, "metadata": None}),
        ("int16", {}),
        ("int16", {"compression": "zlib", "byteorder": ">"}),
        ("uint32", {}),
        ("int32", {}),
        ("float16", {}),
        ("float64", {"byteorder": ">"}),
    ],
)
def test_movies_are_read_as_they_were_written(tmp_path: Path, dtype: str, how: dict[str, Any]) -> None:
    frames = COUNTS.astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", frames, **how)
    movie = open_movie(tmp_path / "a.tif")
    assert (movie.n_frames, movie.height, movie.width, movie.dtype) == (20, 8, 6, np.dtype(dtype))
    block = movie.read(3, 7)
    assert block.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(block, frames[3:7])
    assert movie.read(5, 5).shape == (0, 8, 6)
    with pytest.raises(SizeError):
        movie.read(19, 21)
    movie.close()


@pytest.mark.parametrize("how", [{}, {"compression": "zlib"}])
@pytest.mark.parametrize(
    ("c0", "c1", "dtype"),
    [(-32768.0, 1.0, "int16"), (0.0, 0.5, "float32"), (-100.0, 2.0, "float32"), (0.0, 1.0, "uint16")],
)
def test_pixels_that_imagej_calibrates_are_what_it_shows(
    tmp_path: Path, how: dict[str, Any], c0: float, c1: float, dtype: str
) -> None:
    metadata = {"cf": 0, "c0": c0, "c1": c1, "vunit": "gray value"}
    tifffile.imwrite(tmp_path / "a.tif", COUNTS, imagej=True, metadata=metadata, **how)
    with closing(open_movie(tmp_path / "a.tif")) as movie:
        assert movie.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(movie.read(2, 9), (c0 + c1 * COUNTS[2:9]).astype(dtype))
    tifffile.imwrite(tmp_path / "b.tif", COUNTS, imagej=True, metadata={**metadata, "cf": 1, "c2": 0.1})
    with pytest.raises(FormatError, match="calibrated by a curve"):
        open_movie(tmp_path / "b.tif")


def test_pages_that_do_not_follow_each_other(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for frame in COUNTS:
            file.write(frame, metadata=None, contiguous=False)
    movie = open_movie(tmp_path / "a.tif")
    np.testing.assert_array_equal(movie.read(0, 20), COUNTS)
    movie.close()


def test_threads_share_a_movie(tmp_path: Path) -> None:
    for how in ({}, {"compression": "zlib"}):
        tifffile.imwrite(tmp_path / "a.tif", COUNTS, **how)
        movie = open_movie(tmp_path / "a.tif")
        with ThreadPoolExecutor(4) as pool:
            starts = [i % 19 for i in range(60)]
            blocks = list(pool.map(movie.read, starts, [start + 2 for start in starts]))
        for i, block in enumerate(blocks):
            np.testing.assert_array_equal(block, COUNTS[i % 19 : i % 19 + 2])
        movie.close()


def write_virtual_stack(path: Path, n_frames: int, side: int, *, size: int | None = None) -> None:
    """An ImageJ stack as written above 4 GB: one directory, then raw pixels; a hole in the file stands for them."""
    text = f"ImageJ=1.54f\nimages={n_frames}\nslices={n_frames}\nloop=false\n".encode() + b"\0"
    tags = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 16), (259, 3, 1, 1), (262, 3, 1, 1)]
    tags += [
        (270, 2, len(text), 200),
        (273, 4, 1, 400),
        (277, 3, 1, 1),
        (278, 4, 1, side),
        (279, 4, 1, side * side * 2),
    ]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + b"\0\0\0\0"
    head = (b"II*\0" + struct.pack("<I", 8) + directory).ljust(200, b"\0") + text
    with path.open("wb") as file:
        file.write(head.ljust(400, b"\0"))
        file.truncate(size or 400 + n_frames * side * side * 2)
        if size is None:
            file.seek(400 + (n_frames - 1) * side * side * 2)
            file.write(struct.pack("<H", 1234))


def test_an_imagej_stack_above_4_gb(tmp_path: Path) -> None:
    path = tmp_path / "big.tif"
    write_virtual_stack(path, 8400, 512)
    assert path.stat().st_size > 2**32
    tracemalloc.start()
    movie = open_movie(path)
    block = movie.read(8390, 8400)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    movie.close()
    assert movie.n_frames == 8400
    assert block[-1, 0, 0] == 1234
    assert np.count_nonzero(block) == 1
    assert peak_bytes < 50e6


def test_an_imagej_stack_that_is_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "cut.tif"
    write_virtual_stack(path, 100, 64, size=400 + 50 * 8192)
    with pytest.raises(FormatError, match=r"cut short: it has 410,000 bytes but frame 50 of 100 ends at byte 418,192"):
        open_movie(path)


@pytest.mark.parametrize("how", [{}, {"imagej": True}, {"compression": "zlib"}, {"metadata": None}])
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.7, 0.99])
def test_cut_files_are_refused_when_they_are_opened(tmp_path: Path, how: dict[str, Any], kept: float) -> None:
    tifffile.imwrite(tmp_path / "a.tif", COUNTS, **how)
    whole = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(FormatError) as caught:
        open_movie(tmp_path / "cut.tif")
    assert "'cut.tif'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", COUNTS, imagej=True)
    movie = open_movie(tmp_path / "a.tif")
    with (tmp_path / "a.tif").open("r+b") as file:
        file.truncate(900)
    with pytest.raises(FormatError, match="cut short"):
        movie.read(0, 20)
    movie.close()


@pytest.mark.parametrize("content", [b"", b"II*\0", b"II*\0\x08\0\0\0", b"II*\0\0\0\0\0", b"not a tiff at all"])
def test_what_is_not_a_tiff_is_refused(tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(FormatError, match=r"'a.tif' (is not a readable TIFF|has no pages)"):
        open_movie(tmp_path / "a.tif")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("frames", "how", "message"),
    [
        (np.zeros((5, 8, 6, 3), np.uint8), {"photometric": "rgb"}, "colour or volumes"),
        (np.zeros((8, 6, 3), np.uint8), {"photometric": "rgb"}, "colour or volumes"),
        (
            np.zeros((5, 8, 6), np.complex64),
            {},
            "holds complex64; accepted: uint8, uint16, uint32, int16, int32, float16",
        ),
        (np.zeros((5, 8, 6), np.int64), {}, "holds int64"),
        (np.zeros((5, 2, 8, 6), np.uint16), {"imagej": True, "metadata": {"axes": "TCYX"}}, "2 channels"),
        (np.zeros((5, 2, 8, 6), np.uint16), {"ome": True, "metadata": {"axes": "TCYX"}}, "2 channels"),
    ],
)
def test_what_is_not_a_grey_movie_is_refused(
    tmp_path: Path, frames: np.ndarray, how: dict[str, Any], message: str
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", frames, **how)
    with pytest.raises(FormatError, match=message):
        open_movie(tmp_path / "a.tif")


@pytest.mark.parametrize("odd", [np.zeros((8, 7), np.uint16), np.zeros((9, 6), np.uint16), np.zeros((8, 6), np.uint8)])
def test_pages_of_several_shapes_are_refused(tmp_path: Path, odd: np.ndarray) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(COUNTS[0], metadata=None)
        file.write(odd, metadata=None)
    with pytest.raises(FormatError, match="page 1 is"):
        open_movie(tmp_path / "a.tif")


@pytest.mark.skipif(find_spec("imagecodecs") is not None, reason="imagecodecs is installed")
@pytest.mark.parametrize("code", [5, 50000], ids=["LZW", "zstd"])
def test_a_compression_that_needs_another_package(tmp_path: Path, code: int) -> None:
    tifffile.imwrite(tmp_path / "a.tif", COUNTS[0], compression="zlib")
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as file:
        file.pages[0].tags["Compression"].overwrite(code)
    with pytest.raises(MissingExtraError, match="pip install imagecodecs"):
        open_movie(tmp_path / "a.tif")


@pytest.mark.parametrize("suffix", [".btf", ".tf8", ".BTF"])
@pytest.mark.parametrize("big", [True, False])
def test_names_of_big_files_are_read_and_written_as_such(tmp_path: Path, suffix: str, big: bool) -> None:
    path, copy = tmp_path / f"a{suffix}", tmp_path / f"copy{suffix}"
    tifffile.imwrite(path, COUNTS, bigtiff=big, metadata=None)
    with closing(open_movie(path)) as movie:
        np.testing.assert_array_equal(movie.read(0, len(COUNTS)), COUNTS)
        write_movie(movie, copy)
    assert copy.read_bytes()[2:4] == b"+\0"  # 43
    np.testing.assert_array_equal(tifffile.imread(copy), COUNTS)
