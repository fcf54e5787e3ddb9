import numpy as np
import pytest
import torch
from emitting import CAMERAS, expected, places, seen
from matched import match

from smlmbench.camera import Camera
from smlmbench.data.contracts import ArrayFrames, Condition
from smlmbench.predictions import Localizations
from smlmbench.references import joint
from smlmbench.references.crowded import lone, nearest, parted
from smlmbench.references.surface import Surface
from smlmbench.registry import Catalog

CATALOG = Catalog()
SIGMA_PX = 1.3
SCMOS = CAMERAS["scmos"]


def condition(frames, camera=None, **more):
    told = {"pixel_size_nm": 100.0, "psf_sigma_nm": 130.0, **({} if camera is None else camera.noise.told())}
    return Condition("t", ArrayFrames(np.asarray(frames, dtype=np.float32)), None, "digest", told=told, **more)


def found(frames, camera=None, *, settings=None, **more):
    filled = CATALOG.card("references", "multi_emitter").fill("multi_emitter", settings or {})
    asked = condition(frames, camera, **more)
    return CATALOG.module("references", "multi_emitter").predict(asked, filled, {}, 0).table


def rows(at, photons, shape):
    """The truth as a table."""
    columns = {"frame": at.frame, "x_nm": at.x_px * 100, "y_nm": at.y_px * 100, "photons": photons + 0 * at.x_px}
    return Localizations.of(columns, n_frames=shape[0], field_nm=(shape[2] * 100.0, shape[1] * 100.0))


def pairs_of(distance_px, n, photons=1000.0, side=24, seed=0):
    """A pair in the middle of every frame, in all directions, and the frames."""
    generator = np.random.default_rng(seed)
    angle, middle = generator.uniform(0, np.pi, n), side / 2 + generator.uniform(-0.5, 0.5, (2, n))
    step = distance_px / 2 * np.stack([np.cos(angle), np.sin(angle)])
    frame = np.arange(n)
    at = places(*np.concatenate([middle + step, middle - step], axis=1), np.concatenate([frame, frame]))
    shape = (n, side, side)
    return rows(at, photons, shape), seen(expected(at, photons, 10.0, shape), Camera(), seed)


def windows(frames, known):
    frames, known = (torch.as_tensor(each, dtype=torch.float64) for each in (frames, known))
    return joint.Windows(frames, known.expand_as(frames), torch.ones_like(frames))


def test_joint_fits_find_what_was_drawn_without_noise():
    at = places([5.2, 7.9, 9.4], [6.6, 6.1, 8.8])
    mean = expected(at, [900.0, 1400.0, 300.0], 7.0, (1, 15, 15))
    start = torch.tensor([[[5.5, 6.2, 700.0], [7.6, 6.5, 700.0], [9.0, 9.2, 700.0]]], dtype=torch.float64)
    fitted = joint.fit(windows(mean, torch.tensor(7.0)), start, SIGMA_PX)
    wanted = np.stack([at.x_px, at.y_px, [900.0, 1400.0, 300.0]], axis=1)
    assert fitted.values[0].numpy() == pytest.approx(wanted, rel=2e-3)
    assert float(fitted.lost) == pytest.approx(0, abs=0.02)


def test_bound_of_a_pair_is_that_of_the_published_kind():
    """1000 photons each on 10 a pixel, 260 nm apart: 10.65 nm along the pair and 6.53 nm across, background known."""
    at = places([8.5 - 1.3, 8.5 + 1.3], [8.5, 8.5])
    mean = expected(at, 1000.0, 10.0, (1, 17, 17))
    values = torch.tensor([[[7.2, 8.5, 1000.0], [9.8, 8.5, 1000.0]]], dtype=torch.float64)
    error_nm = 100 * joint.variances(windows(mean, torch.tensor(10.0)), values, SIGMA_PX)[0, :, :2].sqrt()
    assert error_nm.numpy() == pytest.approx(np.array([[10.65, 6.53], [10.65, 6.53]]), rel=0.02)


def test_pixels_outside_the_frame_tell_nothing():
    at = places([3.4, 6.1], [7.0, 8.2])
    mean = torch.as_tensor(expected(at, 1000.0, 5.0, (1, 15, 15)))
    hidden = joint.Windows(mean.clone(), torch.full_like(mean, 5.0), torch.ones_like(mean))
    hidden.seen[:, :, 11:], hidden.trust[:, :, 11:] = 1e4, 0.0
    start = torch.tensor([[[3.0, 7.4, 800.0], [6.5, 8.0, 800.0]]], dtype=torch.float64)
    fitted = joint.fit(hidden, start, SIGMA_PX).values[0, :, :2]
    assert fitted.numpy() == pytest.approx(np.array([[3.4, 7.0], [6.1, 8.2]]), abs=2e-3)


def test_pairs_two_widths_apart_come_back_within_their_bound():
    truth, frames = pairs_of(2 * SIGMA_PX, 150)
    table = found(frames)
    pairs = match(table, truth, matcher="hungarian")
    two = np.bincount(table.frame, minlength=150) == 2
    assert two.mean() > 0.97
    seen_there = pairs.found[two[table.frame[pairs.found]]]
    true_there = pairs.truth[two[table.frame[pairs.found]]]
    away = np.hypot(table.x_nm[seen_there] - truth.x_nm[true_there], table.y_nm[seen_there] - truth.y_nm[true_there])
    assert np.sqrt((away**2).mean()) < 1.15 * np.hypot(10.65, 6.53)
    claimed = np.sqrt(table.sigma_x_nm**2 + table.sigma_y_nm**2)[seen_there]
    assert (away < 3 * claimed).mean() > 0.98
    assert np.sqrt((away**2 / claimed**2).mean()) == pytest.approx(1, abs=0.12)


@pytest.mark.parametrize(
    ("photons", "camera"), [(300.0, "ideal"), (1000.0, "scmos"), (5000.0, "ideal"), (2000.0, "emccd")]
)
def test_one_emitter_stays_one(photons, camera):
    generator = np.random.default_rng(2)
    n, shape = 200, (200, 20, 20)
    at = places(*generator.uniform(5, 15, (2, n)), np.arange(n))
    table = found(seen(expected(at, photons, 10.0, shape), CAMERAS[camera]), CAMERAS[camera])
    assert (np.bincount(table.frame, minlength=n) == 1).mean() >= 0.95


def test_pairs_that_make_one_maximum_are_divided():
    truth, frames = pairs_of(1.3 * SIGMA_PX, 60)
    table = found(frames)
    assert (np.bincount(table.frame, minlength=60) == 2).mean() > 0.9
    assert len(match(table, truth, lateral_nm=100.0).found) > 0.9 * len(truth)


def test_emitters_at_the_border_keep_their_photons():
    at = places([0.8, 23.0, 12.0], [12.0, 0.6, 23.4], [0, 1, 2])
    table = found(expected(at, 2000.0, 10.0, (3, 24, 24)))
    assert table.frame.tolist() == [0, 1, 2]
    assert table.photons == pytest.approx(np.full(3, 2000.0), rel=0.03)
    assert table.x_nm == pytest.approx(at.x_px * 100, abs=3)
    assert table.y_nm == pytest.approx(at.y_px * 100, abs=3)


def test_three_in_a_clump_are_three():
    n = 60
    x, y = np.array([0.0, 2.6, 1.3]) + 9, np.array([0.0, 0.0, 2.3]) + 9
    at = places(np.tile(x, n), np.tile(y, n), np.repeat(np.arange(n), 3))
    table = found(seen(expected(at, 1500.0, 10.0, (n, 20, 20)), Camera()))
    assert (np.bincount(table.frame, minlength=n) == 3).mean() > 0.9


def crowded(n=6, side=40, per_frame=30, seed=4):
    generator = np.random.default_rng(seed)
    frame = np.repeat(np.arange(n), per_frame)
    at = places(*generator.uniform(0, side, (2, len(frame))), frame)
    return rows(at, 1000.0, (n, side, side)), seen(expected(at, 1000.0, 10.0, (n, side, side)), SCMOS)


def test_crowded_frames_are_mostly_resolved():
    truth, frames = crowded()  # 1.9 emitters per um^2
    table = found(frames, SCMOS)
    pairs = match(table, truth, matcher="hungarian")
    assert len(pairs.found) / (len(table) + len(truth) - len(pairs.found)) > 0.85


def test_order_of_frames_and_direction_do_not_matter():
    _, frames = crowded()
    one, back, turned = found(frames, SCMOS), found(frames[::-1], SCMOS), found(frames[:, :, ::-1], SCMOS)
    assert len(one) == len(back) == len(turned)
    for other, frame, x_nm in ((back, 5 - back.frame, back.x_nm), (turned, turned.frame, 4000 - turned.x_nm)):
        order = np.lexsort((other.y_nm.round(-1), frame))
        own = np.lexsort((one.y_nm.round(-1), one.frame))
        assert np.array_equal(np.sort(frame), np.sort(one.frame))
        assert np.sort(x_nm[order]) == pytest.approx(np.sort(one.x_nm[own]), abs=1.0)


def test_a_frame_is_answered_as_it_is_alone():
    _, frames = crowded()
    table, alone = found(frames, SCMOS), found(frames[2:3], SCMOS)
    inside = table.frame == 2
    assert table.x_nm[inside] == pytest.approx(alone.x_nm, abs=0.01)
    assert table.sigma_x_nm[inside] == pytest.approx(alone.sigma_x_nm, rel=1e-3)


def test_empty_frames_give_an_empty_table():
    generator = np.random.default_rng(0)
    for frames in (np.zeros((3, 16, 16)), np.full((3, 16, 16), 50.0), generator.poisson(0.01, (3, 16, 16))):
        table = found(frames)
        assert len(table) == 0
        assert table.n_frames == 3
        assert table.field_nm == (1600.0, 1600.0)


def test_slopes_and_hot_pixels_are_no_emitters():
    generator = np.random.default_rng(5)
    slope = np.tile(10 * (1 + 0.5 * np.linspace(-1, 1, 64))[:, None], (64, 1, 64))
    assert len(found(seen(slope, SCMOS), SCMOS)) <= 1  # of 262 um^2
    hot = np.full((64, 64, 64), 10.0)
    hot[np.repeat(np.arange(64), 8), *generator.integers(0, 64, (2, 512))] += 60
    assert len(found(seen(hot, SCMOS), SCMOS)) <= 8


def test_background_follows_a_slope_under_emitters():
    at = places([10.0, 30.0, 50.0], [32.0, 32.0, 32.0])
    slope = np.broadcast_to(20 + np.linspace(-10, 10, 64), (1, 64, 64))
    frames = expected(at, 2000.0, 0.0, (1, 64, 64)) + slope
    table = found(frames)
    order = np.argsort(table.x_nm)
    assert table.photons[order] == pytest.approx(np.full(3, 2000.0), rel=0.02)
    assert table.background_photons[order] == pytest.approx(slope[0, 0, [10, 30, 50]], abs=0.5)


def test_noisy_pixels_of_a_map_are_believed_less():
    generator = np.random.default_rng(3)
    added = np.full((32, 32), 2.0)
    added[:, 16:] = 400.0
    frames = 10 + generator.normal(size=(40, 32, 32)) * np.sqrt(10 + added)
    mapped = found(frames, Camera(kind="scmos", read_noise_e=1.4), noise_map=added)
    assert len(mapped) <= 1
    assert len(found(frames, Camera(kind="scmos", read_noise_e=1.4))) > 40
    at = places([8.0, 24.0], [16.0, 16.0])
    one = found(expected(at, 3000.0, 10.0, (1, 32, 32)), Camera(kind="scmos", read_noise_e=1.4), noise_map=added)
    assert one.sigma_x_nm[np.argmax(one.x_nm)] > 2 * one.sigma_x_nm[np.argmin(one.x_nm)]


def test_counts_of_an_unknown_camera_are_fitted_with_the_noise_that_they_show():
    truth, frames = pairs_of(4 * SIGMA_PX, 60)
    table = found(100 + 5 * frames, calibrated=False)
    pairs = match(table, truth)
    assert len(pairs.found) > 0.98 * len(truth)
    assert len(table) - len(pairs.found) <= 2


def test_groups_join_the_closest_and_hold_five_at_most():
    chain = np.column_stack([np.arange(7) * 0.5, np.zeros(7)])
    sizes = sorted(group.shape[1] for found in [list(parted(chain, SIGMA_PX))] for group in found)
    assert max(sizes) <= 5
    members = np.sort(np.concatenate([group.reshape(-1) for group in parted(chain, SIGMA_PX)]))
    assert np.array_equal(members, np.arange(7))
    far = np.array([[0.0, 0.0], [1.0, 0.0], [5.0, 0.0]])  # 5 px are 3.8 widths
    assert sorted(group.tolist() for found in parted(far, SIGMA_PX) for group in found) == [[0, 1], [2]]
    assert list(parted(np.empty((0, 2)), SIGMA_PX)) == []


def test_neighbours_and_lone_places():
    line = np.array([[0.0, 0.0], [1.0, 0.0], [3.0, 0.0]])
    assert nearest(line, np.array([[0.9, 0.0]]), 1.5, 3).tolist() == [[1, 0, -1]]
    assert nearest(np.empty((0, 2)), line, 1.0, 2).tolist() == [[-1, -1]] * 3
    assert lone(line, np.array([1.0, 2.0, 0.5]), 1.5).tolist() == [False, True, True]


@pytest.mark.parametrize("shape", [(40, 30), (64, 5)])
def test_surfaces_hold_planes_up_to_the_borders(shape):
    surface = Surface(*shape, SIGMA_PX, torch.device("cpu"))
    plane = (torch.linspace(3, 9, shape[0])[:, None] + torch.linspace(-1, 2, shape[1])).expand(2, *shape)
    even, uneven = torch.full((2, *shape), 0.3), torch.rand(2, *shape, generator=torch.Generator().manual_seed(1)) + 0.1
    assert surface.fitted(plane, even).numpy() == pytest.approx(plane.numpy(), abs=2e-3)
    assert surface.fitted(plane, uneven).numpy() == pytest.approx(plane.numpy(), abs=0.5)
    spike = plane.clone()
    spike[0, 2, 2], uneven[0, 2, 2] = 1e4, 0.0
    assert surface.fitted(spike, uneven)[0].numpy() == pytest.approx(plane[0].numpy(), abs=0.5)


def test_frames_of_few_pixels_have_a_level():
    surface = Surface(3, 1, SIGMA_PX, torch.device("cpu"))
    assert surface.fitted(torch.full((1, 3, 1), 7.0), torch.ones(1, 3, 1)).numpy() == pytest.approx(
        np.full((1, 3, 1), 7.0)
    )


def test_dim_emitters_are_kept_as_false_detections_are_allowed():
    at = places(np.full(40, 10.3), np.full(40, 9.8), np.arange(40))
    frames = seen(expected(at, 110.0, 10.0, (40, 20, 20)), Camera())
    assert len(found(frames)) > 25
    assert len(found(frames, settings={"false_per_1000um2": 1e-6})) < 15
