"""The networks of colours: their published sizes, and which crops they take."""

import pytest
import torch

from smlmbench.data.contracts import Given, Statistics
from smlmbench.errors import SizeError
from smlmbench.registry import Catalog

CATALOG = Catalog()
SIDES = {"kim_color": 13, "hershko_color": 16}


def built(name: str, classes: int = 2, sides: tuple[int, ...] = (16, 16), **settings):
    output = {"classes": tuple(f"class {k}" for k in range(classes))}
    given = Given(1, 1, 110.0, Statistics(10.0, 10.0, 0.0, 100.0), output=output, unit_sides=sides)
    return CATALOG.module("models", name).build(CATALOG.card("models", name).fill(name, settings), given).eval()


@pytest.mark.parametrize("name", SIDES)
def test_parameters_are_those_of_the_card(name):
    with torch.device("meta"):
        network = built(name)
    count = sum(weight.numel() for weight in network.parameters())
    assert [count] == list(CATALOG.card("models", name).parameters.values())
    assert count == {"kim_color": 11_187_202, "hershko_color": 196_450}[name]


@pytest.mark.parametrize("name", SIDES)
def test_the_middle_of_a_larger_crop_is_seen(name):
    network, side = built(name, classes=3, **CATALOG.card("models", name).tiny), SIDES[name]
    crops = torch.rand(4, 1, side + 5, side + 4) * 100
    with torch.no_grad():
        answers = network(crops)
        assert answers.shape == (4, 3)
        assert torch.equal(answers, network(crops[..., 2 : 2 + side, 2 : 2 + side]))
        assert not torch.allclose(answers, network(crops[..., :side, :side]))


@pytest.mark.parametrize("name", SIDES)
@pytest.mark.parametrize(
    ("sides", "said"),
    [((30, 9), "have 30 x 9; set side_px: 9"), ((64,), "not inputs of 64"), ((), "inputs of any size")],
)
def test_what_is_no_crop_of_its_size_is_refused_when_it_is_built(name, sides, said):
    with pytest.raises(SizeError, match=f"{name} sees .*{said}"):
        built(name, sides=sides)


@pytest.mark.parametrize("name", SIDES)
def test_empty_and_saturated_crops_have_finite_answers(name):
    network = built(name, **CATALOG.card("models", name).tiny)
    levels = torch.tensor([0.0, 7.0, 65535.0]).view(3, 1, 1, 1).expand(3, 1, 16, 16)
    assert bool(network(levels).isfinite().all())
