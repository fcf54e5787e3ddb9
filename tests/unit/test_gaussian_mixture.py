import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from smlmbench.data.contracts import Batch
from smlmbench.errors import ConfigError
from smlmbench.losses import decode_nll
from smlmbench.outputs import gaussian_mixture as mixture
from smlmbench.truths.emitters import Sampled

PIXEL_NM = 100.0
KNOWN = {"photons_high": 4000.0, "background_high": 25.0, "z_low_nm": -400.0, "z_high_nm": 600.0}
ALL = {"lowest": 0.05, "split": 0.6, "pixel_size_nm": PIXEL_NM, **KNOWN}
FLAT = {name: value for name, value in ALL.items() if name not in KNOWN}


def batch(rows, *, samples=1, side=(8, 12), background=None):
    """Rows (sample, x, y, z, photons)."""
    columns = torch.tensor(rows, dtype=torch.float32).reshape(-1, 5).T
    level = None if background is None else torch.tensor(background)
    truth = Sampled(columns[0].long(), *columns[1:], PIXEL_NM, level)
    return Batch(torch.zeros(samples, 1, *side), truth)


def back(rows, chosen=ALL, **how):
    """Through targets, the perfect answer and the decoder."""
    targets = mixture.targets(batch(rows, **how), chosen)
    raw = mixture.perfect(targets, chosen, *how.get("side", (8, 12)))
    assert raw[:, 2:4].abs().max() <= 0.5  # of its own pixel
    return mixture.decode(raw, chosen, 0.5)


def test_lists_are_as_long_as_the_longest_of_the_batch():
    rows = [(2, 150, 250, 100, 700), (0, 10, 20, -400, 1400), (2, 950, 650, 600, 3500), (1, 1300, 20, 0, 500)]
    found = mixture.targets(batch(rows, samples=3, background=[10.0, 20.0, 30.0]), ALL)
    assert found["present"].tolist() == [[1, 0], [0, 0], [1, 1]]
    # 1 of map 1 is 1.75 x 4000 photons; depths run from 100 - 600 to 100 + 600 nm, 1 of map 9 is 30 photons
    assert torch.allclose(found["emitters"][2], torch.tensor([[0.1, 1.5, 2.5, 0.0], [0.5, 9.5, 6.5, 500 / 600]]))
    assert torch.allclose(found["emitters"][0, 0], torch.tensor([0.2, 0.1, 0.2, -500 / 600]))
    assert torch.allclose(found["background"], torch.tensor([1 / 3, 2 / 3, 1.0]))


def test_what_is_not_known_is_not_a_number_and_leaves_no_column():
    found = mixture.targets(batch([(0, 150, 250, 0, 700)]), FLAT)
    assert found["emitters"].isnan().tolist() == [[[True, False, False, True]]]
    assert found["background"].isnan().all()
    table = back([(0, 150, 250, 0, 700)], FLAT)
    assert (table.x_nm[0], table.y_nm[0]) == pytest.approx((150, 250))
    assert np.isnan([table.z_nm, table.photons, table.background_photons, table.sigma_z_nm]).all()
    assert table.more == {}


def test_all_columns_come_back_in_their_units():
    table = back([(0, 333, 777, -250, 1234)], background=[12.5])
    assert (table.x_nm[0], table.y_nm[0], table.z_nm[0]) == pytest.approx((333, 777, -250), abs=1e-2)
    assert (table.photons[0], table.background_photons[0]) == pytest.approx((1234, 12.5), rel=1e-5)
    sigma = mixture.PERFECT_SIGMA
    assert (table.sigma_x_nm[0], table.sigma_z_nm[0]) == pytest.approx((100 * sigma, 600 * sigma))
    assert table.more["sigma_photons"][0] == pytest.approx(7000 * sigma)
    assert table.field_nm == (1200, 800)


@settings(max_examples=200, deadline=None)
@given(
    x=st.floats(0, 1, exclude_max=True, width=32),
    y=st.floats(0, 1, exclude_max=True, width=32),
    z=st.floats(-400, 600, width=32),
    pixel=st.tuples(st.sampled_from([0, 1, 5, 11]), st.sampled_from([0, 1, 4, 7])),
)
def test_a_position_anywhere_in_a_pixel_and_at_every_border_comes_back(x, y, z, pixel):
    rows = [(0, (pixel[0] + x) * PIXEL_NM, (pixel[1] + y) * PIXEL_NM, z, 900)]
    if np.float32(rows[0][1]) >= 1200 or np.float32(rows[0][2]) >= 800:  # rounded onto the edge
        return
    table = back(rows)
    assert len(table) == 1
    away = np.array([table.x_nm[0], table.y_nm[0], table.z_nm[0]]) - np.array(rows[0][1:4])
    assert np.abs(away).max() < 0.02


def test_emitters_outside_the_field_are_no_targets():
    rows = [(0, -1, 50, 0, 900), (0, 50, 801, 0, 900), (0, 1201, 50, 0, 900), (0, 50, -20, 0, 900)]
    found = mixture.targets(batch(rows), ALL)
    assert found["emitters"].shape == (1, 0, 4)
    assert len(back(rows)) == 0


def raw_with(probabilities, side=(8, 12)):
    raw = mixture.silent(torch.zeros(1, 10, *side), ALL)
    for (row, column), p in probabilities.items():
        raw[0, 0, row, column] = p
    return raw


def test_the_score_is_that_of_the_cross():
    found = mixture.decode(raw_with({(3, 4): 0.4, (3, 5): 0.2, (2, 4): 0.1, (4, 5): 0.15}), ALL, 0.0)
    assert found.probability.tolist() == pytest.approx([0.7])  # the diagonal neighbour does not count
    assert (found.x_nm[0], found.y_nm[0]) == (450, 350)


def test_two_emitters_in_adjacent_pixels_survive():
    assert len(mixture.decode(raw_with({(3, 4): 0.9, (3, 5): 0.65}), ALL, 0.5)) == 2
    assert len(mixture.decode(raw_with({(3, 4): 0.9, (3, 5): 0.55}), ALL, 0.5)) == 1
    assert mixture.decode(raw_with({(3, 4): 0.9, (3, 5): 0.65}), ALL, 0.5).probability.tolist() == [1, 1]


@pytest.mark.parametrize("other", [(3, 5), (4, 4), (4, 5), (4, 3)])
def test_of_equal_neighbours_the_first_is_the_candidate(other):
    found = mixture.decode(raw_with({(3, 4): 0.5, other: 0.5}), ALL, 0.0)
    assert (found.x_nm.tolist(), found.y_nm.tolist()) == ([450], [350])


def test_the_threshold_selects_among_the_same_candidates():
    raw = torch.rand(2, 10, 16, 16, generator=torch.Generator().manual_seed(0)) ** 4
    low, high = mixture.decode(raw, ALL, 0.0), mixture.decode(raw, ALL, 0.97)
    kept = low.select(low.probability > 0.97)
    assert 0 < len(high) < len(low)
    assert np.array_equal(kept.x_nm, high.x_nm)


def test_positions_stay_in_the_field():
    raw = raw_with({(0, 0): 0.9, (7, 11): 0.8})
    raw[0, 2:4, 0, 0], raw[0, 2:4, 7, 11] = -1.0, 1.0
    found = mixture.decode(raw, ALL, 0.5)
    assert found.x_nm[0] == 0 == found.y_nm[0]
    assert 1199 < found.x_nm[1] < 1200
    assert 799 < found.y_nm[1] < 800


def test_bad_input_is_refused():
    with pytest.raises(ConfigError, match="takes emitters"):
        mixture.targets(Batch(torch.zeros(1, 1, 8, 8), None), ALL)
    with pytest.raises(ConfigError, match="pixel_size_nm"):
        mixture.decode(torch.zeros(1, 10, 8, 8), {"lowest": 0.05, "split": 0.6}, 0.5)


def test_the_loss_knows_the_maps_of_the_output_kind():
    for name in ("PROBABILITY", "MEANS", "SIGMAS", "BACKGROUND", "X", "Y", "LEAST_SIGMA"):
        assert getattr(decode_nll, name) == getattr(mixture, name), name
    assert pytest.approx(1 / (1 + math.exp(mixture.LOGIT))) == decode_nll.SURE


def normal(at, mean, sigma):
    return math.exp(-0.5 * ((at - mean) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))


def two_pixels():
    """A frame of 1 x 2 pixels, its raw maps and the numbers of each pixel."""
    p, photons, x, y, z, background = [0.75, 0.5], [0.3, 0.6], [0.1, -0.4], [0.2, 0.0], [-0.1, 0.5], [0.2, 0.4]
    sigma = [0.5, 0.25, 0.4, 2.0]
    raw = torch.tensor([p, photons, x, y, z, *([one, one] for one in sigma), background]).view(1, 10, 1, 2)
    return raw, (p, photons, x, y, z, sigma)


def by_hand(numbers, emitter, axes=(0, 1, 2, 3)):
    p, photons, x, y, z, sigma = numbers
    total = 0.0
    for pixel in range(2):
        mean = (photons[pixel], pixel + 0.5 + x[pixel], 0.5 + y[pixel], z[pixel])
        density = math.prod(normal(emitter[axis], mean[axis], sigma[axis]) for axis in axes)
        total += p[pixel] / sum(p) * density
    return -math.log(total)


@pytest.mark.parametrize("count", ["times_n", "once"])
def test_the_loss_is_that_of_the_hand(count):
    raw, numbers = two_pixels()
    emitters = [(0.4, 0.7, 0.6, 0.0), (0.5, 1.2, 0.5, 0.3)]
    targets = {
        "emitters": torch.tensor([emitters]),
        "present": torch.ones(1, 2),
        "background": torch.tensor([0.1]),
    }
    found = decode_nll.build({"count": count}, {})(raw, targets)
    expected, spread = 0.75 + 0.5, 0.75 * 0.25 + 0.25
    number = -math.log(normal(2, expected, math.sqrt(spread))) * (2 if count == "times_n" else 1)
    located = sum(by_hand(numbers, one) for one in emitters)
    background = 0.1**2 + 0.3**2
    assert float(found["count"]) == pytest.approx(number, rel=1e-5)
    assert float(found["located"]) == pytest.approx(located, rel=1e-5)
    assert float(found["background"]) == pytest.approx(background, rel=1e-5)
    assert float(found["loss"]) == pytest.approx(number + located + background, rel=1e-5)


def test_what_is_unknown_is_left_out_of_the_loss():
    raw, numbers = two_pixels()
    raw.requires_grad_()
    targets = {
        "emitters": torch.tensor([[(math.nan, 0.7, 0.6, 0.0), (0.5, 1.2, 0.5, math.nan)]]),
        "present": torch.ones(1, 2),
        "background": torch.tensor([math.nan]),
    }
    found = decode_nll.build({"count": "times_n"}, {})(raw, targets)
    located = by_hand(numbers, (0, 0.7, 0.6, 0.0), (1, 2, 3)) + by_hand(numbers, (0.5, 1.2, 0.5, 0), (0, 1, 2))
    assert float(found["located"]) == pytest.approx(located, rel=1e-5)
    assert float(found["background"]) == 0
    (slope,) = torch.autograd.grad(found["loss"], raw)
    assert slope.isfinite().all()
    assert not slope[:, 9].any()


def test_padding_changes_nothing():
    rows = [(0, 150, 250, 100, 700), (1, 10, 20, -400, 1400), (1, 950, 650, 600, 3500)]
    targets = mixture.targets(batch(rows, samples=2, background=[10.0, 20.0]), ALL)
    raw = torch.rand(2, 10, 8, 12, generator=torch.Generator().manual_seed(1))
    loss = decode_nll.build({"count": "times_n"}, {})
    longer = {"emitters": torch.zeros(2, 250, 4), "present": torch.zeros(2, 250), "background": targets["background"]}
    longer["emitters"][:, :2], longer["present"][:, :2] = targets["emitters"], targets["present"]
    assert float(loss(raw, targets)["loss"]) == pytest.approx(float(loss(raw, longer)["loss"]), rel=1e-6)
