import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
from pandas_layouts import fixed, table

from smlmbench.errors import FormatError
from smlmbench.formats import TableOptions, read_table
from smlmbench.formats.picasso_hdf5 import unread
from smlmbench.predictions import Localizations
from smlmbench.registry import Catalog

CATALOG = Catalog()
PX130 = TableOptions(pixel_size_nm=130.0)
COLUMNS = {
    "frame": np.array([0, 7], "u4"),
    "x": np.array([5, 6.5], "f4"),
    "y": np.array([3, 4.25], "f4"),
    "photons": np.array([900, 800], "f8"),
    "net_gradient": np.array([5000, 4000], "f4"),
}


def read(path: Path) -> Localizations:
    return read_table(path, catalog=CATALOG, options=PX130)


def refused(path: Path) -> str:
    with pytest.raises(FormatError) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("write", [fixed, table, lambda path, columns: table(path, columns, alone=("x", "frame"))])
def test_tables_of_pandas_are_read_without_it(tmp_path: Path, write) -> None:
    path = write(tmp_path / "a.hdf5", COLUMNS)
    locs = read(path)
    assert (locs.frame.tolist(), locs.x_nm.tolist(), locs.y_nm.tolist()) == ([0, 7], [715, 910], [455, 617.5])
    assert locs.photons.tolist() == [900, 800]
    assert unread(path, PX130) == ["net_gradient"]
    assert len(read(write(tmp_path / "b.hdf5", {name: values[:0] for name, values in COLUMNS.items()}))) == 0


def change(path: Path, where: str, **attrs: object) -> Path:
    with h5py.File(path, "a") as file:
        file[where].attrs.update(attrs)
    return path


def test_what_only_running_code_could_tell_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path / "a.hdf5", COLUMNS)
    for names in ([0, 1, 2], ["x", "y"], ("x", ["y"], "net_gradient"), [b"x", b"y", b"z"]):
        with h5py.File(path, "a") as file:
            file["locs/table"].attrs["values_block_1_kind"] = np.void(pickle.dumps(names, 0))
        assert "written by pandas with names of 'values_block_1' that only running code could tell" in refused(path)
    run = b"cos\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR."
    assert "only running code could tell" in refused(
        change(table(path, COLUMNS), "locs/table", values_block_0_kind=np.void(run))
    )
    assert not (tmp_path / "ran").exists()
    assert "names of columns that are no words" in refused(
        change(fixed(path, COLUMNS), "locs/block0_items", kind=b"integer")
    )
    assert "written by pandas as a series; read it with pandas" in refused(
        change(fixed(path, COLUMNS), "locs", pandas_type=b"series")
    )


@pytest.mark.parametrize(
    ("write", "where", "attrs"),
    [
        (table, "locs/table", {"values_block_0_meta": b"category"}),
        (table, "locs/table", {"values_block_0_dtype": b"datetime64[ns]"}),
        (fixed, "locs/block0_values", {"value_type": b"datetime64[ns]"}),
        (fixed, "locs/block0_values", {"PSEUDOATOM": b"object"}),
    ],
)
def test_codes_of_words_and_dates_are_never_taken_for_numbers(tmp_path: Path, write, where: str, attrs) -> None:
    path = change(write(tmp_path / "a.hdf5", COLUMNS), where, **attrs)
    assert "column 'frame' holds" in refused(path)
    del_frame = {name: values for name, values in COLUMNS.items() if name != "frame"}
    others = change(write(path, {"other": COLUMNS["frame"], **del_frame, "frame": np.array([1, 2])}), where, **attrs)
    assert read(others).frame.tolist() == [1, 2]


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    path = fixed(tmp_path / "a.hdf5", COLUMNS)
    with h5py.File(path, "a") as file:
        file["locs/block1_items"][...] = [b"x", b"x", b"y"]
    assert "with two columns 'x'" in refused(path)


def test_a_dataset_that_claims_more_than_the_file_holds_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        kind = np.dtype([("frame", "u4"), ("x", "f4"), ("y", "f4")])
        file.create_dataset("locs", (10**11,), kind, chunks=(1000,), compression="gzip")
    assert "claims 1,200,000,000,000 bytes in '/locs' but holds 0; copy or save it again" in refused(
        tmp_path / "a.hdf5"
    )


def test_an_unknown_compression_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda _code: False)
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        kind = np.dtype([("frame", "u4"), ("x", "f4"), ("y", "f4")])
        file.create_dataset("locs", data=np.zeros(9, kind), compression="lzf")
    assert "'a.hdf5' is compressed by 'lzf', which HDF5 has no part for here" in refused(tmp_path / "a.hdf5")


@pytest.mark.parametrize("kind", ["S3", "c8", "?", "(2,)f4"])
def test_columns_that_are_no_numbers_are_refused(tmp_path: Path, kind: str) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["locs"] = np.zeros(3, [("frame", "u4"), ("x", kind), ("y", "f4")])
    assert "column 'x' holds" in refused(tmp_path / "a.hdf5")
