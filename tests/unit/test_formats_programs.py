"""Tables of SMAP (_sml.mat), rapidSTORM and N-STORM: recognised by content, with units, origin and first frame."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy import io

from smlmbench.camera import Camera
from smlmbench.errors import FormatError, LossWarning
from smlmbench.formats import TableOptions, find, kinds, read_table
from smlmbench.registry import Catalog
from smlmbench.run.tables.comparing import compare
from smlmbench.run.tables.converting import Conversion, convert

CATALOG = Catalog()
PX100 = TableOptions(pixel_size_nm=100.0)
LOC = {
    "frame": [1.0, 3.0],
    "xnm": [550.25, 650.0],
    "ynm": [350.0, 450.0],
    "znm": [-20.0, 30.0],
    "phot": [900.0, 800.0],
    "bg": [15.0, 16.0],
    "locprecnm": [9.0, 10.0],
    "locprecznm": [30.0, 31.0],
    "PSFxnm": [130.0, 131.0],
    "channel": [0.0, 1.0],
    "filenumber": [1.0, 1.0],
}


def mat5(path: Path, saveloc: dict[str, object]) -> Path:
    def columns(value: object) -> object:
        if isinstance(value, dict):
            return {name: columns(inner) for name, inner in value.items()}
        return np.asarray(value, dtype=float).reshape(-1, 1) if isinstance(value, list) else value

    io.savemat(path, {"saveloc": columns(saveloc), "fileformat": {"name": "sml"}}, do_compression=True)
    return path


def mat73(path: Path, saveloc: dict[str, object]) -> Path:
    """As MATLAB 7.3 writes it: 512 bytes of head, then HDF5 with columns as rows."""

    def put(group: h5py.Group, values: dict[str, object]) -> None:
        for name, value in values.items():
            if isinstance(value, dict):
                put(group.create_group(name), value)
            elif isinstance(value, list) and not value:
                group.create_dataset(name, data=np.array([0, 0], "u8")).attrs["MATLAB_empty"] = 1
            else:
                group.create_dataset(name, data=np.atleast_2d(np.asarray(value, dtype=float)))

    with h5py.File(path, "w", userblock_size=512) as file:
        put(file.create_group("saveloc"), saveloc)
        file.create_group("#refs#")
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    return path


@pytest.mark.parametrize("make", [mat5, mat73])
def test_smap_absolute_numbers(tmp_path: Path, make) -> None:
    path = make(tmp_path / "a_sml.mat", {"loc": LOC, "history": {"a": [1.0]}, "info": {"cam_pixelsize_um": [0.1, 0.1]}})
    assert (find(path, "table", catalog=CATALOG), kinds(path, catalog=CATALOG)) == ("sml_mat", ["table", "image"])
    locs = read_table(path, catalog=CATALOG)
    assert locs.frame.tolist() == [0, 2]
    assert (locs.x_nm.tolist(), locs.y_nm.tolist(), locs.z_nm.tolist()) == ([550.25, 650], [350, 450], [-20, 30])
    assert (locs.photons.tolist(), locs.background_photons.tolist()) == ([900, 800], [15, 16])
    assert (locs.sigma_x_nm.tolist(), locs.sigma_z_nm.tolist()) == ([9, 10], [30, 31])
    assert locs.channel is not None
    assert locs.channel.tolist() == [0, 1]
    done = convert(Conversion(path, tmp_path / "b.csv", target_format="smap_csv"), CATALOG)
    assert (done.count, done.lost[0]) == (2, "table 'a_sml.mat': not read: PSFxnm (no column of ours)")
    again = read_table(tmp_path / "b.csv", catalog=CATALOG, format="smap_csv")
    assert again.x_nm.tolist() == locs.x_nm.tolist()
    (tmp_path / "truth.csv").write_text("frame,x_nm,y_nm\n0,550,350\n2,650,450\n")
    with pytest.warns(LossWarning, match="not read: PSFxnm"):
        scores, _ = compare(path, tmp_path / "truth.csv", {}, CATALOG)
    assert scores.values["recall"] == 1


@pytest.mark.parametrize("make", [mat5, mat73])
def test_smap_files_of_picasso_count_from_a_pixels_centre(tmp_path: Path, make) -> None:
    path = make(tmp_path / "a_sml.mat", {"loc": LOC, "info": {"cam_pixelsize_um": [0.1, 0.2]}})
    locs = read_table(path, catalog=CATALOG)
    assert (locs.x_nm.tolist(), locs.y_nm.tolist()) == ([600.25, 700], [450, 550])
    broken = make(tmp_path / "b_sml.mat", {"loc": LOC, "info": {"cam_pixelsize_um": [np.nan]}})
    with pytest.raises(FormatError, match=r"states cam_pixelsize_um \[nan\]"):
        read_table(broken, catalog=CATALOG)


@pytest.mark.parametrize("make", [mat5, mat73])
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"filenumber": [1.0, 2.0]}, r"holds localizations of 2 movies \(filenumber\)"),
        ({"frame": [0.0, 1.0]}, "is before the first frame 1"),
        ({"frame": [1.5, 2.0]}, "is not a whole number"),
        ({"xnm": [1.0, 2.0, 3.0]}, "columns of different length"),
        ({"xnm": None}, "has no frame, xnm, ynm"),
    ],
)
def test_smap_files_that_are_refused(tmp_path: Path, make, changed, said: str) -> None:
    loc = {name: value for name, value in {**LOC, **changed}.items() if value is not None}
    with pytest.raises(FormatError, match=said) as caught:
        read_table(make(tmp_path / "a_sml.mat", {"loc": loc}), catalog=CATALOG)
    assert "\n" not in str(caught.value)


def test_smap_files_without_rows_or_with_one(tmp_path: Path) -> None:
    for make in (mat5, mat73):
        assert len(read_table(make(tmp_path / "a.mat", {"loc": {n: [] for n in LOC}}), catalog=CATALOG)) == 0
        one = read_table(make(tmp_path / "b.mat", {"loc": {n: v[:1] for n, v in LOC.items()}}), catalog=CATALOG)
        assert (one.frame.tolist(), one.x_nm.tolist()) == ([0], [550.25])
    io.savemat(tmp_path / "c.mat", {"Recovery": np.eye(4), "other": 1})
    assert kinds(tmp_path / "c.mat", catalog=CATALOG) == ["image"]
    with pytest.raises(FormatError, match="of no known format"):
        read_table(tmp_path / "c.mat", catalog=CATALOG)


FIELDS = {
    "Position-0-0": "nanometer",
    "Position-1-0": "nanometer",
    "ImageNumber-0-0": "frame",
    "Amplitude-0-0": "A/D count",
    "FitResidues-0-0": "dimensionless",
    "LocalBackground-0-0": "A/D count",
}
ROWS = ["500 300 0 4500 0.1 110", "600.5 400 7 3000 0.2 111 "]


def rapidstorm(path: Path, rows: list[str] = ROWS, **changed: str | None) -> Path:
    fields = {**FIELDS, **{name.replace("_", "-"): unit for name, unit in changed.items()}}
    text = "".join(
        f'<field identifier="{name}" syntax="floating point with . for decimals" semantic="x"'
        f'{f" unit={chr(34)}{unit}{chr(34)}" if unit else ""} min="0 m" max="6.4e-06 m" />'
        for name, unit in fields.items()
        if unit is not None
    )
    lines = [f'# <localizations insequence="true" repetitions="variable">{text}</localizations>', *rows]
    path.write_text("\n".join([*lines, ""]))
    return path


def test_rapidstorm_absolute_numbers(tmp_path: Path) -> None:
    path = rapidstorm(tmp_path / "a.txt")
    assert find(path, "table", catalog=CATALOG) == "rapidstorm"
    camera = Camera(kind="emccd", e_per_adu=45, em_gain=90)
    locs = read_table(path, catalog=CATALOG, options=TableOptions(pixel_size_nm=100.0, camera=camera))
    assert locs.frame.tolist() == [0, 7]
    assert (locs.x_nm.tolist(), locs.y_nm.tolist()) == ([550, 650.5], [350, 450])  # half a pixel further
    assert locs.photons.tolist() == [2250, 1500]
    assert np.isnan(locs.background_photons).all()
    with pytest.warns(LossWarning, match="'Amplitude-0-0' is in A/D counts and no camera is known"):
        assert np.isnan(read_table(path, catalog=CATALOG, options=PX100).photons).all()
    lost = convert(Conversion(path, tmp_path / "b.csv", target_format="smlmbench_csv", known=PX100), CATALOG).lost
    assert "'Amplitude-0-0' is in A/D counts and no camera is known" in lost[0]
    assert lost[1] == "table 'a.txt': not read: FitResidues-0-0, LocalBackground-0-0 (no column of ours)"
    um = rapidstorm(tmp_path / "c.txt", ["0.5 0.3 0 1 1 1"], Position_0_0="micrometer", Position_1_0="micrometer")
    with pytest.warns(LossWarning):
        assert read_table(um, catalog=CATALOG, options=PX100).x_nm.tolist() == [550]


@pytest.mark.filterwarnings("ignore::smlmbench.errors.LossWarning")
@pytest.mark.parametrize(
    ("options", "changed", "said"),
    [
        (TableOptions(), {}, "counts from the centre of the first pixel; give pixel_size_nm"),
        (PX100, {"Position_0_0": None}, "names no column Position-0-0"),
        (PX100, {"Position_0_0": ""}, "'Position-0-0' needs a unit"),
        (PX100, {"Position_0_0": "lightyear"}, "'Position-0-0' needs a unit"),
    ],
)
def test_rapidstorm_tables_that_are_refused(tmp_path: Path, options, changed, said: str) -> None:
    rows = [" ".join(row.split()[: len(FIELDS) - (None in changed.values())]) for row in ROWS]
    path = rapidstorm(tmp_path / "a.txt", rows, **changed)
    with pytest.raises(FormatError, match=said) as caught:
        read_table(path, catalog=CATALOG, options=options)
    assert "\n" not in str(caught.value)


def test_rapidstorm_is_written_with_its_own_origin_and_counts(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("frame,x_nm,y_nm,photons\n7,550,350,900\n")
    known = TableOptions(pixel_size_nm=100.0, camera=Camera(kind="scmos", e_per_adu=0.5))
    convert(Conversion(tmp_path / "a.csv", tmp_path / "b.txt", target_format="rapidstorm", known=known), CATALOG)
    lines = (tmp_path / "b.txt").read_text().splitlines()
    assert lines[0].startswith('# <localizations insequence="true" repetitions="variable"><field identifier="Posi')
    assert lines[1] == "500.0 300.0 7 1800.0"
    assert read_table(tmp_path / "b.txt", catalog=CATALOG, options=known).photons.tolist() == [900]
    done = convert(Conversion(tmp_path / "a.csv", tmp_path / "c.txt", target_format="rapidstorm", known=PX100), CATALOG)
    assert any("photons are left out" in clause for clause in done.lost)


HEAD = "Channel Name,X,Y,Xc,Yc,Height,Area,Width,Phi,Ax,BG,I,Frame,Length,Link,Valid,Z,Zc,Photons"
STATED = {"first_frame": 1, "origin": "corner"}


def nstorm(path: Path, *changed: dict[str, object]) -> Path:
    usual: dict[str, object] = dict.fromkeys(HEAD.split(","), 1) | {"Channel Name": "647", "X": 550.5, "Xc": 550.5}
    usual |= {"Y": 350, "Yc": 350, "Z": -20, "Zc": -20, "Photons": 900, "Frame": 8}
    rows = [usual | row for row in changed or ({},)]
    lines = [HEAD.replace(",", "\t"), *("\t".join(map(str, row.values())) for row in rows)]
    path.write_text("\r\n".join([*lines, ""]))
    return path


def test_nstorm_absolute_numbers(tmp_path: Path) -> None:
    path = nstorm(tmp_path / "a.txt", {}, {"Frame": 1, "X": 0, "Xc": 0})
    assert find(path, "table", catalog=CATALOG) == "nstorm"
    locs = read_table(path, catalog=CATALOG, options=TableOptions(**STATED))
    assert (locs.frame.tolist(), locs.x_nm.tolist(), locs.y_nm.tolist()) == ([7, 0], [550.5, 0], [350, 350])
    assert (locs.z_nm.tolist(), locs.photons.tolist()) == ([-20, -20], [900, 900])
    centre = TableOptions(pixel_size_nm=160.0, first_frame=0, origin="centre")
    locs = read_table(path, catalog=CATALOG, options=centre)
    assert (locs.frame.tolist(), locs.x_nm.tolist(), locs.y_nm.tolist()) == ([8, 1], [630.5, 80], [430, 430])
    asked = Conversion(path, tmp_path / "b.csv", target_format="smlmbench_csv", known=TableOptions(**STATED))
    assert convert(asked, CATALOG).lost[0].startswith("table 'a.txt': not read: Channel Name, Height, Area, Width, Phi")


def test_nstorm_positions_that_drift_moved_are_named_by_the_user(tmp_path: Path) -> None:
    path = nstorm(tmp_path / "a.txt", {"Xc": 560.5, "Yc": 340})
    with pytest.raises(FormatError, match="X and Xc differ by up to 10 nm; say which are meant"):
        read_table(path, catalog=CATALOG, options=TableOptions(**STATED))
    for columns, x_nm, y_nm in (({"x_nm": "X", "y_nm": "Y"}, 550.5, 350), ({"x_nm": "Xc", "y_nm": "Yc"}, 560.5, 340)):
        locs = read_table(path, catalog=CATALOG, options=TableOptions(**STATED, columns=columns))
        assert (locs.x_nm.tolist(), locs.y_nm.tolist()) == ([x_nm], [y_nm])


@pytest.mark.parametrize(
    ("options", "rows", "said"),
    [
        ({}, [{}], "state first_frame"),
        ({"first_frame": 1}, [{}], "state first_frame"),
        ({"first_frame": 1, "origin": "centre"}, [{}], "needs pixel_size_nm"),
        (STATED, [{}, {"Channel Name": "Z Rejected"}], r"rows of 2 channels \('647' 1, 'Z Rejected' 1\)"),
        ({**STATED, "columns": {"x_nm": "Xc", "y_nm": "Y"}}, [{}], "columns have fixed names"),
        (STATED, [{"X": ""}], "is empty or not finite"),
    ],
)
def test_nstorm_lists_that_are_refused(tmp_path: Path, options, rows, said: str) -> None:
    with pytest.raises(FormatError, match=said) as caught:
        read_table(nstorm(tmp_path / "a.txt", *rows), catalog=CATALOG, options=TableOptions(**options))
    assert "\n" not in str(caught.value)


def test_nstorm_molecules_over_several_frames_are_told(tmp_path: Path) -> None:
    path = nstorm(tmp_path / "a.txt", {}, {"Length": 3})
    with pytest.warns(LossWarning, match="1 of 2 rows are of molecules in several frames"):
        read_table(path, catalog=CATALOG, options=TableOptions(**STATED))
