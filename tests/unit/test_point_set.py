import numpy as np
import pytest
import torch

from smlmbench.data.contracts import Batch
from smlmbench.errors import ConfigError
from smlmbench.losses import mmd
from smlmbench.outputs import point_set
from smlmbench.registry import Catalog
from smlmbench.truths.emitters import Sampled
from smlmbench.truths.target_images import Taught

FLAT = {"pixel_size_nm": 100.0}
DEEP = {"pixel_size_nm": 100.0, "z_low_nm": -500.0, "z_high_nm": 500.0}


def filled(more=FLAT, **chosen):
    return {**Catalog().card("outputs", "point_set").fill("point_set", chosen), **more}


def batch(x_nm, y_nm, z_nm=None, sample=None, *, frames=1, height=8, width=8, pixel_nm=100.0):
    x, y = (torch.as_tensor(at, dtype=torch.float32) for at in (x_nm, y_nm))
    z = torch.zeros_like(x) if z_nm is None else torch.as_tensor(z_nm, dtype=torch.float32)
    sample = torch.zeros(len(x), dtype=torch.int64) if sample is None else torch.as_tensor(sample)
    truth = Sampled(sample, x, y, z, torch.ones_like(x), pixel_nm)
    return Batch(torch.zeros(frames, 1, height, width), truth)


def raw_of(*frames, size=(8, 8)):
    """Raw output whose frames have the given points, (weight, x_px, y_px) or with z_nm."""
    axes = len(frames[0][0]) - 1
    longest = max(len(points) for points in frames)
    rows = [[*points, *[(0.0,) * (1 + axes)] * (longest - len(points))] for points in frames]
    return point_set.framed(torch.tensor(rows, dtype=torch.float32), *size)


def round_trip(made, settings):
    height, width = made.inputs.shape[2:]
    raw = point_set.perfect(point_set.targets(made, settings), settings, height, width)
    return point_set.decode(raw, settings, 0.5)


def test_targets_are_lists_cut_to_the_fullest_frame():
    made = point_set.targets(
        batch([150, 730, 20, 400], [250, 10, 790, 400], [1, 2, 3, 4], [2, 0, 2, 2], frames=3), filled()
    )
    assert made["weights"].tolist() == [[1, 0, 0], [0, 0, 0], [1, 1, 1]]
    assert made["points"][0, 0].tolist() == pytest.approx([7.3, 0.1, 2])
    assert made["points"][2].flatten().tolist() == pytest.approx([1.5, 2.5, 1, 0.2, 7.9, 3, 4, 4, 4])
    assert not made["points"][1].any()


def test_targets_leave_out_what_lies_outside():
    made = point_set.targets(batch([-1, 801, 400, 800], [400, 400, 1201, 1200], height=12), filled())
    assert made["weights"].tolist() == [[1]]
    assert made["points"][0, 0, :2].tolist() == [8, 12]


def test_targets_of_an_empty_batch_have_one_place():
    made = point_set.targets(batch([], [], frames=2), filled())
    assert made["weights"].tolist() == [[0], [0]]
    assert made["points"].shape == (2, 1, 3)


def test_targets_of_images_are_refused():
    with pytest.raises(ConfigError, match="lists emitters, not Taught"):
        point_set.targets(Batch(torch.zeros(1, 1, 8, 8), Taught(torch.zeros(1, 1, 8, 8))), filled())


@pytest.mark.parametrize("pixel_nm", [100.0, 97.3])
def test_positions_come_back_to_the_nanometre_at_every_border(pixel_nm):
    steps = np.array([0, 0.001, 0.25, 0.5, 0.999, 3, 6.5, 7.75, 8])
    places = np.array([(x, y, z) for x in steps for y in (*steps, 11.25, 12) for z in (-499.0, 0.0, 499.5)])
    x, y, z = (places * [pixel_nm, pixel_nm, 1]).astype(np.float32).T
    made = batch(x, y, z, np.arange(len(x)), frames=len(x), height=12, pixel_nm=pixel_nm)
    found = round_trip(made, filled({**DEEP, "pixel_size_nm": pixel_nm}))
    assert found.frame.tolist() == list(range(len(x)))
    assert max(np.abs(found.x_nm - x).max(), np.abs(found.y_nm - y).max(), np.abs(found.z_nm - z).max()) < 0.001
    assert found.field_nm == pytest.approx((8 * pixel_nm, 12 * pixel_nm))
    assert found.probability.tolist() == [1.0] * len(x)


def test_flat_data_have_no_z_column():
    found = round_trip(batch([210], [330], [77]), filled())
    assert np.isnan(found.z_nm).all()
    assert (found.x_nm[0], found.y_nm[0]) == pytest.approx((210, 330), abs=1e-3)


def test_points_that_lie_together_are_one_at_their_weighted_mean():
    found = point_set.decode(raw_of([(0.6, 2.0, 3.0), (0.2, 2.8, 3.4), (0.9, 6.0, 6.0)]), filled(), 0.0)
    assert found.probability.tolist() == pytest.approx([0.8, 0.9])
    assert found.x_nm.tolist() == pytest.approx([220, 600])
    assert found.y_nm.tolist() == pytest.approx([310, 600])


def test_points_hang_together_by_steps_and_never_over_frames():
    chain = [(0.3, 1.0, 1.0), (0.3, 1.9, 1.0), (0.3, 2.8, 1.0)]
    found = point_set.decode(raw_of(chain, chain[:1], chain[1:]), filled(), 0.0)
    assert found.frame.tolist() == [0, 1, 2]
    assert found.probability.tolist() == pytest.approx([0.9, 0.3, 0.6])
    apart = point_set.decode(raw_of(chain), filled(link_nm=80.0), 0.0)
    assert len(apart) == 3
    assert len(point_set.decode(raw_of(chain), filled(link_nm=0.0), 0.0)) == 3


def test_depth_counts_a_fifth_in_linking():
    pair = [(1.0, 4.0, 4.0, -200.0), (0.5, 4.0, 4.0, 280.0)]
    found = point_set.decode(raw_of(pair), filled(DEEP), 0.0)
    assert found.z_nm.tolist() == pytest.approx([-40])
    assert len(point_set.decode(raw_of(pair), filled(DEEP, link_z_scale=0.25), 0.0)) == 2


def test_small_weights_are_left_out_and_the_threshold_only_selects():
    raw = raw_of([(0.0009, 2.0, 2.0), (0.4, 2.1, 2.0), (-0.5, 2.1, 2.0), (0.2, 6.0, 6.0)])
    low, high = (point_set.decode(raw, filled(), threshold) for threshold in (0.0, 0.3))
    assert low.probability.tolist() == pytest.approx([0.4, 0.2])
    assert high.x_nm.tolist() == [low.x_nm[0]] == pytest.approx([210])


def test_decoding_needs_the_camera_pixel():
    with pytest.raises(ConfigError, match="pixel_size_nm"):
        point_set.decode(raw_of([(1.0, 2.0, 2.0)]), {"link_nm": 100.0, "link_z_scale": 0.2}, 0.5)


def direct(found, true, scales, z_scale):
    """The definition, pair by pair."""
    signed = [(w, x * 100, y * 100, z * z_scale) for w, x, y, z in found] + [
        (-1.0, x * 100, y * 100, z * z_scale) for x, y, z in true
    ]
    return sum(
        one[0] * other[0] * np.exp(-np.abs(np.subtract(one[1:], other[1:])).sum() / scale)
        for scale in scales
        for one in signed
        for other in signed
    )


def loss_of(**chosen):
    return mmd.build(Catalog().card("losses", "mmd").fill("mmd", chosen), filled(DEEP))


def test_mmd_of_two_points_by_hand():
    # 30 nm in x and 100 nm in z, a fifth of which counts: 50 nm apart, so 1 + 1 - 2 exp(-50 / 50).
    made = point_set.targets(batch([400], [400], [0]), filled(DEEP))
    said = loss_of(scales_nm=[50.0])(raw_of([(1.0, 4.3, 4.0, 100.0)]), made)
    assert float(said["loss"]) == pytest.approx(2 - 2 * np.exp(-1), rel=1e-5)
    assert float(said["surplus"]) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("z_scale", [0.2, 1.0])
def test_mmd_is_the_double_loop_over_all_pairs(z_scale):
    draws = np.random.default_rng(3)
    found = [np.column_stack([draws.random(6), draws.random((6, 2)) * 8, draws.normal(0, 300, 6)]) for _ in range(2)]
    x, y, z = draws.random(5) * 800, draws.random(5) * 800, draws.normal(0, 300, 5)
    sample = [0, 0, 1, 1, 1]
    made = point_set.targets(batch(x, y, z, sample, frames=2), filled(DEEP))
    raw = raw_of(*([tuple(row) for row in rows] for rows in found))
    true = [[(x[k] / 100, y[k] / 100, z[k]) for k in range(5) if sample[k] == frame] for frame in (0, 1)]
    wanted = np.mean([direct(found[k], true[k], (64, 320, 640, 1920), z_scale) for k in (0, 1)])
    assert float(loss_of(z_scale=z_scale)(raw, made)["loss"]) == pytest.approx(wanted, rel=1e-5)


def test_mmd_does_not_see_padding_nor_the_size_of_the_frame():
    made = point_set.targets(batch([400], [300]), filled())
    padded = {name: torch.nn.functional.pad(made[name], (0,) * (2 * made[name].ndim - 4) + (0, 9)) for name in made}
    raw = raw_of([(0.7, 4.5, 3.0)])
    loss = loss_of()
    assert float(loss(raw, padded)["loss"]) == pytest.approx(float(loss(raw, made)["loss"]), rel=1e-6)
    larger = raw_of([(0.7, 4.5, 3.0)], size=(80, 640))
    assert float(loss(larger, made)["loss"]) == float(loss(raw, made)["loss"])


def test_mmd_is_smallest_at_the_truth():
    made = point_set.targets(batch([400, 100], [300, 700], [50, -100]), filled(DEEP))
    perfect = point_set.perfect(made, filled(DEEP), 8, 8)
    assert float(loss_of()(perfect, made)["loss"]) == pytest.approx(0, abs=1e-5)
