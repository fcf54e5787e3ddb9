"""A movie of Picasso, its own table, and our fitter: read, converted, fitted, compared, by commands alone."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from smlmbench.cli import app
from smlmbench.formats import read_table
from smlmbench.registry import Catalog

DATA = Path(os.environ.get("SMLMBENCH_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
FOLDER = DATA / "picasso-dnapaint-sim"
PIXEL_NM = 160

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="picasso-dnapaint-sim is not here; set SMLMBENCH_DATA")


def command(*words: object) -> dict[str, object]:
    result = CliRunner().invoke(app, [*map(str, words), "--json"])
    assert result.exit_code == 0, result.output
    found: dict[str, object] = json.loads(result.stdout)
    return found


def test_picassos_table_survives_two_conversions(tmp_path: Path) -> None:
    theirs, csv, back = FOLDER / "testdata_locs.hdf5", tmp_path / "a.csv", tmp_path / "b.csv"
    done = command("convert", theirs, csv, "--to", "thunderstorm_csv", "--pixel-size-nm", PIXEL_NM)
    assert done["count"] == 564
    assert "net_gradient" in str(done["lost"])
    command("convert", csv, back, "--to", "smlmbench_csv", "--frames", 1000, "--field-nm", 5120, 5120)
    import h5py

    with h5py.File(theirs) as file:
        locs = file["locs"][()]
    ours = read_table(back, catalog=Catalog())
    np.testing.assert_array_equal(ours.frame, locs["frame"])
    np.testing.assert_allclose(ours.x_nm, (locs["x"].astype(float) + 0.5) * PIXEL_NM, rtol=1e-9)
    np.testing.assert_allclose(ours.y_nm, (locs["y"].astype(float) + 0.5) * PIXEL_NM, rtol=1e-9)
    np.testing.assert_allclose(ours.photons, locs["photons"], rtol=1e-9)


def test_our_fitter_agrees_with_picasso(tmp_path: Path) -> None:
    csv = tmp_path / "theirs.csv"
    command(
        *("convert", FOLDER / "testdata_locs.hdf5", csv, "--to", "thunderstorm_csv", "--pixel-size-nm", PIXEL_NM),
    )
    fitted = command(
        *("predict", "peaks_gaussian", FOLDER / "testdata.raw", "--pixel-size-nm", PIXEL_NM),
        *("--set", "sigma_nm=131", "-o", tmp_path),
    )
    scored = command("evaluate", fitted["table"], csv, "--field-nm", 32 * PIXEL_NM, 32 * PIXEL_NM, "--border-nm", 0)[
        "values"
    ]
    assert isinstance(scored, dict)
    assert fitted["frames"] == 1000
    assert scored["jaccard"] > 0.9  # ours also takes dim ones that are below Picasso's gradient
    assert scored["recall"] > 0.99
    assert scored["rmse_nm"] < 3
    # Half a pixel would be 80 nm here, a lost frame would halve the recall.
    assert abs(scored["bias_x_nm"]) < 0.5
    assert abs(scored["bias_y_nm"]) < 0.5


def test_a_fitter_without_a_camera_claims_no_photons(tmp_path: Path) -> None:
    fitted = command(
        *("predict", "peaks_gaussian", FOLDER / "testdata.raw", "--pixel-size-nm", PIXEL_NM, "-o", tmp_path),
    )
    assert Path(str(fitted["table"])).read_text().splitlines()[0] == '"id","frame","x [nm]","y [nm]"'
    camera = "{kind: scmos, baseline_adu: 200, e_per_adu: 2.0}"
    fitted = command(
        *("predict", "peaks_gaussian", FOLDER / "testdata.raw", "--pixel-size-nm", PIXEL_NM),
        *("-o", tmp_path / "photons", "--camera", camera, "--table-format", "picasso_hdf5"),
    )
    table = read_table(Path(str(fitted["table"])), catalog=Catalog())
    assert np.isfinite(table.photons).all()
    assert table.n_frames == 1000


def test_what_picasso_will_drop_is_a_line_and_no_traceback(tmp_path: Path) -> None:
    words = ["predict", "peaks_gaussian", str(FOLDER / "testdata.raw"), "--pixel-size-nm", str(PIXEL_NM)]
    words += [
        "--set",
        "threshold=3.5",
    ]  # so that some lie in the outer half of a border pixel, which Picasso does not have
    result = CliRunner().invoke(app, [*words, "--table-format", "picasso_hdf5", "-o", str(tmp_path)])
    assert result.exit_code == 0, result.output
    said = result.stderr.splitlines()
    assert [line.partition(":")[0] for line in said] == ["smlmbench"] * 2
    assert "rows will be dropped by Picasso" in said[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "needs the camera pixel of the movie; add --pixel-size-nm"),
        (["--pixel-size-nm", "160", "--set", "sigma=3"], "peaks_gaussian.sigma: unknown setting, did you mean"),
        (["--pixel-size-nm", "160", "--set", "sigma_nm"], "not SETTING=VALUE"),
        (["--pixel-size-nm", "160", "--frames", "1:5"], "is a fitter: it takes whole movies"),
    ],
)
def test_a_fitter_refuses_in_one_line(tmp_path: Path, words: list[str], message: str) -> None:
    movie = str(FOLDER / "testdata.raw")
    result = CliRunner().invoke(app, ["predict", "peaks_gaussian", movie, "-o", str(tmp_path), *words])
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
