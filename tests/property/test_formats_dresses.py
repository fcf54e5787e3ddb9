"""New instances of what programs write around the same rows: right values, or a refusal in one line."""

import json
from collections import OrderedDict
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas_layouts import fixed, table

from smlmbench.errors import FormatError
from smlmbench.formats import TableOptions, read_table
from smlmbench.predictions import Localizations
from smlmbench.registry import Catalog

CATALOG = Catalog()
PX100 = TableOptions(pixel_size_nm=100.0)
NUMBERS = ("f2", "f4", "f8", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">f4", ">i4")


def read(path: Path, options: TableOptions | None = None) -> Localizations | str:
    """The table, or what is said in one line instead."""
    try:
        return read_table(path, catalog=CATALOG, options=options or TableOptions())
    except FormatError as error:
        said = str(error)
    assert "\n" not in said
    assert len(said) < 700
    return said


def one_row(path: Path, **extra: object) -> Path:
    with h5py.File(path, "w") as file:
        file["locs"] = np.array([(3, 5, 3)], [("frame", "u4"), ("x", "f4"), ("y", "f4")])
        for name, value in extra.items():
            file[name] = value
    return path


@st.composite
def facts(draw: st.DrawFn) -> dict[str, object]:
    """Facts of a movie, each a number of Python or of numpy, as a number or an array without sides."""
    plain = {
        "Frames": draw(st.integers(4, 100)),
        "Width": draw(st.integers(1, 100)),
        "Height": draw(st.integers(1, 100)),
        "Pixelsize": draw(st.integers(1, 127)),
    }
    dress = {name: draw(st.sampled_from(["python", "number", "array"])) for name in plain}
    kinds = {name: np.dtype(draw(st.sampled_from(NUMBERS))) for name in plain}
    dressed = {name: np.array(value, kinds[name]) for name, value in plain.items()}
    makers = {"python": lambda n: plain[n], "number": lambda n: dressed[n][()], "array": lambda n: dressed[n]}
    return {name: makers[dress[name]](name) for name in plain}


class Odd:
    """A thing that only its own program can read."""


clutter = st.dictionaries(
    st.text("abcdef ", min_size=1, max_size=6),
    st.sampled_from(
        [
            *(
                np.zeros((2, 3)),
                np.float64(1.5),
                np.longdouble(2),
                np.complex128(1j),
                np.datetime64("2026-01-01"),
                None,
            ),
            *(
                (1, (2, 3)),
                {1, 2},
                1j,
                Path("a/b"),
                OrderedDict(a=1),
                np.dtype("f4"),
                Odd(),
                Odd,
                np.array([None]),
                b"x",
            ),
            *([], {}, [np.float32(1)] * 3, {"deep": (np.int64(3), [np.bool_(True)])}, "text: [", "!!python/none", len),
        ]
    ),
    max_size=4,
)


def dumped(documents: list[dict[str, object]], lost: bool) -> str:
    text = yaml.dump_all(documents)
    return text.replace("Pixelsize: ", "Pixelsize: !!python/object/apply:os.getpid []\nWas: ") if lost else text


@settings(max_examples=150, deadline=None)
@given(facts(), st.lists(clutter, min_size=1, max_size=4), st.booleans(), st.integers(0, 3))
def test_sidecars_of_python_say_the_same_as_plain_ones(facts, others, lost, place) -> None:
    documents = [dict(each) for each in others]
    documents[min(place, len(documents) - 1)] |= facts
    with TemporaryDirectory() as folder:
        path = one_row(Path(folder) / "a.hdf5")
        path.with_suffix(".yaml").write_text(dumped(documents, lost))
        locs = read(path)
        if lost:
            assert "states Pixelsize !!python/object/apply:os.getpid; give pixel_size_nm" in str(locs)
            locs = read(path, TableOptions(pixel_size_nm=float(facts["Pixelsize"])))
        assert isinstance(locs, Localizations), locs
    pixel_nm = float(facts["Pixelsize"])
    assert (locs.n_frames, locs.field_nm) == (facts["Frames"], (facts["Width"] * pixel_nm, facts["Height"] * pixel_nm))
    assert (locs.x_nm[0], locs.y_nm[0]) == (5.5 * pixel_nm, 3.5 * pixel_nm)


def bare(value: object) -> object:
    return value.item() if isinstance(value, np.generic | np.ndarray) else value


JSON = {
    "str": lambda text: text,
    "bytes": lambda text: text.encode(),
    "fixed": lambda text: np.bytes_(text.encode()),
    "list": lambda text: np.array([text.encode()]),
    "text": lambda text: np.array([text], dtype=h5py.string_dtype()),
}


@settings(max_examples=100, deadline=None)
@given(facts(), st.sampled_from(sorted(JSON)), st.booleans(), st.sampled_from([None, "same", "other"]), st.data())
def test_metadata_inside_the_file_in_any_dress(facts, dress, split, beside, data) -> None:
    plain = {name: bare(value) for name, value in facts.items()}
    parts = [{name: value} for name, value in plain.items()] if split else [plain]
    text = json.dumps(data.draw(st.permutations([*parts, {"Generated by": "Picasso v0.11.3 Localize", "µ": [1.5]}])))
    with TemporaryDirectory() as folder:
        path = one_row(Path(folder) / "a.hdf5", metadata=JSON[dress](text))
        changed = data.draw(st.sampled_from(sorted(facts)))
        if beside is not None:
            stated = {**facts, changed: int(plain[changed]) + (beside == "other")}
            path.with_suffix(".yaml").write_text(yaml.dump(stated))
        locs = read(path)
    if beside == "other":
        assert f"its sidecar states {changed} {int(plain[changed]) + 1}, the metadata inside it" in str(locs)
        return
    assert isinstance(locs, Localizations), locs
    assert (locs.n_frames, locs.x_nm[0]) == (plain["Frames"], 5.5 * plain["Pixelsize"])


@settings(max_examples=150, deadline=None)
@given(
    layout=st.sampled_from(["fixed", "table"]),
    rows=st.lists(st.tuples(*[st.integers(0, 100)] * 4), max_size=5),
    kinds=st.lists(st.sampled_from(NUMBERS), min_size=6, max_size=6),
    order=st.permutations(["frame", "x", "y", "photons", "lpx", "größe"]),
    alone=st.sets(st.sampled_from(["frame", "x", "photons"])),
    protocol=st.integers(0, 5),
)
def test_pandas_writes_the_same_rows_in_many_layouts(layout, rows, kinds, order, alone, protocol) -> None:
    given_rows = np.array(rows, dtype=int).reshape(-1, 4)
    values = dict(zip(("frame", "x", "y", "photons"), given_rows.T, strict=True))
    values |= {"lpx": np.ones(len(rows)), "größe": np.ones(len(rows))}
    columns = {name: values[name].astype(kinds[at]) for at, name in enumerate(order)}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.hdf5"
        if layout == "fixed":
            fixed(path, columns)
        else:
            table(path, columns, alone=alone, protocol=protocol)
        locs = read(path, PX100)
    assert isinstance(locs, Localizations), locs
    assert (locs.frame.tolist(), locs.photons.tolist()) == (values["frame"].tolist(), values["photons"].tolist())
    assert (locs.x_nm.tolist(), locs.y_nm.tolist()) == (
        (values["x"] * 100 + 50).tolist(),
        (values["y"] * 100 + 50).tolist(),
    )
    assert locs.sigma_x_nm.tolist() == [100] * len(rows)


HEADS = {
    "elyra": ["Index", "First Frame", "Number Frames", "Position X [nm]", "Position Y [nm]", "Precision [nm]"],
    "thunderstorm": ["id", "frame", "sigma [nm]", "x [nm]", "y [nm]", "uncertainty [nm]"],
}
words = st.text("abcdefgh :.", min_size=1, max_size=12).filter(lambda text: not text.isspace())
FEET = st.lists(words.map(lambda text: f"{text}: 0.1"), min_size=1, max_size=4)


@settings(max_examples=200, deadline=None)
@given(
    head=st.sampled_from(sorted(HEADS)),
    delimiter=st.sampled_from([";", "\t", ","]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    end=st.sampled_from(["\n", "\r\n"]),
    rows=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 4000), st.integers(0, 4000)), min_size=1, max_size=4),
    blank=st.sampled_from(["", "\0", "   ", "\0\r", None]),
    foot=st.none() | FEET,
    cut=st.none() | st.integers(1, 3),
)
@pytest.mark.filterwarnings("ignore:table 'a.txt' ends above line")
def test_a_foot_ends_a_table_and_never_takes_a_row(head, delimiter, encoding, end, rows, blank, foot, cut) -> None:
    cells = [[k, frame, 1, x / 8, y / 8, 8.5] for k, (frame, x, y) in enumerate(rows, 1)]
    lines = [delimiter.join(HEADS[head]), *(delimiter.join(map(str, row)) for row in cells)]
    lines += [] if blank is None else [blank]
    lines += foot or []
    lines += [] if cut is None else [delimiter.join(map(str, cells[0][:cut]))]
    with TemporaryDirectory() as folder:
        (Path(folder) / "a.txt").write_bytes(end.join([*lines, ""]).encode(encoding))
        locs = read(Path(folder) / "a.txt")
    if cut is not None or (foot and blank is None):
        assert isinstance(locs, str)
        assert "cells under 6 headers" in locs
        return
    assert isinstance(locs, Localizations), locs
    assert (locs.frame.tolist(), locs.x_nm.tolist()) == ([row[1] - 1 for row in cells], [row[3] for row in cells])
    assert (locs.y_nm.tolist(), locs.sigma_x_nm.tolist()) == ([row[4] for row in cells], [8.5] * len(cells))
