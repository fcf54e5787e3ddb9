import pytest
from study_fakes import write_movie, write_rooms, write_study

from smlmbench.errors import ConfigError
from smlmbench.study.load import load_study
from smlmbench.study.sources import Range


@pytest.fixture(autouse=True)
def _no_data_root(monkeypatch):
    monkeypatch.delenv("SMLMBENCH_DATA", raising=False)


def problems(path, **more):
    with pytest.raises(ConfigError) as caught:
        load_study(path, **more)
    return str(caught.value).splitlines()


def simulated(**settings):
    return [{"name": "sim", "train": {"simulate": {"psf": "blob", **settings}}}]


def test_a_study_is_loaded_with_its_text_and_catalog(tmp_path):
    path = write_study(tmp_path)
    loaded = load_study(path)
    assert loaded.text == path.read_text()
    assert loaded.path == path
    assert "tiny_net" in loaded.catalog.names("models")
    assert loaded.study.models == [{"name": "tiny_net"}]
    assert loaded.study.losses == [{"name": "pull", "weight": [50.0, 200.0]}]
    assert loaded.study.references is None
    assert loaded.study.seed == 7


def test_what_a_test_condition_does_not_name_is_as_in_train(tmp_path):
    entry = load_study(write_study(tmp_path)).study.data[0]
    low = entry.test["low"]
    assert low.density_per_um2 == 0.3
    assert low.psf == {"name": "blob", "sigma_nm": 120.0}
    assert low.field_px == 32
    assert (low.frames, entry.test["high"].frames) == (None, 50)


def test_number_of_frames_is_not_taken_from_train(tmp_path):
    data = [{"name": "s", "train": {"simulate": {"psf": "blob", "frames": 9}}, "test": {"a": {"simulate": None}}}]
    assert load_study(write_study(tmp_path, data=data)).study.data[0].test["a"].frames is None


def test_psf_settings_are_filled_from_its_card(tmp_path):
    data = [{"name": "s", "train": {"simulate": {"psf": {"name": "blob"}, "photons": {"min": 5, "max": 9}}}}]
    train = load_study(write_study(tmp_path, data=data)).study.data[0].train
    assert train.psf == {"name": "blob", "sigma_nm": 130.0}
    assert train.photons == Range(min=5, max=9)


def test_the_issue_example_is_told_word_for_word(tmp_path):
    data = simulated(camera={"kind": "emccd", "readnoise_e": 74.4})
    line = "dots.yaml: data[0].train.simulate.camera.readnoise_e: unknown key, did you mean 'read_noise_e'?"
    assert problems(write_study(tmp_path, data=data)) == [line]


def test_every_problem_is_told_in_one_pass(tmp_path):
    data = [
        {
            "name": "sim",
            "train": {"simulate": {"psf": {"name": "blop"}, "pixel_size_nm": -100, "feild_px": 32}},
            "test": {"a": {"simulat": {}}, "b": {"simulate": {"camera": {"kind": "emcd", "em_gain": 0}}}},
        },
        {"name": "sim2", "trian": {}},
    ]
    models = ["tinynet", {"name": "fid_tiny", "blocks": 3}, {"name": "tiny_net", "blocks": [1, 40], "variant": "old"}]
    losses = [{"name": "pull", "lambda": [50, "big"], "weight": 3}, {"name": "pul"}]
    training = {"epochs": 3, "lr": [0.1, -1], "optimiser": "adamm"}
    found = problems(
        write_study(
            tmp_path, data=data, models=models, losses=losses, training=training, seed=-1, repeat=3, task="dots"
        )
    )
    text = "\n".join(found)
    for said in [
        "dots.yaml: repeat: unknown key, did you mean 'repeats'?",
        "data[0].train.simulate.psf: unknown PSF 'blop': did you mean 'blob'?",
        "data[0].train.simulate.feild_px: unknown key, did you mean 'field_px'?",
        "data[0].test.a: names 'simulat', neither simulate nor movie nor images nor scale; did you mean 'simulate'?",
        "data[0].test.b.simulate.camera.kind: 'emcd' is not accepted, did you mean 'emccd'?",
        "data[0].test.b.simulate.camera.em_gain: 0 is out of range; give a number at least 1",
        "data[1].trian: unknown key, did you mean 'train'?",
        "data[1].train: required and not given",
        "models[0]: unknown model 'tinynet': did you mean 'tiny_net'?",
        "models[1].blocks: unknown setting",
        "models[2].blocks[1]: 40 is out of range; accepted: 1 to 20",
        "models[2].variant: 'old' is not accepted; choose one of plain, published",
        "losses[0].lambda[1]: 'big' is not a number",
        "losses[0].weight: unknown setting",
        "losses[1]: unknown loss 'pul': did you mean 'pull'?",
        "training.epochs: unknown key",
        "training.lr[1]: -1 is out of range; give a number above 0",
        "training.optimiser: 'adamm' is not accepted, did you mean 'adam'?",
        "seed: -1 is out of range; give a number at least 0",
    ]:
        assert said in text
    assert len(found) == len(set(found))
    assert all(line.startswith("dots.yaml: ") for line in found)


def test_a_wrong_value_of_train_is_not_told_again_by_every_condition(tmp_path):
    data = simulated(pixel_size_nm=-1)
    data[0]["test"] = {"a": {"simulate": {"frames": 5}}, "b": {"simulate": {"frames": 6}}}
    line = "dots.yaml: data[0].train.simulate.pixel_size_nm: -1 is out of range; give a number above 0"
    assert problems(write_study(tmp_path, data=data)) == [line]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"density_per_um2": "much"}, "density_per_um2: 'much' is not accepted; input should be a valid number"),
        ({"density_per_um2": {"min": 1, "mx": 2}}, "density_per_um2.mx: unknown key, did you mean 'max'?"),
        ({"density_per_um2": {"min": 1, "max": 2, "law": "log"}}, "density_per_um2.law: 'log' is not accepted"),
        ({"photons": {"min": 9, "max": 2}}, "photons: min 9 and max 2: min must be at most max"),
        ({"structure": "filament"}, "structure: unknown structure 'filament': did you mean 'filaments'?"),
        ({"structure": {"name": "filaments", "curls": 1}}, "structure.curls: unknown setting, did you mean 'curl'?"),
        ({"structure": {"name": "filaments", "curl": -1}}, "structure.curl: -1.0 is out of range"),
        ({"camera": 3}, "camera: 3 is not accepted"),
        ({"psf": {"sigma_nm": 3}}, "psf: has no name"),
        ({"psf": {"name": "blob", "sigma": 3}}, "psf.sigma: unknown setting, did you mean 'sigma_nm'?"),
        ({"psf": {"name": "blob", "sigma_nm": 3}}, "psf.sigma_nm: 3.0 is out of range; accepted: 20 to 1000"),
        ({"kind": "movie"}, "kind: unknown key"),
    ],
)
def test_problems_of_a_simulation_name_their_place(tmp_path, settings, said):
    found = problems(write_study(tmp_path, data=simulated(**settings)))
    assert any(line.startswith(f"dots.yaml: data[0].train.simulate.{said}") for line in found), found
    assert len(found) <= 2


@pytest.mark.parametrize(
    ("blocks", "said"),
    [
        ({"models": "tiny_net"}, "models: 'tiny_net' is not a list"),
        ({"models": []}, "models: an empty list"),
        ({"models": [3]}, "models[0]: 3 is neither a name nor a mapping with a name"),
        ({"models": [{"blocks": 3}]}, "models[0]: has no name"),
        ({"models": [{"name": "tiny_net", "blocks": []}]}, "models[0].blocks: an empty list sweeps nothing"),
        ({"models": [{"name": "tiny_net", "losses": ["pul"]}]}, "models[0].losses[0]: unknown loss 'pul'"),
        ({"references": ["dot_gues"]}, "references[0]: unknown reference 'dot_gues': did you mean 'dot_guess'?"),
        ({"output": {"upsamplin": 4}}, "output.upsamplin: unknown setting, did you mean 'upsampling'?"),
        ({"output": {"upsampling": [4, 3]}}, "output.upsampling[1]: 3 is not accepted; choose one of 1, 2, 4, 8"),
        ({"output": 3}, "output: 3 is not a mapping"),
        ({"task": "dot"}, "task: unknown task 'dot': did you mean 'dots'?"),
        ({"task": 3}, "task: 3 is not a name of a task"),
        ({"timing": {"runtimes": ["eagr"]}}, "timing.runtimes[0]: unknown runtime 'eagr'"),
        ({"timing": {"sizes": [64]}}, "timing.sizes: unknown key, did you mean 'sizes_px'?"),
        ({"scoring": {"matcher": "best"}}, "scoring.matcher: 'best' is not accepted, accepted: greedy, hungarian"),
        ({"study": "a b"}, "study: 'a b' is not accepted"),
        ({"serach": {}}, "serach: unknown key, did you mean 'search'?"),
        ({"data": []}, "data: [] is not a list of data sets"),
        ({"data": [{"name": "a", "train": {"simulate": [1]}}]}, "data[0].train.simulate: [1] is not a mapping"),
        ({"data": [{"name": "a", "train": {"simulate": {}, "movie": "b"}}]}, "data[0].train: names both"),
        (
            {"data": [{"name": "a", "train": {"simulate": {"psf": "blob"}, "frames": 3}}]},
            "data[0].train.frames: unknown key",
        ),
        ({"data": [{"name": "a/b", "train": {"simulate": {"psf": "blob"}}}]}, "data[0].name: 'a/b' is not accepted"),
    ],
)
def test_problems_of_blocks_name_their_place(tmp_path, blocks, said):
    found = problems(write_study(tmp_path, **blocks))
    assert any(line.startswith(f"dots.yaml: {said}") for line in found), found


def test_two_data_sets_of_one_name_are_refused(tmp_path):
    data = simulated() + simulated(field_px=16)
    assert problems(write_study(tmp_path, data=data)) == [
        "dots.yaml: data[1].name: 'sim' is also the name of data[0]; rename one"
    ]


def test_a_model_of_another_task_is_refused(tmp_path):
    found = problems(write_study(tmp_path, models=["srcnn"]))
    assert (
        found[0]
        == "dots.yaml: models[0]: 'srcnn' serves the task 'localization' and 'image_pairs', the data have 'dots'"
    )


def test_overrides_come_before_validation(tmp_path):
    path = write_study(tmp_path)
    loaded = load_study(path, sets=["training.samples=500", "models.0.blocks=4", "losses.0.lambda=9"])
    assert loaded.study.training == {"samples": 500}
    assert loaded.study.models == [{"name": "tiny_net", "blocks": 4}]
    assert loaded.study.losses == [{"name": "pull", "weight": 9.0}]
    assert problems(path, sets=["models.0.blocs=4"]) == [
        "dots.yaml: models[0].blocs: unknown setting, did you mean 'blocks'?"
    ]


def test_training_values_are_typed(tmp_path):
    loaded = load_study(write_study(tmp_path, training={"lr": ["1e-3", 1], "samples": 1000.0, "clip": None}))
    assert loaded.study.training == {"lr": [0.001, 1.0], "samples": 1000, "clip": None}
    assert isinstance(loaded.study.training["samples"], int)


def test_a_list_setting_is_one_value_unless_it_is_a_list_of_lists(tmp_path):
    models = [{"name": "tiny_net", "widths": [4, 4]}, {"name": "tiny_net", "widths": [[4], [8, 8]]}]
    assert load_study(write_study(tmp_path, models=models)).study.models == models


def test_plugins_are_relative_to_the_study_and_each_bad_one_is_told(tmp_path):
    write_rooms(tmp_path / "rooms")
    (tmp_path / "bad.py").write_text("X = 1\n")
    (tmp_path / "s.yaml").write_text("study: a\nplugins: [rooms/tasks/dots.py, no.py, bad.py]\ntask: dots\n")
    found = problems(tmp_path / "s.yaml")
    assert any(line.startswith("s.yaml: plugins[1]: plug-in") and "is not a file" in line for line in found)
    assert any(line.startswith("s.yaml: plugins[2]: bad.py has no CARD") for line in found)
    assert not any("unknown task" in line for line in found)


def test_plugins_of_the_command_line_join_those_of_the_study(tmp_path):
    path = write_study(tmp_path)
    (tmp_path / "more_net.py").write_text((tmp_path / "rooms/models/tiny_net.py").read_text())
    loaded = load_study(path, plugins=[tmp_path / "more_net.py"], sets=["models=[more_net]"])
    assert loaded.study.plugins[-1] == tmp_path / "more_net.py"


def test_relative_paths_come_from_the_data_root(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    source = write_movie(tmp_path / "there")
    path = write_study(tmp_path / "here", data=[{"name": "cells", "train": source, "apply": ["a.tif"]}])
    assert "does not exist" in problems(path)[0]
    entry = load_study(path, data_root=tmp_path / "there").study.data[0]
    assert entry.train.movie == tmp_path / "there" / "a.tif"
    assert entry.apply == [tmp_path / "there" / "a.tif"]
    monkeypatch.setenv("SMLMBENCH_DATA", str(tmp_path / "there"))
    assert load_study(path).study.data[0].train.truth == tmp_path / "there" / "a.csv"


def test_a_test_movie_takes_calibration_but_not_the_truth_from_train(tmp_path):
    source = write_movie(tmp_path)
    write_movie(tmp_path, "b")
    data = [{"name": "cells", "train": source, "test": {"b": {"movie": "b.tif", "truth": "b.csv"}}}]
    test = load_study(write_study(tmp_path, data=data)).study.data[0].test["b"]
    assert (test.pixel_size_nm, test.camera, test.truth.name) == (100, "uncalibrated", "b.csv")
    data[0]["test"]["b"].pop("truth")
    assert problems(write_study(tmp_path, data=data))[0].startswith(
        "dots.yaml: data[0].test.b.truth: required and not given"
    )
