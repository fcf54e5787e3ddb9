from pathlib import Path

import numpy as np
import openpyxl
import pytest

from smlmbench.camera import Camera
from smlmbench.errors import FormatError, PairingError
from smlmbench.formats import TableOptions, find, read_table, write_table
from smlmbench.predictions import Localizations
from smlmbench.registry import Catalog

CATALOG = Catalog()


def one_emitter(**columns: float) -> Localizations:
    """The centre of pixel column 5, row 3, frame 0, at 100 nm pixels."""
    given = {"frame": [0], "x_nm": [550.0], "y_nm": [350.0], **{name: [value] for name, value in columns.items()}}
    return Localizations.of(given, n_frames=1, field_nm=(6400.0, 6400.0))


def written(tmp_path: Path, text: str, name: str = "a.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def read(path: Path, **options: object) -> Localizations:
    return read_table(path, catalog=CATALOG, options=TableOptions(**options))  # type: ignore[arg-type]


def test_thunderstorm_absolute_numbers(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write_table(one_emitter(photons=1000.0), path, catalog=CATALOG, format="thunderstorm_csv")
    assert path.read_text().splitlines() == ['"id","frame","x [nm]","y [nm]","intensity [photon]"', "1,1,550,350,1000"]
    back = read(path)
    assert (back.frame[0], back.x_nm[0], back.y_nm[0], back.photons[0]) == (0, 550, 350, 1000)


def test_thunderstorm_writes_what_is_known(tmp_path: Path) -> None:
    locs = one_emitter(z_nm=-120.5, background_photons=12.0, sigma_x_nm=6.0, sigma_y_nm=8.0, sigma_z_nm=20.0)
    path = tmp_path / "t.csv"
    write_table(locs, path, catalog=CATALOG, format="thunderstorm_csv")
    header, row = path.read_text().splitlines()
    assert (
        header == '"id","frame","x [nm]","y [nm]","z [nm]","offset [photon]","uncertainty_xy [nm]","uncertainty_z [nm]"'
    )
    assert [float(cell) for cell in row.split(",")][:6] == [1, 1, 550, 350, -120.5, 12]
    back = read(path)
    assert back.sigma_x_nm[0] == back.sigma_y_nm[0] == pytest.approx(np.sqrt(50))
    assert (back.background_photons[0], back.sigma_z_nm[0]) == (12, 20)
    assert np.isnan(back.photons[0])


def test_thunderstorm_photons_are_incident(tmp_path: Path) -> None:
    camera = Camera(quantum_efficiency=0.9)
    path = tmp_path / "t.csv"
    options = TableOptions(camera=camera)
    write_table(one_emitter(photons=900.0), path, catalog=CATALOG, format="thunderstorm_csv", options=options)
    assert path.read_text().splitlines()[1] == "1,1,550,350,1000"
    assert read(path, camera=camera).photons[0] == pytest.approx(900)
    assert read(path).photons[0] == 1000


def test_thunderstorm_units_are_parsed_per_cell(tmp_path: Path) -> None:
    text = '"id","frame","x [um]","y [px]","z [nm]","sigma1 [px]","intensity [ADU]","uncertainty [px]"\n'
    text += "1,8,0.55,3.5,5,1,2000,0.1\n"
    camera = Camera(kind="emccd", e_per_adu=45, em_gain=300, baseline_adu=100, quantum_efficiency=0.9)
    locs = read(written(tmp_path, text), pixel_size_nm=100.0, camera=camera)
    assert (locs.frame[0], locs.x_nm[0], locs.y_nm[0], locs.z_nm[0]) == (7, pytest.approx(550), 350, 5)
    assert locs.photons[0] == pytest.approx(2000 * 45 / 300)
    assert locs.sigma_y_nm[0] == pytest.approx(10)


def test_thunderstorm_names_all_columns_that_cannot_be_converted(tmp_path: Path) -> None:
    path = written(tmp_path, '"id","frame","x [px]","y [nm]","intensity [ADU]"\n1,1,5.5,350,100\n')
    with pytest.raises(FormatError) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message
    for word in ("x [px]", "pixel_size_nm", "intensity [ADU]", "camera"):
        assert word in message


@pytest.mark.parametrize(
    ("extra", "background"), [("bkgstd [photon]", np.nan), ("bkgstd [photon],chi2,uncertainty_xy [nm]", 50.0)]
)
def test_the_offset_of_a_generator_is_no_background(tmp_path: Path, extra: str, background: float) -> None:
    tail = ",1" * (extra.count(",") + 1)
    path = written(tmp_path, f"id,frame,x [nm],y [nm],offset [photon],{extra}\n1,1,2,3,50{tail}\n")
    np.testing.assert_equal(read(path).background_photons[0], background)


def test_scientific_notation_and_the_older_uncertainty(tmp_path: Path) -> None:
    locs = read(written(tmp_path, "frame,x [nm],y [nm],uncertainty [nm]\n1.0,5.5E2,3.5e+2,1E1\n"))
    assert (locs.frame[0], locs.x_nm[0], locs.y_nm[0], locs.sigma_x_nm[0]) == (0, 550, 350, 10)


def test_confidence_in_arbitrary_units_is_not_taken_for_photons(tmp_path: Path) -> None:
    assert np.isnan(read(written(tmp_path, "frame,x [nm],y [nm],intensity [au]\n1,2,3,4\n")).photons[0])


def test_challenge_table_with_its_trailing_blank(tmp_path: Path) -> None:
    path = written(tmp_path, "Ground-truth,frame,xnano,ynano,znano,intensity \n1,1,550,350,-20,1000\n2,7,1,2,3,500\n")
    assert find(path, "table", catalog=CATALOG) == "challenge_csv"
    locs = read(path)
    assert locs.frame.tolist() == [0, 6]
    assert locs.photons.tolist() == [1000, 500]
    assert (locs.x_nm[0], locs.y_nm[0], locs.z_nm[0]) == (550, 350, -20)
    assert read(path, camera=Camera(quantum_efficiency=0.9)).photons[0] == pytest.approx(900)


def test_own_table_keeps_the_length_and_the_field(tmp_path: Path) -> None:
    locs = Localizations.of(
        {"frame": [7], "x_nm": [0.1], "y_nm": [2e-7], "probability": [0.5], "molecule": [3]},
        n_frames=400,
        field_nm=(6400.0, 3200.5),
    )
    path = tmp_path / "own.csv"
    write_table(locs, path, catalog=CATALOG, format="smlmbench_csv")
    assert path.read_text().splitlines() == [
        "# n_frames: 400",
        "# field_nm: 6400.0 3200.5",
        "frame,x_nm,y_nm,probability,molecule",
        "7,0.1,2e-07,0.5,3",
    ]
    assert find(path, "table", catalog=CATALOG) == "smlmbench_csv"
    back = read(path)
    assert (back.n_frames, back.field_nm, back.frame.tolist()) == (400, (6400.0, 3200.5), [7])
    assert back.molecule is not None
    assert back.molecule.tolist() == [3]
    assert read(path, n_frames=500).n_frames == 500


def test_own_table_without_comments(tmp_path: Path) -> None:
    locs = read(written(tmp_path, "frame,x_nm,y_nm\n0,1,2\n3,4,5\n"))
    assert (locs.n_frames, locs.field_nm) == (4, (5.0, 6.0))


def test_odd_comments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="# n_frames: 400"):
        read(written(tmp_path, "# n_frames: many\nframe,x_nm,y_nm\n0,1,2\n"))


def test_an_empty_table_of_ours_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    empty = Localizations.empty(n_frames=4, field_nm=(100.0, 50.0))
    write_table(empty, path, catalog=CATALOG, format="smlmbench_csv")
    back = read(path)
    assert (len(back), back.n_frames, back.field_nm) == (0, 4, (100.0, 50.0))


def test_a_workbook_with_blank_rows(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in (["frame", "x [nm]", "y [nm]"], [1, 550, 350.5], [None, None, None], [8, "20", 30]):
        book.active.append(row)
    path = tmp_path / "a.xlsx"
    book.save(path)
    locs = read(path)
    assert locs.frame.tolist() == [0, 7]
    assert locs.x_nm.tolist() == [550, 20]
    assert locs.y_nm.tolist() == [350.5, 30]


def test_an_empty_cell_of_a_workbook_is_named_by_its_row(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in (["frame", "x [nm]", "y [nm]"], [1, 550, 350], [], [2, None, 3]):
        book.active.append(row)
    path = tmp_path / "a.xlsx"
    book.save(path)
    with pytest.raises(FormatError, match=r"line 4: nan in column 'x \[nm\]'"):
        read(path)


def test_what_is_not_a_workbook_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    path.write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(FormatError, match="not a readable workbook"):
        read(path)


def test_named_columns_and_their_units(tmp_path: Path) -> None:
    path = written(tmp_path, "t;pos x;pos y;light\n3;5,5;3,5;100\n", "a.txt")
    columns = {"frame": "t", "x_px": "pos x", "y_px": "pos y", "photons_adu": "light"}
    locs = read(path, columns=columns, pixel_size_nm=100.0, camera=Camera(e_per_adu=2.0), first_frame=0)
    assert (locs.frame[0], locs.x_nm[0], locs.y_nm[0], locs.photons[0]) == (3, 550, 350, 200)
    assert locs.field_nm == (600.0, 400.0)


def test_brackets_suffixes_and_molecules_are_understood(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "No,Frame,Emitter,x (nm),y_um,z (px),Intensity (photons),Offset (photons)\n1,1,25,550,0.35,1,3000,500\n",
    )
    assert find(path, "table", catalog=CATALOG) == "table"
    locs = read(path, pixel_size_nm=100.0)
    assert (locs.x_nm[0], locs.y_nm[0], locs.z_nm[0], locs.photons[0]) == (550, 350, 100, 3000)
    assert locs.molecule is not None
    assert locs.molecule.tolist() == [25]
    assert np.isnan(locs.background_photons[0])


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        (
            "a,b\n1,2\n",
            None,
            "table 'a.csv' has no x column; its columns are a, b; name it with columns: {x_nm: ...}",
        ),
        ("frame,x,y\n1,2,3\n", None, "column 'x' of table 'a.csv' states no unit; name it with columns: {x_nm: x}"),
        ("x (nm),y (nm)\n1,2\n", None, "has no frame column"),
        ("frame,x,y\n1,2,3\n", {"x_mm": "x"}, "columns.x_mm is not a column of ours; did you mean"),
        ("frame,x,y\n1,2,3\n", {"x_nm": "xs"}, "has no column 'xs' (columns.x_nm); did you mean 'x'?"),
        ("frame,x [px],y\n1,2,3\n", {"x_nm": "x [px]"}, "column 'x [px]' states px but columns.x_nm means nm"),
        ("frame,x,y\n1,2,3\n", {"x_nm": "x", "x_um": "y"}, "columns names x_nm twice ('x' and 'y')"),
        ("frame,x,y\n1,2,3\n", {"x_nm": "x", "y_px": "y"}, "'y' needs pixel_size_nm"),
        (
            "frame,x (nm),y (nm),photons,intensity (photon)\n1,2,3,4,5\n",
            None,
            "'photons' and 'intensity (photon)' could both",
        ),
        ("frame,x [nm],y [nm]\n1,2,3\n\n2,,4\n", None, "line 4: nan in column 'x [nm]' is empty"),
        ("frame,x [nm],y [nm]\n1,inf,3\n", None, "line 2: inf in column 'x [nm]' is empty or not finite"),
        ("frame,x [nm],y [nm]\n,2,3\n", None, "line 2: nan in column 'frame'"),
        ("frame,x [nm],y [nm]\n1,2,abc\n", None, "line 2: 'abc' in column 'y [nm]' is not a number"),
        ("frame,x [nm],y [nm]\n1.5,2,3\n", None, "line 2: 1.5 in column 'frame' is not a whole number"),
        ("frame,x [nm],y [nm]\n0,2,3\n", None, "0 in column 'frame' is before the first frame 1; state first_frame"),
        ("frame,x [nm],y [nm]\n1,2,3\n1,2\n", None, "line 3: 2 cells under 3 headers"),
        ("frame,x [nm],y [nm]\n1,2,3,4\n", None, "line 2: 4 cells under 3 headers"),
        ("frame,x [deg],y [nm]\n1,2,3\n", None, "'x [deg]' needs a unit: nm, um or px"),
    ],
)
def test_tables_that_leave_doubt_are_refused_in_one_line(
    tmp_path: Path, text: str, columns: dict[str, str] | None, message: str
) -> None:
    with pytest.raises(FormatError) as caught:
        read(written(tmp_path, text), columns=columns)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_frames_are_never_made_to_start_at_zero(tmp_path: Path) -> None:
    locs = read(written(tmp_path, "frame,x [nm],y [nm]\n8,2,3\n9,2,3\n"), n_frames=20)
    assert locs.frame.tolist() == [7, 8]
    assert locs.n_frames == 20


def test_a_table_longer_than_its_movie_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PairingError, match=r"frame 21 .* the movie has 20"):
        read(written(tmp_path, "frame,x [nm],y [nm]\n21,2,3\n"), n_frames=20)


def test_the_inferred_field_holds_every_position(tmp_path: Path) -> None:
    path = written(tmp_path, "frame,x [nm],y [nm]\n1,200,0.5\n")
    assert read(path, pixel_size_nm=100.0).field_nm == (300.0, 100.0)
    assert read(path).field_nm == (201.0, 1.0)
    assert read(path, field_nm=(640.0, 320.0)).field_nm == (640.0, 320.0)


def test_a_cell_is_quoted_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('"frame","x [nm]","y [nm]","intensity [photon]"\n1,5,3,"9\n\x1b[2J"\n')
    with pytest.raises(FormatError, match="is not a number") as caught:
        read_table(path, catalog=CATALOG)
    assert str(caught.value).isprintable()
