"""Our own table: columns that it does not know; and text tables read at once are those read cell by cell."""

import csv
from pathlib import Path

import numpy as np
import pytest

from smlmbench.errors import FormatError
from smlmbench.formats import TableOptions, read_table, text, write_table
from smlmbench.formats.smlmbench_csv import append_table, unread
from smlmbench.predictions import Localizations, concatenate
from smlmbench.registry import Catalog
from smlmbench.run.tables.converting import Conversion, convert

CATALOG = Catalog()
SIZE = {"n_frames": 4, "field_nm": (10.0, 20.0)}


def table(**more: list[float]) -> Localizations:
    return Localizations.of({"frame": [0, 3], "x_nm": [1.0, 2.5], "y_nm": [3.0, 4.0]}, **SIZE, more=more)


def own(path: Path, locs: Localizations) -> Localizations:
    write_table(locs, path, catalog=CATALOG, format="smlmbench_csv")
    return read_table(path, catalog=CATALOG)


def test_unknown_columns_of_numbers_survive(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("# n_frames: 4\n# field_nm: 10 20\nframe,llr,x_nm,y_nm,chi2\n0,0.5,1,3,7\n3,-1e-9,2.5,4,NaN\n")
    locs = read_table(path, catalog=CATALOG)
    assert list(locs.more) == ["llr", "chi2"]
    kept = concatenate([locs.select(np.array([1])), locs.select(np.array([0]))], **SIZE)
    back = own(tmp_path / "b.csv", kept)
    assert (tmp_path / "b.csv").read_text().splitlines()[2:] == [
        "frame,x_nm,y_nm,llr,chi2",
        "3,2.5,4,-1e-09,NaN",
        "0,1,3,0.5,7",
    ]
    assert back.more["llr"].tolist() == [-1e-9, 0.5]
    np.testing.assert_array_equal(back.more["chi2"], [np.nan, 7])


def test_columns_of_words_are_left_and_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("frame,x_nm,y_nm,llr,note,late\n0,1,3,0.5,good,\n\n3,2.5,4,,1,bad\n")
    locs = read_table(path, catalog=CATALOG)
    assert list(locs.more) == ["llr"]
    np.testing.assert_array_equal(locs.more["llr"], [0.5, np.nan])
    assert unread(path, TableOptions()) == ["note", "late"]
    done = convert(Conversion(path, tmp_path / "b.csv", target_format="smap_csv"), CATALOG)
    assert done.lost[:2] == ["table 'a.csv': not read: note, late (no column of ours)", "smap_csv has no place for llr"]


def test_odd_cells_of_our_own_columns_are_still_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("frame,x_nm,y_nm,note\n0,1,3,good\n3,2.5,4 m,bad\n")
    with pytest.raises(FormatError, match="line 3: '4 m' in column 'y_nm' is not a number; mend or remove the row"):
        read_table(path, catalog=CATALOG)


def test_what_other_formats_drop_is_named(tmp_path: Path) -> None:
    write_table(table(llr=[1.0, 2.0], chi2=[3.0, 4.0]), tmp_path / "a.csv", catalog=CATALOG, format="smlmbench_csv")
    for name, suffix in (("thunderstorm_csv", ".csv"), ("smap_csv", ".csv"), ("picasso_hdf5", ".hdf5")):
        target = tmp_path / f"{name}{suffix}"
        asked = Conversion(
            tmp_path / "a.csv", target, target_format=name, known=TableOptions(pixel_size_nm=100.0), overwrite=True
        )
        assert convert(asked, CATALOG).lost[0] == f"{name} has no place for llr, chi2"
    same = Conversion(tmp_path / "a.csv", tmp_path / "same.csv", target_format="smlmbench_csv")
    assert convert(same, CATALOG).lost == []


def test_control_characters_of_a_dropped_column_are_not_said(tmp_path: Path) -> None:
    write_table(table(**{"\x1b[31mred": [1.0, 2.0]}), tmp_path / "a.csv", catalog=CATALOG, format="smlmbench_csv")
    done = convert(Conversion(tmp_path / "a.csv", tmp_path / "b.csv", target_format="smap_csv"), CATALOG)
    assert done.lost[0] == "smap_csv has no place for \ufffd[31mred"


def test_appended_rows_keep_the_columns_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    append_table(table(llr=[1.0, 2.0]), path, TableOptions(), 0)
    append_table(table(llr=[3.0, 4.0], late=[0.0, 0.0]), path, TableOptions(), 2)
    append_table(table(), path, TableOptions(), 4)
    np.testing.assert_array_equal(read_table(path, catalog=CATALOG).more["llr"], [1, 2, 3, 4, np.nan, np.nan])


@pytest.mark.parametrize("name", ["a,b", 'the "llr"', "a;b;c;d;e", "µ [nm]", "#", "é"])
def test_any_name_of_one_line_comes_back(tmp_path: Path, name: str) -> None:
    back = own(tmp_path / "a.csv", table(**{name: [0.5, 2.0]}))
    assert {key: values.tolist() for key, values in back.more.items()} == {name: [0.5, 2]}


CELLS = ["1", "-2.5e-7", "0.1", "NaN", "nan", "-nan", "inf", "-Infinity", "1e400", "+1.5", " 7 ", "1_0", ".5", "5."]
CELLS += ["", "NA", "N/A", "null", '"5"', '"5,5"', "1,5", "1.5.2", "1e", "TRUE", "5 m", "٣", "0x10", "9" * 400]
ROWS = ["1,2,3", "1,2", "1,2,3,4", "1,2,3,", "1,2,,4", ",,", "", '1,"2\n",3', '1,"2,5",3', "1;2;3", "1,2,3\r4,5,6"]


@pytest.mark.parametrize("head", ["a,b,c", "a;b;c", '\ufeff"a","b","c"', "# one, two\n\na,b,c"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_at_once_or_cell_by_cell_is_one_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: str, end: str
) -> None:
    path = tmp_path / "a.csv"
    for odd in (*(f"{cell},2,3" for cell in CELLS), *(f"1,2,{cell}" for cell in CELLS), *ROWS):
        row = odd.replace(",", ";") if ";" in head and '"' not in odd else odd
        plain = "4;0,25;6" if ";" in head else "4,0.25,6"
        for lines in ([plain, row, plain], [row, plain]):
            path.write_bytes("".join(f"{line}{end}" for line in (head, *lines)).encode())
            at_once = outcome(path)
            with monkeypatch.context() as patched:
                patched.setattr(text, "_plain", lambda *_: None)
                assert at_once == outcome(path), (lines, end)


def outcome(path: Path) -> str:
    try:
        numbers = text.read_numbers(path, text.read_head(path), [0, 2], tried=[1])
    except FormatError as error:
        return str(error)
    return str([(at, list(map(repr, column.tolist()))) for at, column in sorted(numbers.columns.items())]) + str(
        numbers.line.tolist()
    )


def test_a_long_table_is_read_without_python_touching_its_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("read cell by cell")

    path = tmp_path / "a.csv"
    draws = np.random.default_rng(0)
    values = draws.normal(size=(3, 100_000)) * 10.0 ** draws.integers(-300, 300, (3, 100_000))
    columns = {"frame": np.arange(100_000), "x_nm": values[0], "y_nm": values[1], "photons": [np.nan] * 99_999 + [5]}
    given = Localizations.of(columns, n_frames=100_000, field_nm=(1.0, 1.0), more={"llr": values[2]})
    write_table(given, path, catalog=CATALOG, format="smlmbench_csv")
    monkeypatch.setattr(csv, "reader", lambda *_, **__: iter([path.read_text().split("\n", 3)[2].split(",")]))
    monkeypatch.setattr(text, "collect", never)
    back = read_table(path, catalog=CATALOG)
    for name, column in given.columns().items():
        np.testing.assert_array_equal(back.columns()[name], column, err_msg=name)
