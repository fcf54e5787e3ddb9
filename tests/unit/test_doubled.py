import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from smlmbench.conformance import examples
from smlmbench.data.contracts import Given, Statistics
from smlmbench.models.blocks import block
from smlmbench.models.doubled import Doubled, doubled_kernel, on_doubled
from smlmbench.models.folding import folded
from smlmbench.registry import Catalog

CATALOG = Catalog()


def plain(maps, weight, bias=None):
    return functional.conv2d(functional.interpolate(maps, scale_factor=2.0, mode="nearest"), weight, bias, padding=1)


def on(maps, weight, bias=None):
    return on_doubled(maps, doubled_kernel(weight), bias)


def test_the_kernel_of_a_known_kernel():
    weight = torch.tensor([[1.0, 2.0, 4.0], [8.0, 16.0, 32.0], [64.0, 128.0, 256.0]])[None, None]
    summed = [[1, 3, 6, 4], [9, 27, 54, 36], [72, 216, 432, 288], [64, 192, 384, 256]]
    transposed = doubled_kernel(torch.cat((weight, weight)))
    assert transposed.flip(2, 3).tolist() == [[summed, summed]]
    # The lower right pixel of four first: the window's last row and column are the pixel after, the others this one.
    expected = [
        [[27, 36], [192, 256]],
        [[9, 54], [64, 384]],
        [[3, 4], [216, 288]],
        [[1, 6], [72, 432]],
    ]
    assert doubled_kernel(weight)[:, 0].tolist() == expected


@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1, 1, 1, 1), (3, 16, 4, 4), (1, 5, 2, 9)])
@pytest.mark.parametrize("outside", [1, 4])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.double, 1e-14), (torch.float, 1e-6)])
def test_a_convolution_on_doubled_maps_is_the_plain_one_with_its_gradients(shape, outside, with_bias, dtype, bound):
    torch.manual_seed(0)
    parts = [torch.rand(shape), torch.randn(outside, shape[1], 3, 3), *([torch.randn(outside)] if with_bias else [])]
    answers = []
    for compute in (plain, on):
        leaves = [part.to(dtype).requires_grad_() for part in parts]
        value = compute(*leaves)
        slope = 1 + 0.5 * torch.sin(torch.arange(value.numel(), dtype=dtype)).view(value.shape)
        answers.append([value, *torch.autograd.grad((value * slope).sum(), leaves)])
    for expected, got in zip(*answers, strict=True):
        assert (got - expected).abs().max() <= bound * max(1, float(expected.detach().abs().max()))


@pytest.mark.parametrize("outside", [1, 2])
def test_the_gradient_passes_the_numerical_check(outside):
    torch.manual_seed(1)
    maps = torch.randn(1, 2, 3, 2, dtype=torch.double, requires_grad=True)
    weight = torch.randn(outside, 2, 3, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(on, (maps, weight))


@pytest.mark.parametrize("outside", [1, 32])
def test_channels_last_maps_stay_so(outside):
    torch.manual_seed(0)
    maps, weight = torch.randn(2, 64, 12, 12), torch.randn(outside, 64, 3, 3) / 24
    got = on(maps.to(memory_format=torch.channels_last), weight)
    assert outside == 1 or got.is_contiguous(memory_format=torch.channels_last)
    assert (got - plain(maps, weight)).abs().max() < 1e-5


@pytest.mark.parametrize("size", [None, (10, 14), (11, 14), (10, 15), (5, 7)])
def test_any_size_is_reached_as_by_interpolation(size):
    torch.manual_seed(0)
    layers = Doubled(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
    maps = torch.randn(2, 3, 5, 7)
    wanted = functional.interpolate(maps, size=size or (10, 14), mode="nearest")
    assert torch.allclose(layers(maps, size), layers[1](layers[0](wanted)), atol=1e-5)


def test_state_dicts_are_those_of_plain_layers():
    doubled, ordinary = block(4, 6, kind=Doubled), block(4, 6)
    assert list(doubled.state_dict()) == list(ordinary.state_dict())
    doubled.load_state_dict(ordinary.state_dict())


def trained(name, upsampling=4, **settings):
    torch.manual_seed(0)
    card = CATALOG.card("models", name)
    given = Given(1, upsampling, 100.0, Statistics(10.0, 5.0, 0.0, 80.0))
    tiny = {key: value for key, value in card.tiny.items() if key == "width" or not settings}
    network = CATALOG.module("models", name).build(card.fill(name, tiny | settings), given)
    for part in network.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.normal_(part.weight, mean=0.05, std=0.2)
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, -0.5, 2)
            nn.init.uniform_(part.bias, 0, 1)
            part.running_mean.normal_()
            part.running_var.uniform_(0.3, 3)
    last = [part for part in network.modules() if isinstance(part, nn.Conv2d)][-1]
    nn.init.uniform_(last.weight, 0, 0.1)  # so that a ReLU at the end lets something through
    return network.eval()


@pytest.mark.parametrize("settings", [{}, {"variant": "seed"}])
@pytest.mark.parametrize("name", examples.answering(CATALOG, "raster"))
def test_a_folded_network_answers_the_same_and_the_original_stays(name, settings):
    network = trained(name, **settings)
    before = copy.deepcopy(network.state_dict())
    frames = torch.rand(2, 1, 8, 16) * 50
    ready = folded(network)
    with torch.inference_mode():
        expected, got = network.double()(frames.double()), ready.double()(frames.double())
        assert expected.abs().max() > 0
        assert torch.allclose(got, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
    assert all(torch.equal(value.to(before[key].dtype), before[key]) for key, value in network.state_dict().items())
    assert not network.training


def test_what_can_be_folded_is_folded():
    ready = folded(trained("fid_storm"))
    assert not [part for part in ready.modules() if isinstance(part, nn.BatchNorm2d)]
    stages = [part for part in ready.modules() if isinstance(part, Doubled)]
    assert [stage.kernel.shape[1:] for stage in stages] == [(8, 4, 4), (8, 2, 2)]
    assert not [key for key in ready.state_dict() if key.endswith("kernel")]


def test_biases_are_folded_too():
    network = trained("deep_storm", variant="seed")
    assert [part for part in network.modules() if isinstance(part, nn.Conv2d) and part.bias is not None]
    assert not [part for part in folded(network).modules() if isinstance(part, nn.BatchNorm2d)]


def test_a_network_in_training_is_not_folded():
    network = trained("fid_storm").train()
    assert folded(network) is network


def test_a_plug_in_is_used_as_it_is():
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)).eval()
    assert folded(network) is network


def test_an_exported_graph_is_one_operation_at_open_sizes():
    network = nn.Sequential(Doubled(nn.Conv2d(1, 2, 3, padding=1)), Doubled(nn.Conv2d(2, 1, 3, padding=1))).eval()
    free = torch.export.Dim.AUTO
    exported = torch.export.export(network, (torch.rand(1, 1, 6, 5),), dynamic_shapes=({2: free, 3: free},))
    assert "upsample" not in str(exported.graph)
    maps = torch.rand(1, 1, 9, 4)
    assert torch.allclose(exported.module()(maps), network(maps), atol=1e-6)
