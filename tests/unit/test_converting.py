import json
import warnings
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from scipy import io

from smlmbench.cli import app
from smlmbench.errors import FormatError, SmlmBenchError, UnitError
from smlmbench.formats import TableOptions, open_movie, read_table, write_table
from smlmbench.predictions import Localizations
from smlmbench.registry import Catalog
from smlmbench.run.tables.converting import Conversion, convert

CATALOG = Catalog()
ALL = {
    "frame": [7, 9],
    "x_nm": [512.5, 3000.0],
    "y_nm": [77.5, 410.0],
    "z_nm": [-250.0, 33.0],
    "photons": [900.5, 20.0],
    "background_photons": [3.0, 4.0],
    "sigma_x_nm": [6.0, 7.0],
    "sigma_y_nm": [8.0, 9.0],
    "sigma_z_nm": [30.0, 40.0],
}


def table(path: Path, name: str = "smlmbench_csv", **more: object) -> Path:
    locs = Localizations.of({**ALL, **more}, n_frames=400, field_nm=(6400.0, 3200.0))
    write_table(locs, path, catalog=CATALOG, format=name, options=TableOptions(pixel_size_nm=100.0))
    return path


def known(**facts: object) -> TableOptions:
    return TableOptions(**facts)  # type: ignore[arg-type]


def refused(conversion: Conversion, kind: type[SmlmBenchError] = FormatError) -> str:
    with pytest.raises(kind) as caught:
        convert(conversion, CATALOG)
    assert "\n" not in str(caught.value)
    return str(caught.value)


TABLES = {"thunderstorm_csv": ".csv", "picasso_hdf5": ".hdf5", "smap_csv": ".csv", "smlmbench_csv": ".csv"}


@pytest.mark.parametrize("source", TABLES)
@pytest.mark.parametrize("target", TABLES)
def test_every_pair_of_formats_keeps_places_and_frames(tmp_path: Path, source: str, target: str) -> None:
    given = table(tmp_path / f"a{TABLES[source]}", source)
    wanted = tmp_path / f"b{TABLES[target]}"
    options = known(pixel_size_nm=100.0)
    done = convert(Conversion(given, wanted, target_format=target, known=options), CATALOG)
    assert (done.holds, done.source_format, done.target_format, done.count) == ("table", source, target, 2)
    assert all(file.is_file() for file in done.files)
    back = read_table(wanted, catalog=CATALOG, options=options)
    assert back.frame.tolist() == [7, 9]
    for name in ("x_nm", "y_nm", "z_nm", "photons", "sigma_z_nm"):
        np.testing.assert_allclose(back.columns()[name], ALL[name], rtol=1e-5, err_msg=name)


def test_what_is_lost_is_said(tmp_path: Path) -> None:
    given = table(tmp_path / "a.csv", probability=[0.5, 0.75], molecule=[1, 2])
    done = convert(Conversion(given, tmp_path / "b.csv", target_format="thunderstorm_csv"), CATALOG)
    assert done.lost[:4] == [
        "thunderstorm_csv has no place for probability, molecule",
        "thunderstorm_csv keeps other numbers in sigma_x_nm, sigma_y_nm (one number for both axes, or rounded)",
        "thunderstorm_csv does not state the number of frames (400)",
        "thunderstorm_csv does not state the field (6400 x 3200 nm)",
    ]
    assert "quantum efficiency of 1" in done.lost[4]
    same = convert(Conversion(given, tmp_path / "c.csv", target_format="smlmbench_csv"), CATALOG)
    assert same.lost == []


def test_what_picasso_will_drop_and_what_was_not_read_is_said(tmp_path: Path) -> None:
    locs = np.zeros(2, dtype=[("frame", "u4"), ("x", "f4"), ("y", "f4"), ("net_gradient", "f4")])
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["locs"] = locs
    (tmp_path / "a.yaml").write_text("Width: 64\nHeight: 32\nFrames: 10\nPixelsize: 100\n")
    done = convert(Conversion(tmp_path / "a.hdf5", tmp_path / "b.csv", target_format="smap_csv"), CATALOG)
    assert done.lost[0] == "table 'a.hdf5': not read: net_gradient (no column of ours)"
    rim = table(tmp_path / "r.csv", x_nm=[10.0, 3000.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        done = convert(Conversion(rim, tmp_path / "c.hdf5", known=known(pixel_size_nm=100.0)), CATALOG)
    assert any("1 of 2 rows will be dropped by Picasso" in clause for clause in done.lost)
    assert done.files == [tmp_path / "c.hdf5", tmp_path / "c.yaml"]


def test_the_camera_turns_incident_into_detected_photons(tmp_path: Path) -> None:
    from smlmbench.camera import Camera

    given = table(tmp_path / "a.csv", "thunderstorm_csv")
    asked = Conversion(
        given, tmp_path / "b.csv", target_format="smap_csv", known=known(camera=Camera(quantum_efficiency=0.5))
    )
    assert convert(asked, CATALOG).lost == []
    assert read_table(tmp_path / "b.csv", catalog=CATALOG).photons.tolist() == [450.25, 10]


def test_wrong_conversions_are_refused_in_one_line(tmp_path: Path) -> None:
    given = table(tmp_path / "a.csv")
    assert "give pixel_size_nm" in refused(Conversion(given, tmp_path / "b.hdf5"))
    assert list(tmp_path.glob("b.*")) == []
    assert "is a table and tiff holds movies" in refused(Conversion(given, tmp_path / "b.tif", target_format="tiff"))
    assert "may become smap_csv or smlmbench_csv or thunderstorm_csv" in refused(Conversion(given, tmp_path / "b.csv"))
    assert "the suffix of 'b.xyz' is that of no table format" in refused(Conversion(given, tmp_path / "b.xyz"))
    assert "is a folder; give the name of a file to write" in refused(Conversion(given, tmp_path))
    asked = Conversion(given, tmp_path / "b.csv", target_format="smap_csv", known=known(field_nm=(-1.0, 5.0)))
    assert "--field-nm -1 5: give a width and a height above 0" in refused(asked, UnitError)
    assert "is the file to convert" in refused(Conversion(given, given, target_format="smap_csv"))
    assert "does not exist; make it first" in refused(
        Conversion(given, tmp_path / "no" / "b.csv", target_format="smap_csv")
    )
    assert "'smap' is not a format; did you mean 'smap_csv'?" in refused(
        Conversion(given, tmp_path / "b.csv", target_format="smap")
    )
    (tmp_path / "px.csv").write_text('"frame","x [px]","y [px]"\n1,5.5,3.5\n')
    asked = Conversion(tmp_path / "px.csv", tmp_path / "b.csv", target_format="smap_csv")
    assert "'x [px]', 'y [px]' need pixel_size_nm" in refused(asked)


def test_a_sidecar_of_something_else_is_not_replaced(tmp_path: Path) -> None:
    given = table(tmp_path / "a.csv")
    (tmp_path / "b.yaml").write_text("the sidecar of b.raw")
    asked = Conversion(given, tmp_path / "b.hdf5", known=known(pixel_size_nm=100.0))
    assert "b.yaml' exists already" in refused(asked)
    convert(Conversion(given, tmp_path / "b.hdf5", known=known(pixel_size_nm=100.0), overwrite=True), CATALOG)
    assert "Pixelsize" in (tmp_path / "b.yaml").read_text()


def test_the_origin_of_any_table_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("frame\tx [px]\ty [um]\n1\t5\t0.3\n")
    options = {"pixel_size_nm": 100.0}
    asked = Conversion(tmp_path / "a.txt", tmp_path / "b.csv", target_format="smap_csv", known=known(**options))
    assert "give --origin centre otherwise" in convert(asked, CATALOG).lost[0]
    assert read_table(tmp_path / "b.csv", catalog=CATALOG).x_nm.tolist() == [500]
    stated = replace(asked, target=tmp_path / "c.csv", known=known(**options, origin="centre"))
    assert convert(stated, CATALOG).lost == []
    back = read_table(tmp_path / "c.csv", catalog=CATALOG)
    assert (back.x_nm.tolist(), back.y_nm.tolist()) == ([550], [350])
    assert "needs pixel_size_nm" in refused(replace(stated, target=tmp_path / "d.csv", known=known(origin="centre")))
    own = replace(stated, source=tmp_path / "c.csv", target=tmp_path / "e.csv")  # 550 and 350 from a centre
    convert(own, CATALOG)
    assert read_table(tmp_path / "e.csv", catalog=CATALOG).x_nm.tolist() == [600]


def test_movies_become_tiff(tmp_path: Path) -> None:
    frames = np.arange(5 * 8 * 6, dtype="<u2").reshape(5, 8, 6)
    (tmp_path / "a.raw").write_bytes(frames.tobytes())
    (tmp_path / "a.yaml").write_text("Byte Order: <\nData Type: uint16\nFrames: 5\nHeight: 8\nWidth: 6\n")
    seen: list[tuple[int, int]] = []
    asked = Conversion(tmp_path / "a.raw", tmp_path / "b.tif")
    done = convert(asked, CATALOG, lambda at, total: seen.append((at, total)))
    assert (done.holds, done.source_format, done.target_format, done.count) == ("movie", "picasso_raw", "tiff", 5)
    assert seen == [(5, 5)]
    movie = open_movie(tmp_path / "b.tif", catalog=CATALOG)
    np.testing.assert_array_equal(movie.read(0, 5), frames)
    movie.close()
    (tmp_path / "folder").mkdir()
    for number in range(5):
        tifffile.imwrite(tmp_path / "folder" / f"f{number + 8}.tif", frames[number])
    assert convert(Conversion(tmp_path / "folder", tmp_path / "c.tif"), CATALOG).source_format == "tiff_folder"
    assert (tifffile.imread(tmp_path / "c.tif") == frames).all()
    inside = Conversion(tmp_path / "folder", tmp_path / "folder" / "f9.tif", overwrite=True)
    assert "is one of the frames to convert" in refused(inside)


def test_a_mat_image_becomes_tiff_with_its_pixel_size(tmp_path: Path) -> None:
    image = np.arange(12.0).reshape(3, 4)
    io.savemat(tmp_path / "a.mat", {"Recovery": image, "other": image + 1})
    asked = Conversion(tmp_path / "a.mat", tmp_path / "b.tif", variable="Recovery")
    assert "give --pixel-size-nm" in refused(asked, UnitError)
    convert(
        Conversion(tmp_path / "a.mat", tmp_path / "b.tif", variable="Recovery", known=known(pixel_size_nm=12.5)),
        CATALOG,
    )
    assert (tifffile.imread(tmp_path / "b.tif") == image).all()


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        app(["convert", *words])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_text("t;pos x;pos y\n3;5.5;3.5\n")
    columns = ["--column", "frame=t", "--column", "x_px=pos x", "--column", "y_px=pos y"]
    words = [str(tmp_path / "a.csv"), str(tmp_path / "b.csv"), "--to", "thunderstorm_csv", *columns]
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert "need pixel_size_nm" in err
    code, out, err = run(capsys, *words, "--pixel-size-nm", "100", "--first-frame", "0", "--json")
    assert code == 0
    assert json.loads(out)["count"] == 1
    assert (tmp_path / "b.csv").read_text().splitlines()[1] == "1,4,550,350"
    code, out, err = run(capsys, *words, "--pixel-size-nm", "100")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "exists already; give another name, or --overwrite" in err
    assert run(capsys, *words[:4], "--column", "x")[0] == 2


def test_a_files_control_characters_do_not_reach_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = ",".join(f"c{number}{'x' * 80}" for number in range(30))
    (tmp_path / "a.csv").write_text(f"\x1b[31mred,{columns}\n1,2\n")
    words = [str(tmp_path / "a.csv"), str(tmp_path / "b.csv"), "--from", "thunderstorm_csv", "--to", "smap_csv"]
    code, _, err = run(capsys, *words)
    assert (code, len(err.splitlines())) == (2, 1)
    assert "\x1b" not in err
    assert "its columns are \ufffd[31mred, c0xxx" in err
    assert len(err) < 800
