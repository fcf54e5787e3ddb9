import os
from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtr

from smlmbench.formats import find, open_movie, read_image, read_table
from smlmbench.registry import Catalog

CATALOG = Catalog()
DATA = Path(os.environ.get("SMLMBENCH_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
TUBULINS = "deepstorm-bundled-tubulins"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="real data are not here; set SMLMBENCH_DATA")


def real(name: str) -> Path:
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"{name} is not among the real data")
    return path


def test_truth_of_the_training_movie() -> None:
    path = real(f"{TUBULINS}/positions_demo1.csv")
    assert find(path, "table", catalog=CATALOG) == "thunderstorm_csv"
    locs = read_table(path, catalog=CATALOG)
    assert (len(locs), locs.n_frames, locs.frame.min()) == (4956, 20, 0)
    counts = np.bincount(locs.frame)
    assert (counts.min(), counts.max()) == (213, 282)
    assert counts.mean() / 40.96 == pytest.approx(6.05, abs=0.005)
    assert (locs.x_nm[0], locs.y_nm[0], locs.photons[0]) == (67.843, 2484.15594, 2458.46515)
    assert 2000 <= locs.photons.min() <= locs.photons.max() <= 2500
    assert np.isnan(locs.background_photons).all()


def test_truth_of_the_test_movie_is_a_workbook() -> None:
    locs = read_table(real(f"{TUBULINS}/Positions_Bundeld_Tubulin_Recreated.xlsx"), catalog=CATALOG)
    assert (len(locs), locs.n_frames, locs.frame.min()) == (81178, 361, 0)
    counts = np.bincount(locs.frame)
    assert (counts.min(), counts.max()) == (176, 267)
    assert (locs.x_nm[0], locs.y_nm[0]) == (777.32214, 3753.63916)
    assert (round(locs.x_nm.min()), round(locs.x_nm.max())) == (663, 5899)
    assert (round(locs.y_nm.min()), round(locs.y_nm.max())) == (638, 5612)
    assert np.isnan(locs.photons).all()


@pytest.mark.parametrize(
    ("name", "rows", "n_frames", "photons"),
    [
        ("nairr-2dgauss-ld/2DGauss_LD_Train_xy.csv", 10767, 1000, 3000),
        ("nairr-3das-ld/3DAS_LD_Validate_xyz.csv", 4225, 500, 2400),
    ],
)
def test_molecules_of_a_table_that_names_them(name: str, rows: int, n_frames: int, photons: float) -> None:
    locs = read_table(real(name), catalog=CATALOG)
    assert (len(locs), locs.n_frames, locs.frame.min()) == (rows, n_frames, 0)
    assert set(locs.photons) == {photons}
    assert locs.molecule is not None
    pairs = np.stack([locs.frame, locs.molecule], axis=1)
    assert len(np.unique(pairs, axis=0)) == rows
    assert len(np.unique(locs.molecule)) < rows
    assert np.isnan(locs.z_nm).all() == ("2DGauss" in name)


@pytest.mark.parametrize(
    ("name", "shape", "dtype"),
    [
        (f"{TUBULINS}/ArtificialDataset_demo1.tif", (20, 64, 64), "uint16"),
        (f"{TUBULINS}/testStack_SimulatedMicrotubules.tif", (361, 64, 64), "uint16"),
        ("nairr-2dgauss-ld/2DGauss_LD_Train_Frame.tif", (1000, 32, 32), "uint16"),
        ("nairr-3das-ld/3DAS_LD_Validate_Frame.tif", (500, 32, 32), "uint16"),
        ("deepnebulae-beads/edof_bead_stack.tiff", (54, 121, 121), "uint16"),
        ("deepnebulae-beads/tetrapod_bead_stack.tiff", (54, 121, 121), "uint16"),
        ("deepstorm3d-tetrapod-storm/frames/1.tif", (1, 297, 391), "uint16"),
        ("nanoj-squirrel-fig3/Figure 3 - super-resolution stack.tif", (3, 300, 300), "float32"),
        ("nanoj-squirrel-fig3/Figure 3 - widefield reference image.tif", (1, 60, 60), "uint16"),
    ],
)
def test_movies_of_several_programs(name: str, shape: tuple[int, int, int], dtype: str) -> None:
    movie = open_movie(real(name), catalog=CATALOG)
    assert (movie.n_frames, movie.height, movie.width) == shape
    assert movie.dtype == np.dtype(dtype)
    first, last = movie.read(0, 1)[0], movie.read(movie.n_frames - 1, movie.n_frames)[0]
    assert first.shape == last.shape == shape[1:]
    assert first.max() > first.min()
    movie.close()


def test_counts_of_whole_movies() -> None:
    movie = open_movie(real(f"{TUBULINS}/ArtificialDataset_demo1.tif"), catalog=CATALOG)
    counts = movie.read(0, 20)
    movie.close()
    assert (counts.min(), counts.max()) == (105, 2472)
    assert counts.mean() == pytest.approx(405.0, abs=0.05)
    beads = open_movie(real("deepnebulae-beads/edof_bead_stack.tiff"), catalog=CATALOG)
    assert beads.read(0, 54).max() == 9509
    beads.close()
    frames = open_movie(real("nairr-2dgauss-ld/2DGauss_LD_Train_Frame.tif"), catalog=CATALOG)
    assert frames.read(877, 878).max() == 0
    frames.close()


def test_table_and_movie_agree_on_origin_axes_and_frames() -> None:
    """Gaussians drawn from the table fit the frames best where no half pixel, swap or frame is lost."""
    locs = read_table(real("nairr-2dgauss-ld/2DGauss_LD_Validate_xy.csv"), catalog=CATALOG)
    movie = open_movie(real("nairr-2dgauss-ld/2DGauss_LD_Validate_Frame.tif"), catalog=CATALOG)
    n = 40
    frames = movie.read(0, n).astype(float)
    movie.close()

    def agreement(x_nm: np.ndarray, y_nm: np.ndarray, late: int = 0) -> float:
        edges = np.arange(33) * 100
        along_x, along_y = (np.diff(ndtr((edges - v[:, None]) / 108.8), axis=1) for v in (x_nm, y_nm))
        drawn = np.zeros((n, 32, 32))
        kept = (locs.frame + late >= 0) & (locs.frame + late < n)
        np.add.at(drawn, locs.frame[kept] + late, along_y[kept, :, None] * along_x[kept, None, :])
        return float(np.corrcoef(drawn.ravel(), frames.ravel())[0, 1])

    right = agreement(locs.x_nm, locs.y_nm)
    assert right > 0.8
    for dx, dy in ((25, 0), (-25, 0), (0, 25), (0, -25)):
        assert agreement(locs.x_nm + dx, locs.y_nm + dy) < right
    assert agreement(locs.y_nm, locs.x_nm) < 0.5 * right
    assert agreement(locs.x_nm, locs.y_nm, late=20) < 0.5 * right


def test_the_published_recovery() -> None:
    image = read_image(real(f"{TUBULINS}/Recovery_SimulatedMicrotubules.mat"), catalog=CATALOG)
    assert image.shape == (512, 512)
    assert image.dtype == np.float32
    assert image.sum(dtype=np.float64) == pytest.approx(2.147e6, rel=1e-3)
    assert image.max() == pytest.approx(375.6, abs=0.05)
