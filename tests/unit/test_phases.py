import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from smlmbench.data.contracts import Given, Statistics
from smlmbench.inference.folding import folded
from smlmbench.models.blocks import block
from smlmbench.models.phases import Doubled, PhaseConv, on_doubled, phase_kernels
from smlmbench.registry import Catalog

CATALOG = Catalog()


def plain(maps, weight, bias=None):
    return functional.conv2d(functional.interpolate(maps, scale_factor=2.0, mode="nearest"), weight, bias, padding=1)


def test_phase_kernels_of_a_known_kernel():
    weight = torch.tensor([[1.0, 2.0, 4.0], [8.0, 16.0, 32.0], [64.0, 128.0, 256.0]])[None, None]
    # Upper left: the window's first row and column are the pixel before, the others this one.
    expected = [
        [[1, 6], [72, 432]],
        [[3, 4], [216, 288]],
        [[9, 54], [64, 384]],
        [[27, 36], [192, 256]],
    ]
    assert phase_kernels(weight)[:, 0].tolist() == expected


@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1, 1, 1, 1), (3, 16, 8, 8), (1, 5, 2, 9)])
@pytest.mark.parametrize("with_bias", [False, True])
def test_a_convolution_on_doubled_maps_is_the_plain_one_with_its_gradients(shape, with_bias):
    torch.manual_seed(0)
    parts = [torch.randn(shape), torch.randn(4, shape[1], 3, 3), *([torch.randn(4)] if with_bias else [])]
    answers = []
    for compute in (plain, on_doubled):
        leaves = [part.double().requires_grad_() for part in parts]
        value = compute(*leaves)
        slope = torch.sin(torch.arange(value.numel(), dtype=torch.double)).view_as(value)
        answers.append([value, *torch.autograd.grad((value * slope).sum(), leaves)])
    for expected, got in zip(*answers, strict=True):
        assert torch.allclose(got, expected, rtol=0, atol=1e-11)


def test_the_gradient_passes_the_numerical_check():
    torch.manual_seed(1)
    maps = torch.randn(1, 2, 3, 2, dtype=torch.double, requires_grad=True)
    weight = torch.randn(2, 2, 3, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(on_doubled, (maps, weight))


def test_float32_differs_by_rounding_only_and_is_channels_last():
    torch.manual_seed(0)
    maps, weight = torch.randn(2, 64, 12, 12), torch.randn(32, 64, 3, 3) / 24
    got = on_doubled(maps, weight)
    assert got.is_contiguous(memory_format=torch.channels_last)
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
@pytest.mark.parametrize("name", CATALOG.names("models"))
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
    assert [part for part in ready.modules() if isinstance(part, PhaseConv)]


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


def test_an_exported_graph_keeps_the_plain_form():
    class Around(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = Doubled(nn.Conv2d(1, 2, 3, padding=1))

        def forward(self, maps):
            return self.layers(maps)

    sizes = {"maps": {2: torch.export.Dim("height"), 3: torch.export.Dim("width")}}
    exported = torch.export.export(Around().eval(), (torch.rand(1, 1, 6, 5),), dynamic_shapes=sizes)
    assert "upsample_nearest2d" in str(exported.graph)
    maps = torch.rand(1, 1, 9, 4)
    network = Around().eval()
    network.load_state_dict(exported.state_dict)
    assert torch.allclose(exported.module()(maps), network(maps), atol=1e-6)
