"""Locan reads what we write and we read what it writes (extra `interop`; row 13 of the matrix)."""

import os
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest

from smlmbench.formats import TableOptions, read_table, write_table
from smlmbench.predictions import Localizations
from smlmbench.registry import Catalog

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    locan = pytest.importorskip("locan", reason="locan is not installed; pip install 'smlmbench[interop]'")
    thunderstorm = pytest.importorskip("locan.locan_io.locdata.thunderstorm_io")
    smap = pytest.importorskip("locan.locan_io.locdata.smap_io")
    decode = pytest.importorskip("locan.locan_io.locdata.decode_io")

pytestmark = pytest.mark.filterwarnings("ignore")  # of the other package

CATALOG = Catalog()


def emitters() -> Localizations:
    rng = np.random.default_rng(3)
    n = 120
    columns = {
        "frame": np.sort(rng.integers(7, 90, n)),
        "x_nm": rng.uniform(0, 6400, n),
        "y_nm": rng.uniform(0, 3200, n),
        "photons": rng.uniform(100, 5000, n),
        "sigma_x_nm": np.full(n, 11.5),
        "sigma_y_nm": np.full(n, 11.5),
    }
    return Localizations.of(columns, n_frames=100, field_nm=(6400.0, 3200.0))


def test_row_13_it_reads_our_thunderstorm_tables(tmp_path: Path) -> None:
    locs = emitters()
    write_table(locs, tmp_path / "a.csv", catalog=CATALOG, format="thunderstorm_csv")
    found = thunderstorm.load_thunderstorm_file(tmp_path / "a.csv").data
    assert len(found) == len(locs)
    np.testing.assert_array_equal(found["frame"], locs.frame + 1)  # it keeps the format's first frame 1
    np.testing.assert_allclose(found["position_x"], locs.x_nm, rtol=1e-6)  # it holds single precision
    np.testing.assert_allclose(found["position_y"], locs.y_nm, rtol=1e-6)  # it holds single precision
    np.testing.assert_allclose(found["intensity"], locs.photons, rtol=1e-6)  # it holds single precision


def test_we_read_its_thunderstorm_tables(tmp_path: Path) -> None:
    locs = emitters()
    write_table(locs, tmp_path / "a.csv", catalog=CATALOG, format="thunderstorm_csv")
    theirs = thunderstorm.load_thunderstorm_file(tmp_path / "a.csv")
    thunderstorm.save_thunderstorm_csv(theirs, tmp_path / "b.csv")
    back = read_table(tmp_path / "b.csv", catalog=CATALOG)
    np.testing.assert_array_equal(back.frame, locs.frame)
    np.testing.assert_allclose(back.x_nm, locs.x_nm, rtol=1e-6)
    np.testing.assert_allclose(back.y_nm, locs.y_nm, rtol=1e-6)


def test_we_read_its_smap_tables(tmp_path: Path) -> None:
    locs = emitters()
    write_table(locs, tmp_path / "a.csv", catalog=CATALOG, format="thunderstorm_csv")
    smap.save_SMAP_csv(thunderstorm.load_thunderstorm_file(tmp_path / "a.csv"), tmp_path / "b.csv")
    back = read_table(tmp_path / "b.csv", catalog=CATALOG)
    np.testing.assert_array_equal(back.frame, locs.frame)
    np.testing.assert_allclose(back.x_nm, locs.x_nm, rtol=1e-6)
    np.testing.assert_allclose(back.photons, locs.photons, rtol=1e-6)


def test_both_read_a_decode_file(tmp_path: Path) -> None:
    path = tmp_path / "d.h5"
    with h5py.File(path, "w") as file:
        file.create_group("meta").attrs.update({"xy_unit": "px", "px_size": [100.0, 100.0]})
        file.create_group("decode").attrs["version"] = "v0.10.1"
        data = file.create_group("data")
        data["xyz"], data["frame_ix"] = np.array([[3.0, 5.0, 0.0], [4.0, 6.0, 0.0]]), np.array([7, 9])
        data["phot"] = np.array([900.0, 800.0])
    ours, theirs = read_table(path, catalog=CATALOG, options=TableOptions()), decode.load_decode_file(path).data
    assert len(ours) == len(theirs) == 2
    np.testing.assert_array_equal(ours.frame, theirs["frame"])
    # Its x is still the first axis, from a pixel's centre; ours is the column from the outer corner, in nm.
    np.testing.assert_allclose(ours.y_nm, (theirs["position_x"] + 0.5) * 100)
    np.testing.assert_allclose(ours.x_nm, (theirs["position_y"] + 0.5) * 100)
