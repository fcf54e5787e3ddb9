"""What is said of files that no format reads, of columns and lines that a format does not keep; tables with a foot."""

import gzip
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest

from smlmbench.cli import app
from smlmbench.errors import FormatError, LossWarning
from smlmbench.formats import TableOptions, find, read_table
from smlmbench.predictions import Localizations
from smlmbench.registry import Catalog
from smlmbench.run.tables.comparing import compare
from smlmbench.run.tables.converting import Conversion, convert

CATALOG = Catalog()
TABLES = [name for name in CATALOG.names("formats") if CATALOG.card("formats", name).facts["holds"] == "table"]


def read(path: Path, **options: object) -> Localizations:
    return read_table(path, catalog=CATALOG, options=TableOptions(**options))  # type: ignore[arg-type]


def refused(path: Path, **options: object) -> str:
    with pytest.raises(FormatError) as caught:
        read(path, **options)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"hello world\n1 2\n", "text without comma, semicolon or tab in its first line 'hello world'; chall"),
        ("a.csv", b"hello world\n1 2\n", "smap_csv needs frame, xnm, ynm; smlmbench_csv needs frame, x_nm, y_nm"),
        (
            "a.csv",
            gzip.compress(b"a,b\n1,2\n", mtime=0),
            "of no known format: compressed by gzip, unpack it first; convert it",
        ),
        ("a.txt", b"PK\x03\x04,,,", "of no known format: a ZIP archive or workbook; convert it, or name its format"),
        ("a.csv", b'{"a": [1]}', "of no known format: JSON; convert it"),
        ("a.txt", bytes(range(256)), "of an unknown kind that begin with 00 01 02 03 04 05 06 07; convert it"),
        ("a.hdf5", b"a,b\n1,2\n", "text with columns a, b; accepted: challenge_csv"),
        ("a.dat", b"frame,xnm,ynm\n1,2,3\n", "text with columns frame, xnm, ynm; it has the content of smap_csv; name"),
        ("a.csv", b"1,550,350\n2,650,450\n", "'a.csv' begins with numbers; write the names of its columns above them"),
        ("a.csv", b"\x1b[31mred\x1b[0m\n", "data of an unknown kind that begin with 1b 5b"),
    ],
)
def test_a_file_of_no_format_is_described(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert said in refused(tmp_path / name)


def test_hdf5_of_no_format_is_described_by_its_datasets(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for number in range(40):
            file[f"group/image{number:02}"] = np.zeros((2, 2))
        file["group/\x1b[31m"] = 1
    said = refused(tmp_path / "a.h5")
    assert "HDF5 with group/\ufffd[31m, group/image00, group/image01" in said
    assert "group/image06, ...; decode_h5 needs data/xyz, data/frame_ix; picasso_hdf5 needs a table 'locs'" in said
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["locs"] = np.zeros((3, 4))
    assert "has no table 'locs', it is an array (3, 4) without names" in refused(tmp_path / "b.h5")


def test_hdf5_is_known_by_what_is_in_it(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["locs"] = np.zeros(2, [("frame", "u4"), ("x", "f4"), ("y", "f4")])
    (tmp_path / "a.yaml").write_text("Pixelsize: 100\nFrames: 9\n")
    assert find(tmp_path / "a.h5", "table", catalog=CATALOG) == "picasso_hdf5"
    assert read(tmp_path / "a.h5").n_frames == 9
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["data/xyz"], file["data/frame_ix"] = np.zeros((2, 3)), np.zeros(2)
    assert "may be decode_h5 or picasso_hdf5; name its format" in refused(tmp_path / "a.h5")


@pytest.mark.parametrize("name", TABLES)
def test_every_format_of_tables_says_what_it_does_not_keep(name: str) -> None:
    assert callable(CATALOG.module("formats", name).unread)
    assert CATALOG.card("formats", name).facts["known_by"]


HEADS = {
    "thunderstorm_csv": ('"id","frame","x [nm]","y [nm]","intensity [AU]","odd"', ["intensity [AU]", "odd"]),
    "challenge_csv": ("Ground-truth,frame,xnano,ynano,odd", ["odd"]),
    "smap_csv": ("frame,xnm,ynm,locprecnm,xnmerr,ynmerr,PSFxnm,xnm", ["xnm", "locprecnm", "PSFxnm"]),
    "smlmbench_csv": ("frame,x_nm,y_nm,llr,,y_nm", ["y_nm", "(no name)"]),
    "elyra_txt": ("Index;First Frame;Number Frames;Position X [nm];Position Y [nm];Z Slice", ["Z Slice"]),
    "table": ("Frame,x [nm],y [um],when", ["when"]),
}


@pytest.mark.parametrize("name", HEADS)
def test_columns_of_text_that_are_dropped_are_named_in_one_line(tmp_path: Path, name: str) -> None:
    head, dropped = HEADS[name]
    delimiter = ";" if ";" in head else ","
    (tmp_path / "a.csv").write_text(f"{head}\n{delimiter.join('1' for _ in head.split(delimiter))}\n")
    with pytest.warns(LossWarning) as caught:
        read_table(tmp_path / "a.csv", catalog=CATALOG, format=name, names_unread=True)
    (said,) = {str(each.message) for each in caught}
    assert said.startswith("table 'a.csv': not read: ")
    assert sorted(said[25:].removesuffix(" (no column of ours)").split(", ")) == sorted(dropped)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_table(tmp_path / "a.csv", catalog=CATALOG, format=name)


def test_columns_that_the_user_named_are_kept_and_others_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("frame,t,x [nm],y [nm]\n1,2,3,4\n")
    options = TableOptions(columns={"frame": "t"})
    with pytest.warns(LossWarning, match=r"not read: frame \(no column"):
        locs = read_table(tmp_path / "a.csv", catalog=CATALOG, options=options, names_unread=True)
    assert locs.frame.tolist() == [1]


def test_decode_and_picasso_name_their_datasets_and_fields(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file.create_group("meta").attrs.update({"xy_unit": "nm", "px_size": [100.0, 100.0]})
        for name, values in {"xyz": np.zeros((2, 3)), "frame_ix": [0, 1], "id": [1, 2], "phot_sig": [1.0, 2.0]}.items():
            file[f"data/{name}"] = values
        file["data"].create_dataset("bg_cr", data=h5py.Empty("f"))
    done = convert(Conversion(tmp_path / "d.h5", tmp_path / "o.csv", target_format="smlmbench_csv"), CATALOG)
    assert done.lost == ["table 'd.h5': not read: data/phot_sig (no column of ours)"]


def test_evaluate_names_what_it_does_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("found.csv", "truth.csv"):
        (tmp_path / name).write_text("frame,x_nm,y_nm,word\n0,100,100,good\n")
    with pytest.raises(SystemExit) as ended:
        app(["evaluate", str(tmp_path / "found.csv"), str(tmp_path / "truth.csv"), "--json"])
    assert ended.value.code in (0, None)
    said = capsys.readouterr().err.splitlines()
    assert said == [f"smlmbench: note: table '{n}.csv': not read: word (no column of ours)" for n in ("truth", "found")]
    with pytest.warns(LossWarning, match="not read: word"):
        compare(tmp_path / "found.csv", tmp_path / "truth.csv", {}, CATALOG)


ELYRA = [
    "Index\tFirst Frame\tNumber Frames\tFrames Missing"
    "\tPosition X [nm]\tPosition Y [nm]\tPrecision [nm]\tNumber Photons",
    "1\t1\t1\t0\t550.0\t350.0\t8.5\t472",
    "2\t4\t1\t0\t650.0\t450.0\t9.5\t529",
]
FOOT = ["VoxelSizeX : 0.1000000000", "SizeX : 64", "", "ROI List : "]


def elyra(folder: Path, *lines: str, end: str = "\r\n") -> Path:
    (folder / "e.txt").write_bytes(end.join([*ELYRA, *lines, ""]).encode())
    return folder / "e.txt"


@pytest.mark.parametrize("foot", [(), ("",), ("\0",), ("", *FOOT), ("\0", *FOOT), ("\0\0 \0", "", *FOOT), ("\x1a",)])
def test_elyra_with_and_without_a_foot(tmp_path: Path, foot: tuple[str, ...]) -> None:
    path = elyra(tmp_path, *foot)
    assert find(path, "table", catalog=CATALOG) == "elyra_txt"
    locs = read(path)
    assert (locs.frame.tolist(), locs.x_nm.tolist(), locs.y_nm.tolist()) == ([0, 3], [550, 650], [350, 450])
    assert (locs.photons.tolist(), locs.sigma_x_nm.tolist(), locs.sigma_y_nm[1]) == ([472, 529], [8.5, 9.5], 9.5)
    assert read(path, origin="centre", pixel_size_nm=100.0, first_frame=0).x_nm.tolist() == [600, 700]
    named = {"frame": "First Frame", "x_nm": "Position X [nm]", "y_nm": "Position Y [nm]"}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert read(path, columns=named).x_nm.tolist() == [550, 650]
    last = f"table 'e.txt' ends above line {4 + foot.index(FOOT[0])}" if FOOT[0] in foot else ""
    assert [str(each.message)[: len(last)] for each in caught] == ([last] if last else [])


def test_rows_of_several_frames_are_told(tmp_path: Path) -> None:
    with pytest.warns(LossWarning, match="1 of 3 rows are of several frames, with their photons added"):
        assert read(elyra(tmp_path, "3\t5\t4\t0\t750\t550\t9\t900")).frame.tolist() == [0, 3, 4]
    text = elyra(tmp_path).read_text().replace("[nm]", "[µm]", 1)
    (tmp_path / "e.txt").write_text(text)
    assert read(tmp_path / "e.txt").x_nm.tolist() == [550_000, 650_000]


@pytest.mark.parametrize(
    "lines",
    [
        ("3\t5\t1",),  # cut off
        ("", "3\t5\t1"),
        ("", "3"),
        ("", *FOOT, "3\t5\t1\t0\t750\t550\t9\t900"),
        ("", *FOOT, "3\t5\t1\t0\t750"),
        FOOT,
        ("", "Mean\t5"),
        ("", "Mean", "\t".join("abcdefgh")),
        ("", "Sum\t9\t9\t9\t9\t9\t9\t9\t9"),
    ],
)
def test_lines_that_may_be_rows_never_end_a_table(tmp_path: Path, lines: tuple[str, ...]) -> None:
    assert "cells under 8 headers; give every row as many" in refused(elyra(tmp_path, *lines))


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_points_and_commas_are_not_mixed(tmp_path: Path, delimiter: str) -> None:
    head = delimiter.join(["frame", "x [nm]", "y [nm]", "intensity [photon]", "note"])
    path = tmp_path / "a.txt"
    for row in ("1|550.5|350|1,234|a", "1|550,5|350|1.234|a"):
        path.write_text(f"{head}\n{row.replace('|', delimiter)}\n")
        assert "is not a number; mend or remove the row" in refused(path)
    path.write_text(f"{head}\n{'1|550.5|350|1234|a, b'.replace('|', delimiter)}\n")
    assert (read(path).x_nm[0], read(path).photons[0]) == (550.5, 1234)
    path.write_text(f"{head}\n{'1|550,5|350|1234|a. b'.replace('|', delimiter)}\n")
    assert (read(path).x_nm[0], read(path).photons[0]) == (550.5, 1234)
