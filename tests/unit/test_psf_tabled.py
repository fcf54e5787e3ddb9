"""The spline of a table against the function that the table was made of."""

import pytest
import torch

from smlmbench import psf
from smlmbench.errors import ConfigError
from smlmbench.psf.contracts import Canvas, Psf, Spots, Stand, Window
from smlmbench.psf.tabled import FINE, Table, Tabled, offsets_nm, squares_nm, summed
from smlmbench.registry import Catalog

PIXEL_NM = 100.0
PITCH_NM = 25.0


def astigmatic(**settings):
    return psf.build({"name": "astigmatic", "range_nm": 500.0, **settings}, Catalog())


class Copy(Tabled):
    """The table of another PSF, one window for each offset."""

    def __init__(self, of: Psf, pitch_nm: float | None = PITCH_NM) -> None:
        super().__init__()
        self.of, self.pitch_nm, self.depth_nm = of, pitch_nm, of.depth_nm

    @property
    def sigma_nm(self) -> float:
        return self.of.sigma_nm

    @property
    def reach_nm(self) -> float:
        return self.of.reach_nm

    def tabulate(self, pixel_size_nm: float) -> Table:
        side = self.side_px(pixel_size_nm)
        first, last = self.depth_nm if self.pitch_nm else (0.0, 0.0)
        planes = round((last - first) / (self.pitch_nm or 1)) + 1
        z = torch.linspace(first, last, planes, dtype=torch.float64)
        found = torch.empty(planes, 1, side * FINE, side * FINE, dtype=torch.float64)
        for down in range(FINE):
            for right in range(FINE):
                # offset (i - FINE side / 2) / FINE of pixel i // FINE
                x, y = ((0.5 + side / 2 - at / FINE) * pixel_size_nm for at in (right, down))
                stand = Stand(torch.full_like(z, x), torch.full_like(z, y), z)
                found[:, :, down::FINE, right::FINE] = self.of.light(stand, {}, Window(side, pixel_size_nm))
        return Table(found.numpy(), first, self.pitch_nm or 1.0)


def stand(n=60, side=31, seed=3, low=-500.0, high=500.0):
    x, y, z = torch.rand(3, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Stand(x * side * PIXEL_NM, y * side * PIXEL_NM, low + (high - low) * z)


@pytest.fixture(scope="module")
def pair():
    exact = astigmatic()
    return exact, Copy(exact)


WINDOW = Window(31, PIXEL_NM)


def test_light_is_that_of_the_function_wherever_the_emitter_stands(pair):
    exact, copied = pair
    there = stand(200)
    light, wanted = (one.light(there, {}, WINDOW) for one in (copied, exact))
    assert light.dtype == torch.float64
    assert float((light - wanted).abs().max()) < 1e-4 * float(wanted.max())


def test_ends_of_the_depths_and_whole_steps_of_the_table_are_exact(pair):
    exact, copied = pair
    x = torch.tensor([1500.0, 1525.0, 1500.0, 1499.9999999], dtype=torch.float64)
    there = Stand(x, x.flip(0), torch.tensor([-500.0, 500.0, 0.0, 25.0], dtype=torch.float64))
    light, wanted = (one.light(there, {}, WINDOW) for one in (copied, exact))
    # the table itself is cut where 3e-6 of the light is left
    assert float((light - wanted).abs().max()) < 1e-6


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")  # torch itself, in jvp
def test_slopes_are_those_of_the_function_and_of_differences(pair):
    exact, copied = pair
    there, half = stand(40), 0.01
    light, slopes = copied.slopes(there, {}, WINDOW)
    _, wanted = exact.slopes(there, {}, WINDOW)
    assert torch.allclose(light, copied.light(there, {}, WINDOW), atol=1e-7)
    for axis, name in enumerate(("x_nm", "y_nm", "z_nm")):
        peak = float(wanted[:, axis].abs().max())
        assert float((slopes - wanted)[:, axis].abs().max()) < 1e-3 * peak
        places = {"x_nm": there.x_nm, "y_nm": there.y_nm, "z_nm": there.z_nm * 0.99}
        ahead, behind = (
            copied.light(Stand(**{**places, name: places[name] + step}), {}, WINDOW) for step in (half, -half)
        )
        _, inner = copied.slopes(Stand(**places), {}, WINDOW)
        assert float((inner[:, axis] - (ahead - behind) / (2 * half)).abs().max()) < 1e-4 * peak


def test_gradients_flow_back_to_all_three_places(pair):
    _, copied = pair
    there = stand(5)
    places = [place.clone().requires_grad_() for place in (there.x_nm, there.y_nm, there.z_nm)]
    weights = torch.rand(5, 1, 31, 31, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (copied.light(Stand(*places), {}, WINDOW) * weights).sum().backward()
    _, slopes = copied.slopes(there, {}, WINDOW)
    wanted = (slopes * weights[:, None]).sum((2, 3, 4))
    for axis, place in enumerate(places):
        assert torch.allclose(place.grad, wanted[:, axis], rtol=1e-4, atol=1e-8)


def test_a_pixel_further_on_the_light_is_the_same_and_all_of_it_stays(pair):
    _, copied = pair
    x = torch.linspace(1500, 1600, 9, dtype=torch.float64)[:-1]
    there = Stand(x, x.flip(0) - 30, torch.linspace(-500, 500, 8, dtype=torch.float64))
    light = copied.light(there, {}, WINDOW)
    moved = copied.light(Stand(x + 100, there.y_nm - 200, there.z_nm), {}, WINDOW)
    assert torch.allclose(moved[..., :-2, 1:], light[..., 2:, :-1], atol=1e-9)
    assert torch.allclose(light.sum((1, 2, 3)), torch.ones(8, dtype=torch.float64), atol=1e-5)


def test_frames_are_drawn_in_float32_and_agree_with_the_function(pair):
    exact, copied = pair
    x, y, z = torch.rand(3, 50, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    spots = Spots(torch.arange(50) % 3, x * 4000 - 400, y * 4000 - 400, z * 1000 - 500, torch.full((50,), 1000.0))
    image, wanted = (one.render(spots, {}, Canvas(3, 32, 32, PIXEL_NM)) for one in (copied, exact))
    assert image.dtype == torch.float32
    assert float((image - wanted).abs().max()) < 1e-4 * float(wanted.max())


def test_one_plane_is_the_same_at_every_depth():
    exact = psf.build({"name": "astigmatic", "depth_of_focus_nm": 5000.0}, Catalog())
    flat = Copy(exact, pitch_nm=None)
    flat.depth_nm = None
    there = stand(20, low=-9000.0, high=9000.0)
    wanted = exact.light(Stand(there.x_nm, there.y_nm, torch.zeros(20, dtype=torch.float64)), {}, WINDOW)
    light, slopes = flat.slopes(there, {}, WINDOW)
    assert float((light - wanted).abs().max()) < 1e-4 * float(wanted.max())
    assert not slopes[:, 2].any()


def test_depths_outside_are_refused_and_few_planes_too(pair):
    exact, copied = pair
    outside = stand(3, low=500.0, high=510.0)
    with pytest.raises(ConfigError, match=r"leave those of the PSF, -500 to 500 nm; give z_nm within them"):
        copied.light(outside, {}, WINDOW)
    with pytest.raises(ConfigError, match="3 planes of depth are too few"):
        Copy(exact, pitch_nm=500.0).light(stand(3), {}, WINDOW)


def test_fine_squares_make_pixels():
    light = torch.rand(2, 1, FINE * 5 + FINE - 1, FINE * 5 + FINE - 1, dtype=torch.float64).numpy()
    pixels = summed(light)
    assert pixels.shape == (2, 1, FINE * 5, FINE * 5)
    assert pixels[1, 0, 7, 3] == pytest.approx(light[1, 0, 7 : 7 + FINE, 3 : 3 + FINE].sum())
    # the first pixel's edge is half a pixel before its centre
    assert squares_nm(5, PIXEL_NM)[0] == offsets_nm(5, PIXEL_NM)[0] - PIXEL_NM / 2
    assert len(squares_nm(5, PIXEL_NM)) == light.shape[-1] + 1
