import math

import numpy as np
import pytest
import torch

from smlmbench import psf
from smlmbench.camera import Camera
from smlmbench.registry import Catalog
from smlmbench.simulate import draw, draw_signal_free
from smlmbench.simulate.chance import Fast
from smlmbench.simulate.curves import Course, grow
from smlmbench.simulate.places import Region
from smlmbench.study.sources import Range, SimulateSource

EMCCD = Camera(kind="emccd", baseline_adu=100, e_per_adu=45, em_gain=300, read_noise_e=74.4)
SCMOS = Camera(kind="scmos", baseline_adu=100, e_per_adu=0.5, read_noise_e=1.6)


def optics(source):
    return psf.build(source.psf, Catalog())


def drawn(seed=1, count=64, structure_seed=None, **described):
    source = SimulateSource(**described)
    return draw(source, optics(source), seed, count, structure_seed)


def test_truth_lies_in_the_field_and_is_ordered_by_frame():
    frames, emitters = drawn(density_per_um2=2.0, field_px=24)
    assert frames.shape == (64, 24, 24)
    assert frames.dtype == torch.float32
    assert bool((emitters.frame.diff() >= 0).all())
    for place in (emitters.x_nm, emitters.y_nm):
        assert float(place.min()) >= 0
        assert float(place.max()) < 2400
    assert int(emitters.frame.max()) < 64


@pytest.mark.parametrize("structure", ["uniform", "filaments"])
def test_number_of_emitters_is_density_times_area(structure):
    counts = [len(drawn(seed, 64, structure=structure, density_per_um2=1.5, field_px=64)[1]) for seed in range(4)]
    expected = 4 * 64 * 1.5 * 40.96
    # Poisson, and a lateral spread that loses nothing on average; filaments add the spread of line ends
    assert sum(counts) == pytest.approx(expected, abs=5 * math.sqrt(expected) + (0.01 * expected))


def test_mean_pixel_is_background_plus_photons_of_the_density():
    frames, emitters = drawn(count=256, density_per_um2=1.0, photons=1000.0, background_photons=20.0)
    # tails of the margin replace those that leave: the mean flux is density x photons x pixel area
    assert float(frames.mean()) == pytest.approx(20 + 1000 * 1.0 * 0.01, rel=0.04)
    assert set(emitters.photons.tolist()) == {1000.0}
    assert set(emitters.background_photons.tolist()) == {20.0}


def test_light_at_the_border_is_as_strong_as_in_the_middle():
    frames, _ = drawn(count=512, density_per_um2=3.0, photons=1000.0, background_photons=0.0)
    mean = frames.mean(dim=0)
    rim = torch.cat((mean[0], mean[-1], mean[:, 0], mean[:, -1])).mean()
    # 5 % is 4 standard errors of the rim; without emitters outside it would be near half
    assert float(rim / mean[8:24, 8:24].mean()) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("camera", [Camera(), SCMOS, EMCCD])
def test_camera_adds_its_noise_and_is_inverted_for_the_mean(camera):
    frames, _ = drawn(count=64, density_per_um2=1e-6, background_photons=25.0, camera=camera)
    variance = {"ideal": 25.0, "scmos": 25 + 1.6**2 + 0.25 / 12, "emccd": 50 + (74.4 / 300) ** 2 + 0.15**2 / 12}
    assert float(frames.mean()) == pytest.approx(25, abs=4 * math.sqrt(variance[camera.kind] / frames.numel()) + 0.01)
    assert float(frames.var()) == pytest.approx(variance[camera.kind], rel=0.04)


def test_ranges_are_drawn_per_emitter_and_per_frame():
    _, emitters = drawn(
        count=128,
        density_per_um2=Range(min=0.2, max=8, law="log_uniform"),
        photons=Range(min=200, max=400),
        background_photons=Range(min=5, max=50),
    )
    assert 200 <= float(emitters.photons.min()) < 210
    assert 390 < float(emitters.photons.max()) <= 400
    of_frame = [set(emitters.background_photons[emitters.frame == frame].tolist()) for frame in range(128)]
    assert all(len(values) <= 1 for values in of_frame)
    assert len(set().union(*of_frame)) > 100
    counts = np.bincount(emitters.frame.numpy(), minlength=128)
    assert counts.max() > 10 * max(1, counts.min())


def distances_to(course, region, seed, emitters):
    """Distance of each emitter from the nearest piece of the curves of this seed."""
    curves = grow(course, region, 1, Fast.of(seed))
    places = torch.stack((emitters.x_nm, emitters.y_nm, emitters.z_nm), dim=1)[:, None]
    along = ((places - curves.start) * curves.step).sum(-1) / curves.step.square().sum(-1)
    nearest = curves.start + along.clamp(0, 1)[..., None] * curves.step
    return (places - nearest).norm(dim=-1).min(dim=1).values


def test_filaments_of_one_structure_seed_are_the_same_in_every_frame():
    structure = {"name": "filaments", "filaments": 40, "width_nm": 15}
    source = SimulateSource(structure=structure, density_per_um2=4.0)
    region = Region(3200.0, optics(source).reach_nm)
    _, emitters = draw(source, optics(source), 1, 32, structure_seed=77)
    course = Course(10, 0.3)  # of 40 in 6.4 x 6.4 um, in 3.2 x 3.2 um
    away = distances_to(course, region, 77, emitters)
    assert float(away.max()) < 5 * 15 + 1
    assert float(away.median()) == pytest.approx(0.6745 * 15, rel=0.2)
    assert float(distances_to(course, region, 78, emitters).median()) > 30


def test_without_a_structure_seed_every_frame_has_its_own_structure():
    structure = {"name": "filaments", "filaments": 8, "width_nm": 1}
    source = SimulateSource(structure=structure, density_per_um2=20.0)
    _, emitters = draw(source, optics(source), 3, 2)

    def nearest(frame, other):
        one, two = (
            torch.stack((emitters.x_nm[rows], emitters.y_nm[rows]), dim=1)
            for rows in (emitters.frame == frame, emitters.frame == other)
        )
        apart = torch.cdist(one, two)
        return float((apart.fill_diagonal_(1e9) if frame == other else apart).min(dim=1).values.median())

    assert nearest(0, 1) > 3 * nearest(0, 0)


def test_filaments_are_smooth_and_cross_the_field():
    curves = grow(Course(12, 0.3), Region(6400.0, 600.0), 5, Fast.of(4))
    assert int(curves.parts.count.sum()) == len(curves.start)
    assert bool((curves.parts.first == curves.parts.count.cumsum(0) - curves.parts.count).all())
    lengths = curves.step.norm(dim=1)
    assert float((lengths - 100).abs().max()) < 1e-6
    assert curves.parts.usual == 12 * 64
    # at least half of the side per filament lies in the field
    assert float(curves.parts.in_field.min()) >= 0.5 * 12 * 64


def test_same_seed_same_frames_other_seed_others():
    first, table = drawn(9)
    again, same = drawn(9)
    other, _ = drawn(10)
    assert torch.equal(first, again)
    assert torch.equal(table.x_nm, same.x_nm)
    assert not torch.equal(first, other)


def test_frames_do_not_depend_on_the_number_of_threads():
    described = {"structure": "filaments", "density_per_um2": 8.0, "field_px": 64, "camera": EMCCD}
    before = torch.get_num_threads()
    made = []
    for threads in (1, 4):
        torch.set_num_threads(threads)
        made.append(drawn(5, **described)[0])
    torch.set_num_threads(before)
    assert torch.equal(*made)


def test_signal_free_frames_are_flat_then_sloped_then_hot():
    source = SimulateSource(background_photons=100.0, field_px=64)
    frames = draw_signal_free(source, 5, 63)
    assert frames.shape == (63, 64, 64)
    means = frames.mean(axis=(1, 2))
    # every frame keeps the mean background; hot pixels add at most 8 x 300 photons over 4096
    assert np.abs(means - 100).max() < 1.6
    flat, sloped, hot = frames[:21], frames[21:42], frames[42:]
    assert flat.var(axis=(1, 2)).mean() == pytest.approx(100, rel=0.05)
    assert sloped.var(axis=(1, 2)).mean() > 200
    assert flat.max() < 100 + 7 * 10
    assert (hot.max(axis=(1, 2)) > 100 + 5 * 10).all()
    assert ((hot > 170).sum(axis=(1, 2)) <= 8).all()


def test_signal_free_frames_without_background_are_valid():
    frames = draw_signal_free(SimulateSource(background_photons=0.0, field_px=16), 5)
    assert frames.shape == (64, 16, 16)
    assert np.isfinite(frames).all()
