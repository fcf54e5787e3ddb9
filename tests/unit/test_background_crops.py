"""Crops with known background: addressed by number, as bright and complex as asked; output kind, loss, BGnet."""

import numpy as np
import pytest
import torch

from smlmbench.camera import Camera
from smlmbench.data import background_crops
from smlmbench.data.contracts import Asked, Batch, Given, Scope, Statistics
from smlmbench.errors import ConfigError
from smlmbench.losses import background_mse
from smlmbench.models import bgnet
from smlmbench.outputs import background_map
from smlmbench.psf.contracts import Stand, Window
from smlmbench.registry import Catalog
from smlmbench.truths.background_maps import Taught

CATALOG = Catalog()
STATISTICS = Statistics(mean=18.0, std=22.0, low=2.0, high=160.0)


def described(camera="ideal", psf=None, **settings):
    small = background_crops.small(None)
    camera = camera if camera == "uncalibrated" else Camera(kind=camera)
    kept = {"settings": {**small.settings, **settings}, "camera": camera}
    return small.model_copy(update=kept | ({} if psf is None else {"psf": psf}))


def crops_of(seed=3, n=64, emitters=True, **settings):
    return background_crops.Drawer(described(**settings), CATALOG).crops(seed, n, emitters=emitters)


def stream_of(repeat=0, context=1, **settings):
    return background_crops.training_set(described(**settings), {"a": 1}, Scope(5, repeat, True, context), CATALOG)


def test_a_sample_depends_on_its_number_alone():
    whole, parts = stream_of().batch(0, 150), stream_of()
    late, early = parts.batch(60, 90), parts.batch(0, 60)
    assert torch.equal(whole.inputs, torch.cat([early.inputs, late.inputs]))
    assert torch.equal(whole.truth.maps, torch.cat([early.truth.maps, late.truth.maps]))
    assert not torch.equal(whole.inputs, stream_of(repeat=1).batch(0, 150).inputs)
    assert parts.sample_shape == (1, 12, 12)
    assert parts.output_settings == {"pixel_size_nm": 100.0, "side_px": 12, "empty": 0.0, "neighbours": 0.0}


def test_the_background_is_as_bright_as_the_ratio_says():
    flat = crops_of(contrast=0.01, photons=1440.0, signal_to_background=2.0).truth
    assert flat.maps == pytest.approx(1440 / (2.0 * 144), rel=0.02)  # 5 photons in each of 144 pixels
    bright = crops_of(contrast=0.01, photons=1440.0, signal_to_background=0.1).truth
    assert bright.maps == pytest.approx(100.0, rel=0.02)
    assert (crops_of(contrast=1.0).truth.maps >= 0).all()


def test_the_input_is_background_and_emitter_with_their_noise():
    made = crops_of(n=2000, photons=3000.0, offset_px=2.0)
    truth = made.truth
    stand = Stand(*(torch.from_numpy(at) for at in (truth.x_nm, truth.y_nm, truth.z_nm)))
    light = truth.optics.light(stand, truth.shapes, Window(12, 100.0))[:, 0].numpy() * truth.photons[:, None, None]
    away = (made.inputs[:, 0].numpy() - truth.maps - light) / np.sqrt(truth.maps + light)
    assert abs(away.mean()) < 4 / np.sqrt(away.size)
    assert away.std() == pytest.approx(1.0, abs=0.01)
    assert np.abs(truth.x_nm - 600).max() == pytest.approx(200, rel=0.02)


def test_more_octaves_are_more_complex_and_a_range_has_both_ends():
    rough = {}
    for octaves in (1, 4):
        maps = crops_of(side_px=20, octaves=octaves).truth.maps
        rough[octaves] = float(np.abs(np.diff(maps, axis=2)).mean() / maps.std())
    assert rough[4] > 1.5 * rough[1]
    drawer = background_crops.Drawer(described(octaves={"min": 2, "max": 3, "law": "uniform"}), CATALOG)
    seen = set()
    drawer._maps = lambda level, octaves, chance: seen.update(octaves.tolist()) or torch.ones(len(level), 12, 12)
    drawer.crops(1, 200)
    assert seen == {2, 3}


def test_crops_without_emitters_and_with_neighbours():
    free = crops_of(emitters=False)
    assert np.isnan(free.truth.x_nm).all()
    assert (free.truth.photons == 0).all()
    away = free.inputs[:, 0].numpy() - free.truth.maps
    assert abs(away.mean()) < 5 * free.truth.maps.mean() ** 0.5 / away.size**0.5
    half = crops_of(n=1000, empty=0.5).truth
    assert 0.42 < np.isnan(half.x_nm).mean() < 0.58
    assert ((half.photons == 0) == np.isnan(half.x_nm)).all()
    crowd = crops_of(n=500, empty=1.0, neighbours=2.0, photons=1000.0)
    light = (crowd.inputs[:, 0].numpy() - crowd.truth.maps).sum(axis=(1, 2)).mean()
    assert light == pytest.approx(2000.0, rel=0.1)  # two of 1000 photons in a crop on average, none of it background
    law = crops_of(n=500, empty=1.0, neighbours={"min": 0.0, "max": 4.0}, photons=1000.0)
    sums = (law.inputs[:, 0].numpy() - law.truth.maps).sum(axis=(1, 2))
    assert sums.mean() == pytest.approx(2000.0, rel=0.15)
    assert sums.std() > 1.2 * (crowd.inputs[:, 0].numpy() - crowd.truth.maps).sum(axis=(1, 2)).std()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"octaves": {"min": 1.5, "max": 3}}, "no whole numbers; give such as"),
        ({"camera": "uncalibrated"}, "state the camera"),
        ({"psf": {"name": "biplane"}}, "choose a PSF with one"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(given, said):
    with pytest.raises(ConfigError, match=said) as error:
        background_crops.Drawer(described(**given), CATALOG)
    assert "\n" not in str(error.value)


def test_windows_of_frames_are_refused():
    with pytest.raises(ConfigError, match="no neighbours in time"):
        stream_of(context=3)


def test_frozen_sets_of_two_roles_differ_and_have_crops_without_emitters():
    made = {
        role: background_crops.condition("x", described(), {"a": 1}, Asked(role, 5, ("emitter_free",)), CATALOG)
        for role in ("val", "test", "holdout")
    }
    frames = [one.frames.read(0, 12) for one in made.values()]
    assert not np.array_equal(frames[0], frames[1])
    assert not np.array_equal(frames[1], frames[2])
    free = made["test"].extras["emitter_free"]
    assert (free.frames.n_frames, len(free.truth)) == (64, 64)
    assert np.isnan(free.truth.x_nm).all()
    assert made["test"].told["background_photons"] == pytest.approx(2000 / (0.3 * 144))
    part = made["test"].part(3, 5)
    assert np.array_equal(part.truth.x_nm, made["test"].truth.x_nm[3:5])
    assert np.array_equal(part.truth.shapes["sigma_nm"], made["test"].truth.shapes["sigma_nm"][3:5])


def test_targets_are_photons_and_the_loss_counts_each_crop_by_its_maximum():
    inputs = torch.tensor([[8.0, 4.0], [0.0, 0.5]]).view(2, 1, 1, 2)
    maps = torch.tensor([[2.0, 2.0], [1.0, 1.0]]).view(2, 1, 1, 2)
    targets = background_map.targets(Batch(inputs, Taught(maps)), {})
    assert targets["scale"].flatten().tolist() == [8.0, 1.0]  # at least one photon
    raw = maps + torch.tensor([[4.0, 0.0], [0.0, 2.0]]).view(2, 1, 1, 2)
    found = background_mse.build({}, {})(raw, targets)["loss"]
    assert float(found) == pytest.approx(((4 / 8) ** 2 + 2**2) / 4)
    assert background_map.decode(raw, {"pixel_size_nm": 100.0}, 0.0).values.tolist() == raw[:, 0].tolist()


def test_a_truth_of_another_kind_is_refused():
    with pytest.raises(ConfigError, match="choose data such as background_crops"):
        background_map.targets(Batch(torch.zeros(1, 1, 4, 4), torch.zeros(1)), {})


def built(levels=0, width=1.0, sides=()):
    torch.manual_seed(0)
    return bgnet.build({"levels": levels, "width": width}, Given(1, 1, 100.0, STATISTICS, unit_sides=sides))


@pytest.mark.parametrize(("side", "parameters"), [(12, 266_593), (20, 266_593), (40, 1_743_457)])
def test_parameters_are_those_of_the_published_network(side, parameters):
    assert sum(weight.numel() for weight in built(sides=(side, side)).parameters()) == parameters


def test_its_maps_are_those_of_the_table():
    model, seen = built(levels=4).eval(), {}
    for name, module in model.named_modules():
        module.register_forward_hook(lambda _m, _i, out, name=name: seen.__setitem__(name, tuple(out.shape[1:])))
    with torch.no_grad():
        model(torch.rand(1, 1, 40, 40))
    sizes = [seen[f"encoder.{level}"] for level in range(3)] + [seen["bottom"]]
    assert sizes == [(16, 40, 40), (32, 20, 20), (128, 10, 10), (256, 5, 5)]
    assert [seen[f"decoder.{level}"] for level in range(3)] == sizes[:3]
    assert seen["last"] == (1, 40, 40)


def test_the_answer_is_in_photons_whatever_the_brightness():
    model, crop = built(width=0.25).eval(), 1 + 50 * torch.rand(2, 1, 20, 20)
    with torch.no_grad():
        dim, bright = model(crop), model(1000 * crop)
        assert torch.allclose(1000 * dim, bright, rtol=1e-4)
        apart = model(crop, torch.tensor([[0.0, 500.0], [0.0, 500.0]]))
        assert not torch.allclose(apart, dim, rtol=1e-2)
        for side in (1, 2, 13, 15):
            assert model(torch.zeros(1, 1, side, side)).shape[-2:] == (side, side)
