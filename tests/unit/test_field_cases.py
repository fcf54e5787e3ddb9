"""Small inputs after public bug reports of the field, with the right value of each; their READMEs say where from."""

import os
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import tifffile

from smlmbench.errors import ConfigError, FormatError, LossWarning, MissingExtraError
from smlmbench.formats import TableOptions, open_movie, read_table
from smlmbench.movies import calibrated, mending
from smlmbench.registry import Catalog
from smlmbench.run.using.predicting import Request, Written, predict_movie, read_camera

DATA = Path(os.environ.get("SMLMBENCH_DATA", Path(__file__).parents[2].parent / "shared" / "data")) / "field-cases"
CATALOG = Catalog()

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the folder of field cases is not here")


def sixth_pixels(name: str) -> list[float]:
    with closing(open_movie(DATA / name, catalog=CATALOG)) as movie:
        values = np.asarray(movie.read(0, movie.n_frames))
    return values.reshape(len(values), -1)[:, 5].tolist()


@pytest.mark.parametrize(
    "name",
    [
        "01-stk-in-tif/metamorph.tif",
        "02-ndtiff-two-parts/acq_NDTiffStack.tif",
        "02-ndtiff-two-parts/acq_NDTiffStack_1.tif",
        "03-ome-second-part/b_MMStack_Pos0.ome.tif",
        "03-ome-second-part/b_MMStack_Pos0_1.ome.tif",
        "04-mmstack-split-no-ome/a_MMStack_Pos0.tif",
        "04-mmstack-split-no-ome/a_MMStack_Pos0_1.tif",
        "09-ome-order-and-gap/ome_reversed.ome.tif",
        "21-movie-in-several-stacks",
    ],
)
def test_a_movie_is_read_whole_and_in_order(name: str) -> None:
    assert sixth_pixels(name) == [105, 115, 125, 135, 145, 155]


def test_one_of_several_stacks_is_told_from_the_whole() -> None:
    with pytest.warns(LossWarning, match=r"'movie_X2.tif' is read alone, 2 frames; 2 files beside it"):
        assert sixth_pixels("21-movie-in-several-stacks/movie_X2.tif") == [125, 135]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("08-two-channels-or-positions/ome_two_positions.ome.tif", "holds 2 images; save each as a movie of its own"),
        ("08-two-channels-or-positions/shaped_tcyx.tif", "has 6 x 2 images, not one movie; save the channel alone"),
        ("09-ome-order-and-gap/ome_gap.ome.tif", "state 6 frames but 1 are in no file"),
    ],
)
def test_what_is_not_one_whole_movie_is_refused_with_its_numbers(name: str, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        sixth_pixels(name)


def test_signed_pixels_are_what_imagej_shows() -> None:
    assert sixth_pixels("07-imagej-signed-16/ij_signed16.tif") == [105, 115, 125, 135, 145, 155]
    assert sixth_pixels("07-imagej-signed-16/int16.tif") == [-95, -85, -75, -65, -55, -45]


@pytest.mark.parametrize("name", ["nan1.tif", "inf1.tif"])
def test_a_pixel_that_is_no_number_is_named(name: str) -> None:
    with closing(open_movie(DATA / "10-nan-pixels" / name, catalog=CATALOG)) as movie:
        frames = calibrated(movie, read_camera("{kind: scmos, baseline_adu: 100, e_per_adu: 0.5, read_noise_e: 1.6}"))
        with pytest.raises(FormatError, match=r"frame 3 \(counted from 1\) has 1 pixels"):
            frames.read(0, movie.n_frames)


@pytest.mark.parametrize("name", ["nan1.tif", "inf1.tif"])
def test_a_pixel_that_is_no_number_can_be_replaced(name: str) -> None:
    stored = tifffile.imread(DATA / "10-nan-pixels" / name)
    ((_, row, column),) = np.argwhere(~np.isfinite(stored))
    around = stored[2, row - 1 : row + 2, column - 1 : column + 2]
    with (
        pytest.warns(LossWarning, match="1 pixels of 1 frames were NaN or infinite"),
        mending(open_movie(DATA / "10-nan-pixels" / name, catalog=CATALOG), "median") as movie,
    ):
        frames = movie.read(0, movie.n_frames)
    assert frames[2, row, column] == np.median(around[np.isfinite(around)])
    np.testing.assert_array_equal(frames[np.isfinite(stored)], stored[np.isfinite(stored)])


@pytest.mark.parametrize("name", ["english.csv", "german.csv", "tab.tsv"])
def test_one_table_in_three_dresses_has_one_meaning(name: str) -> None:
    options = TableOptions(camera=read_camera("{kind: scmos, quantum_efficiency: 0.5}"))
    table = read_table(DATA / "06-thunderstorm-semicolon-tab" / name, catalog=CATALOG, options=options)
    assert (table.photons[0], table.background_photons[0], table.frame.tolist()) == (450, 15, [0, 2])
    assert table.x_nm.tolist() == ([550, 650] if name == "tab.tsv" else [550.25, 650.75])


@pytest.mark.parametrize(
    ("name", "x_nm"),
    [
        ("german_whole_first.csv", [550, 650.75]),
        ("quoted_header.csv", [1320.5, 3809.75]),
        ("sep_line.csv", [550]),
        ("tab.xls", [550, 650]),
        ("tab_decimal_comma.txt", [550.25]),
        ("um_cp1252.csv", [550]),
        ("um_utf16.csv", [550]),
    ],
)
def test_heads_and_encodings_of_spreadsheets(name: str, x_nm: list[float]) -> None:
    table = read_table(DATA / "14-text-heads-and-encodings" / name, catalog=CATALOG)
    assert table.x_nm.tolist() == x_nm
    assert name != "quoted_header.csv" or table.frame.tolist() == [6, 7]


def test_a_gain_needs_a_camera_that_has_one() -> None:
    with pytest.raises(ConfigError, match="em_gain 300 has no part in kind: ideal; give kind: emccd"):
        read_camera(DATA / "05-em-gain-without-kind" / "camera.yaml")


def test_a_new_compression_names_its_package_and_a_big_file_is_read() -> None:
    try:
        assert len(sixth_pixels("23-zstd-btf/c_zstd.tif")) == 5
    except MissingExtraError as error:
        assert "pip install imagecodecs" in str(error)  # noqa: PT017  it may be installed
    assert len(sixth_pixels("23-zstd-btf/x.btf")) == 5


@pytest.mark.filterwarnings("ignore:what the network was trained on was not stored")
def test_two_days_of_one_name_are_two_results(tmp_path: Path) -> None:
    camera = read_camera("{kind: scmos, baseline_adu: 100, e_per_adu: 0.5}")
    folder = DATA / "24-same-name-two-days"

    def predict(day: str) -> Written:
        movie = folder / day / "a_MMStack_Pos0.ome.tif"
        asked = Request(folder / "srcnn.pt", movie, tmp_path, camera, measure=False)
        return predict_movie(asked, CATALOG, lambda *_: None)

    table = predict("dayA").table
    assert table is not None
    before = table.read_bytes()
    with pytest.raises(FormatError, match=r"_locs.csv' exists already, of another movie: .*dayA"):
        predict("dayB")
    assert table.read_bytes() == before
    assert predict("dayA").table == table


ROWS_OF_PICASSO = {
    "frame": [0, 7],
    "x_nm": [715, 910],
    "y_nm": [455, 617.5],
    "photons": [900, 800],
    "background_photons": [12, 11],
}


@pytest.mark.parametrize(
    "name",
    [
        *(f"11-picasso-sidecar-tags/{name}.hdf5" for name in ("nparr", "nppix", "nptag", "tuple")),
        "12-picasso-embedded-metadata/embedded.hdf5",
        *(f"13-picasso-pandas-hdf5/pandas_{name}.hdf5" for name in ("fixed", "table")),
    ],
)
def test_tables_and_metadata_of_picasso_in_every_dress(name: str) -> None:
    table = read_table(DATA / name, catalog=CATALOG)
    assert {column: table.columns()[column].tolist() for column in ROWS_OF_PICASSO} == ROWS_OF_PICASSO
    assert (table.n_frames, table.field_nm) == (20, (8320, 4160))
    assert read_table(DATA / name, catalog=CATALOG, options=TableOptions(pixel_size_nm=100.0)).field_nm == (6400, 3200)


@pytest.mark.parametrize("name", ["elyra_full.txt", "elyra_nonul.txt"])
def test_elyra_tables_with_their_foot(name: str) -> None:
    table = read_table(DATA / "22-elyra-txt" / name, catalog=CATALOG)
    assert (table.frame.tolist(), table.x_nm.tolist(), table.y_nm.tolist()) == ([0, 3], [550, 650], [350, 450])
    assert (table.photons.tolist(), table.sigma_x_nm.tolist()) == ([472, 529], [8.6, 9.5])
    columns = {"frame": "First Frame", "x_nm": "Position X [nm]", "y_nm": "Position Y [nm]"}
    with pytest.warns(LossWarning, match="ends above line 5; what stands from there on is not read"):
        table = read_table(DATA / "22-elyra-txt" / name, catalog=CATALOG, options=TableOptions(columns=columns))
    assert (table.frame.tolist(), table.x_nm.tolist()) == ([0, 3], [550, 650])
