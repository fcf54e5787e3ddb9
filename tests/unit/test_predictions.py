"""Localizations: further columns pass through, and pandas is there for who asks."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from smlmbench.errors import SizeError
from smlmbench.predictions import COLUMNS, Localizations, concatenate

SIZE = {"n_frames": 9, "field_nm": (640.0, 320.0)}


def table(first: int = 0, **more: list[float]) -> Localizations:
    columns = {"frame": [first, first + 1, first + 2], "x_nm": [1.0, 2.0, 3.0], "y_nm": [4.0, 5.0, 6.0]}
    return Localizations.of(columns, **SIZE, more=more)


def test_further_columns_go_wherever_the_rows_go() -> None:
    locs = table(llr=[10.0, np.nan, 30.0])
    assert list(locs.columns()) == ["frame", *COLUMNS, "llr"]
    assert locs.select(np.array([2, 0])).more["llr"].tolist() == [30, 10]
    assert locs.select(np.array([True, False, False])).more["llr"].tolist() == [10]
    moved = locs.shifted(5, n_frames=20)
    assert (moved.frame.tolist(), moved.more["llr"][2]) == ([5, 6, 7], 30)
    assert pickle.loads(pickle.dumps(locs)).more["llr"][0] == 10
    assert table().more == {}
    assert Localizations.empty(**SIZE).more == {}


def test_joined_tables_keep_the_further_columns_of_all() -> None:
    parts = [table(llr=[1, 2, 3], chi2=[7, 8, 9]), table(3, llr=[4, 5, 6])]
    joined = concatenate(parts, **SIZE)
    assert list(joined.more) == ["llr"]
    assert joined.more["llr"].tolist() == [1, 2, 3, 4, 5, 6]
    assert concatenate([table(), table(3, llr=[4, 5, 6])], **SIZE).more == {}


def test_further_columns_are_float64_and_copies() -> None:
    given = np.array([1, 2, 3])
    locs = table(llr=given)  # type: ignore[arg-type]
    given[0] = 100
    assert (locs.more["llr"].dtype, locs.more["llr"][0]) == (np.float64, 1)


@pytest.mark.parametrize("name", ["x_nm", "frame", "channel", "", " llr", "a  b", "a\nb", "a\tb"])
def test_odd_names_of_further_columns_are_refused(name: str) -> None:
    with pytest.raises(SizeError) as caught:
        table(**{name: [1.0, 2.0, 3.0]})
    assert str(caught.value) == (
        f"further columns cannot be named {[name]}; give words with single blanks, none of frame, x_nm, y_nm, z_nm,"
        " photons, background_photons, probability, sigma_x_nm, sigma_y_nm, sigma_z_nm, molecule, channel"
    )


def test_a_further_column_of_other_length_and_an_unknown_column_are_refused() -> None:
    with pytest.raises(SizeError, match=r"columns have different lengths \[2, 3\]; give one value per emitter"):
        table(llr=[1.0, 2.0])
    with pytest.raises(SizeError, match=r"unknown columns \['llr'\]; accepted: frame, x_nm, .*, others as more"):
        Localizations.of({"frame": [0], "llr": [1.0]}, **SIZE)


def test_a_table_of_pandas_and_back() -> None:
    locs = Localizations.of(
        {"frame": [0, 4], "x_nm": [1.5, 2.5], "y_nm": [3.0, 4.0], "molecule": [7, 8]},
        n_frames=5,
        field_nm=(10.0, 20.0),
        more={"llr": [0.25, -1.0]},
    )
    frame = locs.to_pandas()
    assert list(frame) == ["frame", *COLUMNS, "molecule", "llr"]
    assert frame["frame"].dtype == np.int64
    assert frame.loc[1, ["frame", "x_nm", "molecule", "llr"]].tolist() == [4, 2.5, 8, -1]
    assert frame.attrs == {"n_frames": 5, "field_nm": (10.0, 20.0)}
    back = Localizations.from_pandas(frame[frame["llr"] > 0])
    assert (len(back), back.n_frames, back.field_nm) == (1, 5, (10, 20))
    assert back.molecule is not None
    assert (back.molecule.tolist(), back.more["llr"].tolist(), back.frame.dtype) == ([7], [0.25], np.int64)
    assert Localizations.from_pandas(frame, n_frames=50, field_nm=(1.0, 2.0)).n_frames == 50


def test_a_table_of_pandas_needs_its_size() -> None:
    frame = pd.DataFrame({"frame": [0], "x_nm": [1.0], "y_nm": [2.0]})
    assert Localizations.from_pandas(frame, **SIZE).x_nm.tolist() == [1]
    for given in ({}, {"n_frames": 9}, {"field_nm": (1.0, 2.0)}):
        with pytest.raises(SizeError, match="attrs do not state n_frames and field_nm; give both"):
            Localizations.from_pandas(frame, **given)


def test_localizations_are_light_to_import() -> None:
    code = "import sys, smlmbench.predictions; print('pandas' in sys.modules)"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root, env=dict(os.environ)
    )
    assert done.stdout.strip() == "False"
