import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml

from smlmbench.errors import FormatError, SizeError
from smlmbench.formats import find, open_movie, read_table
from smlmbench.registry import Catalog

CATALOG = Catalog()
DATA = Path(os.environ.get("SMLMBENCH_DATA", Path(__file__).parents[2].parent / "shared" / "data"))


def real(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not here; set SMLMBENCH_DATA")
    return path


def movie_refused(path: Path) -> str:
    with pytest.raises(FormatError) as caught:
        open_movie(path, catalog=CATALOG)
    assert "\n" not in str(caught.value)
    return str(caught.value)


COUNTS = np.arange(3 * 4 * 6, dtype=np.uint16).reshape(3, 4, 6) * 300
COUNTS[1, 3, 5] = 54321


def raw(tmp_path: Path, dtype: str = "uint16", order: str = "<", **changed: object) -> Path:
    COUNTS.astype(np.dtype(dtype).newbyteorder(order)).tofile(tmp_path / "m.raw")
    facts = {"Byte Order": order, "Data Type": dtype, "Frames": 3, "Height": 4, "Width": 6, **changed}
    (tmp_path / "m.yaml").write_text(yaml.safe_dump({key: v for key, v in facts.items() if v is not None}))
    return tmp_path / "m.raw"


def dax(tmp_path: Path, order: str = "little", **changed: str) -> Path:
    COUNTS.astype(">u2" if order == "big" else "<u2").tofile(tmp_path / "m.dax")
    facts = {
        "data type": f"16 bit integers (binary, {order} endian)",
        "frame dimensions": "6 x 4",
        "binning": "1 x 1",
        "number of frames": "3",
        **changed,
    }
    lines = ["information file for", "m.dax", *(f"{key} = {value}" for key, value in facts.items())]
    (tmp_path / "m.inf").write_text("\n".join(lines))
    return tmp_path / "m.dax"


def folder(tmp_path: Path, names: list[str]) -> Path:
    path = tmp_path / "frames"
    path.mkdir()
    for number, name in enumerate(names):
        tifffile.imwrite(path / name, COUNTS[number % 3])
    return path


@pytest.mark.parametrize(
    "make",
    [
        raw,
        lambda tmp_path: raw(tmp_path, order=">"),
        lambda tmp_path: raw(tmp_path, "float32"),
        dax,
        lambda tmp_path: dax(tmp_path, "big"),
        lambda tmp_path: folder(tmp_path, ["f9.tif", "f10.tif", "f11.tif"]),
    ],
)
def test_pixel_of_a_movie(tmp_path: Path, make: object) -> None:
    path = make(tmp_path)  # type: ignore[operator]
    movie = open_movie(path, catalog=CATALOG)
    assert (movie.path, movie.n_frames, movie.height, movie.width) == (path, 3, 4, 6)
    assert movie.dtype.isnative
    block = movie.read(1, 3)
    assert block.dtype == movie.dtype
    assert block[0, 3, 5] == 54321
    np.testing.assert_array_equal(block, COUNTS[1:])
    assert movie.read(2, 2).shape == (0, 4, 6)
    with pytest.raises(SizeError, match="not in a movie of 3"):
        movie.read(2, 4)
    movie.close()


def test_raw_movies_that_are_refused(tmp_path: Path) -> None:
    path = raw(tmp_path)
    (tmp_path / "m.yaml").unlink()
    assert "sidecar 'm.yaml' is absent" in movie_refused(path)
    assert "does not state Height" in movie_refused(raw(tmp_path, Height=None))
    assert "Data Type 'complex64'" in movie_refused(raw(tmp_path, **{"Data Type": "complex64"}))
    assert "Width is 6.5" in movie_refused(raw(tmp_path, Width=6.5))
    assert "has 144 bytes but 'm.yaml' states 4 frames of 6 x 4 px uint16, 192 bytes" in movie_refused(
        raw(tmp_path, Frames=4)
    )


def test_a_flat_movie_that_shrinks_while_open(tmp_path: Path) -> None:
    path = raw(tmp_path)
    movie = open_movie(path, catalog=CATALOG)
    os.truncate(path, 100)
    with pytest.raises(FormatError, match="has become shorter"):
        movie.read(2, 3)
    movie.close()


def test_dax_movies_that_are_refused(tmp_path: Path) -> None:
    path = dax(tmp_path)
    (tmp_path / "m.inf").unlink()
    assert "'m.inf' cannot be read" in movie_refused(path)
    assert "does not state data type" in movie_refused(dax(tmp_path, **{"data type": "16 bit integers"}))
    assert "0 frames of 6 x 4" in movie_refused(dax(tmp_path, **{"number of frames": "0"}))
    assert "states 3 frames of 6 x 5 px uint16, 180 bytes" in movie_refused(
        dax(tmp_path, **{"frame dimensions": "6 x 5"})
    )


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["1.tif", "2.tif", "4.tif"], "'2.tif' is followed by '4.tif'"),
        (["1.tif", "3.tif", "4.tif"], "'1.tif' is followed by '3.tif'"),
        (["1.tif", "01.tif", "2.tif"], "is followed by"),
        (["1.tif", "mask.tif"], "in doubt"),
        (["a1_b1.tif", "a2_b2.tif"], "in doubt"),
        (["1.tif", "2.tiff"], "in doubt"),
    ],
)
def test_a_folder_in_doubtful_order_is_refused(tmp_path: Path, names: list[str], message: str) -> None:
    assert message in movie_refused(folder(tmp_path, names))


def test_a_folder_with_equal_steps_and_other_files(tmp_path: Path) -> None:
    path = folder(tmp_path, ["t000_c0.tif", "t010_c0.tif", "t020_c0.tif"])
    (path / "._t000_c0.tif").write_text("x")
    (path / "notes.txt").write_text("x")
    movie = open_movie(path, catalog=CATALOG)
    np.testing.assert_array_equal(movie.read(0, 3), COUNTS)
    (path / "t010_c0.tif").unlink()
    with pytest.raises(FormatError, match="t010_c0.tif"):
        movie.read(1, 2)
    movie.close()


def test_a_folder_of_unlike_frames_is_refused(tmp_path: Path) -> None:
    path = folder(tmp_path, ["1.tif", "2.tif"])
    tifffile.imwrite(path / "2.tif", COUNTS[0, :2])
    assert "'2.tif' is 2 x 6 uint16, '1.tif' is 4 x 6 uint16" in movie_refused(path)
    tifffile.imwrite(path / "2.tif", COUNTS, photometric="minisblack")
    assert "'2.tif' has 3 pages" in movie_refused(path)


def test_folders_and_files_are_not_taken_for_each_other(tmp_path: Path) -> None:
    assert "is a folder; give a file, or a folder of tiff_folder" in movie_refused(tmp_path)
    path = folder(tmp_path, ["1.tif"])
    assert find(path, "movie", catalog=CATALOG, format="tiff_folder") == "tiff_folder"
    with pytest.raises(FormatError, match="'tiff' is not a movie format of folders"):
        open_movie(path, catalog=CATALOG, format="tiff")
    with pytest.raises(FormatError, match="takes a folder"):
        open_movie(path / "1.tif", catalog=CATALOG, format="tiff_folder")
    with pytest.raises(FormatError, match="is a folder; give a file$"):
        read_table(path, catalog=CATALOG)


def test_a_real_folder_of_frames() -> None:
    path = real("deepstorm3d-tetrapod-storm/frames")
    movie = open_movie(path, catalog=CATALOG)
    assert (movie.n_frames, movie.height, movie.width, movie.dtype) == (25, 297, 391, np.dtype("uint16"))
    last = movie.read(8, 10)
    movie.close()
    np.testing.assert_array_equal(last[0], tifffile.imread(path / "9.tif"))
    np.testing.assert_array_equal(last[1], tifffile.imread(path / "10.tif"))
