"""Designs for colours: voltages of a liquid crystal, a microscope for every colour, the task that scores them."""

import math

import numpy as np
import pytest
import torch

from smlmbench import tasks
from smlmbench.data import color_scenes as source
from smlmbench.data.contracts import Asked, Given, Scope
from smlmbench.errors import ConfigError
from smlmbench.inference.answering import Answering
from smlmbench.inference.engine import ReadOut
from smlmbench.models import hershko_slm
from smlmbench.optics.imaging import Pixels
from smlmbench.optics.scenes import unpacked
from smlmbench.outputs import classes
from smlmbench.registry import Catalog
from smlmbench.study.schema import Scoring

CATALOG = Catalog()
PIXEL_NM = 110.0


@pytest.fixture(scope="module")
def description():
    return source.small(None)


@pytest.fixture(scope="module")
def stream(description):
    return source.training_set(description, {"a": 1}, Scope(1), CATALOG)


def network(stream, **chosen):
    card = CATALOG.card("models", "hershko_slm")
    output = {**CATALOG.card("outputs", "classes").fill("output", {}), **stream.output_settings}
    torch.manual_seed(0)
    given = Given(1, 1, PIXEL_NM, stream.statistics, 1, output, unit_sides=(16, 16))
    return hershko_slm.build(card.fill("model", {**card.tiny, **chosen}), given), output


def test_colours_follow_each_other_and_a_scene_is_the_same_whatever_the_batch(stream):
    whole, part = stream.batch(0, 8), stream.batch(3, 5)
    assert torch.equal(whole.inputs[3:], part.inputs)
    assert whole.truth.index.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert torch.equal(unpacked(whole.inputs).colour, whole.truth.index)


@pytest.mark.parametrize("kind", ["learned", "tetrapod"])
def test_one_path_makes_the_phase_at_every_wavelength(stream, kind):
    """phase = 2 pi d c / wavelength; c = (1 + 20000 / 800^2) / (1 + 20000 / 565^2) = 1.03125 / 1.0626517 at 800 nm."""
    net, _ = network(stream, mask=kind)
    first, last = net.phases()[0], net.phases()[-1]
    torch.testing.assert_close(last, first * (565 / 800) * 1.03125 / 1.0626517, rtol=1e-5, atol=1e-9)
    assert first.abs().max() > 0.1
    torch.testing.assert_close(first, 2 * math.pi * net.mask.path_nm() / 565)


def test_half_the_voltage_is_half_the_stroke_and_more_is_more(stream):
    net, _ = network(stream, stroke_nm=1000.0)
    assert torch.all(net.mask.voltage() == 2.5)
    torch.testing.assert_close(net.mask.path_nm(), torch.full_like(net.mask.path_nm(), 500.0))
    with torch.no_grad():
        net.mask.weights.fill_(100.0)
    inside = net.arms[0].pupil.radius <= 1
    torch.testing.assert_close(net.mask.path_nm()[inside], torch.full((int(inside.sum()),), 1000.0).double())


def test_every_colour_is_drawn_by_its_own_microscope(stream):
    net, _ = network(stream, mask="tetrapod")
    scenes = unpacked(stream.batch(0, 4).inputs)
    frames = net.drawn(stream.batch(0, 4).inputs)[:, 0].double()
    at = (torch.arange(16, dtype=torch.float64) + 0.5) * PIXEL_NM
    for k, (microscope, phase) in enumerate(zip(net.arms, net.phases(), strict=True)):
        assert microscope.pupil.wavelength_nm == (565, 625, 705, 800)[k]
        pixels = Pixels(at - scenes.x_nm[k], at - scenes.y_nm[k], PIXEL_NM)
        rate = scenes.photons[k] * microscope.light(scenes.z_nm[k : k + 1], phase, pixels)[0] + scenes.background[k]
        torch.testing.assert_close(frames[k], rate + rate.sqrt() * scenes.noise[k], rtol=1e-4, atol=1e-2)


def test_the_gradient_reaches_the_voltages(stream):
    net, output = network(stream)
    batch = stream.batch(0, 8)
    loss = CATALOG.module("losses", "cross_entropy").build(
        CATALOG.card("losses", "cross_entropy").fill("l", {}), output
    )

    def value():
        return loss(net(batch.inputs), classes.targets(batch, output))["loss"].double()

    value().backward()
    weights = net.mask.weights
    at = int(weights.grad.abs().argmax())
    slope, step = float(weights.grad.flatten()[at]), 2e-3
    ends = []
    for side in (step, -step):
        with torch.no_grad():
            weights.view(-1)[at] += side
            ends.append(float(value()))
            weights.view(-1)[at] -= side
    assert slope != 0
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(slope, rel=0.1)


def test_the_network_has_the_number_of_parameters_on_its_card(stream):
    net, _ = network(stream, width=32, mask="flat")
    assert (
        sum(one.numel() for one in net.parameters()) == CATALOG.card("models", "hershko_slm").parameters["side_px=16"]
    )


def test_answers_are_scored_as_classes_and_every_colour_has_its_mask(stream, description, tmp_path):
    import tifffile

    task = tasks.load("optics_colors", CATALOG)
    frozen = source.condition("val", description, {"a": 1}, Asked("val", 1), CATALOG)
    net, output = network(stream, mask="astigmatic")
    answer = task.answer(Answering(net.eval(), ReadOut(classes, output, math.nan), torch.device("cpu")), frozen)
    scores = task.score(task.at(answer, {"reject": 0.0}), frozen, Scoring())
    assert {"macro_f1", "mask_roughness_rad"} <= set(scores.values)
    masks = [path for path in task.write(answer, tmp_path, "some") if path.suffix == ".tif"]
    assert [path.name for path in masks] == [f"some_mask_{nm}.tif" for nm in (565, 625, 705, 800)]
    for path, phase in zip(masks, net.phases(), strict=True):
        np.testing.assert_allclose(tifffile.imread(path), phase.numpy(), atol=1e-6)


def test_depths_that_the_psf_does_not_hold_are_refused(description):
    settings = {**description.settings, "z_nm": {"min": -2000.0, "max": 100.0, "law": "uniform"}}
    with pytest.raises(ConfigError, match="z_nm goes from -2000 to 100, the psf from -750 to 750"):
        source.training_set(description.model_copy(update={"settings": settings}), {}, Scope(1), CATALOG)


def test_one_colour_is_refused(description):
    settings = {**description.settings, "wavelengths_nm": {"red": 700.0}}
    with pytest.raises(ConfigError, match="at least two colours"):
        source.training_set(description.model_copy(update={"settings": settings}), {}, Scope(1), CATALOG)
