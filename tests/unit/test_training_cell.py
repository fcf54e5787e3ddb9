import pytest
import torch
from tiny_study import write

from smlmbench.inference import probe
from smlmbench.run.cells.training import Events, build_recipe, train_cell
from smlmbench.run.materials import Materials
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan

CPU = torch.device("cpu")


def recipe_of(folder, model, field_px=16, repeat=0):
    path = write(folder, models=[model], repeats=2)
    loaded = load_study(path, sets=(f"data.0.train.simulate.field_px={field_px}",))
    materials, cell = Materials(loaded.catalog), make_plan(loaded).cells[repeat]
    return build_recipe(cell, materials, CPU)[0], materials.training(cell)


@pytest.mark.parametrize(("field_px", "seen_px"), [(8, 8), (9, 12), (14, 16)])
def test_a_network_that_needs_a_multiple_is_trained_on_padded_frames_as_it_is_used(tmp_path, field_px, seen_px):
    # Deep-STORM halves the fine grid three times: 4 camera pixels at upsampling 2.
    recipe, stream = recipe_of(tmp_path, {"name": "deep_storm", "width": 0.125}, field_px)
    seen = []
    recipe.network.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape))
    (move,) = recipe.step(stream.batch(0, 2))
    assert seen == [(2, 1, seen_px, seen_px)]
    assert move.loss.isfinite()


def test_the_number_format_its_reason_and_both_times_are_params(tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "SHORT_S", 0.0)
    loaded = load_study(write(tmp_path, models=[{"name": "srcnn", "kernels": "3-1-3", "width": 0.25}]))
    quiet = Events(*(lambda *_: None for _ in range(3)))
    params = train_cell(make_plan(loaded).cells[0], Materials(loaded.catalog), tmp_path, quiet, "cpu").params
    assert params["number_format"] in ("fp32", "bf16")
    assert params["number_format_why"].startswith("measured, a step takes ")
    assert params["step_fp32_ms"] > 0
    assert params["step_bf16_ms"] > 0


def test_weights_depend_on_the_repeat_alone(tmp_path):
    model = {"name": "srcnn", "kernels": "3-1-3", "width": 0.25}

    def weights(folder, repeat):
        torch.manual_seed(len(folder))
        return recipe_of(tmp_path / folder, model, repeat=repeat)[0].network.state_dict()["extraction.0.weight"]

    assert torch.equal(weights("a", 0), weights("other", 0))
    assert not torch.equal(weights("a", 0), weights("a", 1))
