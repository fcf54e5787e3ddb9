"""Scenes, the microscope that is part of a network, its masks, and the task that scores them."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from smlmbench import tasks
from smlmbench.conformance.examples import STATISTICS
from smlmbench.data import scenes as source
from smlmbench.data.contracts import Asked, Given, Scope
from smlmbench.errors import ConfigError
from smlmbench.inference.answering import Answering
from smlmbench.inference.engine import ReadOut
from smlmbench.models import deepstorm3d_mask
from smlmbench.models.masks import FIXED, best_strength, fixed, fixed_bounds
from smlmbench.models.microscope import Light, Microscope, depth_bounds
from smlmbench.optics.imaging import Pixels
from smlmbench.optics.scenes import packed, unpacked
from smlmbench.outputs import voxel_grid
from smlmbench.psf import build as build_psf
from smlmbench.registry import Catalog
from smlmbench.study.schema import Scoring

CATALOG = Catalog()
PIXEL_NM = 110.0
LIGHT = Light(4000.0, 10.0, PIXEL_NM)


@pytest.fixture(scope="module")
def description():
    return source.small(None)


@pytest.fixture(scope="module")
def stream(description):
    return source.training_set(description, {"a": 1}, Scope(1), CATALOG)


@pytest.fixture(scope="module")
def frozen(description):
    return source.condition("val", description, {"a": 1}, Asked("val", 1), CATALOG)


def network(stream, **chosen):
    card = CATALOG.card("models", "deepstorm3d_mask")
    kind = CATALOG.card("outputs", "voxel_grid").fill("output", {"upsampling": 1, "planes": 5})
    output = {**kind, **stream.output_settings, **stream.taught}
    torch.manual_seed(0)
    settings = card.fill("model", {**card.tiny, **chosen})
    return deepstorm3d_mask.build(settings, Given(1, 1, PIXEL_NM, stream.statistics, 1, output)), output


def test_a_scene_is_the_same_whatever_the_batch(stream):
    whole, part = stream.batch(0, 6), stream.batch(4, 2)
    assert torch.equal(whole.inputs[4:], part.inputs)
    assert torch.equal(whole.truth.x_nm[whole.truth.sample == 5], part.truth.x_nm[part.truth.sample == 1])


def test_all_masks_see_the_same_scenes_with_the_same_noise(stream):
    """What is drawn differs by the light alone: with its emitters put out, a scene is one frame behind every mask."""
    inputs = stream.batch(0, 2).inputs.clone()
    one, other = (network(stream, mask=kind)[0].eval().drawn(inputs) for kind in ("flat", "tetrapod"))
    assert (one - other).abs().max() > 1
    inputs[:, 2] = 0
    dark, black = (network(stream, mask=kind)[0].eval().drawn(inputs) for kind in ("flat", "tetrapod"))
    assert torch.equal(dark, black)
    wanted = inputs[:, 1] + inputs[:, 1].sqrt() * inputs[:, 0]
    torch.testing.assert_close(dark[:, 0], wanted, rtol=1e-6, atol=1e-5)


def test_the_frame_of_a_flat_mask_is_that_of_the_psf(description):
    """Places off the centre of pixels, of two emitters and over depth; the psf's own pupil has 96 cells and more."""
    psf = build_psf(description.psf, CATALOG)
    cells = psf.objective.pupil.side
    microscope = Microscope(description.psf, cells)
    x_nm, y_nm, z_nm = torch.tensor([[700.0, 1503.3], [911.0, 1204.0], [-250.0, 310.0]], dtype=torch.float64)
    photons = torch.tensor([1000.0, 3000.0], dtype=torch.float64)
    scene = packed(torch.zeros(20, 20), torch.full((20, 20), 7.0), (x_nm, y_nm, z_nm, photons, torch.zeros(2)))
    found = microscope.rates(unpacked(scene[None]), fixed("flat", microscope.pupil), PIXEL_NM)[0]
    at = (torch.arange(20, dtype=torch.float64) + 0.5) * PIXEL_NM
    wanted = torch.full((20, 20), 7.0, dtype=torch.float64)
    for k in range(2):
        own = Pixels(at - x_nm[k], at - y_nm[k], PIXEL_NM, 0.0)
        wanted += photons[k] * psf.exact(z_nm[k : k + 1], own)[0]
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-3)  # places travel in float32


def test_a_coarser_pupil_draws_nearly_the_same(description):
    fine, coarse = (Microscope(description.psf, cells) for cells in (96, 32))
    z_nm = torch.tensor([0.0, 300.0], dtype=torch.float64)
    at = (torch.arange(15, dtype=torch.float64) - 7) * PIXEL_NM
    images = [one.light(z_nm, fixed("flat", one.pupil), Pixels(at, at, PIXEL_NM)) for one in (fine, coarse)]
    assert (images[0] - images[1]).abs().max() < 0.02 * images[0].max()


@pytest.mark.parametrize("name", ["scalar_pupil", "vectorial_pupil"])
def test_fields_are_those_of_the_objective_at_every_depth(name):
    depths = {"z_min_nm": 0.0, "z_max_nm": 1500.0}
    filled = {"name": name, **CATALOG.card("psf", name).fill("psf", {**depths, "zernike_mlambda": {7: 40.0}})}
    psf = build_psf(filled, CATALOG)
    microscope = Microscope(filled, psf.objective.pupil.side)
    z_nm = torch.tensor([40.0, 1500.0], dtype=torch.float64)
    at = (torch.arange(11, dtype=torch.float64) - 5) * PIXEL_NM
    pixels = Pixels(at, at, PIXEL_NM)
    flat = fixed("flat", microscope.pupil)
    torch.testing.assert_close(microscope.light(z_nm, flat, pixels), psf.exact(z_nm, pixels), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("basis", ["cells", "zernike"])
def test_the_gradient_reaches_the_mask(stream, basis):
    """By hand: the slope of the noisy frame's sum of squares against finite differences of one weight."""
    net, _ = network(stream, basis=basis)
    inputs = stream.batch(0, 2).inputs

    def value():
        return net.drawn(inputs).double().square().sum()

    weights = net.mask.weights
    value().backward()
    at = int(weights.grad.abs().argmax())
    slope, step = float(weights.grad.flatten()[at]), 1e-3
    ends = []
    for side in (step, -step):
        with torch.no_grad():
            weights.view(-1)[at] += side
            ends.append(float(value()))
            weights.view(-1)[at] -= side
    assert slope != 0
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(slope, rel=2e-2)


def test_a_fixed_mask_has_nothing_to_learn(stream):
    learned, flat = network(stream)[0], network(stream, mask="flat")[0]
    assert {name for name, _ in learned.named_parameters()} - {name for name, _ in flat.named_parameters()} == {
        "mask.weights"
    }
    assert torch.equal(learned.phases()[0], flat.phases()[0])


def test_the_network_has_the_published_number_of_parameters():
    stated = CATALOG.card("models", "deepstorm3d_mask")
    output = {**CATALOG.card("outputs", "voxel_grid").fill("output", {"planes": 51, "upsampling": 1}), "z_high_nm": 5e3}
    built = deepstorm3d_mask.build(stated.fill("model", {}), Given(1, 1, PIXEL_NM, STATISTICS, 1, output))
    assert sum(one.numel() for one in built.parameters()) == stated.parameters["planes=51,upsampling=1"] == 305141


def test_a_strength_that_is_not_stated_has_the_least_bounds(stream, description):
    microscope = Microscope(description.psf, 24)
    found = best_strength("astigmatic", microscope, PIXEL_NM)
    mask, _ = network(stream, mask="astigmatic", pupil_px=24)[0].mask, None
    assert torch.equal(mask(670.0), fixed("astigmatic", microscope.pupil, found))
    volumes = {
        strength: float(
            depth_bounds(microscope, fixed("astigmatic", microscope.pupil, strength), LIGHT)[1].log().mean()
        )
        for strength in (found, 0.05, 3.0)
    }
    assert min(volumes, key=volumes.get) == found


def test_bounds_that_were_worked_out_before_belong_to_the_same_light_and_optics(description):
    coarse, fine = Microscope(description.psf, 16), Microscope(description.psf, 20)
    dim = replace(LIGHT, photons=LIGHT.photons / 4)
    for microscope, light in ((coarse, LIGHT), (coarse, dim), (fine, LIGHT), (coarse, LIGHT)):
        phase = fixed("astigmatic", microscope.pupil, best_strength("astigmatic", microscope, light.pixel_size_nm))
        assert torch.equal(fixed_bounds("astigmatic", microscope, light), depth_bounds(microscope, phase, light)[1])


def test_bounds_are_those_of_a_numeric_fisher_matrix(description):
    """At one depth, with derivatives by finite differences and the matrix written out."""
    microscope = Microscope(description.psf, 48)
    phase = fixed("astigmatic", microscope.pupil, 0.7)
    z_nm, bounds = depth_bounds(microscope, phase, LIGHT)
    side = 2 * math.ceil(microscope.reach_nm / PIXEL_NM) + 1
    at = (torch.arange(side, dtype=torch.float64) - side // 2) * PIXEL_NM

    def mean(x, y, z, photons, background):
        pixels = Pixels(at - x, at - y, PIXEL_NM)
        return photons * microscope.light(torch.tensor([z], dtype=torch.float64), phase, pixels)[0] + background

    values, steps = [0.0, 0.0, float(z_nm[2]), LIGHT.photons, LIGHT.background], [0.5, 0.5, 0.5, 1.0, 0.1]
    slopes = []
    for k, step in enumerate(steps):
        ends = [mean(*(value + sign * step * (j == k) for j, value in enumerate(values))) for sign in (1, -1)]
        slopes.append(((ends[0] - ends[1]) / (2 * step)).flatten())
    slopes = torch.stack(slopes)
    matrix = (slopes / mean(*values).flatten()) @ slopes.T
    wanted = torch.linalg.inv(matrix).diagonal().sqrt()[:3]
    torch.testing.assert_close(bounds[2], wanted, rtol=1e-3, atol=1e-6)


def test_a_frame_of_a_camera_goes_to_the_network_as_it_is(stream):
    net = network(stream)[0].eval()
    inputs = stream.batch(0, 1).inputs
    assert torch.equal(net(inputs), net(net.drawn(inputs)))
    assert torch.equal(net(net.drawn(inputs)), net.network(net.drawn(inputs)))


@pytest.mark.parametrize("planes", [1, 2])
def test_other_inputs_are_no_scenes(stream, planes):
    with pytest.raises(ConfigError, match="no scenes"):
        network(stream)[0].drawn(torch.zeros(1, planes, 20, 20))


def test_more_emitters_than_a_scene_holds_are_refused(description):
    settings = {**description.settings, "emitters": 81.0}
    with pytest.raises(ConfigError, match="81 emitters in 20 x 20 px, which hold 80"):
        source.training_set(description.model_copy(update={"settings": settings}), {}, Scope(1), CATALOG)


def test_optics_without_a_pupil_are_refused(description):
    gaussian = {"name": "gaussian", **CATALOG.card("psf", "gaussian").fill("psf", {})}
    with pytest.raises(ConfigError, match="'gaussian' has no pupil to put a mask in"):
        source.optics_of(description.model_copy(update={"psf": gaussian}), CATALOG)


def test_a_pupil_whose_image_repeats_within_the_field_is_refused(stream):
    net = network(stream, pupil_px=10)[0]
    with pytest.raises(ConfigError, match="give at least 14"):
        net.drawn(stream.batch(0, 1).inputs)


@pytest.fixture(scope="module")
def answered(stream, frozen):
    task = tasks.load("optics", CATALOG)
    net, output = network(stream, mask="tetrapod")
    model = Answering(net.eval(), ReadOut(voxel_grid, output, math.nan), torch.device("cpu"))
    return task, model, task.answer(model, frozen)


def test_the_answer_is_that_to_the_frames_that_were_drawn(answered, frozen):
    task, model, answer = answered
    with torch.inference_mode():
        frames = model.network.drawn(torch.from_numpy(frozen.frames.values)).numpy()
    np.testing.assert_array_equal(answer.frames, frames[:, 0])
    shown = replace(frozen, frames=type(frozen.frames)(frames[:, 0]))
    np.testing.assert_array_equal(answer.inner.table.x_nm, task.inner.answer(model, shown).table.x_nm)


def test_the_score_says_what_the_mask_is(answered, frozen):
    task, _, answer = answered
    scores = task.score(task.at(answer, {"threshold": 0.5}), frozen, Scoring())
    assert {"bound_volume_nm", "bound_axial_nm", "mask_roughness_rad"} <= set(scores.values)
    assert scores.values["mask_rms_rad"] == pytest.approx(float(np.nanstd(answer.mask.plain)))
    assert len(scores.profiles["bounds"]["z_nm"]) == len(scores.profiles["bounds"]["bound_z_nm"]) == 11


def test_a_mask_goes_to_a_tiff_and_back_into_a_psf(answered, tmp_path, description):
    """Written in radians; read as the mask of a psf it makes the same image of an emitter."""
    import tifffile

    task, _, answer = answered
    path = task.write(answer, tmp_path, "some")[-1]
    assert path.name == "some_mask.tif"
    with tifffile.TiffFile(path) as held:
        phase, told = held.asarray(), held.imagej_metadata
    np.testing.assert_allclose(phase, answer.mask.phase.numpy(), atol=1e-6)
    assert (phase.dtype, told["unit"], told["pupil_diameter_px"]) == (np.float32, "rad", 24)
    assert told["pixel_pitch_na"] == pytest.approx(2 * 1.4 / 24)
    fine = network_with_96_cells(description, tmp_path)
    assert fine < 1e-6


def network_with_96_cells(description, folder):
    """Largest difference of the light behind a mask of 96 cells and behind its file, as a share of the peak."""
    from smlmbench.formats.tiff_image import write_plain

    psf = build_psf(description.psf, CATALOG)
    microscope = Microscope(description.psf, psf.objective.pupil.side)
    phase = fixed("tetrapod", microscope.pupil, 0.5)
    write_plain(folder / "fine.tif", phase.numpy())
    filed = build_psf({**description.psf, "mask": "file", "mask_path": str(folder / "fine.tif")}, CATALOG)
    z_nm = torch.tensor([-200.0, 300.0], dtype=torch.float64)
    at = (torch.arange(21, dtype=torch.float64) - 10) * PIXEL_NM
    one, other = (
        light(z_nm)
        for light in (
            lambda z: microscope.light(z, phase, Pixels(at, at, PIXEL_NM)),
            lambda z: filed.exact(z, Pixels(at, at, PIXEL_NM)),
        )
    )
    return float((one - other).abs().max() / one.max())


def test_a_picture_is_made_of_mask_and_frame(answered, frozen):
    task, model, _ = answered
    one = frozen.unit(task.example(frozen))
    picture = task.picture(task.answer(model, one, {"threshold": 0.5}), one)
    assert (picture.dtype, picture.ndim) == (np.uint8, 3)
    assert picture.std() > 10


def test_the_bounds_of_other_masks_stand_beside(answered):
    beside = answered[2].mask.beside
    assert tuple(beside) == FIXED
    np.testing.assert_allclose(beside["tetrapod"], answered[2].mask.seen.bounds_nm, rtol=1e-6)
