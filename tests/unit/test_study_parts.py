"""Sources from plug-in files, the task that data have by their truth, and studies of several parts."""

import hashlib
import json

import image_pairs
import pytest
import yaml
from study_fakes import write_movie, write_study
from typer.testing import CliRunner

from smlmbench.cli import app
from smlmbench.errors import ConfigError
from smlmbench.registry import Catalog
from smlmbench.study.cells import Cell, DataPlan, Skipped, plan_table
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan
from smlmbench.study.planning.references import serving
from smlmbench.study.planning.spaces import describe_searches, search_name, spaces, trial_cell
from smlmbench.study.planning.students import lengthened
from smlmbench.study.sources import PluginSource
from smlmbench.study.sources import movie as movie_file
from smlmbench.study.sources import pairs as pairs_file

SCALE = {"name": "weights", "train": {"scale": {"load": 3}}}
DOTS = {"name": "dots", "train": {"simulate": {"psf": "blob", "field_px": 16}}}
WEIGHER = {"task": None, "models": ["weigher"], "repeats": 1}


@pytest.fixture(autouse=True)
def _no_data_root(monkeypatch):
    monkeypatch.delenv("SMLMBENCH_DATA", raising=False)


def problems(folder, **blocks):
    with pytest.raises(ConfigError) as caught:
        load_study(write_study(folder, **blocks))
    return [line.removeprefix("dots.yaml: ") for line in str(caught.value).splitlines()]


def planned(folder, **blocks):
    return make_plan(load_study(write_study(folder, **blocks)))


def own(folder, **blocks):
    """A study of the package's own things."""
    raw = {"study": "own", "repeats": 1, "models": ["srcnn"], "losses": ["mse"], "timing": None} | blocks
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    return path


# A source from a plug-in file


def test_a_plug_in_source_is_planned_with_the_task_of_its_truth(tmp_path):
    plan = planned(tmp_path, **WEIGHER, data=[SCALE | {"test": {"light": {"scale": {"load": 1, "frames": 20}}}}])
    (cell, *_) = plan.cells
    assert (cell.task, cell.labels["task"], cell.output.settings["upsampling"]) == ("weigh", "weigh", 1)
    sha = hashlib.sha256((tmp_path / "rooms/data/scale.py").read_bytes()).hexdigest()
    settings = {"load": 3.0, "frames": None, "law": "even"}
    assert cell.data.train_identity["train"] == {"kind": "scale", "settings": settings, "version": 4, "plugin": sha}
    assert cell.data.val.settings == settings | {"frames": 400}
    light = cell.data.tests["light"]
    assert light.condition_facts() == {
        "load": 1.0,
        "frames": 20.0,
        "law": "even",
        "kind": "scale",
        "truth_kind": "simulated",
    }
    assert (cell.data.train.knows, cell.data.train.drawn_anew, cell.data.train.brings) == (["load"], False, "weights")


def test_a_plug_in_source_travels_as_json(tmp_path):
    cell = planned(tmp_path, **WEIGHER | {"task": "weigh"}, data=[SCALE, DOTS]).cells[0]
    sent = json.loads(json.dumps(cell.model_dump(mode="json")))
    assert Cell.model_validate(sent) == cell
    data = DataPlan.model_validate(sent["data"])
    assert isinstance(data.train, PluginSource)
    assert data.train.identity(Catalog()) == cell.data.train_identity["train"]


def test_val_and_test_take_from_train_all_but_the_number_of_frames(tmp_path):
    entry = {
        "name": "w",
        "train": {"scale": {"load": 3, "law": "odd", "frames": 7}},
        "val": {"scale": {"frames": 9}},
        "test": {"a": {"scale": None}},
    }
    data = planned(tmp_path, **WEIGHER, data=[entry]).cells[0].data
    assert [one.settings["frames"] for one in (data.train, data.val, data.tests["a"])] == [7, 9, 400]
    assert {one.settings["law"] for one in (data.train, data.val, data.tests["a"])} == {"odd"}


def test_a_changed_plug_in_file_is_another_training(tmp_path):
    first = planned(tmp_path, **WEIGHER, data=[SCALE]).cells[0]
    path = write_study(tmp_path, **WEIGHER, data=[SCALE])
    with (tmp_path / "rooms/data/scale.py").open("a") as file:
        file.write("# other code\n")
    again = make_plan(load_study(path)).cells[0]
    assert again.cell_id != first.cell_id
    assert again.eval_id != first.eval_id


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ({"scale": {"laod": 3}}, "data[0].train.scale.laod: unknown key, did you mean 'load'?"),
        ({"scale": {"load": 10}}, "data[0].train.scale.load: 10.0 is out of range; accepted: 0 to 9"),
        ({"scale": {"load": 1}, "law": "odd"}, "data[0].train.law: unknown key; settings of scale stand inside scale"),
        ({"scale": [3]}, "data[0].train.scale: [3] is not a mapping; write {scale: {key: value}}"),
        ({"scael": {}}, "data[0].train: names 'scael', neither simulate nor movie nor images nor scale; did you mean"),
        (3, "data[0].train: 3 is not a source; write {simulate: {...}}, {movie: FILE, truth: FILE, ...}, {images: "),
        (3, "{target: FOLDER}} or {scale: {load: 3}}"),
    ],
)
def test_what_is_wrong_with_a_plug_in_source(tmp_path, train, said):
    found = problems(tmp_path, **WEIGHER, data=[{"name": "w", "train": train}])
    assert len(found) == 1
    assert said.removeprefix("{target") in found[0]


def test_a_wrong_setting_of_train_is_told_once(tmp_path):
    entry = {"name": "w", "train": {"scale": {"load": 99}}, "test": {"a": {"scale": {"frames": 5}}}}
    (line,) = problems(tmp_path, **WEIGHER, data=[entry])
    assert line.startswith("data[0].train.scale.load: 99.0 is out of range")


# The task that data have


def test_data_have_the_task_of_their_truth(tmp_path):
    image_pairs.write(tmp_path, 6)
    pairs = {"name": "pairs", "train": {"images": {"input": "X", "target": "Y", "crop_px": 16}}}
    sim = {"name": "sim", "train": {"simulate": {"field_px": 16}}}
    loaded = load_study(own(tmp_path, data=[pairs, sim]))
    assert [(part.task, [entry.name for entry in part.study.data]) for part in loaded.parts] == [
        ("image_pairs", ["pairs"]),
        ("localization", ["sim"]),
    ]
    assert [entry.name for entry in loaded.study.data] == ["pairs", "sim"]
    assert loaded.part_of("sim") is loaded.parts[1]
    plan = make_plan(loaded)
    assert [(cell.task, cell.data.name, cell.output.settings["upsampling"]) for cell in plan.cells] == [
        ("image_pairs", "pairs", 2),
        ("localization", "sim", 8),
    ]
    assert {(row.task, row.data.name) for row in plan.references} == {
        ("image_pairs", "pairs"),
        ("localization", "sim"),
    }
    assert {row.reference.name for row in plan.references if row.task == "image_pairs"} == {
        "truth",
        "blank",
        "bicubic",
        "mean_stack",
    }
    assert plan.skipped == []  # references that nobody named are not missed
    assert {(row["task"], row["data"]) for row in plan_table(plan)} == {
        ("image_pairs", "pairs"),
        ("localization", "sim"),
    }
    printed = CliRunner(env={"COLUMNS": "250"}).invoke(app, ["plan", str(loaded.path)]).stdout
    assert "task" in printed
    assert "image_pairs" in printed
    assert make_plan(loaded, only=["task=image*"]).cells == plan.cells[:1]


def test_a_study_of_one_task_is_its_own_part(tmp_path):
    loaded = load_study(own(tmp_path, data=[{"name": "sim", "train": {"simulate": {}}}]))
    assert loaded.parts == (loaded,)
    assert (loaded.task, loaded.study.task) == ("localization", None)


def test_data_that_the_named_task_does_not_take_are_refused(tmp_path):
    (line,) = problems(tmp_path, data=[DOTS, SCALE])
    assert line == (
        "data[1].train: its truth is weights, the task 'dots' takes emitters; leave task out, or give these data a "
        "part with weigh"
    )


def test_a_truth_that_no_task_has_by_default_needs_a_task(tmp_path):
    path = write_study(tmp_path, **WEIGHER, data=[SCALE])
    weigh = tmp_path / "rooms/tasks/weigh.py"
    weigh.write_text(weigh.read_text().replace("'default_for': ['weights']", "'default_for': []"))
    with pytest.raises(ConfigError) as caught:
        load_study(path)
    assert str(caught.value) == (
        "dots.yaml: data[0].train: its truth is weights, which is the default of no registered task; name one that "
        "takes it: task: weigh"
    )
    assert load_study(path, sets=["task=weigh"]).task == "weigh"


def test_a_source_says_what_truth_it_brings_and_a_task_takes_it(tmp_path):
    path = write_study(tmp_path, **WEIGHER, data=[SCALE])
    scale = tmp_path / "rooms/data/scale.py"
    text = scale.read_text()
    for facts, said in (
        (
            "'truths': 'weights'",
            "data[0].train.scale: the card of 'scale' does not say what truth it brings; write facts",
        ),
        ("'truth': 'tones'", "data[0].train: its truth is tones, which no registered task takes; add a plug-in"),
    ):
        scale.write_text(text.replace("'truth': 'weights'", facts))
        with pytest.raises(ConfigError) as caught:
            load_study(path)
        assert str(caught.value).startswith(f"dots.yaml: {said}")
        assert "\n" not in str(caught.value)


def test_the_block_output_may_not_leave_out_what_the_data_fix(tmp_path):
    image_pairs.write(tmp_path, 6)
    pairs = {"name": "pairs", "train": {"images": {"input": "X", "target": "Y", "crop_px": 16}}}
    with pytest.raises(ConfigError) as caught:
        load_study(own(tmp_path, data=[pairs], output={"upsampling": 8}))
    said = "own.yaml: output.upsampling: 8, but data[0] has 2 by its files; leave it out, or give 2"
    assert str(caught.value) == said
    assert load_study(own(tmp_path, data=[pairs], output={"upsampling": [2, 8]})).task == "image_pairs"


def test_train_and_test_bring_one_kind_of_truth(tmp_path):
    entry = SCALE | {"test": {"a": {"simulate": {"psf": "blob"}}}}
    (line,) = problems(tmp_path, **WEIGHER, data=[entry])
    assert line.startswith("data[0].test.a: its truth is emitters, that of train is weights; give data of one kind")


def test_a_model_that_does_not_serve_the_task_of_some_data_is_refused(tmp_path):
    (line,) = problems(tmp_path, **WEIGHER | {"models": ["weigher", "tiny_net"]}, data=[SCALE])
    assert line == "models[1]: 'tiny_net' serves the task 'dots', the data have 'weigh'"


def test_a_card_narrows_the_tasks_of_its_output_kind(tmp_path):
    catalog = load_study(write_study(tmp_path)).catalog
    assert catalog.served_by("weigher") == ["dots", "weigh"]
    assert catalog.served_by("tiny_net") == ["dots"]
    assert catalog.served_by("srcnn") == ["localization", "image_pairs"]


# References by task


def test_a_named_reference_that_does_not_serve_is_a_row_with_the_reason(tmp_path):
    plan = planned(tmp_path, **WEIGHER, data=[SCALE], references=["heavy", "dot_guess"])
    assert [row.reference.name for row in plan.references] == ["heavy"]
    (row,) = [row for row in plan.skipped if row.labels["method"] == "reference"]
    assert row == Skipped(
        labels={
            "task": "weigh",
            "data": "weights",
            "model": "dot_guess",
            "loss": "none",
            "lambda": "none",
            "repeat": "0",
            "method": "reference",
            "teacher": "none",
        },
        settings={"reference": {}},
        reason="dot_guess serves dots, the data have the task weigh",
    )
    assert [row.reference.name for row in planned(tmp_path, **WEIGHER, data=[SCALE]).references] == ["heavy"]


def test_what_a_reference_gives_and_knows_is_that_of_the_task(tmp_path):
    catalog = load_study(write_study(tmp_path)).catalog
    assert serving(catalog.card("references", "heavy"), "weigh") == {"gives": "number", "knows": ["load"]}
    assert serving(catalog.card("references", "heavy"), "dots") is None
    assert serving(catalog.card("references", "dot_guess"), "dots") == {"task": "dots"}
    assert serving(catalog.card("references", "truth"), "image_pairs") == {"gives": "image", "knows": ["truth"]}


# Parts

PARTS = [
    {"task": "dots", "data": [DOTS], "models": ["tiny_net"]},
    {"data": [SCALE], "models": ["weigher"], "losses": [{"name": "pull", "lambda": 7}], "search": None},
]


def in_parts(folder, parts=PARTS, **blocks):
    path = write_study(folder, **blocks)
    raw = yaml.safe_load(path.read_text())
    for key in ("data", "task", "models"):
        raw.pop(key) if key not in blocks else None
    path.write_text(yaml.safe_dump(raw | {"parts": parts}, sort_keys=False))
    return path


def test_parts_take_what_they_do_not_name_from_around_them(tmp_path):
    loaded = load_study(in_parts(tmp_path, repeats=2, training={"samples": 50}, search={"trials": 4}))
    plan = make_plan(loaded)
    assert [(cell.task, cell.data.name, cell.model.name, cell.labels["lambda"]) for cell in plan.cells] == [
        *[("dots", "dots", "tiny_net", weight) for weight in ("50", "50", "200", "200")],
        *[("weigh", "weights", "weigher", "7")] * 2,
    ]
    assert {(cell.root_seed, cell.training.samples, cell.study) for cell in plan.cells} == {(7, 50, "dots-2d")}
    assert [(row.task, row.reference.name) for row in plan.references] == [("dots", "dot_guess"), ("weigh", "heavy")]
    assert {row["data"] for row in plan_table(plan)} == {"dots", "weights"}
    assert [cell.data.name for cell in make_plan(loaded, only=["model=weigh*"], repeats=1).cells] == ["weights"]


def test_overrides_reach_into_parts(tmp_path):
    loaded = load_study(in_parts(tmp_path), sets=["parts.1.losses.0.lambda=9", "seed=8"])
    assert loaded.parts[1].study.losses == [{"name": "pull", "weight": 9.0}]
    assert {part.study.seed for part in loaded.parts} == {8}


def test_a_part_has_the_rows_that_it_has_alone(tmp_path):
    both = make_plan(load_study(in_parts(tmp_path)))
    one = planned(tmp_path, data=[DOTS])
    two = planned(tmp_path, **WEIGHER | {"repeats": 3}, data=[SCALE], losses=[{"name": "pull", "lambda": 7}])
    assert [cell.cell_id for cell in both.cells] == [cell.cell_id for cell in (*one.cells, *two.cells)]
    rows = [row.reference_id for row in (*one.references, *two.references)]
    assert [row.reference_id for row in both.references] == rows


def test_searches_are_those_of_the_parts(tmp_path):
    loaded = load_study(in_parts(tmp_path, search={"trials": 4}))
    assert [space.data for space in spaces(loaded)] == ["dots"]  # the second part names none
    (space,) = spaces(loaded)
    assert trial_cell(loaded, space, space.defaults()[0]).task == "dots"
    assert search_name(loaded, space).startswith("dots-2d dots tiny_net ")
    assert describe_searches(loaded, [space])[0].startswith("search: 1 x 4 trials")


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([], "parts: [] is not a list of parts; write [{task: ..., data: [...]}]"),
        ([3], "parts[0]: 3 is not a part"),
        ([PARTS[0] | {"seed": 3}], "parts[0].seed: belongs to the whole study; write it beside parts"),
        ([PARTS[0] | {"model": []}], "parts[0].model: unknown key, did you mean 'models'?"),
        ([PARTS[0] | {"parts": []}], "parts[0].parts: unknown key"),
        ([{"models": ["tiny_net"]}], "parts[0].data: None is not a list of data sets"),
        ([PARTS[0] | {"task": "dost"}], "parts[0].task: unknown task 'dost': did you mean 'dots'?"),
        ([PARTS[0] | {"models": ["weigher", "tiny_nett"]}], "parts[0].models[1]: unknown model 'tiny_nett'"),
        (
            [PARTS[0] | {"models": [{"name": "tiny_net", "blocks": 99}]}],
            "parts[0].models[0].blocks: 99 is out of range",
        ),
        ([PARTS[0] | {"data": [SCALE]}], "parts[0].data[0].train: its truth is weights, the task 'dots' takes"),
        ([PARTS[1] | {"models": ["tiny_net"]}], "parts[0].models[0]: 'tiny_net' serves the task 'dots', the data have"),
        ([PARTS[0], PARTS[0]], "parts[1].data[0].name: 'dots' is also the name of parts[0].data[0]; rename one"),
    ],
)
def test_problems_of_parts_name_their_place(tmp_path, parts, said):
    with pytest.raises(ConfigError) as caught:
        load_study(in_parts(tmp_path, parts))
    assert any(line.startswith(f"dots.yaml: {said}") for line in str(caught.value).splitlines()), str(caught.value)


def test_what_is_wrong_around_parts_is_told_once_and_there(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load_study(in_parts(tmp_path, data=[DOTS], training={"lr": -1}))
    assert str(caught.value).splitlines() == [
        "dots.yaml: data: stands beside parts; put each data set into the part whose task it has",
        "dots.yaml: training.lr: -1 is out of range; give a number above 0",
    ]


# Identities


def test_the_ids_of_stored_rows_are_fixed(tmp_path, monkeypatch):
    """A change here makes every stored row a stranger: raise SCHEMA_VERSION on purpose, or mend the code."""
    for module in (movie_file, pairs_file):  # whatever writes the files, they count by their names here
        monkeypatch.setattr(module, "file_digest", lambda path: path.name)
    image_pairs.write(tmp_path, 6)
    pairs = {"images": {"input": "X", "target": "Y", "crop_px": 16, "pixel_size_nm": 100}}
    movie = write_movie(tmp_path) | {"psf": {"name": "gaussian", "sigma_nm": 120}}
    data = [
        {"name": "sim", "train": {"simulate": {"density_per_um2": 0.5}}, "test": {"a": {"simulate": {"frames": 9}}}},
        {"name": "movie", "train": movie},
        {"name": "pairs", "train": pairs},
    ]
    models = [{"name": "srcnn", "normalisation": "frame_minmax"}]
    plan = make_plan(load_study(own(tmp_path, data=data, models=models, references=["blank"], output={})))
    found = {cell.data.name: (cell.cell_id, cell.eval_id) for cell in plan.cells}
    assert found == IDS
    assert {row.data.name: row.reference_id for row in plan.references} == REFERENCE_IDS
    assert {cell.data.name: lengthened(cell, 1).cell_id for cell in plan.cells} == {name: IDS[name][0] for name in IDS}


IDS = {
    "sim": ("555d71ab4cc5", "17a00200f020"),
    "movie": ("b36410e26e57", "98c50098d525"),
    "pairs": ("0652e7c04065", "2fe83659b1b4"),
}
REFERENCE_IDS = {"sim": "8c3cc667b672", "movie": "5618de87feb9", "pairs": "c4e7afafd16c"}
