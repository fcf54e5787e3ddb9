import os
from pathlib import Path

import numpy as np
import pytest

from smlmbench.errors import SizeError
from smlmbench.formats import TableOptions, read_image, read_table
from smlmbench.predictions import Localizations
from smlmbench.registry import Catalog
from smlmbench.render import LabelRule, blur, fine_shape, rasterise, render_table

DATA = Path(os.environ.get("SMLMBENCH_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
TUBULINS = DATA / "deepstorm-bundled-tubulins"


def test_floor_puts_a_position_into_the_pixel_that_holds_it() -> None:
    image = rasterise([0.0, 12.4, 12.5, 49.9], [0.0, 0.0, 30.0, 12.5], (3, 4), 12.5)
    expected = np.zeros((3, 4))
    expected[0, 0], expected[2, 1], expected[1, 3] = 2, 1, 1
    np.testing.assert_array_equal(image, expected)
    assert image.dtype == np.float64


def test_floor_drops_what_lies_outside() -> None:
    assert rasterise([-0.1, 50.0, 1e300, 10.0], [1.0, 1.0, 1.0, 37.5], (3, 4), 12.5).sum() == 0


@pytest.mark.parametrize(
    ("x_px", "column"), [(0.2, 0), (0.5, 0), (1.49, 0), (1.5, 1), (2.5, 2), (3.6, 3), (4.0, 3), (9.0, 3), (-7.0, 0)]
)
def test_ds_is_one_based_rounding_away_from_zero_clamped_to_the_grid(x_px: float, column: int) -> None:
    image = rasterise([x_px * 12.5], [0.0], (1, 4), 12.5, label_rule="ds")
    assert image[0].tolist() == [float(i == column) for i in range(4)]


def test_positions_that_are_not_finite_are_refused() -> None:
    with pytest.raises(SizeError, match="not finite"):
        rasterise([np.nan], [1.0], (1, 1), 10)


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(SizeError, match="accepted: ds, floor"):
        rasterise([1.0], [1.0], (1, 1), 10, label_rule="round")  # type: ignore[arg-type]


def test_blurring_keeps_mass_inside_and_loses_it_over_the_edge() -> None:
    image = np.zeros((2, 21, 21), dtype=np.float32)
    image[0, 10, 10] = image[1, 0, 10] = 1
    out = blur(image, 1.0)
    assert out[0].sum() == pytest.approx(1)
    # At the edge half of the Gaussian is outside, except the row on the edge itself: 1/2 + 0.39894/2.
    assert out[1].sum() == pytest.approx(0.69947, abs=1e-4)
    assert out[0, 10, 10] == pytest.approx(0.15915, abs=1e-4)
    np.testing.assert_array_equal(blur(image, 0), image)


def test_the_grid_covers_the_field() -> None:
    assert fine_shape((6400.0, 3200.0), 12.5) == (256, 512)
    assert fine_shape((0.1 * 3 * 1000, 301.0), 100) == (4, 3)
    with pytest.raises(SizeError):
        fine_shape((0.0, 100.0), 10)


def test_a_table_becomes_an_image() -> None:
    locs = Localizations.of({"frame": [0, 5], "x_nm": [550, 550], "y_nm": [350, 350]}, n_frames=9, field_nm=(800, 600))
    raster = render_table(locs, None, 100)
    assert raster.values.shape == (1, 6, 8)
    assert raster.pixel_nm == 100
    assert raster.values[0, 3, 5] == 2
    assert raster.values.sum() == 2
    assert render_table(locs, (1600.0, 600.0), 100).values.shape == (1, 6, 16)


@pytest.mark.skipif(not TUBULINS.is_dir(), reason="real data are not here")
@pytest.mark.parametrize(
    ("rule", "sigma_px", "nmse"), [("ds", 0, 0.309), ("floor", 0, 0.488), ("ds", 1, 0.111), ("floor", 1, 0.191)]
)
def test_nmse_of_the_published_recovery(
    rule: LabelRule, sigma_px: float, nmse: float, tubulins: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    x_nm, y_nm, recovery = tubulins
    truth = blur(rasterise(x_nm, y_nm, (512, 512), 12.5, rule), sigma_px)
    found = blur(recovery, sigma_px)
    found *= truth.sum() / found.sum()
    assert ((found - truth) ** 2).sum() / (truth**2).sum() == pytest.approx(nmse, abs=5e-4)


@pytest.fixture(scope="module")
def tubulins() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    catalog = Catalog()
    table = read_table(TUBULINS / "Positions_Bundeld_Tubulin_Recreated.xlsx", catalog=catalog, options=TableOptions())
    return table.x_nm, table.y_nm, read_image(TUBULINS / "Recovery_SimulatedMicrotubules.mat", catalog=catalog)
