"""Students that answer numbers (B, C) instead of maps, on crops and on spectra (B, C, L)."""

import pytest
import torch
from torch import nn

from smlmbench.data.contracts import Batch
from smlmbench.errors import SizeError
from smlmbench.recipes import attentive_imitation, hint
from smlmbench.recipes.attention import Measures, sample_errors
from smlmbench.recipes.contracts import Lesson
from smlmbench.recipes.hints import adapter

CPU = torch.device("cpu")
SHAPES = {"crops": (1, 6, 6), "spectra": (1, 36)}


class Stream:
    def __init__(self, kind):
        self.shape = SHAPES[kind]

    def batch(self, first, count):
        made = [torch.rand(self.shape, generator=torch.Generator().manual_seed(k)) for k in range(first, first + count)]
        return Batch(torch.stack(made), None, first)


def squared(raw, targets):
    return {"loss": (raw - targets["wanted"]).square().mean()}


def targets(batch):
    return {"wanted": batch.inputs.flatten(1)[:, :3]}


def network(seed, width=8):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(36, width), nn.ReLU(), nn.Linear(width, 3))


def made(module, kind, **chosen):
    guide = network(1, width=5).eval()
    learned = Lesson(guide, guide, Stream(kind), 64, 32, 1, target="wanted", seed=3, multiple_px=2)
    known = {name: setting["default"] for name, setting in module.CARD["settings"].items()}
    recipe = module.build(network(2), squared, targets, CPU, known | chosen, lesson=learned)
    recipe.prepare()
    return recipe, guide


@pytest.mark.parametrize("kind", SHAPES)
def test_all_samples_of_a_batch_larger_than_a_crop_are_imitated(kind):
    recipe, guide = made(attentive_imitation, kind, alpha=0.0, clamp=False)
    batch = Stream(kind).batch(0, 32)  # of crops of 6 px
    move = recipe.step(batch)[0]
    with torch.no_grad():
        answers, theirs = recipe.network(batch.inputs), guide(batch.inputs)
    apart, errors = ((a - b).square().mean(dim=1) for a, b in ((answers, theirs), (theirs, targets(batch)["wanted"])))
    measures = recipe.modules["measures"]
    phi = 1 - errors / (measures.high - measures.low)
    assert float(move.loss.detach()) == pytest.approx(float(measures.unit * (phi * apart).mean()), rel=1e-4)


@pytest.mark.parametrize("kind", SHAPES)
def test_a_hint_of_dense_layers_goes_through_a_dense_adapter(kind):
    recipe, _ = made(hint, kind, teacher_layer="1", student_layer="1", stages="joint")
    assert isinstance(recipe.modules["adapter"], nn.Linear)
    assert recipe.modules["adapter"].weight.shape == (5, 8)
    recipe.step(Stream(kind).batch(0, 32))[0].loss.backward()
    assert bool(recipe.modules["adapter"].weight.grad.any())


def test_numbers_are_compared_without_a_blur():
    errors = sample_errors(torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, 0.0], [0.0, 3.0]]))
    assert errors.tolist() == [0.5, 4.5]


def test_hints_of_numbers_are_scaled_by_their_column():
    measures, hints = Measures(2), torch.tensor([[1.0, 10.0], [3.0, 30.0]])
    measures.set_scale(hints)
    assert measures.scaled(hints).tolist() == [[-1.0, -1.0], [1.0, 1.0]]


def test_a_map_beside_numbers_has_no_adapter():
    with pytest.raises(SizeError, match="are not both maps"):
        adapter(torch.Size((2, 3, 4, 4)), torch.Size((2, 8)), "convolution")
