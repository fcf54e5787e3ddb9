"""The acceptance matrix of the formats, one test per row (rows 11 and 12 are about exported networks)."""

import json
import tracemalloc
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from smlmbench.errors import FormatError, LossWarning
from smlmbench.formats import TableOptions, open_movie, read_table, write_table
from smlmbench.formats.smap_csv import SHIFT_NM
from smlmbench.predictions import Localizations
from smlmbench.registry import Catalog

CATALOG = Catalog()
PX100 = TableOptions(pixel_size_nm=100.0)
WRITERS = [name for name in CATALOG.names("formats") if CATALOG.card("formats", name).facts["writes"]]
TABLES = [name for name in WRITERS if CATALOG.card("formats", name).facts["holds"] == "table"]


def emitters(n_frames: int = 1, **columns: list[float]) -> Localizations:
    """Without columns, the centre of pixel column 5, row 3, frame 0, at 100 nm pixels."""
    given = {"frame": [0], "x_nm": [550.0], "y_nm": [350.0], **columns}
    return Localizations.of(given, n_frames=n_frames, field_nm=(6400.0, 3200.0))


def write(locs: Localizations, path: Path, name: str) -> Path:
    write_table(locs, path, catalog=CATALOG, format=name, options=PX100)
    return path


def test_row_1_thunderstorm_absolute_numbers(tmp_path: Path) -> None:
    lines = write(emitters(), tmp_path / "a.csv", "thunderstorm_csv").read_text().splitlines()
    row = dict(zip(lines[0].replace('"', "").split(","), lines[1].split(","), strict=True))
    assert (row["frame"], row["x [nm]"], row["y [nm]"]) == ("1", "550", "350")


def test_row_2_picasso_absolute_numbers(tmp_path: Path) -> None:
    with h5py.File(write(emitters(), tmp_path / "a.hdf5", "picasso_hdf5")) as file:
        row = file["locs"][0]
    assert (row["frame"], row["x"], row["y"]) == (0, 5.0, 3.0)
    facts = yaml.safe_load((tmp_path / "a.yaml").read_text())
    assert [facts[key] for key in ("Width", "Height", "Frames", "Pixelsize")] == [64, 32, 1, 100]


def test_row_3_smap_absolute_numbers(tmp_path: Path) -> None:
    lines = write(emitters(), tmp_path / "a.csv", "smap_csv").read_text().splitlines()
    row = dict(zip(lines[0].split(","), map(float, lines[1].split(",")), strict=True))
    assert row == {"frame": 1, "xnm": 550 + SHIFT_NM, "ynm": 350 + SHIFT_NM}


def decode_csv(folder: Path) -> Path:
    meta = json.dumps({"xy_unit": "px", "px_size": [100.0, 100.0]})
    lines = ["# An export", '# {"version": "v0.10.1"}', f"# {meta}", "x,y,z,phot,frame_ix,id,prob,bg"]
    (folder / "d.csv").write_text("\n".join([*lines, "3.0,5.0,0.0,900.0,0,-1,0.9,12.0"]) + "\n")
    return folder / "d.csv"


def decode_h5(folder: Path) -> Path:
    with h5py.File(folder / "d.h5", "w") as file:
        file.create_group("meta").attrs.update({"xy_unit": "px", "px_size": [100.0, 100.0]})
        file.create_group("decode").attrs["version"] = "v0.10.1"
        data = file.create_group("data")
        for name, value in {"xyz": [[3.0, 5.0, 0.0]], "phot": [900.0], "frame_ix": [0], "prob": [0.9]}.items():
            data[name] = np.array(value)
        data.create_dataset("xyz_sig", data=h5py.Empty("f"))
        data.create_dataset("bg", data=h5py.Empty("f"))
    return folder / "d.h5"


@pytest.mark.parametrize("make", [decode_csv, decode_h5])
def test_row_4_decode_lies_on_the_image(tmp_path: Path, make) -> None:
    image = np.zeros((8, 8))
    image[3, 5] = 1.0  # row 3, column 5: DECODE's x counts rows
    locs = read_table(make(tmp_path), catalog=CATALOG)
    assert (locs.x_nm[0], locs.y_nm[0]) == (550, 350)
    assert image[int(locs.y_nm[0] // 100), int(locs.x_nm[0] // 100)] == 1


def test_row_5_challenge_with_a_blank_after_the_last_header(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("Ground-truth,frame,xnano,ynano,znano,intensity \n1,1,550,350,-20,900\n")
    locs = read_table(tmp_path / "a.csv", catalog=CATALOG)
    assert (locs.frame[0], locs.photons[0], locs.x_nm[0]) == (0, 900, 550)


def test_row_6_thunderstorm_in_px_and_adu_needs_pixel_and_camera(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('"id","frame","x [px]","y [px]","intensity [ADU]"\n1,1,5.5,3.5,900\n')
    with pytest.raises(FormatError) as caught:
        read_table(tmp_path / "a.csv", catalog=CATALOG)
    for part in ("'x [px]'", "'intensity [ADU]'", "pixel_size_nm", "camera"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", TABLES)
def test_row_7_a_first_event_in_frame_7_stays_there(tmp_path: Path, name: str) -> None:
    suffix = CATALOG.card("formats", name).facts["suffixes"][0]
    path = write(emitters(20, frame=[7]), tmp_path / f"a{suffix}", name)
    for _ in range(2):
        back = read_table(path, catalog=CATALOG, format=name, options=PX100)
        assert back.frame.tolist() == [7]
        path = write(back, tmp_path / f"b{suffix}", name)


def test_row_7_there_are_tables_to_write() -> None:
    assert set(TABLES) == {"picasso_hdf5", "rapidstorm", "smap_csv", "smlmbench_csv", "thunderstorm_csv"}


def test_row_8_emitters_in_the_outer_half_of_the_first_pixel(tmp_path: Path) -> None:
    locs = emitters(frame=[0, 0, 0], x_nm=[10.0, 49.0, 550.0], y_nm=[350.0] * 3)
    with pytest.warns(LossWarning, match="2 of 3 rows will be dropped by Picasso"):
        path = write(locs, tmp_path / "a.hdf5", "picasso_hdf5")
    with h5py.File(path) as file:
        x = file["locs"]["x"]
    assert (len(x), int((x < 0).sum())) == (3, 2)


def test_row_9_a_column_with_nan_is_left_out_of_picasso(tmp_path: Path) -> None:
    locs = emitters(frame=[0, 0], x_nm=[550.0, 650.0], y_nm=[350.0, 350.0], photons=[900.0, np.nan])
    with pytest.warns(LossWarning, match="photons left out"):
        path = write(locs, tmp_path / "a.hdf5", "picasso_hdf5")
    with h5py.File(path) as file:
        assert "photons" not in file["locs"].dtype.names


def test_row_10_an_imagej_stack_above_4_gb(tmp_path: Path) -> None:
    import struct

    n_frames, side = 16_500, 512
    description = f"ImageJ=1.54f\nimages={n_frames}\nframes={n_frames}\n".encode()
    tags = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 16), (259, 3, 1, 1), (262, 3, 1, 1)]
    tags += [(270, 2, len(description), 200), (273, 4, 1, 8192), (277, 3, 1, 1), (278, 4, 1, side)]
    tags += [(279, 4, 1, side * side * 2)]
    head = struct.pack("<2sHIH", b"II", 42, 8, len(tags))
    head += b"".join(struct.pack("<HHII", *tag) for tag in tags) + struct.pack("<I", 0)
    path = tmp_path / "big.tif"
    with path.open("wb") as file:
        file.write(head.ljust(200, b"\0") + description)
        file.truncate(8192 + n_frames * side * side * 2)
        file.seek(8192 + (n_frames - 1) * side * side * 2)
        file.write(np.full(side * side, 7, "<u2").tobytes())
    assert path.stat().st_size > 2**33
    tracemalloc.start()
    movie = open_movie(path, catalog=CATALOG)
    last = movie.read(n_frames - 1, n_frames)
    movie.close()
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (movie.n_frames, movie.height, movie.width, int(last.min())) == (n_frames, side, side, 7)
    assert peak_bytes < 200e6


def test_the_rows_warn_only_where_something_is_lost(tmp_path: Path) -> None:
    def warned(locs: Localizations, name: str, stem: str) -> list[str]:
        suffix = CATALOG.card("formats", name).facts["suffixes"][0]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            write(locs, tmp_path / f"{stem}_{name}{suffix}", name)
        return [str(each.message) for each in caught]

    assert {name: warned(emitters(), name, "whole") for name in TABLES} == {name: [] for name in TABLES}
    # Picasso counts from the first pixel's centre, and drops what lies before it.
    (said,) = warned(emitters(x_nm=[10.0]), "picasso_hdf5", "edge")
    assert "1 of 1 rows will be dropped by Picasso" in said
