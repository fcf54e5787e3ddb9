import pytest
from study_fakes import write_movie, write_study

from smlmbench.errors import ConfigError
from smlmbench.study.cells import COLUMNS, Cell, plan_table
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan, plan_hash
from smlmbench.study.sources import Range, SimulateSource

BLOB = {"name": "blob", "sigma_nm": 120}


@pytest.fixture(autouse=True)
def _no_data_root(monkeypatch):
    monkeypatch.delenv("SMLMBENCH_DATA", raising=False)


def planned(folder, *, only=(), repeats=None, **blocks):
    return make_plan(load_study(write_study(folder, **blocks)), only=only, repeats=repeats)


def labels(plan, *keys):
    return [tuple(cell.labels[key] for key in keys) for cell in plan.cells]


def test_every_combination_in_the_order_written(tmp_path):
    data = [{"name": name, "train": {"simulate": {"psf": BLOB, "field_px": px}}} for name, px in (("a", 16), ("b", 32))]
    plan = planned(tmp_path, data=data, repeats=2, models=[{"name": "tiny_net", "blocks": [3, 1]}])
    assert labels(plan, "data", "lambda", "repeat") == [
        (name, weight, repeat) for name in "ab" for _ in range(2) for weight in ("50", "200") for repeat in "01"
    ]
    assert [cell.model.settings["blocks"] for cell in plan.cells] == [3] * 4 + [1] * 4 + [3] * 4 + [1] * 4
    assert len({cell.cell_id for cell in plan.cells}) == 16


def test_settings_and_training_are_filled_from_the_cards(tmp_path):
    cell = planned(tmp_path, training={"samples": 500}).cells[0]
    assert cell.model.settings == {"blocks": 2, "variant": "plain", "widths": [8, 16]}
    assert (cell.model.version, cell.output.settings) == (3, {"upsampling": 8, "amplitude": 100.0})
    assert (cell.training.lr, cell.training.batch_size, cell.training.samples) == (0.002, 8, 500)
    assert cell.training.optimiser == "adam"


def test_the_study_overrides_the_cards_training(tmp_path):
    plan = planned(tmp_path, training={"lr": [0.1, 0.2]}, losses=[{"name": "pull", "lambda": 50}], repeats=1)
    assert [cell.training.lr for cell in plan.cells] == [0.1, 0.2]


def test_a_wrong_training_default_on_a_card_is_told(tmp_path):
    path = write_study(tmp_path)
    net = tmp_path / "rooms/models/tiny_net.py"
    net.write_text(net.read_text().replace("'lr': 0.002", "'lr': -1"))
    with pytest.raises(ConfigError, match="card of model 'tiny_net': training.lr: -1 is out of range"):
        make_plan(load_study(path))


def test_output_settings_are_swept_and_go_to_the_kinds_that_have_them(tmp_path):
    losses = [{"name": "pull", "lambda": 50}, "push"]
    plan = planned(
        tmp_path, models=["tiny_net", "list_net"], losses=losses, output={"upsampling": [2, 4], "slots": 9}, repeats=1
    )
    assert [(cell.model.name, cell.output.settings) for cell in plan.cells] == [
        ("tiny_net", {"upsampling": 2, "amplitude": 100.0}),
        ("tiny_net", {"upsampling": 4, "amplitude": 100.0}),
        ("list_net", {"slots": 9}),
    ]


def test_a_loss_that_does_not_fit_makes_skipped_rows_with_the_reason(tmp_path):
    plan = planned(tmp_path, models=["tiny_net", "list_net"], repeats=2)
    assert len(plan.cells) == 4
    assert [(row.labels["model"], row.labels["lambda"], row.labels["repeat"]) for row in plan.skipped] == [
        ("list_net", weight, repeat) for weight in ("50", "200") for repeat in "01"
    ]
    assert plan.skipped[0].reason == "list_net gives dotlist, pull accepts dotgrid"
    assert set(plan.skipped[0].labels) == set(plan.cells[0].labels)


def test_losses_come_from_the_model_then_the_study_then_the_card(tmp_path):
    own = {"name": "tiny_net", "losses": [{"name": "pull", "lambda": 7}]}
    assert labels(planned(tmp_path, models=[own, "fid_tiny"], repeats=1), "model", "lambda") == [
        ("tiny_net", "7"),
        ("fid_tiny", "50"),
        ("fid_tiny", "200"),
    ]
    assert labels(planned(tmp_path, models=["fid_tiny"], losses=[], repeats=1), "lambda") == [("30",), ("60",)]
    with pytest.raises(ConfigError, match="no loss for 'tiny_net'"):
        planned(tmp_path, losses=[])


def test_a_combination_named_twice_is_trained_once_with_a_warning(tmp_path):
    plan = planned(tmp_path, losses=[{"name": "pull", "lambda": [50, 50.0]}])
    assert len(plan.cells) == 3
    assert plan.warnings == ["model tiny_net with loss pull, lambda 50 stands twice in the study; it is trained once"]


def test_data_that_differ_only_in_tests_must_be_one_entry(tmp_path):
    train = {"simulate": {"psf": BLOB}}
    data = [{"name": "a", "train": train}, {"name": "b", "train": train, "test": {"x": {"simulate": {"frames": 3}}}}]
    with pytest.raises(ConfigError, match="'b' trains on what 'a' trains on; put its test conditions under 'a'"):
        planned(tmp_path, data=data)


def test_repeats_can_be_given_by_the_command(tmp_path):
    plan = planned(tmp_path, repeats=5)
    assert len(plan.cells) == 10
    assert len(make_plan(load_study(write_study(tmp_path))).cells) == 6


def test_filters_keep_rows_by_label(tmp_path):
    blocks = {"models": ["tiny_net", "fid_tiny", "list_net"]}
    assert {row[0] for row in labels(planned(tmp_path, only=["model=fid*"], **blocks), "model")} == {"fid_tiny"}
    both = planned(tmp_path, only=["model=fid*", "model=tiny*", "lambda=50"], **blocks)
    assert set(labels(both, "model", "lambda")) == {("fid_tiny", "50"), ("tiny_net", "50")}
    assert planned(tmp_path, only=["model=list*"], **blocks).cells == []
    assert len(planned(tmp_path, only=["repeat=0"], **blocks).skipped) == 2
    assert len(planned(tmp_path, only=["model=fid*"], **blocks).references) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fid*", "not LABEL=PATTERN"),
        ("modle=x", "unknown label 'modle', did you mean 'model'?"),
        ("model=nothing", "keeps no row; data: sim; model: tiny_net; loss: pull"),
    ],
)
def test_a_filter_that_keeps_nothing_is_an_error(tmp_path, text, said):
    with pytest.raises(ConfigError) as caught:
        planned(tmp_path, only=[text])
    assert said in str(caught.value)


def test_references_default_to_those_of_the_task_that_need_nothing(tmp_path):
    plan = planned(tmp_path)
    assert [row.reference.name for row in plan.references] == ["dot_guess"]
    assert plan.references[0].eval_id == plan.cells[0].eval_id
    assert planned(tmp_path, references=[]).references == []


def test_references_with_settings_and_a_file(tmp_path):
    (tmp_path / "r.mat").write_bytes(b"1")
    plan = planned(tmp_path, references=["dot_guess", {"name": "dot_file", "path": "r.mat", "pixel_nm": 10}])
    row = plan.references[1]
    assert row.reference.settings == {"path": str(tmp_path / "r.mat"), "pixel_nm": 10.0}
    assert row.reference_id != plan.references[0].reference_id


def test_references_stand_on_every_grid(tmp_path):
    plan = planned(tmp_path, output={"upsampling": [4, 8]})
    assert [row.output.settings["upsampling"] for row in plan.references] == [4, 8]
    assert len({row.reference_id for row in plan.references}) == 2


def test_simulated_validation_and_test_are_made_complete(tmp_path):
    plan = planned(tmp_path)
    data = plan.cells[0].data
    # 32 px of 100 nm: 10.24 um2 at 1 per um2; 5000 / 10.24 = 488.3
    assert data.val.frames == 489
    assert data.val.model_copy(update={"frames": None}) == data.train
    assert {name: source.frames for name, source in data.tests.items()} == {"low": 400, "high": 50}


def test_absent_tests_are_one_condition_as_in_train(tmp_path):
    data = planned(tmp_path, data=[{"name": "a", "train": {"simulate": {"psf": BLOB}}}]).cells[0].data
    assert list(data.tests) == ["test"]
    assert data.tests["test"].frames == 400


@pytest.mark.parametrize(
    ("density", "frames"),
    [(1.0, 500), (Range(min=1, max=3), 250), (Range(min=0.25, max=4, law="log_uniform"), 500), (1.001, 500)],
)
def test_validation_holds_five_thousand_emitters(density, frames):
    # 20 px of 158.113883 nm are 10 um2
    source = SimulateSource(density_per_um2=density, field_px=20, pixel_size_nm=158.11388300841898)
    assert source.sized("val").frames == frames


def test_files_are_cut_where_validation_and_test_are_absent(tmp_path):
    source = write_movie(tmp_path)
    data = planned(tmp_path, data=[{"name": "cells", "train": source}]).cells[0].data
    parts = [data.train.part, data.val.part, data.tests["test"].part]
    assert [part.role for part in parts] == ["train", "val", "test"]
    assert {(part.rule, part.val, part.test, part.guard_px) for part in parts} == {("columns", 0.15, 0.15, 16)}
    iid = planned(tmp_path, data=[{"name": "cells", "train": source | {"track": "iid"}}]).cells[0].data
    assert iid.val.part.rule == "frames"


def test_only_what_is_absent_is_cut(tmp_path):
    source, other = write_movie(tmp_path), write_movie(tmp_path, "b")
    data = planned(tmp_path, data=[{"name": "cells", "train": source, "test": {"b": other}}]).cells[0].data
    assert (data.train.part.val, data.train.part.test) == (0.15, 0.0)
    assert (data.val.part.role, data.tests["b"].part) == ("val", None)
    whole = planned(
        tmp_path, data=[{"name": "c", "train": source, "val": write_movie(tmp_path, "v"), "test": {"b": other}}]
    )
    assert whole.cells[0].data.train.part is None


def ids(plan):
    return [cell.cell_id for cell in plan.cells]


def test_names_paths_and_conditions_are_not_in_the_id_of_a_cell(tmp_path):
    train = {"simulate": {"psf": BLOB}}
    first = planned(tmp_path, data=[{"name": "a", "train": train}])
    (tmp_path / "elsewhere").mkdir()
    renamed = planned(tmp_path / "elsewhere", study="other", data=[{"name": "b", "train": train}], log_models="all")
    assert ids(renamed) == ids(first)
    more = planned(tmp_path, data=[{"name": "a", "train": train, "test": {"x": {"simulate": {"frames": 9}}}}])
    assert ids(more) == ids(first)
    assert more.cells[0].eval_id != first.cells[0].eval_id
    scored = planned(tmp_path, data=[{"name": "a", "train": train}], scoring={"border_nm": 0})
    assert ids(scored) == ids(first)
    assert scored.cells[0].eval_id != first.cells[0].eval_id


@pytest.mark.parametrize(
    "blocks",
    [
        {"seed": 8},
        {"losses": [{"name": "pull", "lambda": [51, 201]}]},
        {"losses": [{"name": "pull", "lambda": [50, 200], "rim": 2}]},
        {"training": {"lr": 0.5}},
        {"output": {"upsampling": 4}},
        {"models": [{"name": "tiny_net", "variant": "published"}]},
        {"data": [{"name": "sim", "train": {"simulate": {"psf": BLOB, "density_per_um2": 2.0}}}]},
        {"data": [{"name": "sim", "train": {"simulate": {"psf": {"name": "blob", "sigma_nm": 121}}}}]},
    ],
)
def test_what_is_trained_is_in_the_id_of_a_cell(tmp_path, blocks):
    assert not set(ids(planned(tmp_path))) & set(ids(planned(tmp_path, **blocks)))


@pytest.mark.parametrize("file", ["models/tiny_net", "losses/pull", "outputs/dotgrid", "psf/blob"])
def test_a_changed_plugin_changes_the_ids_that_use_it(tmp_path, file):
    path = write_study(tmp_path)
    before = make_plan(load_study(path))
    with (tmp_path / f"rooms/{file}.py").open("a") as plugin:
        plugin.write("# changed\n")
    assert not set(ids(before)) & set(ids(make_plan(load_study(path))))


def test_a_lambda_below_the_collapse_threshold_is_a_warning(tmp_path):
    plan = planned(tmp_path, losses=[{"name": "pull", "lambda": [3, 12.6]}])
    said = "loss pull: lambda 3 is below its collapse threshold 12.55, so the network may learn to answer nothing"
    assert plan.warnings == [said]


def test_few_repeats_are_a_warning(tmp_path):
    assert planned(tmp_path, repeats=2).warnings == ["repeats 2: below 3 trainings of a kind no interval can be given"]


def test_a_guard_narrower_than_the_reach_is_a_warning(tmp_path):
    source = write_movie(tmp_path) | {"guard_px": 14}
    plan = planned(tmp_path, data=[{"name": "cells", "train": source}])
    # half of 25 px and three times 1.2 px are 16.1 px
    said = "data cells: guard_px 14 is below the 16 px that tiny_net reaches, so training sees into its test columns"
    assert plan.warnings == [said]


def test_the_hash_of_a_plan_follows_its_rows(tmp_path):
    first = planned(tmp_path)
    assert plan_hash(first) == plan_hash(planned(tmp_path))
    assert plan_hash(first) != plan_hash(planned(tmp_path, repeats=2))
    assert plan_hash(first) != plan_hash(planned(tmp_path, scoring={"border_nm": 0}))


def test_the_table_has_a_row_for_everything_and_shows_what_is_not_default(tmp_path):
    models = [{"name": "tiny_net", "blocks": 4}, "list_net"]
    plan = planned(tmp_path, models=models, training={"lr": 0.1}, repeats=1)
    rows = plan_table(plan)
    assert [row["status"] for row in rows] == ["planned", "planned", "reference", "skipped", "skipped"]
    assert all(tuple(row) == COLUMNS for row in rows)
    assert rows[0]["settings"] == "blocks=4, lr=0.1"
    assert rows[0]["id"] == plan.cells[0].cell_id
    assert (rows[2]["model"], rows[2]["id"]) == ("dot_guess", plan.references[0].reference_id)
    assert rows[3]["reason"] == "list_net gives dotlist, pull accepts dotgrid"


def test_a_cell_is_a_valid_value(tmp_path):
    cell = planned(tmp_path).cells[0]
    dumped = cell.model_dump(mode="json")
    assert Cell.model_validate(dumped) == cell


def test_ten_thousand_cells_have_an_id_each(tmp_path):
    losses = [{"name": "pull", "lambda": [float(n) for n in range(20, 120)]}]
    models = [{"name": "tiny_net", "blocks": list(range(1, 11))}]
    loaded = load_study(write_study(tmp_path, losses=losses, models=models, repeats=10))
    plan = make_plan(loaded)
    assert len({cell.cell_id for cell in plan.cells}) == 10_000
