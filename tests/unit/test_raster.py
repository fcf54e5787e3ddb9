import math

import numpy as np
import pytest
import torch

from smlmbench.data.contracts import Batch
from smlmbench.errors import ConfigError
from smlmbench.outputs import raster
from smlmbench.registry import Catalog
from smlmbench.truths.emitters import Sampled
from smlmbench.truths.target_images import Taught


def filled(**chosen):
    return {**Catalog().card("outputs", "raster").fill("raster", chosen), "pixel_size_nm": 100.0}


def batch(x_nm, y_nm, sample=None, *, frames=1, side_px=8):
    x, y = (torch.as_tensor(at, dtype=torch.float32) for at in (x_nm, y_nm))
    sample = torch.zeros(len(x), dtype=torch.int64) if sample is None else torch.as_tensor(sample)
    truth = Sampled(sample, x, y, torch.zeros_like(x), torch.ones_like(x), 100.0)
    return Batch(torch.zeros(frames, 1, side_px, side_px), truth)


def spikes_at(x_nm, y_nm, **chosen):
    return raster.targets(batch(x_nm, y_nm), filled(**chosen))["spikes"][0, 0]


def raw_of(values, side=16):
    """A map with the given {(row, column): value}."""
    raw = torch.zeros(1, 1, side, side)
    for (row, column), value in values.items():
        raw[0, 0, row, column] = value
    return raw


def rows(raw, threshold=0.1, **chosen):
    found = raster.decode(raw, filled(**chosen), threshold)
    fine = 100 / chosen.get("upsampling", 8)
    return [
        (round(float(y / fine), 4), round(float(x / fine), 4), round(float(score), 4))
        for y, x, score in zip(found.y_nm, found.x_nm, found.probability, strict=True)
    ]


@pytest.mark.parametrize(
    ("rule", "x_nm", "column"),
    [
        ("floor", 6.25, 0),
        ("floor", 12.4, 0),
        ("floor", 12.5, 1),
        ("floor", 799.9, 63),
        ("ds", 3.0, 0),
        ("ds", 12.5, 0),
        ("ds", 18.74, 0),
        ("ds", 18.75, 1),
        ("ds", 799.9, 63),
    ],
)
def test_label_rules(rule, x_nm, column):
    spikes = spikes_at([x_nm], [31.0], label_rule=rule)
    assert spikes.nonzero().tolist() == [[2 if rule == "floor" else 1, column]]


def test_a_shared_label_lies_in_the_pixels_around_the_emitter():
    spikes = spikes_at([31.25 + 2.5], [56.25], label_rule="shared")  # 0.2 right of the middle of fine pixel (4, 2)
    assert spikes.nonzero().tolist() == [[4, 2], [4, 3]]
    assert spikes[4, 2:4].tolist() == pytest.approx([80, 20], abs=1e-3)
    corner = spikes_at([1.0], [799.0], label_rule="shared")  # the outermost pixels have it whole
    assert corner[63, 0].item() == pytest.approx(100)
    with pytest.raises(ConfigError, match="binary"):
        spikes_at([1.0], [1.0], label_rule="shared", collisions="binary")


def test_shared_labels_give_positions_back_wherever_they_are_in_a_pixel():
    at = torch.linspace(300, 400, 501)
    emitters = batch(at, at.flip(0), torch.arange(501), frames=501)
    chosen = filled(label_rule="shared")
    spikes = raster.targets(emitters, chosen)["spikes"]
    assert spikes.sum(dim=(1, 2, 3)).numpy() == pytest.approx(np.full(501, 100.0), rel=1e-5)
    found = raster.decode(spikes, chosen, 0.5)
    assert len(found) == 501
    assert np.abs(found.x_nm - at.double().numpy()).max() < 0.01
    assert np.abs(found.y_nm - at.flip(0).double().numpy()).max() < 0.01


def test_emitters_outside_are_dropped_under_every_rule():
    for rule in ("floor", "shared", "ds"):
        assert not spikes_at([-0.1, 800.0, 5.0, 5.0], [5.0, 5.0, -1.0, 801.0], label_rule=rule).any()


def test_collisions_keep_their_mass_or_count_once():
    assert spikes_at([50.0, 51.0], [50.0, 51.0]).max() == 200
    assert spikes_at([50.0, 51.0], [50.0, 51.0], collisions="binary").max() == 100


def test_each_emitter_goes_to_its_own_frame():
    spikes = raster.targets(batch([50.0, 50.0], [50.0, 50.0], [2, 0], frames=3), filled())["spikes"]
    assert spikes.sum(dim=(1, 2, 3)).tolist() == [100.0, 0.0, 100.0]


def test_pixel_three_five_comes_back():
    raw = raster.targets(batch([5.4 * 12.5], [3.2 * 12.5]), filled())["spikes"]
    assert raw[0, 0].nonzero().tolist() == [[3, 5]]
    assert rows(raw) == [(3.5, 5.5, 1.0)]


@pytest.mark.parametrize("upsampling", [1, 2, 4, 8])
def test_isolated_truth_is_found_once_without_bias(upsampling):
    generator = torch.Generator().manual_seed(0)
    centres = torch.arange(6.0, 90.0, 12.0)
    y, x = (at.reshape(-1).repeat(15) for at in torch.meshgrid(centres, centres, indexing="ij"))
    x, y = (100 * (at + 4 * torch.rand(at.shape, generator=generator) - 2) for at in (x, y))
    sample = torch.arange(15).repeat_interleave(len(centres) ** 2)
    chosen = filled(upsampling=upsampling)
    raw = raster.targets(batch(x, y, sample, frames=15, side_px=90), chosen)["spikes"]
    found = raster.decode(raw, chosen, 0.5)
    assert len(found) == len(x)
    fine = 100 / upsampling
    x, y = x.double().numpy(), y.double().numpy()
    truth = np.lexsort((np.floor(x / fine), np.floor(y / fine), sample.numpy()))
    error = np.stack([found.x_nm - x[truth], found.y_nm - y[truth]]) / fine
    # The standard error of the mean of 735 errors of sigma 1 / sqrt(12) is 0.011.
    assert np.abs(error.mean(1)).max() < 0.05
    assert np.sqrt((error**2).mean(1)) == pytest.approx([1 / math.sqrt(12)] * 2, rel=0.05)


def test_half_a_fine_pixel_shows_as_bias():
    x = torch.linspace(100, 700, 2001)[:-1]
    for rule, expected in (("floor", 0.0), ("ds", -0.5)):
        errors = []
        chosen = filled(label_rule=rule)
        for start in range(0, 2000, 500):
            part = x[start : start + 500]
            emitters = batch(part, torch.full_like(part, 400.0), torch.arange(500), frames=500)
            found = raster.decode(raster.targets(emitters, chosen)["spikes"], chosen, 0.5)
            errors.append(found.x_nm - part.double().numpy())
        assert np.mean(np.concatenate(errors)) / 12.5 == pytest.approx(expected, abs=0.02)


def test_a_spike_split_over_pixels_is_one_emitter():
    assert rows(raw_of({(5, 5): 50.0, (5, 6): 50.0})) == [(5.5, 6.0, 1.0)]
    assert rows(raw_of({(5, 5): 25.0, (5, 6): 25.0, (6, 5): 25.0, (6, 6): 25.0})) == [(6.0, 6.0, 1.0)]
    assert rows(raw_of({(5, 5): 50.0, (6, 6): 50.0}), radius=1) == [(6.0, 6.0, 1.0)]
    assert rows(raw_of({(5, 5): 60.0, (6, 6): 40.0})) == [(5.9, 5.9, 1.0)]


def test_mass_beyond_the_window_is_not_counted():
    blob = raw_of(dict(zip([(5, column) for column in range(3, 8)], [10.0, 20.0, 30.0, 20.0, 10.0], strict=True)))
    assert rows(blob, radius=1) == [(5.5, 5.5, 0.7)]
    assert rows(blob, radius=2) == [(5.5, 5.5, 0.9)]


def test_two_emitters_two_pixels_apart_keep_their_places_and_masses():
    found = rows(raw_of({(5, 5): 100.0, (5, 7): 100.0}))
    assert [row[:2] for row in found] == [pytest.approx((5.5, 5.5), abs=1e-3), pytest.approx((5.5, 7.5), abs=1e-3)]
    assert sum(row[2] for row in found) == pytest.approx(2.0)


def test_emitters_in_touching_pixels_are_one_detection_of_both_masses():
    assert rows(raw_of({(5, 5): 100.0, (5, 6): 100.0})) == [(5.5, 6.0, 2.0)]


def test_a_shared_pixel_is_divided():
    found = rows(raw_of({(5, 4): 100.0, (5, 6): 20.0, (5, 8): 100.0}), radius=2)
    assert [row[2] for row in found] == [pytest.approx(1.1, abs=1e-3)] * 2


def test_a_faint_bump_takes_little_of_a_bright_one():
    found = rows(raw_of({(5, 4): 100.0, (5, 5): 40.0, (5, 7): 1.0}), threshold=0.0)
    assert found[0][2] == pytest.approx(1.4, abs=0.001)


def test_a_corner_and_an_edge_are_read_like_the_middle():
    assert rows(raw_of({(0, 0): 100.0, (15, 7): 100.0})) == [(0.5, 0.5, 1.0), (15.5, 7.5, 1.0)]


def test_rows_that_meet_at_the_edge_are_not_neighbours():
    assert len(rows(raw_of({(4, 15): 100.0, (5, 0): 100.0}), upsampling=2)) == 2


def test_a_constant_map_is_one_detection_per_frame():
    found = raster.decode(torch.full((3, 1, 16, 16), 2.0), filled(), 0.1)
    assert found.frame.tolist() == [0, 1, 2]
    assert found.x_nm == pytest.approx([100.0] * 3)
    assert found.probability == pytest.approx([5.12] * 3)


def test_nothing_positive_gives_no_rows_and_the_field():
    found = raster.decode(-torch.rand(2, 1, 16, 24), filled(), 0.0)
    assert (len(found), found.n_frames, found.field_nm) == (0, 2, (300.0, 200.0))


def test_tiny_numbers_do_not_disturb():
    raw = torch.full((1, 1, 16, 16), 1e-40)
    raw[0, 0, 3, 3] = 100.0
    assert rows(raw, threshold=0.0) == [(3.5, 3.5, 1.0)]


def test_half_precision_and_photons():
    found = raster.decode(raw_of({(5, 5): 100.0}).bfloat16(), filled(), 0.5)
    assert len(found) == 1
    assert np.isnan(found.photons).all()


def test_image_is_the_positive_part_in_unit_mass():
    image = raster.image(raw_of({(5, 5): 100.0, (6, 6): -30.0}), filled())
    assert image.shape == (1, 16, 16)
    assert image.sum() == 1


def test_decode_asks_for_the_camera_pixel():
    chosen = filled()
    del chosen["pixel_size_nm"]
    with pytest.raises(ConfigError, match="add the camera pixel in nm"):
        raster.decode(raw_of({}), chosen, 0.5)


def test_target_images_are_learnt_as_they_are_in_label_units():
    wanted = torch.rand(2, 1, 16, 16)
    made = raster.targets(Batch(torch.zeros(2, 1, 8, 8), Taught(wanted)), filled(upsampling=2, amplitude=50.0))
    assert torch.equal(made["spikes"], wanted * 50)


def test_a_truth_that_is_no_place_and_no_image_is_refused():
    with pytest.raises(ConfigError, match="raster draws emitters or target images, not NoneType; choose another"):
        raster.targets(Batch(torch.zeros(1, 1, 8, 8), None), filled())


def test_channels_of_a_frame_make_one_map():
    one = batch([50.0], [50.0])
    several = Batch(one.inputs.expand(1, 6, 8, 8), one.truth)
    assert torch.equal(raster.targets(several, filled())["spikes"], raster.targets(one, filled())["spikes"])
