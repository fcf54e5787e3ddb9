"""The row that knows the PSF of every colour: it is right where there is light, and says what it needs."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from smlmbench.camera import Noise
from smlmbench.data import color_crops
from smlmbench.data.contracts import ArrayFrames, Asked
from smlmbench.errors import ConfigError
from smlmbench.references import template_likelihood
from smlmbench.references.splined import Splined, Spots
from smlmbench.registry import Catalog
from tests.colors import source

CATALOG = Catalog()
SETTINGS = CATALOG.card("references", "template_likelihood").fill("template_likelihood", {})


def said(condition):
    return template_likelihood.predict(condition, SETTINGS, {}, 0)


@pytest.fixture(scope="module")
def bright():
    laws = {"photons": 20000.0, "z_nm": {"min": -200.0, "max": 200.0}, "frames": 60}
    return color_crops.condition("bright", source(**laws), {}, Asked("test", 1), CATALOG)


def test_bright_crops_are_told_at_every_depth(bright):
    scores = said(bright)
    assert scores.classes == bright.truth.classes
    assert np.array_equal(scores.scores.argmax(axis=1), bright.truth.index)
    assert np.allclose(scores.scores.sum(axis=1), 1.0, atol=1e-5)


def test_one_depth_alone_is_fitted_too():
    flat = color_crops.condition("flat", source(z_nm=0.0, photons=20000.0, frames=40), {}, Asked("test", 1), CATALOG)
    assert flat.truth.templates.shape[:2] == (2, 9)
    assert np.array_equal(said(flat).scores.argmax(axis=1), flat.truth.index)


def test_a_crop_has_one_answer_whoever_is_beside_it(bright):
    alone = said(bright.part(7, 8)).scores
    assert np.allclose(alone, said(bright).scores[7:8], atol=1e-4)


def test_the_better_of_both_sides_of_the_focus_counts():
    deep = color_crops.condition(
        "deep", source(z_nm={"min": -400.0, "max": 400.0}, photons=20000.0, frames=40), {}, Asked("test", 1), CATALOG
    )
    part = deep.optics.parts["AF647"]
    model = Spots(Splined(part, 110.0, 13), 110.0, 1)
    crops = torch.from_numpy(deep.frames.read(0, 40)).double()
    depths = torch.tensor([-300.0, 300.0], dtype=torch.float64)
    each = [template_likelihood._worth(model, crops, one, Noise()) for one in (depths[:1], depths[1:])]
    assert int(((each[0] - each[1]).abs() > 5).sum()) > 10
    assert torch.allclose(template_likelihood._worth(model, crops, depths, Noise()), torch.maximum(*each), atol=0.5)


def test_dim_crops_are_less_sure_than_bright_ones(bright):
    dim = color_crops.condition("dim", source(photons=300.0, frames=60), {}, Asked("test", 1), CATALOG)
    assert said(dim).scores.max(axis=1).mean() < 0.95 < said(bright).scores.max(axis=1).mean()


def test_crops_without_light_have_finite_scores(bright):
    dark = replace(bright, frames=ArrayFrames(np.zeros((3, 13, 13), dtype=np.float32)))
    assert np.isfinite(said(dark).scores).all()


@pytest.mark.parametrize(("change", "reason"), [({"optics": None}, "no PSF for each class"), ({"told": {}}, "camera")])
def test_what_is_not_told_is_refused(bright, change, reason):
    with pytest.raises(ConfigError, match=reason):
        said(replace(bright, **({"told": {"pixel_size_nm": 110.0}} if "told" in change else change)))
