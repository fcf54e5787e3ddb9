import json
import os
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from smlmbench.errors import FormatError, LossWarning
from smlmbench.formats import TableOptions, find, open_movie, read_table, write_table
from smlmbench.formats.smap_csv import SHIFT_NM
from smlmbench.predictions import Localizations
from smlmbench.registry import Catalog

CATALOG = Catalog()
DATA = Path(os.environ.get("SMLMBENCH_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
PX100 = TableOptions(pixel_size_nm=100.0)


def table(n_frames: int = 1, **columns: list[float]) -> Localizations:
    """Without columns, the centre of pixel column 5, row 3, frame 0, at 100 nm pixels."""
    given = {"frame": [0], "x_nm": [550.0], "y_nm": [350.0], **columns}
    return Localizations.of(given, n_frames=n_frames, field_nm=(6400.0, 3200.0))


def write(locs: Localizations, path: Path, name: str, options: TableOptions = PX100) -> Path:
    write_table(locs, path, catalog=CATALOG, format=name, options=options)
    return path


def read(path: Path, **options: object) -> Localizations:
    return read_table(path, catalog=CATALOG, options=TableOptions(**options))  # type: ignore[arg-type]


def refused(path: Path, **options: object) -> str:
    with pytest.raises(FormatError) as caught:
        read(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def real(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not here; set SMLMBENCH_DATA")
    return path


def test_picasso_absolute_numbers(tmp_path: Path) -> None:
    path = write(table(photons=[1000.0]), tmp_path / "a.hdf5", "picasso_hdf5")
    with h5py.File(path) as file:
        locs = file["locs"][()]
    assert [(name, locs.dtype[name].str) for name in locs.dtype.names] == [
        ("frame", "<u4"),
        ("x", "<f4"),
        ("y", "<f4"),
        ("photons", "<f4"),
    ]
    assert locs.tolist() == [(0, 5.0, 3.0, 1000.0)]
    facts = yaml.safe_load((tmp_path / "a.yaml").read_text())
    assert {key: facts[key] for key in ("Width", "Height", "Frames", "Pixelsize")} == {
        "Width": 64,
        "Height": 32,
        "Frames": 1,
        "Pixelsize": 100,
    }
    assert find(path, "table", catalog=CATALOG) == "picasso_hdf5"
    back = read(path)
    assert (back.frame[0], back.x_nm[0], back.y_nm[0], back.photons[0]) == (0, 550, 350, 1000)
    assert (back.n_frames, back.field_nm) == (1, (6400, 3200))


ALL = {
    "frame": [7, 9],
    "x_nm": [512.3, 3000.0],
    "y_nm": [77.7, 410.0],
    "z_nm": [-250.0, 33.0],
    "photons": [900.5, 20.0],
    "background_photons": [3.0, 4.0],
    "sigma_x_nm": [6.0, 7.0],
    "sigma_y_nm": [8.0, 9.0],
    "sigma_z_nm": [30.0, 40.0],
}


@pytest.mark.parametrize(("name", "suffix"), [("picasso_hdf5", ".hdf5"), ("smap_csv", ".csv")])
def test_a_round_trip_keeps_every_column_and_never_rezeroes(tmp_path: Path, name: str, suffix: str) -> None:
    locs = table(400, **ALL)
    path = write(locs, tmp_path / f"a{suffix}", name)
    back = read(path) if suffix == ".hdf5" else read(path, n_frames=400, field_nm=(6400.0, 3200.0))
    assert (back.frame.tolist(), back.n_frames, back.field_nm) == ([7, 9], 400, (6400, 3200))
    for column, values in ALL.items():
        np.testing.assert_allclose(back.columns()[column], values, rtol=2e-6, err_msg=column)


@pytest.mark.parametrize(("name", "suffix"), [("picasso_hdf5", ".hdf5"), ("smap_csv", ".csv")])
def test_a_table_without_rows(tmp_path: Path, name: str, suffix: str) -> None:
    path = write(Localizations.empty(n_frames=5, field_nm=(3200.0, 3200.0)), tmp_path / f"a{suffix}", name)
    assert len(read(path)) == 0


def test_picasso_says_how_many_rows_it_will_drop(tmp_path: Path) -> None:
    x_nm = [-1.0, 0.0, 49.9, 50.0, 6449.9, 6450.0, 300.0]
    locs = table(frame=[0] * 7, x_nm=x_nm, y_nm=[350.0] * 7, photons=[1.0] * 6 + [-1.0])  # type: ignore[list-item]
    with pytest.warns(LossWarning, match="5 of 7 rows will be dropped by Picasso"):
        path = write(locs, tmp_path / "a.hdf5", "picasso_hdf5")
    back = read(path)
    np.testing.assert_allclose(back.x_nm, x_nm, atol=1e-3)


def test_picasso_leaves_out_columns_with_nan(tmp_path: Path) -> None:
    locs = table(
        frame=[0, 0], x_nm=[550, 560], y_nm=[350, 360], photons=[1, np.nan], z_nm=[np.inf, 1], sigma_x_nm=[5, 5]
    )
    with pytest.warns(LossWarning, match="z, photons left out"):
        path = write(locs, tmp_path / "a.hdf5", "picasso_hdf5")
    with h5py.File(path) as file:
        assert file["locs"].dtype.names == ("frame", "x", "y", "lpx")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write(table(), tmp_path / "b.hdf5", "picasso_hdf5")


def test_picasso_keeps_positions_that_are_not_finite(tmp_path: Path) -> None:
    with pytest.warns(LossWarning, match="2 of 3 rows will be dropped by Picasso"):
        path = write(
            table(frame=[0] * 3, x_nm=[np.nan, 550, 550], y_nm=[350, np.inf, 350]), tmp_path / "a.hdf5", "picasso_hdf5"
        )
    with h5py.File(path) as file:
        assert file["locs"].dtype.names == ("frame", "x", "y")


def test_thunderstorm_photons_beside_intensity_of_another_unit(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('"frame","x [nm]","y [nm]","intensity [photon]","intensity [AU]"\n1,2,3,40,5\n')
    assert read(path).photons.tolist() == [40]


def picasso(tmp_path: Path, sidecar: str, **columns: float) -> Path:
    given = {"frame": 3, "x": 5.0, "y": 3.0, **columns}
    locs = np.zeros(1, dtype=[(name, "u4" if name == "frame" else "f4") for name in given])
    for name, value in given.items():
        locs[name] = value
    with h5py.File(tmp_path / "p.hdf5", "w") as file:
        file["locs"] = locs
    if sidecar:
        (tmp_path / "p.yaml").write_text(sidecar)
    return tmp_path / "p.hdf5"


FIELD = "Frames: 10\nWidth: 64\nHeight: 32\nPixelsize: 100\n"


@pytest.mark.parametrize(
    ("steps", "recent"),
    [
        (["Picasso Localize (manual metadata)", "Picasso v0.11.0 Localize"], True),
        (["", "Picasso: v0.10.1 Fit 2D", "Picasso v0.10.1 Fit 3D", "Picasso v0.11.0 Filter"], True),
        (["smlmbench"], True),
        (["Picasso v0.5.2 Localize", "Picasso v0.11.0 Filter"], False),
        (["Picasso Localize", "Picasso v0.11.0 Filter"], False),
        (["Picasso v0.11.0 Filter"], False),
        ([""], False),
    ],
)
def test_picasso_z_needs_a_recent_fit_or_its_unit(tmp_path: Path, steps: list[str], recent: bool) -> None:
    sidecar = FIELD + "---\n".join(f"Generated by: '{step}'\n" if step else "Camera: a\n" for step in steps)
    path = picasso(tmp_path, sidecar, z=2.0, lpz=0.5)
    if recent:
        locs = read(path)
        assert (locs.z_nm[0], locs.frame[0], locs.n_frames, locs.x_nm[0]) == (2, 3, 10, 550)
    else:
        assert "columns: {z_nm: z} or {z_px: z}" in refused(path)
    in_nm, in_px = read(path, columns={"z_nm": "z"}), read(path, columns={"z_px": "z"})
    assert (in_nm.z_nm[0], in_nm.sigma_z_nm[0]) == (2, 0.5)
    assert (in_px.z_nm[0], in_px.sigma_z_nm[0]) == (200, 50)
    assert "only {z_nm: z}" in refused(path, columns={"x_nm": "x"})


def test_picasso_files_that_are_refused(tmp_path: Path) -> None:
    path = picasso(tmp_path, "")
    assert "sidecar 'p.yaml' is absent" in refused(path)
    assert read(path, pixel_size_nm=100.0).x_nm[0] == 550
    assert "Pixelsize 'a'" in refused(picasso(tmp_path, "Pixelsize: a\n"))
    assert "Frames is -1" in refused(picasso(tmp_path, "Pixelsize: 100\nFrames: -1\n"))
    assert "'p.yaml' is not a readable sidecar" in refused(picasso(tmp_path, "a: [\n"))
    assert "is no list of" in refused(picasso(tmp_path, "- 1\n"))
    (tmp_path / "p.yaml").unlink()
    with h5py.File(path, "w") as file:
        file["other"] = np.zeros(3)
    said = "HDF5 with other; decode_h5 needs data/xyz, data/frame_ix; picasso_hdf5 needs a table 'locs'; convert it"
    assert f"'p.hdf5' is of no known format: {said}" in refused(path, pixel_size_nm=100.0)
    with pytest.raises(
        FormatError, match="'p.hdf5' has no table 'locs', there are other; give localizations of Picasso"
    ):
        read_table(path, catalog=CATALOG, format="picasso_hdf5")
    with h5py.File(path, "w") as file:
        file["locs"] = np.zeros(1, dtype=[("frame", "u4"), ("x", "f4")])
    assert "has no y in 'locs'; its columns are frame, x" in refused(path, pixel_size_nm=100.0)
    path.write_bytes(path.read_bytes()[:300])
    assert "is not a readable HDF5 file" in refused(path, pixel_size_nm=100.0)
    with pytest.raises(FormatError, match="give pixel_size_nm"):
        write(table(), tmp_path / "a.hdf5", "picasso_hdf5", TableOptions())
    with pytest.raises(FormatError, match="existing folder"):
        write(table(), tmp_path / "no" / "a.hdf5", "picasso_hdf5")


def test_smap_absolute_numbers(tmp_path: Path) -> None:
    path = write(table(photons=[1000.0]), tmp_path / "a.csv", "smap_csv")
    assert SHIFT_NM == 0
    assert path.read_text().splitlines() == ["frame,xnm,ynm,phot", "1,550,350,1000"]
    assert find(path, "table", catalog=CATALOG) == "smap_csv"
    back = read(path)
    assert (back.frame[0], back.x_nm[0], back.y_nm[0], back.photons[0]) == (0, 550, 350, 1000)


def test_smap_precisions_of_one_axis_win_over_the_joint_one(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("xnmerr,frame,locprecnm,xnm,ynm,PSFxnm,channel\n3,1,5,550,350,130,2\n")
    back = read(tmp_path / "a.csv")
    assert (back.sigma_x_nm[0], back.sigma_y_nm[0]) == (3, 5)
    assert back.channel is not None
    assert back.channel.tolist() == [2]
    (tmp_path / "b.csv").write_text("frame,xnm\n1,2\n")
    with pytest.raises(FormatError, match="its columns are frame, xnm, without ynm of frame, xnm, ynm"):
        read_table(tmp_path / "b.csv", catalog=CATALOG, format="smap_csv")


def decode(tmp_path: Path, row: str, **facts: object) -> Path:
    head = "x,y,z,phot,frame_ix,id,prob,bg,x_cr,y_cr,z_cr,phot_cr,bg_cr,x_sig,y_sig,z_sig,phot_sig,bg_sig"
    lines = ["# An export", '# {"version": "v0.10.1"}', f"# {json.dumps(facts)}", head, row]
    (tmp_path / "d.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "d.csv"


# An emitter in row 3, column 5: rows are DECODE's x.
IN_PX = "3.0,5.0,-20.0,1000.0,0,-1,0.9,12.0,nan,nan,nan,nan,nan,0.1,0.2,30.0,nan,nan"
IN_NM = "300.0,1000.0,-20.0,1000.0,0,-1,0.9,12.0,nan,nan,nan,nan,nan,10.0,40.0,30.0,nan,nan"


@pytest.mark.parametrize(("row", "unit"), [(IN_PX, "px"), (IN_NM, "nm")])
def test_decode_lies_on_the_image(tmp_path: Path, row: str, unit: str) -> None:
    path = decode(tmp_path, row, xy_unit=unit, px_size=[100.0, 200.0])
    assert find(path, "table", catalog=CATALOG) == "decode_csv"
    locs = read(path)
    assert (locs.frame[0], locs.x_nm[0], locs.y_nm[0], locs.z_nm[0]) == (0, 1100, 350, -20)
    assert (locs.photons[0], locs.probability[0], locs.background_photons[0]) == (1000, 0.9, 12)
    assert (locs.sigma_x_nm[0], locs.sigma_y_nm[0], locs.sigma_z_nm[0]) == (pytest.approx(40), pytest.approx(10), 30)


def test_decode_drawn_on_the_image_hits_its_pixel(tmp_path: Path) -> None:
    image = np.zeros((8, 8))
    image[3, 5] = 1.0
    locs = read(decode(tmp_path, IN_PX, xy_unit="px", px_size=[100.0, 100.0]))
    assert (locs.x_nm[0], locs.y_nm[0]) == (550, 350)
    assert image[int(locs.y_nm[0] // 100), int(locs.x_nm[0] // 100)] == 1
    assert locs.field_nm == (600, 400)


def test_decode_without_unit_or_pixel_size(tmp_path: Path) -> None:
    assert "states xy_unit None" in refused(decode(tmp_path, IN_PX, px_size=[100.0, 100.0]))
    assert "states xy_unit 'um'" in refused(decode(tmp_path, IN_PX, xy_unit="um", px_size=[100.0, 100.0]))
    for odd in (None, [100.0], [0, 100], "ab"):
        assert "give pixel_size_nm" in refused(decode(tmp_path, IN_NM, xy_unit="nm", px_size=odd))
    path = decode(tmp_path, IN_PX, xy_unit="px", px_size=None)
    assert read(path, pixel_size_nm=100.0).x_nm[0] == 550
    path.write_text("a,b\n1,2\n")
    with pytest.raises(FormatError, match="is not a DECODE table: its columns are a, b"):
        read_table(path, catalog=CATALOG, format="decode_csv")


def test_a_late_first_event_stays_late_in_decode(tmp_path: Path) -> None:
    path = decode(tmp_path, IN_PX.replace(",0,-1,", ",7,-1,"), xy_unit="px", px_size=[100.0, 100.0])
    assert read(path).frame.tolist() == [7]


def test_a_real_picasso_movie_and_its_table() -> None:
    movie = open_movie(real("picasso-dnapaint-sim/testdata.raw"), catalog=CATALOG)
    counts = movie.read(0, movie.n_frames)
    movie.close()
    assert counts.shape == (1000, 32, 32)
    assert (counts.dtype, counts.min(), counts.max()) == (np.uint16, 178, 8581)
    locs = read(real("picasso-dnapaint-sim/testdata_locs.hdf5"), pixel_size_nm=160.0)
    assert (len(locs), locs.n_frames, locs.field_nm) == (564, 1000, (5120, 5120))
    assert (locs.frame[0], locs.frame.max()) == (11, 990)
    assert locs.x_nm[0] == pytest.approx((5.618027 + 0.5) * 160, abs=1e-3)
    assert read(DATA / "picasso-dnapaint-sim/testdata_locs.hdf5").field_nm == (32 * 130, 32 * 130)
    # The centre of mass of the brightest spots lies on the table only with the half pixel and the axes as read.
    bright = np.argsort(locs.photons)[-60:]
    offsets = []
    for row in bright:
        x_px, y_px = locs.x_nm[row] / 160, locs.y_nm[row] / 160
        left, top = int(x_px) - 3, int(y_px) - 3
        spot = counts[locs.frame[row], top : top + 7, left : left + 7].astype(float)
        spot = np.clip(spot - np.median(spot), 0, None)
        centres = np.arange(7) + 0.5
        offsets.append(
            (spot.sum(0) @ centres / spot.sum() + left - x_px, spot.sum(1) @ centres / spot.sum() + top - y_px)
        )
    assert np.abs(np.median(offsets, axis=0)).max() < 0.1
