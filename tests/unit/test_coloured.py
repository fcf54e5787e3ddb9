"""PSFs of one microscope at several wavelengths: each is that of its own wavelength, and paths in glass stay paths."""

import pytest
import torch

from smlmbench import psf
from smlmbench.errors import ConfigError
from smlmbench.psf.coloured import COLOUR, Coloured, coloured
from smlmbench.psf.contracts import Canvas, Spots, Stand, Window
from smlmbench.registry import Catalog

PUPIL = {"name": "scalar_pupil", "wavelength_nm": 600.0, "reach_nm": 1200.0, "zernike_mlambda": {"6": 40.0}}
COLOURS = {"green": 500.0, "red": 750.0}
DEPTHS = (-200.0, 200.0)


@pytest.fixture(scope="module")
def microscope() -> Coloured:
    return coloured(PUPIL, COLOURS, DEPTHS, Catalog())


def _stand(n: int) -> Stand:
    at = torch.linspace(700.0, 740.0, n, dtype=torch.float64)
    return Stand(at, at + 10, torch.linspace(*DEPTHS, n, dtype=torch.float64))


def test_each_emitter_has_the_light_of_its_own_wavelength(microscope):
    window, colour = Window(13, 110.0), torch.tensor([1, 0, 0, 1, 0])
    together = microscope.light(_stand(5), {COLOUR: colour}, window)
    for number, (wavelength_nm, mlambda) in enumerate([(500.0, 48.0), (750.0, 32.0)]):
        own = {"wavelength_nm": wavelength_nm, "zernike_mlambda": {"6": mlambda}, "z_min_nm": -200.0, "z_max_nm": 200.0}
        alone = psf.build({**PUPIL, **own}, Catalog()).light(_stand(5), {}, window)
        assert torch.equal(together[colour == number], alone[colour == number])


def test_longer_waves_make_wider_spots(microscope):
    green, red = microscope.parts.values()
    assert red.sigma_nm / green.sigma_nm == pytest.approx(1.5, rel=0.05)
    assert microscope.sigma_nm == pytest.approx((green.sigma_nm + red.sigma_nm) / 2)
    assert microscope.depth_nm == DEPTHS


def test_it_renders_and_has_slopes_like_any_psf(microscope):
    shapes = microscope.shapes(40, torch.Generator().manual_seed(0))
    assert set(shapes[COLOUR].tolist()) == {0, 1}
    spots = Spots(torch.arange(2), *(torch.full((2,), at, dtype=torch.float64) for at in (1650.0, 1650.0, 0.0, 100.0)))
    frames = microscope.render(spots, {COLOUR: torch.tensor([0, 1])}, Canvas(2, 30, 30, 110.0, torch.float64))
    assert torch.allclose(frames.sum(dim=(1, 2)), torch.full((2,), 100.0, dtype=torch.float64), rtol=1e-3)
    assert float(frames[0].max()) > 1.5 * float(frames[1].max())


@pytest.mark.parametrize(
    ("described", "colours", "said"),
    [
        ({"name": "gaussian"}, COLOURS, "not computed from a wavelength.*scalar_pupil, vectorial_pupil"),
        ({"name": "airy"}, COLOURS, "'airy' is not computed"),
        (PUPIL, {}, "names no colour"),
    ],
)
def test_what_has_no_colour_is_refused(described, colours, said):
    with pytest.raises(ConfigError, match=said):
        coloured(described, colours, DEPTHS, Catalog())
