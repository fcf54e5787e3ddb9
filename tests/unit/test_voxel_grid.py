"""Voxel grid: where a position goes, and where it is read out again."""

import numpy as np
import pytest
import torch

from smlmbench.conformance import examples
from smlmbench.data.contracts import Batch
from smlmbench.errors import ConfigError
from smlmbench.outputs import raster, voxel_grid
from smlmbench.outputs.peaks import peaks
from smlmbench.registry import Catalog
from smlmbench.truths.emitters import Sampled

LOW_NM, HIGH_NM, PLANES, SIDE_PX = -600.0, 700.0, 13, 8  # planes of 100 nm


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def filled(**chosen):
    told = {"pixel_size_nm": 100.0, "z_low_nm": LOW_NM, "z_high_nm": HIGH_NM}
    told |= {name: chosen.pop(name) for name in list(chosen) if name in told}
    return {**Catalog().card("outputs", "voxel_grid").fill("voxel_grid", chosen), **told}


def one_each(x_nm, y_nm, z_nm, side_px=SIDE_PX):
    """A frame for each emitter."""
    x, y, z = (torch.as_tensor(at, dtype=torch.float32) for at in (x_nm, y_nm, z_nm))
    truth = Sampled(torch.arange(len(x)), x, y, z, torch.ones_like(x), 100.0)
    return Batch(torch.zeros(len(x), 1, side_px, side_px), truth)


def there_and_back(places, **chosen):
    """Errors (n, 3) of x, y, z in nm, one emitter in a frame."""
    settings = filled(**chosen)
    raw = voxel_grid.targets(one_each(*places.T), settings)["spikes"]
    found = voxel_grid.decode(raw, settings, 0.5)
    assert found.frame.tolist() == list(range(len(places)))
    assert found.probability == pytest.approx(np.ones(len(places)), abs=1e-5)
    return np.stack([found.x_nm, found.y_nm, found.z_nm], axis=1) - places.astype(np.float32).astype(np.float64)


def anywhere(n, rng, margin_nm=0.0):
    """Places all over the volume, `margin_nm` from its faces."""
    low = np.array([0.0, 0.0, LOW_NM])
    high = np.array([100.0 * SIDE_PX, 100.0 * SIDE_PX, HIGH_NM])
    return rng.uniform(low + margin_nm, high - margin_nm, (n, 3))


@pytest.mark.parametrize("upsampling", [1, 2, 4])
def test_a_position_comes_back_within_half_a_voxel_and_without_bias(upsampling, rng):
    # A stratified sweep of the volume, faces included, has a mean error far below that of random places.
    n = 1000
    order = np.stack([rng.permutation(n) for _ in range(3)], axis=1)
    unit = (order + 0.5) / n
    places = unit * [100.0 * SIDE_PX, 100.0 * SIDE_PX, HIGH_NM - LOW_NM] + [0.0, 0.0, LOW_NM]
    errors = there_and_back(places, upsampling=upsampling, planes=PLANES)
    voxel = np.array([100.0 / upsampling, 100.0 / upsampling, 100.0])
    assert (np.abs(errors) <= voxel / 2 + 1e-3).all()
    assert np.abs(errors.mean(axis=0)).max() < 1.0
    assert errors.std(axis=0) == pytest.approx(voxel / np.sqrt(12), rel=0.03)


@pytest.mark.parametrize("upsampling", [1, 2, 4])
def test_shared_among_its_neighbours_a_position_comes_back_to_a_thousandth_of_a_nanometre(upsampling, rng):
    places = anywhere(500, rng, margin_nm=50.0)
    errors = there_and_back(places, upsampling=upsampling, planes=PLANES, label_rule="linear")
    assert np.abs(errors).max() < 2e-3


def test_at_the_faces_sharing_is_half_a_voxel_off_at_most(rng):
    places = anywhere(100, rng)
    places[:, 0] = rng.uniform(0, 24.9, 100)
    errors = there_and_back(places, upsampling=2, planes=PLANES, label_rule="linear")
    assert np.abs(errors[:, 0]).max() <= 25.0
    assert np.abs(errors[:, 1:]).max() <= 50.0


def test_the_corners_of_the_volume_are_voxels_like_any_other():
    sides = [0.0, 799.99]
    corners = np.array([[x, y, z] for x in sides for y in sides for z in (LOW_NM, HIGH_NM - 0.01)])
    errors = there_and_back(corners, upsampling=4, planes=PLANES)
    assert np.abs(errors).max(axis=0) == pytest.approx([12.5, 12.5, 50.0], abs=0.02)


def test_a_blob_is_read_out_at_its_centre_to_a_nanometre(rng):
    settings = filled(upsampling=4, planes=PLANES, radius=4, radius_z=4)
    centre = np.array([412.0, 337.0, 83.0])
    index = np.array([centre[2] - LOW_NM, 4 * centre[1], 4 * centre[0]]) / 100 - 0.5
    axes = [torch.exp(-0.5 * ((torch.arange(n) - at) / 0.9) ** 2) for n, at in zip((13, 32, 32), index, strict=True)]
    blob = 40 * axes[0][:, None, None] * axes[1][:, None] * axes[2]
    found = voxel_grid.decode(blob[None], settings, 0.01)
    assert [found.x_nm[0], found.y_nm[0], found.z_nm[0]] == pytest.approx(centre, abs=1.0)
    assert found.probability[0] == pytest.approx(float(blob.sum()) / 800, rel=1e-3)


def test_depths_beyond_the_planes_count_to_the_last_and_unknown_ones_nowhere():
    settings = filled(upsampling=1, planes=PLANES)
    spikes = voxel_grid.targets(one_each([50] * 4, [50] * 4, [-900, 900, float("nan"), 0]), settings)["spikes"]
    assert [spikes[at, :, 0, 0].nonzero().flatten().tolist() for at in range(4)] == [[0], [12], [], [6]]


def test_nothing_is_drawn_from_outside_the_field():
    batch = one_each([-0.1, 800, 600, 600], [600, 600, -0.1, 800], [0.0] * 4)
    for rule in ("floor", "linear"):
        assert not voxel_grid.targets(batch, filled(label_rule=rule))["spikes"].any()


def test_emitters_in_one_voxel_are_summed():
    batch = one_each([610.0, 612.0], [610.0, 612.0], [3.0, 4.0])
    batch.truth.sample[:] = 0
    assert voxel_grid.targets(batch, filled())["spikes"].max() == 1600


@pytest.mark.parametrize("told", [{"z_low_nm": 0.0, "z_high_nm": 0.0}, {"z_low_nm": 30.0, "z_high_nm": 30.0}, None])
def test_without_depth_there_is_one_plane_and_no_z(told, rng):
    settings = {**filled(upsampling=2), **(told or {})}
    if told is None:
        del settings["z_low_nm"], settings["z_high_nm"]
    batch = one_each(*anywhere(300, rng).T)
    raw = voxel_grid.targets(batch, settings)["spikes"]
    assert raw.shape == (300, 1, 16, 16)
    found = voxel_grid.decode(raw, settings, 0.5)
    assert len(found) == 300
    assert np.isnan(found.z_nm).all()
    assert np.abs(found.x_nm - batch.truth.x_nm.double().numpy()).max() <= 25.001


def test_two_emitters_above_each_other_are_two():
    settings = filled(upsampling=2, planes=PLANES, radius_z=1)
    batch = one_each([610.0, 610.0], [610.0, 610.0], [-250.0, 50.0])
    batch.truth.sample[:] = 0
    found = voxel_grid.decode(voxel_grid.targets(batch, settings)["spikes"], settings, 0.5)
    assert sorted(found.z_nm) == pytest.approx([-250.0, 50.0], abs=1.0)
    assert found.probability == pytest.approx([1.0, 1.0], abs=0.01)


def test_a_score_is_the_mass_of_the_window_and_no_mass_counts_twice(rng):
    settings = filled(upsampling=2, planes=PLANES)
    raw = torch.from_numpy(rng.uniform(0, 1, (2, PLANES, 24, 24)).astype(np.float32)) ** 8 * 800
    found = voxel_grid.decode(raw, settings, 0.0)
    assert 0 < found.probability.sum() <= float(raw.sum()) / 800 * (1 + 1e-5)


def test_many_frames_are_read_out_as_each_alone(monkeypatch, rng):
    settings = filled(upsampling=2, planes=PLANES)
    raw = torch.from_numpy(rng.uniform(0, 1, (5, PLANES, 24, 24)).astype(np.float32)) ** 8 * 800
    together = voxel_grid.decode(raw, settings, 0.1)
    monkeypatch.setattr(voxel_grid, "VOXELS_AT_ONCE", 1)
    alone = voxel_grid.decode(raw, settings, 0.1)
    for name in ("frame", "x_nm", "y_nm", "z_nm", "probability"):
        assert np.array_equal(getattr(together, name), getattr(alone, name)), name


def test_memory_in_another_order_changes_nothing(rng):
    settings = filled(upsampling=2, planes=PLANES)
    raw = torch.from_numpy(rng.uniform(0, 1, (2, PLANES, 24, 24)).astype(np.float32)) ** 8 * 800
    here, there = (voxel_grid.decode(one, settings, 0.1) for one in (raw, raw.to(memory_format=torch.channels_last)))
    assert len(here) > 20
    assert np.array_equal(here.x_nm, there.x_nm)
    assert np.array_equal(here.z_nm, there.z_nm)


def test_what_lies_beyond_the_stated_reach_changes_nothing(rng):
    settings = filled(upsampling=2, planes=5, radius=2, radius_z=1)
    raw = torch.from_numpy(rng.uniform(0, 1, (4, 5, 40, 40)).astype(np.float32)) * 800
    reach, other = voxel_grid.reach_fine_px(settings), raw.clone()
    other[..., 20 + reach :] = 0
    here, there = (voxel_grid.decode(one, settings, 0.0) for one in (raw, other))
    left = [found.select(found.x_nm < 20 * 50.0) for found in (here, there)]
    assert len(left[0]) > 50
    assert np.array_equal(left[0].x_nm, left[1].x_nm)
    assert np.array_equal(left[0].probability, left[1].probability)


def test_one_plane_is_read_out_as_a_raster_is(rng):
    raw = torch.from_numpy(rng.uniform(0, 1, (2, 1, 24, 24)).astype(np.float32)) ** 6 * 100
    flat = {
        **Catalog().card("outputs", "raster").fill("raster", {"upsampling": 4, "radius": 2}),
        "pixel_size_nm": 100.0,
    }
    deep = filled(upsampling=4, amplitude=100.0, radius=2, z_low_nm=0.0, z_high_nm=0.0)
    one, other = raster.decode(raw, flat, 0.05), voxel_grid.decode(raw, deep, 0.05)
    assert len(one) > 10
    assert np.array_equal(one.x_nm, other.x_nm)
    assert np.array_equal(one.probability, other.probability)


def test_equal_neighbours_through_the_planes_are_one_candidate():
    volume = torch.zeros(2, 4, 6, 6)
    volume[0, 1, 2, 2] = volume[0, 2, 3, 3] = 5.0
    volume[1, 3, 5, 5] = volume[0, 3, 0, 0] = 1.0  # last of a frame and first of the next stay apart
    found = peaks(volume, (1, 1, 1))
    assert found.frame.tolist() == [0, 0, 1]
    assert [round(float(at), 6) for at in (found.z[0], found.y[0], found.x[0], found.mass[0])] == [1.5, 2.5, 2.5, 10.0]


def test_the_image_is_the_sum_over_depth():
    settings = filled(upsampling=2, planes=PLANES)
    raw = voxel_grid.targets(one_each([610.0], [310.0], [3.0]), settings)["spikes"]
    raw[0, 4, 0, 0] = -300.0
    image = voxel_grid.image(raw, settings)
    assert image.shape == (1, 16, 16)
    assert image.nonzero().tolist() == [[0, 6, 12]]
    assert float(image.sum()) == 1.0


def test_another_truth_and_a_missing_pixel_size_are_refused_in_one_line():
    with pytest.raises(ConfigError, match="voxel_grid draws emitters, not str; choose another output"):
        voxel_grid.targets(Batch(torch.zeros(1, 1, 8, 8), "a text"), filled())
    settings = filled()
    del settings["pixel_size_nm"]
    with pytest.raises(ConfigError, match="add the camera pixel in nm"):
        voxel_grid.decode(torch.zeros(1, 13, 8, 8), settings, 0.5)


def test_examples_are_found_at_their_depth():
    batch, settings = examples.batch(), filled(upsampling=4)
    found = voxel_grid.decode(voxel_grid.targets(batch, settings)["spikes"], settings, 0.5)
    assert len(found) == len(batch.truth.sample)
    assert np.abs(found.z_nm).max() <= 50.0
