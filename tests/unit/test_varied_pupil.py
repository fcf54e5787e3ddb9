"""A pupil that differs from emitter to emitter: the light of the tabled ones, and what varies told by slopes."""

import pytest
import torch

from smlmbench import psf
from smlmbench.errors import ConfigError
from smlmbench.psf.contracts import Stand, Window
from smlmbench.registry import Catalog

CATALOG = Catalog()
WINDOW = Window(17, 100.0)
DEPTHS = {"z_min_nm": 0.0, "z_max_nm": 300.0, "reach_nm": 1800.0}


def made(name: str, **settings):
    return psf.build({"name": name, **settings}, CATALOG)


def stand(n: int = 5) -> Stand:
    draws = torch.Generator().manual_seed(2)
    x, y, z = torch.rand(3, n, generator=draws, dtype=torch.float64)
    return Stand(700 + 300 * x, 700 + 300 * y, 20 + 260 * z)


def test_without_variation_it_is_the_tabled_pupil():
    given = {**DEPTHS, "zernike_mlambda": {"6": 60.0, "7": 30.0}}
    one, other = made("scalar_pupil", **given), made("varied_pupil", **given)
    known, found = one.light(stand(), {}, WINDOW), other.light(stand(), {}, WINDOW)
    assert float((known - found).abs().max()) < 0.01 * float(known.max())
    fixed = {"polar_deg": 60.0, "azimuth_deg": 30.0}
    one = made("vectorial_pupil", dipole="fixed", **fixed, **DEPTHS)
    other = made("varied_pupil", fields="vectorial", **fixed, **DEPTHS)
    shapes = other.shapes(5, torch.Generator().manual_seed(0))
    known, found = one.light(stand(), {}, WINDOW), other.light(stand(), shapes, WINDOW)
    assert float((known - found).abs().max()) < 0.02 * float(known.max())


def test_what_varies_is_drawn_around_what_all_have():
    optics = made("varied_pupil", zernike_mlambda={"5": 40.0}, zernike_half_range_mlambda={"5": 20.0, "8": 10.0})
    shapes = optics.shapes(500, torch.Generator().manual_seed(1))
    assert list(shapes) == ["zernike_5_mlambda", "zernike_8_mlambda"]
    assert 20 <= float(shapes["zernike_5_mlambda"].min()) < 22
    assert 58 < float(shapes["zernike_5_mlambda"].max()) <= 60
    assert -10 <= float(shapes["zernike_8_mlambda"].min()) < -9
    # an emitter with one amplitude has the light of a pupil that has it for all
    one = {"zernike_5_mlambda": torch.tensor([55.0]).double(), "zernike_8_mlambda": torch.tensor([-7.0]).double()}
    same = made("varied_pupil", zernike_mlambda={"5": 55.0, "8": -7.0})
    assert torch.allclose(optics.light(stand(1), one, WINDOW), same.light(stand(1), {}, WINDOW), atol=1e-12)


def test_a_dipole_turned_by_half_a_turn_is_mirrored():
    optics = made("varied_pupil", fields="vectorial", **DEPTHS)
    middle = Stand(*(torch.full((2,), 850.0, dtype=torch.float64),) * 2, torch.full((2,), 150.0, dtype=torch.float64))
    angles = {"polar_deg": torch.tensor([50.0, 50.0]).double(), "azimuth_deg": torch.tensor([20.0, 200.0]).double()}
    light = optics.light(middle, angles, WINDOW)[:, 0]
    assert torch.allclose(light[0], light[1].flip(0, 1), atol=1e-9)
    assert float((light[0] - light[1]).abs().max()) > 0.05 * float(light.max())
    assert optics.periods == {"azimuth_deg": 360.0}
    assert made("varied_pupil").periods == {}


def test_slopes_of_what_varies_agree_with_differences():
    optics = made("varied_pupil", zernike_half_range_mlambda={"6": 50.0})
    amplitude, step = torch.tensor([30.0]).double(), 0.01

    def lit(given):
        return optics.light(stand(1), {"zernike_6_mlambda": given}, WINDOW)

    told = torch.func.jvp(lit, (amplitude,), (torch.ones(1).double(),))[1]
    seen = (lit(amplitude + step) - lit(amplitude - step)) / (2 * step)
    assert torch.allclose(told, seen, atol=1e-6 * float(told.abs().max()))
    assert float(told.abs().max()) > 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"zernike_half_range_mlambda": {"1": 5.0}}, "no index of an aberration"),
        ({"fields": "vectorial"}, "z_min_nm: 0"),
        ({"z_min_nm": 100.0, "z_max_nm": 0.0}, "lies above"),
    ],
)
def test_what_is_no_pupil_is_refused(given, said):
    with pytest.raises(ConfigError, match=said):
        made("varied_pupil", **given)
