"""The block `search`: what it accepts, what is varied, and the training that a proposal means."""

import pytest
from tiny_study import write

from smlmbench.errors import ConfigError
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan
from smlmbench.study.planning.spaces import describe_searches, search_name, spaces, trial_cell, trial_cells

FID = {"name": "fid_storm", "blocks": 1}


def loaded(folder, **blocks):
    return load_study(write(folder, **{"search": {}, "losses": ["l1l2"], "models": [FID], **blocks}))


def axes(study):
    return {axis.name: axis for space in spaces(study) for axis in space.axes}


def test_a_study_without_the_block_has_no_searches(tmp_path):
    assert spaces(load_study(write(tmp_path))) == []
    assert describe_searches(load_study(write(tmp_path)), []) == []


def test_the_spaces_of_the_cards_are_searched_and_what_the_study_writes_is_held(tmp_path):
    found = axes(loaded(tmp_path, training={"samples": 80}))
    assert set(found) == {"width", "lambda", "radius", "lr"}  # blocks is written, so it is held
    assert (found["width"].low, found["width"].high, found["width"].log) == (0.25, 1.0, True)
    assert (found["lambda"].low, found["lambda"].high, found["lambda"].default) == (20.0, 2000.0, 200.0)
    assert (found["lr"].low, found["lr"].high, found["lr"].log, found["lr"].default) == (1e-4, 1e-2, True, 1e-3)
    assert "lr" not in axes(loaded(tmp_path))  # the tiny study writes lr: 0.003


def test_what_has_no_meaning_in_the_seed_s_wiring_is_not_searched_unless_the_study_asks(tmp_path):
    model = {"name": "fid_storm", "variant": "seed"}
    assert {"blocks", "width"} & set(axes(loaded(tmp_path, models=["fid_storm"]))) == {"blocks", "width"}
    assert {"blocks", "width"} & set(axes(loaded(tmp_path, models=[model]))) == {"width"}
    asked = loaded(tmp_path, models=[model], search={"space": {"blocks": [3, 5]}})
    assert axes(asked)["blocks"].choices == (3, 5)


def test_lambda_is_searched_also_where_the_study_writes_it_which_is_tried_first(tmp_path):
    found = axes(loaded(tmp_path, losses=[{"name": "weighted_mae", "lambda": [3, 5]}]))
    assert (found["lambda"].low, found["lambda"].high, found["lambda"].default) == (2.1, 20.0, 3.0)
    wide = axes(loaded(tmp_path, losses=[{"name": "l1l2", "lambda": 5000}]))["lambda"]
    assert (wide.low, wide.high, wide.default) == (20.0, 5000.0, 5000.0)


def test_each_loss_has_a_lambda_of_its_own_that_counts_where_the_loss_is_chosen(tmp_path):
    study = loaded(tmp_path, losses=["l1l2", {"name": "weighted_mae", "lambda": 4}])
    found = axes(study)
    assert found["loss"].choices == ("l1l2", "weighted_mae")
    assert found["weighted_mae.lambda"].counts({"loss": "weighted_mae"})
    assert not found["weighted_mae.lambda"].counts({"loss": "l1l2"})
    first, second = spaces(study)[0].defaults()
    assert (first["loss"], first["l1l2.lambda"], "weighted_mae.lambda" in first) == ("l1l2", 200.0, False)
    assert (second["loss"], second["weighted_mae.lambda"]) == ("weighted_mae", 4.0)


def test_the_study_s_space_wins_and_one_value_holds(tmp_path):
    space = {"width": {"low": 0.1, "high": 0.2}, "lambda": 300, "blocks": {"choices": [1, 2]}, "batch_size": [4, 8]}
    study = loaded(tmp_path, search={"space": {**space, "fid_storm.normalisation": ["train_zscore", "photon_scale"]}})
    found = axes(study)
    assert "lambda" not in found
    assert (found["width"].low, found["width"].high, found["width"].log, found["width"].default) == (
        0.1,
        0.2,
        False,
        0.2,
    )
    assert found["blocks"].choices == (1, 2)
    assert found["batch_size"].choices == (4, 8)
    assert found["normalisation"].choices == ("train_zscore", "photon_scale")
    cell = trial_cell(study, spaces(study)[0], {**spaces(study)[0].defaults()[0], "batch_size": 4, "blocks": 2})
    assert (cell.loss.settings["weight"], cell.training.batch_size, cell.model.settings["blocks"]) == (300.0, 4, 2)


def test_a_trial_with_the_settings_of_a_grid_cell_is_that_cell(tmp_path):
    study = loaded(tmp_path, losses=[{"name": "l1l2", "lambda": [200, 50]}], repeats=2)
    space = spaces(study)[0]
    grid = make_plan(study).cells
    assert trial_cell(study, space, space.defaults()[0]).cell_id == grid[0].cell_id
    values = {**space.defaults()[0], "lambda": 50}
    assert [cell.cell_id for cell in trial_cells(study, space, values, repeats=2)] == [c.cell_id for c in grid[2:]]
    assert trial_cell(study, space, values, repeat=1).repeat == 1


def test_one_search_per_model_and_data_or_one_for_all(tmp_path):
    models = [FID, {"name": "deep_storm"}]
    one_each = spaces(loaded(tmp_path, models=models))
    assert [space.label for space in one_each] == ["fid_storm", "deep_storm"]
    study = loaded(tmp_path, models=models, search={"joint": True, "space": {"radius": 1}})
    (joint,) = spaces(study)
    assert joint.label == "joint"
    assert [axis.name for axis in joint.axes] == [
        *("model", "fid_storm.width", "fid_storm.lambda", "deep_storm.width", "deep_storm.lambda"),
    ]
    assert [values["model"] for values in joint.defaults()] == ["fid_storm", "deep_storm"]
    for values, label in zip(joint.defaults(), ("fid_storm", "deep_storm"), strict=True):
        assert trial_cell(study, joint, values).model.name == label
        assert {name.partition(".")[0] for name in values} == {"model", label}


def test_more_trials_continue_a_search_and_another_space_is_another_search(tmp_path):
    def name(**search):
        study = loaded(tmp_path, search=search)
        return search_name(study, spaces(study)[0])

    assert name(trials=3) == name(trials=30) == name(trials=3, holdout=False)
    assert name(trials=3) != name(trials=3, space={"width": 0.5})
    assert name() != name(objectives=["val/jaccard"])
    assert name().startswith("tiny sim fid_storm ")


def test_the_plan_says_how_many_trials(tmp_path):
    study = loaded(tmp_path, search={"trials": 7, "startup": 2, "random_trials": 5})
    first, second = describe_searches(study, spaces(study))
    assert "1 x 7 trials, 3 more of random search" in first
    assert "lambda 20 to 2000 (log)" in second
    study = loaded(tmp_path, search={"trials": 7, "limits": {"n_params": 5000, "device/latency_ms": 2.5}})
    first, _ = describe_searches(study, spaces(study))
    assert "7 trials, n_params at most 5000, device/latency_ms at most 2.5 (" in first


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ({"trial": 3}, "search.trial: unknown key, did you mean 'trials'?"),
        ({"trials": 0}, "search.trials: 0 is out of range; give a number at least 1"),
        ({"objectives": ["test/efficiency"]}, "the test set scores the final pick only; give val/efficiency"),
        ({"objectives": ["val/efficiency", "test.low/jaccard"]}, "search.objectives[1]: 'test.low/jaccard' cannot be"),
        ({"objectives": ["holdout/jaccard"]}, "it chooses nothing; give val/jaccard"),
        ({"objectives": ["val/eficiency"]}, "unknown objective 'val/eficiency', did you mean 'val/efficiency'?"),
        ({"objectives": ["n_params", "val/efficiency"]}, "'n_params' cannot come first"),
        ({"objectives": "val/efficiency"}, "is not a list of names"),
        ({"objectives": ["val/f1", "val/f1"]}, "'val/f1' stands twice"),
        ({"space": {"lamda": 3}}, "search.space.lamda: unknown setting, did you mean 'lambda'?"),
        ({"space": {"samples": {"low": 1, "high": 9}}}, "the budget is equal for all trials"),
        ({"space": {"width": {"low": -1, "high": 1}}}, "search.space.width: -1"),
        ({"space": {"normalisation": ["none"]}}, "search.space.normalisation: 'none' is not accepted"),
        ({"space": {"batch_size": [0]}}, "search.space.batch_size: 0 is out of range; give a number at least 1"),
        ({"space": {"loss": ["l1l3"]}}, "search.space.loss: unknown loss 'l1l3': did you mean 'l1l2'?"),
        ({"space": {"lr": {"low": 1e-3}}}, "search.space.lr: not a range"),
        ({"space": {"lr": {"low": 1e-2, "high": 1e-3}}}, "low must be at most high"),
        ({"space": {"lr": {"low": 1e-3, "high": 1e-2, "choices": [1]}}}, "choices and a range at once"),
        (
            {"limits": {"latency_ms": 5}},
            "search.limits.latency_ms: cannot be limited, did you mean 'device/latency_ms'?",
        ),
        ({"limits": {"val/recall": 5}}, "what is measured on validation is an objective"),
        ({"limits": {"n_params": 0}}, "search.limits.n_params: 0 is out of range; give a number above 0"),
        ({"limits": [5]}, "search.limits: [5] is not a mapping; write {device/latency_ms: 5}"),
        ({"sampler": "tpi"}, "search.sampler: 'tpi' is not accepted, did you mean 'tpe'?"),
        ([3], "search: [3] is not a mapping"),
    ],
)
def test_every_mistake_is_one_line_that_names_what_is_accepted(tmp_path, search, said):
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, search=search)
    assert len(str(caught.value).splitlines()) == 1
    assert said in str(caught.value)


def test_all_mistakes_come_in_one_pass(tmp_path):
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, search={"trial": 1, "space": {"lamda": 1}, "pruner": "med"}, repeats=0)
    assert len(str(caught.value).splitlines()) == 4


def test_a_model_whose_losses_do_not_fit_cannot_be_searched(tmp_path):
    (tmp_path / "losses").mkdir()
    (tmp_path / "losses" / "odd.py").write_text('CARD = {"version": 1, "summary": "Odd.", "accepts": ["dotlist"]}\n')
    study = loaded(tmp_path, losses=["odd"], plugins=["losses/odd.py"])
    with pytest.raises(ConfigError, match="no loss accepts what 'fid_storm' gives"):
        spaces(study)
