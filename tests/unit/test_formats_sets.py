"""Movies and tables of more than one file: OME sets, DECODE h5, sidecars in the identity."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from smlmbench.errors import FormatError
from smlmbench.formats import TableOptions, companions, find, open_movie, read_table, write_movie
from smlmbench.registry import Catalog
from smlmbench.study.identity import file_digest

CATALOG = Catalog()
FIRST = np.arange(5 * 8 * 6, dtype=np.uint16).reshape(5, 8, 6)


def ome_xml(own: str, files: list[str], n: int) -> str:
    data = "".join(
        f'<TiffData IFD="{i}" FirstT="{i + n * k}" FirstZ="0" FirstC="0" PlaneCount="1">'
        f'<UUID FileName="{name}">urn:uuid:{k:08d}-0000-0000-0000-000000000000</UUID></TiffData>'
        for k, name in enumerate(files)
        for i in range(n)
    )
    return (
        f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        f'UUID="urn:uuid:{files.index(own):08d}-0000-0000-0000-000000000000"><Image ID="Image:0">'
        f'<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="6" SizeY="8" SizeZ="1" SizeC="1" '
        f'SizeT="{n * len(files)}"><Channel ID="Channel:0:0" SamplesPerPixel="1"/>{data}</Pixels></Image></OME>'
    )


def ome_set(folder: Path, files: tuple[str, ...] = ("b.ome.tif", "a.ome.tif")) -> list[Path]:
    for k, name in enumerate(files):
        with tifffile.TiffWriter(folder / name) as writer:
            for i, frame in enumerate(FIRST + 1000 * k):
                text = ome_xml(name, list(files), len(FIRST)) if i == 0 else None
                writer.write(frame, description=text, metadata=None)
    return [folder / name for name in files]


def test_a_set_is_one_movie_in_the_order_of_its_metadata(tmp_path: Path) -> None:
    paths = ome_set(tmp_path)
    wanted = np.concatenate([FIRST, FIRST + 1000])
    for path in paths:
        assert find(path, "movie", catalog=CATALOG) == "ome_tiff"
        movie = open_movie(path, catalog=CATALOG)
        assert (movie.n_frames, movie.height, movie.width, movie.dtype) == (10, 8, 6, np.uint16)
        np.testing.assert_array_equal(movie.read(0, 10), wanted)
        np.testing.assert_array_equal(movie.read(3, 7), wanted[3:7])
        movie.close()
    alone = open_movie(paths[1], catalog=CATALOG, format="tiff")
    np.testing.assert_array_equal(alone.read(0, 5), FIRST + 1000)
    alone.close()


def test_a_set_that_is_not_complete_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    paths = ome_set(tmp_path)
    paths[1].unlink()
    with pytest.raises(FormatError, match=r"other files are not beside it: a.ome.tif; copy them there") as caught:
        open_movie(paths[0], catalog=CATALOG)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_a_set_whose_files_differ_is_refused(tmp_path: Path) -> None:
    paths = ome_set(tmp_path)
    tifffile.imwrite(paths[1], FIRST[:, :4], metadata=None)
    with pytest.raises(FormatError, match="a movie has frames of one shape"):
        open_movie(paths[0], catalog=CATALOG)
    ome_set(tmp_path)
    tifffile.imwrite(paths[1], FIRST[:2], metadata=None)
    with pytest.raises(FormatError):
        open_movie(paths[0], catalog=CATALOG)


def test_ome_tiff_of_one_file_is_a_plain_movie(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.ome.tif", FIRST, ome=True, metadata={"axes": "TYX"})
    assert find(tmp_path / "a.ome.tif", "movie", catalog=CATALOG) == "tiff"
    assert companions(tmp_path / "a.ome.tif") == []


def test_the_identity_of_a_set_is_that_of_all_its_files(tmp_path: Path) -> None:
    paths = ome_set(tmp_path)
    before = file_digest(paths[0])
    assert companions(paths[0]) == [paths[1]]
    tifffile.imwrite(tmp_path / "new.tif", FIRST + 1, metadata=None)
    (tmp_path / "new.tif").replace(paths[1])
    assert file_digest(paths[0]) != before


@pytest.mark.parametrize(
    ("name", "beside"), [("a.raw", "a.yaml"), ("a.hdf5", "a.yaml"), ("a.dax", "a.inf"), ("a.csv", None)]
)
def test_a_sidecar_is_part_of_the_identity(tmp_path: Path, name: str, beside: str | None) -> None:
    (tmp_path / name).write_bytes(b"frames")
    alone = file_digest(tmp_path / name)
    if beside is None:
        (tmp_path / "a.yaml").write_text("Width: 32")
        assert file_digest(tmp_path / name) == alone
        return
    (tmp_path / beside).write_text("Width: 32")
    wide = file_digest(tmp_path / name)
    (tmp_path / beside).write_text("Width: 16, Height: 64")
    assert len({alone, wide, file_digest(tmp_path / name)}) == 3
    (tmp_path / "else").mkdir()
    for file in (name, beside):
        (tmp_path / file).rename(tmp_path / "else" / file)
    assert file_digest(tmp_path / "else" / name) not in (alone, wide)


def decode(path: Path, meta: dict[str, object] | None = None, **changes: object) -> Path:
    columns: dict[str, object] = {
        "xyz": np.array([[3.0, 5.0, -20.0], [4.0, 6.0, 30.0]]),
        "xyz_sig": np.array([[0.1, 0.2, 30.0], [0.1, 0.2, 30.0]]),
        "phot": np.array([1000.0, 900.0]),
        "frame_ix": np.array([7, 9]),
        "prob": np.array([0.9, 0.8]),
        "bg": h5py.Empty("f"),
        "id": np.array([-1, -1]),
        **changes,
    }
    with h5py.File(path, "w") as file:
        stated = {"xy_unit": "px", "px_size": [100.0, 200.0]} if meta is None else meta
        file.create_group("meta").attrs.update(stated)
        data = file.create_group("data")
        for name, values in columns.items():
            if values is not None:
                data.create_dataset(name, data=values)
    return path


def test_decode_h5_absolute_numbers(tmp_path: Path) -> None:
    path = decode(tmp_path / "d.h5")
    assert find(path, "table", catalog=CATALOG) == "decode_h5"
    locs = read_table(path, catalog=CATALOG)
    assert locs.frame.tolist() == [7, 9]
    # DECODE's x counts rows of 100 nm, its y columns of 200 nm; both from a pixel's centre.
    assert (locs.x_nm.tolist(), locs.y_nm.tolist()) == ([1100, 1300], [350, 450])
    assert (locs.z_nm.tolist(), locs.photons.tolist()) == ([-20, 30], [1000, 900])
    assert (locs.sigma_x_nm[0], locs.sigma_y_nm[0], locs.sigma_z_nm[0]) == (pytest.approx(40), pytest.approx(10), 30)
    assert locs.probability.tolist() == [0.9, 0.8]
    assert np.isnan(locs.background_photons).all()
    in_nm = decode(tmp_path / "n.h5", {"xy_unit": "nm", "px_size": [100.0, 100.0]})
    assert read_table(in_nm, catalog=CATALOG).x_nm.tolist() == [55, 56]


@pytest.mark.parametrize(
    ("meta", "changes", "message"),
    [
        ({}, {}, "states xy_unit None; accepted: px, nm"),
        ({"xy_unit": "px"}, {}, "states px_size None.*give pixel_size_nm"),
        (None, {"phot": np.zeros(3)}, "columns of different length"),
        (None, {"xyz": np.zeros((2, 2))}, r"data/xyz has shape \(2, 2\)"),
        (None, {"xyz": None}, "HDF5 with data/bg, data/frame_ix.*decode_h5 needs data/xyz, data/frame_ix"),
    ],
)
def test_decode_h5_that_is_refused(tmp_path: Path, meta, changes, message: str) -> None:
    path = decode(tmp_path / "d.h5", meta, **changes)
    with pytest.raises(FormatError, match=message) as caught:
        read_table(path, catalog=CATALOG)
    assert "\n" not in str(caught.value)


def test_decode_h5_takes_the_pixel_size_of_the_user(tmp_path: Path) -> None:
    path = decode(tmp_path / "d.h5", {"xy_unit": "px"})
    assert read_table(path, catalog=CATALOG, options=TableOptions(pixel_size_nm=100.0)).x_nm[0] == 550
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(FormatError, match="is not a readable HDF5 file"):
        read_table(path, catalog=CATALOG)


@pytest.mark.parametrize("most", [2**40, 100])
def test_a_movie_is_copied_page_by_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr("smlmbench.formats.tiff.MOST_BYTES", most)
    monkeypatch.setattr("smlmbench.formats.tiff.BLOCK_BYTES", 2 * FIRST[0].nbytes)
    tifffile.imwrite(tmp_path / "a.tif", FIRST, imagej=True)
    movie, seen = open_movie(tmp_path / "a.tif", catalog=CATALOG), []
    write_movie(movie, tmp_path / "b.tif", catalog=CATALOG, pixel_nm=160.0, on_frames=seen.append)
    movie.close()
    assert seen == [2, 4, 5]
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert file.is_bigtiff == (most == 100)
        assert file.pages[0].resolution == pytest.approx((62500, 62500))
    back = open_movie(tmp_path / "b.tif", catalog=CATALOG)
    np.testing.assert_array_equal(back.read(0, 5), FIRST)
    back.close()
    assert list(tmp_path.glob("*.part")) == []


def test_a_text_or_an_array_that_a_broken_file_cannot_hold_is_refused(tmp_path: Path) -> None:
    path = decode(tmp_path / "d.h5")
    content = path.read_bytes()
    heap = content.index(b"GCOL")
    at = content.index(heap.to_bytes(8, "little"), content.index(b"xy_unit")) - 4
    assert int.from_bytes(content[at : at + 4], "little") == 2  # the letters of `px`
    faults = {"its length": (at, b"\0\0\0\xff"), "its heap": (at + 4, b"\xff"), "its object": (heap + 24, b"\0")}
    for where, (place, wrong) in faults.items():
        path.write_bytes(content[:place] + wrong + content[place + len(wrong) :])
        with pytest.raises(FormatError, match="an attribute states a text of .* bytes that is not there") as caught:
            read_table(path, catalog=CATALOG)
        assert "\n" not in str(caught.value), where
    with h5py.File(tmp_path / "a_sml.mat", "w", userblock_size=512) as file:
        for name in ("frame", "xnm", "ynm"):
            file.create_dataset(f"saveloc/loc/{name}", (1, 10**10), "f8", chunks=(1, 1000))
    with (tmp_path / "a_sml.mat").open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    with pytest.raises(FormatError, match="claims 80,000,000,000 bytes in ./saveloc/loc/frame. but holds"):
        read_table(tmp_path / "a_sml.mat", catalog=CATALOG)


def test_numbers_beyond_whole_floats_and_broken_workbooks_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("frame,x_nm,y_nm\n1e300,5,5\n")
    with pytest.raises(FormatError, match=r"line 2: 1e\+300 in column 'frame' is too large for a whole number"):
        read_table(tmp_path / "a.csv", catalog=CATALOG)
    (tmp_path / "a.xlsx").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(FormatError, match="is not a readable workbook"):
        read_table(tmp_path / "a.xlsx", catalog=CATALOG)
