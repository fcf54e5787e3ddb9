"""Dense layers on crops: their sizes, their published starts, and what does not change a scaled crop."""

import pytest
import torch

from smlmbench.models.dense import CropScale, DenseLayers, edge_mean

PUBLISHED = (4096, 2048, 1024)


@pytest.mark.parametrize(("outputs", "count"), [(2, 11_187_202), (1, 11_186_177)])
def test_published_sizes_have_the_published_number_of_parameters(outputs, count):
    with torch.device("meta"):
        network = DenseLayers(169, PUBLISHED, outputs, dropped=0.5, start="xavier")
    assert sum(weight.numel() for weight in network.parameters()) == count


def test_the_start_for_depth_is_a_cut_normal_law_with_its_bias():
    network = DenseLayers(169, (512, 64, 32), 1, dropped=0.0, start="truncated")
    first = network.layers[1]
    assert float(first.weight.detach().abs().max()) <= 0.1
    assert float(first.weight.detach().std()) == pytest.approx(0.05 * 0.88, rel=0.03)  # of a normal law cut at 2
    assert bool((first.bias == 0.05).all())


def test_the_start_for_colour_draws_biases_too():
    bias = DenseLayers(169, (512, 64, 32), 2, dropped=0.0, start="xavier").layers[1].bias
    assert 0.8 * (3 / 512) ** 0.5 < float(bias.detach().abs().max()) <= (3 / 512) ** 0.5


@pytest.mark.parametrize("kind", ["sum", "max"])
def test_neither_background_nor_brightness_changes_a_scaled_crop(kind):
    at = torch.arange(13.0) - 6
    spot = torch.exp(-(at**2 + at[:, None] ** 2) / 6) * 100
    crops = spot + torch.rand(3, 1, 13, 13, generator=torch.Generator().manual_seed(0)) * 10
    scaled = CropScale(kind)(crops)
    assert torch.allclose(CropScale(kind)(3 * crops + 40), scaled, atol=1e-4)
    assert not torch.allclose(CropScale("none")(3 * crops + 40), CropScale("none")(crops))
    told = scaled.mean(dim=(1, 2, 3)) if kind == "sum" else scaled.amax(dim=(1, 2, 3))
    assert torch.allclose(told, torch.ones(3), atol=1e-4)


def test_the_edge_is_every_outermost_pixel_once():
    crop = torch.zeros(1, 1, 4, 5)
    crop[..., 1:-1, 1:-1] = 1000.0
    crop[0, 0, 0, 0] = 14.0
    assert float(edge_mean(crop)) == pytest.approx(1.0)  # of 14 pixels


def test_dropout_is_of_training_alone():
    network = DenseLayers(4, (8, 8, 64), 1, dropped=0.5, start="truncated")
    crops = torch.ones(1, 1, 2, 2)
    training = {float(network.train()(crops).detach()) for _ in range(8)}
    assert len({float(network.eval()(crops).detach()) for _ in range(3)}) == 1 < len(training)


def test_noise_alone_is_not_blown_up():
    crops = torch.rand(200, 1, 13, 13, generator=torch.Generator().manual_seed(1)) * 100
    assert float(CropScale("sum")(crops).abs().mean(dim=(1, 2, 3)).max()) <= 10.0 + 1e-3
