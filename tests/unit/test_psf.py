import math

import pytest
import torch

from smlmbench import psf
from smlmbench.errors import ConfigError, UnknownNameError
from smlmbench.psf.contracts import Canvas, Spots, Stand, Window
from smlmbench.psf.draws import drawn, mean_of
from smlmbench.registry import Catalog

PIXEL_NM = 100.0


def spots(x_nm, y_nm, photons, sample=None):
    x = torch.tensor(x_nm, dtype=torch.float64)
    frame = torch.zeros(len(x), dtype=torch.int64) if sample is None else torch.tensor(sample)
    y = torch.tensor(y_nm, dtype=torch.float64)
    return Spots(frame, x, y, torch.zeros(len(x), dtype=torch.float64), torch.tensor(photons, dtype=torch.float32))


def gaussian(sigma_nm=130.0):
    return psf.build({"name": "gaussian", "sigma_nm": sigma_nm}, Catalog())


def render(optics, what, canvas, seed=0):
    return optics.render(what, optics.shapes(len(what), torch.Generator().manual_seed(seed)), canvas)


def whole_frame(what, sigma_nm, canvas):
    """The same sum evaluated on every pixel in float64, without windows."""
    image = torch.zeros(canvas.n_frames, canvas.height, canvas.width, dtype=torch.float64)
    for row in range(len(what)):
        light = []
        for place, size in ((what.y_nm[row], canvas.height), (what.x_nm[row], canvas.width)):
            edges = torch.arange(size + 1, dtype=torch.float64) * canvas.pixel_size_nm - place
            light.append(torch.erf(edges / (math.sqrt(2) * sigma_nm[row])).diff() / 2)
        image[what.sample[row]] += what.photons[row].double() * torch.outer(*light)
    return image


def test_pixels_hold_the_integral_computed_by_hand():
    image = render(gaussian(), spots([450.0], [350.0], [1000.0]), Canvas(1, 8, 9, PIXEL_NM))[0]
    middle = math.erf(50 / (130 * math.sqrt(2)))
    beside = (math.erf(150 / (130 * math.sqrt(2))) - middle) / 2
    assert middle == pytest.approx(0.299486, abs=1e-5)
    assert float(image[3, 4]) == pytest.approx(1000 * middle**2, rel=1e-5)
    assert float(image[3, 5]) == pytest.approx(1000 * middle * beside, rel=1e-5)
    assert float(image[2, 4]) == pytest.approx(1000 * middle * beside, rel=1e-5)


def test_x_runs_along_the_last_axis():
    image = render(gaussian(), spots([1250.0], [350.0], [1.0]), Canvas(1, 16, 16, PIXEL_NM))[0]
    assert divmod(int(image.argmax()), 16) == (3, 12)


def test_all_photons_of_a_spot_land_on_a_large_frame():
    image = render(gaussian(), spots([1600.0, 1534.0], [1600.0, 1711.0], [700.0, 300.0]), Canvas(1, 32, 32, PIXEL_NM))
    assert float(image.sum()) == pytest.approx(1000, rel=5e-5)


@pytest.mark.parametrize("sigma_nm", [60.0, 130.0, {"min": 80.0, "max": 300.0, "law": "uniform"}])
def test_windows_agree_with_the_sum_over_all_pixels(sigma_nm):
    generator = torch.Generator().manual_seed(5)
    places = torch.rand(2, 40, generator=generator, dtype=torch.float64) * 3600 - 600
    what = spots(places[0].tolist(), places[1].tolist(), [1000.0] * 40, [k % 3 for k in range(40)])
    optics, canvas = gaussian(sigma_nm), Canvas(3, 24, 20, PIXEL_NM)
    shapes = optics.shapes(40, generator)
    full = whole_frame(what, shapes["sigma_nm"], canvas)
    assert float((optics.render(what, shapes, canvas) - full).abs().max()) < 1e-4 * float(full.max())


def test_spots_far_outside_leave_nothing_and_reach_says_how_far():
    optics, canvas = gaussian(), Canvas(1, 16, 16, PIXEL_NM)
    assert optics.reach_nm == pytest.approx(585)
    assert float(render(optics, spots([-5000.0, 800.0], [800.0, 9e5], [1e6, 1e6]), canvas).abs().max()) == 0
    assert float(render(optics, spots([-optics.reach_nm], [800.0], [1000.0]), canvas).max()) < 0.01


def test_no_spots_give_empty_frames():
    assert render(gaussian(), spots([], [], []), Canvas(2, 8, 8, PIXEL_NM)).shape == (2, 8, 8)


def test_many_spots_in_blocks_equal_one_block(monkeypatch):
    from smlmbench.psf import gaussian as module

    what = spots([200.0 + 7 * k for k in range(50)], [300.0 + 11 * k for k in range(50)], [100.0] * 50)
    canvas = Canvas(1, 16, 16, PIXEL_NM)
    whole = render(gaussian(), what, canvas)
    monkeypatch.setattr(module, "BLOCK_VALUES", 400)
    assert torch.allclose(render(gaussian(), what, canvas), whole, atol=1e-3)


def test_a_range_of_widths_is_drawn_per_emitter():
    optics = gaussian({"min": 100.0, "max": 200.0, "law": "uniform"})
    widths = optics.shapes(500, torch.Generator().manual_seed(1))["sigma_nm"]
    assert float(widths.min()) >= 100
    assert float(widths.max()) <= 200
    assert float(widths.std()) > 20
    assert optics.sigma_nm == 150
    assert optics.reach_nm == 900


def test_log_uniform_draws_have_their_median_at_the_geometric_mean():
    law = {"min": 1.0, "max": 100.0, "law": "log_uniform"}
    values = drawn(law, 20_000, torch.Generator().manual_seed(2))
    # the median of 20,000 log-uniform values over 4.6 has a standard error of 0.016 in ln
    assert math.log(float(values.median())) == pytest.approx(math.log(10), abs=0.07)
    assert float(values.mean()) == pytest.approx(mean_of(law), rel=0.03)
    assert mean_of(law) == pytest.approx(99 / math.log(100))


def test_defaults_are_filled_and_errors_name_what_is_accepted():
    catalog = Catalog()
    assert psf.build({"name": "gaussian"}, catalog).sigma_nm == 130
    with pytest.raises(ConfigError, match="no name; accepted: .*gaussian"):
        psf.build({"sigma_nm": 100}, catalog)
    with pytest.raises(ConfigError, match="sigma_nm"):
        psf.build({"name": "gaussian", "sigma": 100}, catalog)
    with pytest.raises(ConfigError, match="out of range; accepted: 20 to 1000"):
        psf.build({"name": "gaussian", "sigma_nm": 5}, catalog)
    with pytest.raises(UnknownNameError, match="gaussian"):
        psf.build({"name": "gausian"}, catalog)


def test_slopes_by_hand_are_those_of_the_light():
    optics, n = gaussian({"min": 90, "max": 180}), 6
    numbers = torch.Generator().manual_seed(0)
    shapes, window = optics.shapes(n, numbers), Window(13, PIXEL_NM)
    places = torch.rand(2, n, generator=numbers, dtype=torch.float64) * 100 + 600
    stand = Stand(places[0], places[1], torch.zeros(n, dtype=torch.float64))
    light, along = optics.slopes(stand, shapes, window)
    by_machine = super(type(optics), optics).slopes(stand, shapes, window)
    torch.testing.assert_close(light, by_machine[0], rtol=1e-12, atol=0)
    torch.testing.assert_close(along, by_machine[1], rtol=1e-9, atol=1e-15)
