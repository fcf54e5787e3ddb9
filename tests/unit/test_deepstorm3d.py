"""DeepSTORM3D: layers by the paper's table, and its loss by hand."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from smlmbench.conformance import examples
from smlmbench.data.contracts import ArrayFrames
from smlmbench.errors import ConfigError
from smlmbench.inference import tiles
from smlmbench.inference.checkpoint import halo_of
from smlmbench.inference.engine import ReadOut, predict
from smlmbench.inference.footprint import bytes_per_px
from smlmbench.losses import kde_overlap
from smlmbench.models import deepstorm3d
from smlmbench.models.folding import folded
from smlmbench.outputs import voxel_grid
from smlmbench.registry import Catalog

SMALL = {"width": 24, "dilations": [1, 2, 4, 4, 4]}


def output(**chosen):
    told = examples.TAUGHT | {"pixel_size_nm": 100.0}
    return {**Catalog().card("outputs", "voxel_grid").fill("voxel_grid", chosen), **told}


def network(chosen, **of_output):
    settings = Catalog().card("models", "deepstorm3d").fill("deepstorm3d", chosen)
    kind = output(**of_output)
    torch.manual_seed(0)
    return deepstorm3d.build(settings, examples.given(kind["upsampling"], output=kind)).eval()


def loss_of(raw, spikes, **chosen):
    settings = Catalog().card("losses", "kde_overlap").fill("kde_overlap", chosen)
    found = kde_overlap.build(settings, output())(raw, {"spikes": spikes})
    return {name: float(value) for name, value in found.items()}


def spike(at, value=800.0, shape=(1, 9, 14, 14)):
    volume = torch.zeros(shape)
    volume[(0, *at)] = value
    return volume


def test_layers_are_those_of_the_table():
    built = network({}, planes=121)
    convolutions = [part for part in built.modules() if isinstance(part, nn.Conv2d)]
    found = [(c.in_channels, c.out_channels, c.kernel_size[0], c.dilation[0]) for c in convolutions]
    trunk = [(1, 64, 3, 1)] + [(65, 64, 3, dilation) for dilation in (1, 2, 4, 8, 16)]
    assert found == [*trunk, (65, 64, 3, 1), (64, 64, 3, 1), (64, 121, 3, 1), *[(121, 121, 3, 1)] * 2, (121, 121, 1, 1)]
    blocks = [[type(part).__name__ for part in layer] for layer in (built.trunk.first, built.up[1], built.refine[1])]
    assert blocks == [["Conv2d", "LeakyReLU", "BatchNorm2d"]] * 3


@pytest.mark.parametrize(("chosen", "planes", "upsampling", "parameters"), [({}, 121, 4, 612703), ({}, 81, 4, 435743)])
def test_it_has_as_many_parameters_as_the_authors(chosen, planes, upsampling, parameters):
    built = network(chosen, planes=planes, upsampling=upsampling)
    assert sum(weight.numel() for weight in built.parameters()) == parameters


@pytest.mark.parametrize("upsampling", [1, 2, 4])
@pytest.mark.parametrize("depth", [True, False])
def test_volumes_have_the_planes_and_the_grid_of_the_output_kind(upsampling, depth):
    kind = output(planes=7, upsampling=upsampling)
    if not depth:
        del kind["z_low_nm"], kind["z_high_nm"]
    settings = Catalog().card("models", "deepstorm3d").fill("deepstorm3d", SMALL)
    built = deepstorm3d.build(settings, examples.given(upsampling, channels=2, output=kind)).eval()
    raw = built(torch.rand(3, 2, 10, 9) * 50)
    assert raw.shape == (3, 7 if depth else 1, 10 * upsampling, 9 * upsampling)


def test_it_answers_between_nothing_and_one_emitter():
    built = network(SMALL)
    for bias, most in ((3000.0, 800.0), (-3000.0, 0.0)):
        nn.init.constant_(built.last.bias, bias)
        assert float(built(torch.rand(1, 1, 8, 8)).detach().max()) == most


def test_every_residual_layer_sees_the_frame():
    built = network(SMALL)
    built.trunk(torch.rand(1, 1, 12, 12)).sum().backward()
    slopes = [float(layer[0].weight.grad[:, -1].abs().max()) for layer in built.trunk.layers]
    assert len(slopes) == 5
    assert min(slopes) > 1e-3


def test_dilations_that_are_none_are_refused_in_one_line():
    for wrong in ([], [1, 0], [2.5], ["a"], [True]):
        with pytest.raises(ConfigError, match="give whole numbers from 1 on"):
            network({"dilations": wrong})


def test_memory_of_a_pixel_is_that_of_the_largest_layer():
    built = network({}, planes=121)
    # A layer of the planes: 121 maps in and 121 out on 16 voxels of 4 bytes.
    assert bytes_per_px(built) == 2 * 121 * 16 * 4


def test_kde_of_one_missed_emitter_by_hand():
    # 7 values exp(-i^2 / 2) along each axis; their squares sum to 1.7724 = sqrt(pi), less the tail beyond 3.
    squares = 1 + 2 * (math.exp(-1) + math.exp(-4) + math.exp(-9))
    missed = spike((4, 6, 7))
    found = loss_of(torch.zeros_like(missed), missed)
    assert found["kde"] == pytest.approx(800**2 * squares**3 / (9 * 8 * 8), rel=1e-5)
    assert found["overlap"] == pytest.approx(0.5)
    assert found["loss"] == pytest.approx(found["kde"] + 0.5)


def test_overlap_by_hand():
    # Half of one of two emitters is there: I = 0.5, T = 2.
    wanted = spike((4, 6, 7)) + spike((2, 3, 3))
    assert loss_of(spike((4, 6, 7), 400.0), wanted)["overlap"] == pytest.approx(1 - 2.0 / 3.5)
    assert loss_of(wanted, wanted) == {"loss": 0.0, "kde": 0.0, "overlap": 0.0}
    assert loss_of(wanted + spike((7, 9, 3)), wanted)["overlap"] == 0.0  # no penalty for what is too much
    assert loss_of(spike((4, 6, 7), 400.0), wanted, overlap=10.0)["overlap"] == pytest.approx(10 - 20.0 / 3.5)


def test_a_miss_of_one_plane_costs_less_than_one_of_two():
    at, near, far = (spike((plane, 6, 7)) for plane in (4, 5, 6))
    assert 0 < loss_of(near, at)["kde"] < loss_of(far, at)["kde"] < loss_of(0 * at, at)["kde"] * 2


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_banded_matrices_are_the_dense_convolution(padding):
    generator = torch.Generator().manual_seed(3)
    raw, spikes = (torch.rand(2, 5, 16, 19, generator=generator) * 800 for _ in range(2))
    profile = torch.exp(-0.5 * torch.arange(-3.0, 4.0) ** 2)
    kernel = (profile[:, None, None] * profile[:, None] * profile)[None, None]
    lateral = 0 if padding == "valid" else 3
    dense = [functional.conv3d(one[:, None], kernel, padding=(3, lateral, lateral)) for one in (raw, spikes)]
    wanted = float((dense[0] - dense[1]).square().mean())
    assert loss_of(raw, spikes, padding=padding)["kde"] == pytest.approx(wanted, rel=1e-5)


def test_the_edges_count_where_the_loss_is_padded():
    corner = spike((4, 0, 0))
    nothing = torch.zeros_like(corner)
    middle = loss_of(nothing, spike((4, 6, 7)))["kde"] * 8 * 8
    assert loss_of(nothing, corner)["kde"] * 8 * 8 < 1e-3 * middle
    assert loss_of(nothing, corner, padding="same")["kde"] * 14 * 14 > 0.2 * middle


def test_a_field_too_small_for_the_kernel_is_refused_in_one_line():
    with pytest.raises(ConfigError, match="at least 7 voxels, this one has 6 x 8; give larger crops"):
        loss_of(torch.zeros(1, 5, 6, 8), torch.zeros(1, 5, 6, 8))


def test_targets_of_the_output_kind_are_what_the_loss_compares():
    batch, kind = examples.batch(), output()
    spikes = voxel_grid.targets(batch, kind)["spikes"]
    assert loss_of(spikes, spikes)["loss"] == 0.0
    assert loss_of(spikes.roll(1, dims=1), spikes)["loss"] > 100


@pytest.fixture
def trained():
    """A small network whose answer is not all zero, with statistics of its own."""
    built = network({"width": 6, "dilations": [1, 2]}, planes=5, upsampling=2, radius=1, radius_z=1)
    for part in built.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.3, 3)
    nn.init.normal_(built.last.weight, std=60)
    return built


def test_a_network_made_ready_answers_the_same(trained):
    frames = torch.rand(2, 1, 8, 16) * 50
    with torch.inference_mode():
        expected, got = trained(frames), folded(trained)(frames)
    assert float(expected.max()) > 10
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-2)


def test_tiles_change_no_detection(trained, monkeypatch):
    chosen = {"width": 6, "dilations": [1, 2], "normalisation": "photon_scale"}
    halo = halo_of(Catalog(), "deepstorm3d", chosen, 2, trained)
    kind = output(planes=5, upsampling=2, radius=1, radius_z=1)
    frames = ArrayFrames(np.random.default_rng(2).poisson(20, (2, 90, 70)).astype(np.float32))
    read_out = ReadOut(voxel_grid, kind, 0.02, halo_px=halo)
    whole = predict(frames, trained, dataclasses.replace(read_out, halo_px=None), device=torch.device("cpu"))
    monkeypatch.setattr(tiles, "FINE_PIXELS_PER_TILE", 100**2)
    parts = predict(frames, trained, read_out, device=torch.device("cpu"))
    assert len(parts.table) == len(whole.table) > 50
    both = (parts.table, whole.table)
    order = [np.lexsort((t.z_nm.round(1), t.x_nm.round(1), t.y_nm.round(1), t.frame)) for t in both]
    for column in ("x_nm", "y_nm", "z_nm"):
        ours, theirs = (getattr(t, column)[at] for t, at in zip(both, order, strict=True))
        assert np.abs(ours - theirs).max() < 0.5


def test_large_frames_are_cut_so_that_their_volumes_fit():
    built = network({}, planes=121)
    held = bytes_per_px(built)
    cut = tiles.plan_tiles(400, 400, 4, 38, 1, None, held)
    largest = max((tile.rows.stop - tile.rows.start) * (tile.columns.stop - tile.columns.start) for tile in cut)
    assert len(cut) > 1
    # Four halos are the least that a tile may be.
    assert largest * held <= (4 * 38) ** 2 * held


def test_a_leak_lets_a_network_that_answers_nothing_learn_and_changes_no_answer():
    frames = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(1)) * 100
    slopes, answers = [], []
    for leak in (0.0, 0.1):
        built = network({**SMALL, "leak": leak}, planes=5, upsampling=2).train()
        with torch.no_grad():
            built.last.bias.fill_(-1e6)
        answer = built(frames)
        answers.append(answer.detach())
        answer.sum().backward()
        slopes.append(float(built.last.bias.grad.sum()))
    # 2 frames of 32 x 32 fine pixels on 5 planes, each of which pushes by a tenth
    assert slopes == pytest.approx([0, 0.1 * 2 * 5 * 32 * 32])
    assert not any(bool(answer.any()) for answer in answers)
