"""Networks, losses and trainings on a CUDA card that is made of the processor; `test_card.py` runs this file."""

import threading
from dataclasses import replace

import pytest
import torch
from emulated_card import CARD, OnCard
from tiny_study import write

from smlmbench.conformance import checks, examples
from smlmbench.data.ahead import ahead
from smlmbench.inference.devices import resolve_device
from smlmbench.registry import Catalog
from smlmbench.run.cells.teachers import untrained_teacher
from smlmbench.run.cells.training import Events, Trial, _untrained, build_recipe, train_cell
from smlmbench.run.materials import Materials
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan
from smlmbench.training import fit

CATALOG = Catalog()
CPU, FIRST, SECOND = torch.device("cpu"), torch.device("cuda:0"), torch.device("cuda:1")
MODELS = examples.answering(CATALOG, "raster")
SMALL = {"name": "srcnn", "kernels": "3-1-3", "width": 0.25}


def cells_of(folder, models, **blocks):
    loaded = load_study(write(folder, models=models, references=[], timing=None, **blocks))
    return make_plan(loaded).cells, Materials(loaded.catalog)


def silent(hook=lambda *_: None):
    return Events(lambda *_: None, hook, lambda *_: None)


# What the card is


def test_the_card_refuses_what_a_card_refuses():
    there = torch.ones(3, device="cuda")
    assert isinstance(there, OnCard)
    assert there.device == FIRST
    for other in (torch.ones(3), torch.ones(3, device=SECOND)):
        with pytest.raises(RuntimeError, match="same device"):
            there + other
    assert (there + torch.tensor(2.0)).cpu().tolist() == [3, 3, 3]
    with pytest.raises(RuntimeError, match="same device"):
        torch.stack([there.sum(), torch.tensor(2.0)])
    with pytest.raises(RuntimeError, match="numpy"):
        there.numpy()
    with pytest.raises(RuntimeError, match="generator"):
        torch.rand(3, device="cuda", generator=torch.Generator())


def test_the_card_knows_what_waits_for_it():
    there = torch.ones(3, device="cuda")
    CARD.waits.clear()
    there.mul_(2).add(1).sum()
    torch.ones(3).pin_memory().to("cuda", non_blocking=True)
    there.to("cpu", non_blocking=True)
    assert CARD.waits == []
    for waits in (
        lambda: float(there.sum()),
        lambda: there[there > 1],
        there.nonzero,
        lambda: torch.ones(3).to("cuda"),
        lambda: torch.ones(3).to("cuda", non_blocking=True),
        there.cpu,
        lambda: torch.tensor([1.0], device="cuda"),
    ):
        CARD.waits.clear()
        waits()
        assert CARD.waits, waits


# Networks, losses, output kinds


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(check, id=f"{name}-{check.name}")
        for room in ("models", "losses", "outputs")
        for name in CATALOG.names(room)
        for check in checks(CATALOG, room, name)
        if check.name.startswith("same_on_a_card")
    ],
)
def test_a_card_gives_the_numbers_of_the_processor(check):
    outcome = check.outcome()
    assert (outcome.passed, outcome.skipped) == (True, False), outcome.detail


def test_the_conformance_checks_see_a_tensor_on_the_wrong_device(tmp_path):
    text = CATALOG.path("losses", "mse").read_text().replace("raw.float() -", "torch.ones(raw.shape) * raw.float() -")
    path = tmp_path / "losses" / "strays.py"
    path.parent.mkdir()
    path.write_text(text)
    found = {check.name: check.outcome() for check in checks(Catalog([path]), "losses", "strays")}
    assert found["parts_are_numbers"].passed
    assert "same device" in found["same_on_a_card"].detail


# Training


def waits_of_a_step(cell, materials, teacher=None):
    """What the thread of the loop waits for in later steps."""
    recipe, _ = build_recipe(cell, materials, resolve_device("cuda"), teacher)
    seen = []
    with ahead(materials.training(cell), torch.device("cuda"), 80, moves=True) as stream:
        recipe.prepare()
        recipe.network.train()
        for number in range(5):  # the first of a stage makes what the others find
            batch = stream.batch(number * 8, 8)
            assert batch.inputs.device == FIRST
            CARD.waits.clear()
            with torch.autocast("cuda", torch.bfloat16):
                (move,) = recipe.step(batch)
            move.loss.backward()
            seen = [what for thread, what in CARD.waits if thread == threading.current_thread().name]
            assert move.loss.device == FIRST
            assert all(weight.grad is None or weight.grad.device == FIRST for weight in move.parameters)
    return seen


@pytest.mark.parametrize("model", MODELS)
def test_no_step_of_any_network_waits_for_the_card(tmp_path, model):
    (cell,), materials = cells_of(tmp_path, [{"name": model, "width": 0.125}])
    assert waits_of_a_step(cell, materials) == []


@pytest.mark.parametrize("loss", ["l1l2", "weighted_mae", "weighted_mse"])
@pytest.mark.parametrize("collisions", ["sum", "binary"])
def test_no_loss_waits_for_the_card(tmp_path, loss, collisions):
    losses = [{"name": loss, "lambda": 400}, *([{"name": loss, "lambda": 400, "kernel": "seed"}] * (loss == "l1l2"))]
    cells, materials = cells_of(tmp_path, [SMALL], losses=losses, output={"upsampling": 2, "collisions": collisions})
    assert [waits_of_a_step(cell, materials) for cell in cells] == [[]] * len(cells)


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("hint", {}),
        ("hint", {"stages": "joint", "resize": "interpolation"}),
        ("attentive_hint", {"phi_samples": 16}),
        ("attentive_hint", {"stages": "joint", "phi": "shifted", "phi_samples": 16}),
        ("attentive_imitation", {"phi_samples": 16}),
        ("attentive_imitation", {"phi": "seed"}),
    ],
)
def test_no_recipe_with_a_teacher_waits_for_the_card(tmp_path, method, settings):
    distill = [{"teacher": "deep_storm", "student": "fid_storm", "method": method, "controls": ["plain"], **settings}]
    models = [{"name": "deep_storm", "width": 0.125}, {"name": "fid_storm", "blocks": 1, "width": 0.25}]
    cells, materials = cells_of(tmp_path, models, distill=distill)
    (cell,) = [cell for cell in cells if cell.teaching is not None]
    teacher = untrained_teacher(cell, materials, torch.device("cuda"), cell.teaching.model)
    assert waits_of_a_step(cell, materials, replace(teacher, history=(3.0, 1.0))) == []


def trained(cell, materials, folder, device, hook=lambda *_: None):
    told = {}

    def tell(step, numbers):
        told[step] = numbers
        hook(step)

    made = train_cell(cell, materials, folder, silent(tell), device)
    state = {name: value.cpu() for name, value in made.trained.network.state_dict().items()}
    return made, state, told


def alike(one, other):
    return all(torch.allclose(one[name].float(), other[name].float(), rtol=1e-4, atol=1e-5) for name in one)


def fp32_cell(folder):
    training = {"samples": 96, "batch_size": 8, "validations": 3, "lr": 0.003, "number_format": "fp32"}
    (cell,), materials = cells_of(folder, [SMALL], training=training)
    return cell, materials


def test_a_training_on_the_card_is_that_of_the_processor(tmp_path):
    cell, materials = fp32_cell(tmp_path)
    _, here, told = trained(cell, materials, tmp_path / "cpu", "cpu")
    made, there, said = trained(cell, materials, tmp_path / "card", "cuda:1")
    assert alike(here, there)
    assert said.keys() == told.keys()
    for step, numbers in told.items():
        for name in ("train/loss", "train/lr", "val/efficiency"):
            assert said[step][name] == pytest.approx(numbers[name], rel=1e-3, abs=1e-6)
    assert (made.params["device"], made.params["card"]) == ("cuda:1", "emulated card")
    assert made.params["card_peak_gb"] == 0.012
    assert next(made.trained.network.parameters()).device == SECOND


@pytest.mark.parametrize("way", [("cuda", "cpu"), ("cpu", "cuda"), ("cuda:1", "cuda:0"), ("cuda", "cuda")])
def test_a_training_goes_on_on_another_device(tmp_path, way):
    cell, materials = fp32_cell(tmp_path)
    _, whole, told = trained(cell, materials, tmp_path / "whole", "cpu")
    asked = []

    class Stopping:
        def __init__(self, stream):
            self.stream = stream

        def batch(self, first, count):
            asked.append(first)
            if len(asked) == 7:  # two steps after the first validation
                raise KeyboardInterrupt
            return self.stream.batch(first, count)

    first, second = way
    device, folder = resolve_device(first), tmp_path / "moved"
    recipe, _ = build_recipe(cell, materials, device)
    trial = Trial(cell, materials, _untrained(cell, materials, recipe.network, materials.given(cell)), device, silent())
    stream = Stopping(materials.training(cell))
    with pytest.raises(KeyboardInterrupt):
        fit(recipe, stream, cell.training, trial.validate, trial.tell, folder=folder, device=device)
    assert torch.load(folder / "last.pt", weights_only=True)["window"]
    _, state, said = trained(cell, materials, folder, second)
    assert alike(state, whole)
    assert said[8]["train/loss"] == pytest.approx(told[8]["train/loss"], rel=1e-4)
    assert said[8]["train/lr"] == told[8]["train/lr"]


def test_batches_ahead_are_those_of_the_stream(tmp_path):
    (cell,), materials = cells_of(tmp_path, [SMALL])
    stream = materials.training(cell)
    wanted = [stream.batch(first, 8) for first in range(0, 400, 8)]
    (other,), fresh = cells_of(tmp_path / "fresh", [SMALL])
    threads, before = torch.get_num_threads(), threading.active_count()
    with ahead(fresh.training(other), FIRST, 400, moves=True) as coming:
        for number, one in enumerate(wanted):
            got = coming.batch(8 * number, 8)
            assert got.first == one.first
            assert torch.equal(got.inputs.cpu(), one.inputs)
            for name in ("sample", "x_nm", "photons"):
                assert torch.equal(getattr(got.truth, name).cpu(), getattr(one.truth, name))
        half = coming.batch(96, 4)
        assert torch.equal(half.inputs.cpu(), wanted[12].inputs[:4])
    assert (torch.get_num_threads(), threading.active_count()) == (threads, before)
    with ahead(stream, CPU, 400, moves=True) as same:
        assert same is stream
