"""Crops of several colours: their light, their classes, and what they depend on."""

import numpy as np
import pytest
import torch

from smlmbench.data import color_crops
from smlmbench.data.contracts import Asked, Scope
from smlmbench.errors import ConfigError
from smlmbench.registry import Catalog
from smlmbench.study.sources import PluginSource
from tests.colors import source

CATALOG = Catalog()
FOUR = {"565": 565.0, "625": 625.0, "705": 705.0, "800": 800.0}


def stream(description: PluginSource, repeat: int = 0):
    return color_crops.training_set(description, {"of": "a test"}, Scope(3, repeat), CATALOG)


def frozen(description: PluginSource, role: str = "test", root_seed: int = 3):
    return color_crops.condition("any", description, {"of": "a test"}, Asked(role, root_seed), CATALOG)


def test_the_light_of_a_crop_is_its_photons():
    microscope = color_crops.Microscope(source(field_px=31, background_photons=0.0, wavelengths_nm=FOUR), CATALOG)
    drawn = microscope.draw(1, microscope.chunk)
    found = drawn.crops.sum(dim=(1, 2, 3)).double()
    surprise = (found - drawn.photons) / drawn.photons.sqrt()
    assert float(surprise.std()) == pytest.approx(1.0, abs=0.15)
    assert abs(float(surprise.mean())) < 0.25


def test_classes_are_as_often_and_as_bright_as_each_other():
    truth = frozen(source(wavelengths_nm=FOUR, frames=1000)).truth
    assert truth.classes == ("565", "625", "705", "800")
    assert np.ptp(np.bincount(truth.index)) <= 2
    means = [truth.photons[truth.index == number].mean() for number in range(4)]
    assert np.ptp(means) < 0.15 * np.mean(means)
    assert len({tuple(truth.index[start : start + 4]) for start in range(0, 200, 4)}) > 20


@pytest.mark.parametrize("names", [{"a": 500.0, "b": 600.0, "c": 700.0}, {"b": 600.0, "c": 700.0, "a": 500.0}])
def test_a_sample_is_the_same_in_every_batch_and_order(names):
    whole = stream(source(wavelengths_nm=names)).batch(0, 600)
    again = stream(source(wavelengths_nm=names))
    for first, count in ((500, 100), (0, 17), (250, 9), (17, 1)):
        part = again.batch(first, count)
        assert torch.equal(part.inputs, whole.inputs[first : first + count])
        assert torch.equal(part.truth.index, whole.truth.index[first : first + count])
    assert whole.truth.index[:255].bincount().tolist() == [85, 85, 85]


def test_repeats_roles_and_seeds_draw_apart_and_equal_ones_alike():
    crops = stream(source()).batch(0, 8).inputs
    assert torch.equal(stream(source()).batch(0, 8).inputs, crops)
    assert not torch.equal(stream(source(), repeat=1).batch(0, 8).inputs, crops)
    sets = [frozen(source(frames=8), *asked) for asked in (("test", 3), ("test", 3), ("val", 3), ("test", 4))]
    pixels = [one.frames.read(0, 8) for one in sets]
    assert np.array_equal(pixels[0], pixels[1])
    assert not any(np.array_equal(pixels[0], other) for other in pixels[2:])
    assert sets[0].digest != sets[2].digest


def test_wider_waves_are_wider_crops_and_nothing_else_tells():
    drawn = color_crops.Microscope(source(z_nm=0.0, background_photons=0.0), CATALOG).draw(0, 256)
    share = drawn.crops / drawn.photons.view(-1, 1, 1, 1).float()
    middle = share[:, 0, 5:8, 5:8].sum(dim=(1, 2))
    assert float(middle[drawn.label == 1].mean()) > 1.05 * float(middle[drawn.label == 0].mean())  # CF568 is bluer
    whole = share.sum(dim=(1, 2, 3))
    assert float(whole[drawn.label == 1].mean()) == pytest.approx(float(whole[drawn.label == 0].mean()), rel=0.05)


def test_templates_are_what_a_photon_leaves():
    truth = frozen(source(frames=4)).truth
    assert truth.templates.shape == (2, 9 * 9, 1, 13, 13)
    assert truth.templates.sum(axis=(2, 3, 4)).max() <= 1 + 1e-6
    assert truth.templates.sum(axis=(2, 3, 4)).min() > 0.75


def test_a_network_that_wants_several_frames_is_refused():
    with pytest.raises(ConfigError, match="no neighbours in time"):
        color_crops.training_set(source(), {}, Scope(0, context=3), CATALOG)


def test_without_a_camera_nothing_is_drawn():
    with pytest.raises(ConfigError, match="drawn with a camera"):
        frozen(source().model_copy(update={"camera": "uncalibrated"}))


def test_a_study_that_gives_no_laws_has_some():
    card = Catalog().card("data", "color_crops")
    plain = source().model_copy(update={"settings": card.fill("color_crops", {"frames": 300})})
    photons = frozen(plain).truth.photons
    assert 1000 <= photons.min() < 1100
    assert 9000 < photons.max() <= 10000
    assert np.median(photons) == pytest.approx(3162, rel=0.15)
