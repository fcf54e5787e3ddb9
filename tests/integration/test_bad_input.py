"""A user's mistakes end with exit code 2 and one line each, before anything heavy is imported."""

import os
import subprocess
import sys
from pathlib import Path

import image_pairs
import numpy as np
import pytest
import yaml
from study_fakes import write_movie, write_study
from typer.testing import CliRunner

from smlmbench.cli import app
from smlmbench.errors import ConfigError
from smlmbench.run.using.predicting import read_camera

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "mlflow", "torchmetrics", "matplotlib", "pandas", "scipy", "seaborn")


@pytest.fixture(autouse=True)
def _no_data_root(monkeypatch):
    monkeypatch.delenv("SMLMBENCH_DATA", raising=False)


def refused(path, *more):
    result = CliRunner().invoke(app, ["plan", str(path), *more])
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr.splitlines()


def simulated(**settings):
    return [{"name": "s", "train": {"simulate": {"psf": {"name": "blob"}, **settings}}}]


def test_an_unknown_key_names_the_nearest(tmp_path):
    assert refused(write_study(tmp_path, data=simulated(camera={"readnoise_e": 1}))) == [
        "smlmbench: dots.yaml: data[0].train.simulate.camera.readnoise_e: unknown key, did you mean 'read_noise_e'?"
    ]


def test_an_unknown_model_names_the_nearest(tmp_path):
    (line,) = refused(write_study(tmp_path, models=["tiny_nett"]))
    assert line.startswith("smlmbench: dots.yaml: models[0]: unknown model 'tiny_nett': did you mean 'tiny_net'?")


def test_a_missing_study(tmp_path):
    (line,) = refused(tmp_path / "no.yaml")
    assert line == f"smlmbench: study file '{tmp_path / 'no.yaml'}' does not exist; give the path of a .yaml file"


def test_a_missing_movie(tmp_path):
    source = write_movie(tmp_path) | {"movie": "gone.tif"}
    (line,) = refused(write_study(tmp_path, data=[{"name": "c", "train": source}]))
    assert line.startswith(f"smlmbench: dots.yaml: data[0].train.movie: '{tmp_path / 'gone.tif'}' does not exist")


def test_a_table_without_x(tmp_path):
    source = write_movie(tmp_path)
    (tmp_path / "a.csv").write_text("frame,y_nm\n1,2\n")
    (line,) = refused(write_study(tmp_path, data=[{"name": "c", "train": source}]))
    assert line.startswith("smlmbench: dots.yaml: data[0].train.truth: 'a.csv' has no column for x; it has frame, y_nm")


def test_a_negative_pixel_size(tmp_path):
    assert refused(write_study(tmp_path, data=simulated(pixel_size_nm=-100))) == [
        "smlmbench: dots.yaml: data[0].train.simulate.pixel_size_nm: -100 is out of range; give a number above 0"
    ]


def test_an_em_gain_of_zero(tmp_path):
    assert refused(write_study(tmp_path, data=simulated(camera={"kind": "emccd", "em_gain": 0}))) == [
        "smlmbench: dots.yaml: data[0].train.simulate.camera.em_gain: 0 is out of range; give a number at least 1"
    ]


@pytest.mark.parametrize(
    ("camera", "said"),
    [
        ({"em_gain": 300}, "em_gain 300 has no part in kind: ideal; give kind: emccd"),
        ({"kind": "scmos", "em_gain": 2}, "em_gain 2 has no part in kind: scmos; give kind: emccd"),
        (
            {"read_noise_e": 1.6},
            "read_noise_e 1.6 has no part in kind: ideal; give kind: scmos or emccd or phone",
        ),
    ],
)
def test_a_number_that_the_kind_of_camera_does_not_use(tmp_path, camera, said):
    said = f"{said}, or leave it out"
    assert refused(write_study(tmp_path, data=simulated(camera=camera))) == [
        f"smlmbench: dots.yaml: data[0].train.simulate.camera: {said}"
    ]
    movie = write_study(tmp_path, data=[{"name": "c", "train": {**write_movie(tmp_path), "camera": camera}}])
    assert refused(movie) == [f"smlmbench: dots.yaml: data[0].train.camera: {said}"]
    with pytest.raises(ConfigError) as caught:
        read_camera(camera)
    assert str(caught.value) == f"--camera: {said}"


def test_a_name_that_yaml_reads_as_a_number(tmp_path):
    assert refused(write_study(tmp_path, study=20241127)) == [
        "smlmbench: dots.yaml: study: 20241127 is a number and no text; put it in quotes"
    ]


def test_a_blank_em_gain_means_none():
    assert read_camera("{kind: scmos, em_gain: , e_per_adu: 0.5}").adu_per_photon == 2
    assert read_camera({"kind": "emccd", "em_gain": None}).gain == 1


def test_an_empty_folder_as_movie(tmp_path):
    source = write_movie(tmp_path) | {"movie": "empty"}
    (tmp_path / "empty").mkdir()
    assert refused(write_study(tmp_path, data=[{"name": "c", "train": source}])) == [
        f"smlmbench: dots.yaml: data[0].train.movie: folder '{tmp_path / 'empty'}' is empty; give a movie"
    ]


PAIRS = {"task": None, "models": ["fid_storm"], "losses": ["l1l2"]}


def pairs(folder, count=4, **more):
    source = image_pairs.write(folder, count)
    source["images"] |= more
    return source


def write_pairs(folder, source, **blocks):
    return write_study(folder, data=[{"name": "p", "train": source}], **(PAIRS | blocks))


def test_folders_of_pairs_that_are_none(tmp_path):
    head = "smlmbench: dots.yaml: data[0].train.images"
    (tmp_path / "a.tif").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    source = {"images": {"input": "a.tif", "target": "empty"}}
    assert refused(write_pairs(tmp_path, source)) == [
        f"{head}.input: '{tmp_path / 'a.tif'}' is a file; give the folder that holds the images",
        f"{head}.target: folder '{tmp_path / 'empty'}' is empty; give a folder of images",
    ]
    (line,) = refused(write_pairs(tmp_path, pairs(tmp_path) | {"crop_px": 8}))
    said = "unknown key; settings of image pairs stand inside images: {...}"
    assert line == f"smlmbench: dots.yaml: data[0].train.crop_px: {said}"
    (line,) = refused(write_pairs(tmp_path, pairs(tmp_path, inputs="X")))
    assert line == f"{head}.inputs: unknown key, did you mean 'input'?"
    (line,) = refused(write_pairs(tmp_path, {"images": {"input": "X"}}))
    assert line == f"{head}.target: required and not given"
    (line,) = refused(write_pairs(tmp_path, pairs(tmp_path, input="Xs")))
    assert line == f"{head}.input: '{tmp_path / 'Xs'}' does not exist; did you mean 'X'?"


def test_pairs_that_do_not_fit_together(tmp_path):
    head = "smlmbench: dots.yaml: data[0].train.images"
    source = pairs(tmp_path)
    (tmp_path / "Y" / "im2.tif").unlink()
    assert refused(write_pairs(tmp_path, source)) == [
        f"{head}: 1 of 4 images of 'X' have no partner in 'Y': im2; an input and its target have the same name without "
        "suffix"
    ]
    image_pairs.put(tmp_path, "im2.tif", np.zeros((16, 16), np.uint16), np.zeros((64, 64), np.float32))
    (line,) = refused(write_pairs(tmp_path, source))
    assert line.startswith(f"{head}: the target of 'im0' is 2 times as large as its input, that of 'im2' 4 times;")
    image_pairs.put(tmp_path, "im2.tif", np.zeros((16, 16), np.uint16), np.full((32, 32), np.nan, np.float32))
    assert refused(write_pairs(tmp_path, source)) == [
        f"{head}: 'Y/im2.tif' page 0 has NaN or infinite pixels; put numbers there"
    ]
    (tmp_path / "Y" / "im2.tif").write_bytes(b"II*")
    (line,) = refused(write_pairs(tmp_path, source))
    assert line.startswith(f"{head}: 'Y/im2.tif' is not a readable TIFF")


def test_pairs_against_the_upsampling_and_the_crop(tmp_path):
    assert refused(write_pairs(tmp_path, pairs(tmp_path), output={"upsampling": 8})) == [
        "smlmbench: dots.yaml: output.upsampling: 8, but data[0] has 2 by its files; leave it out, or give 2"
    ]
    assert refused(write_pairs(tmp_path, pairs(tmp_path, crop_px=32))) == [
        "smlmbench: dots.yaml: data[0].train.images.crop_px: inputs have sides down to 16 px, crops have 32 px; "
        "give at most 16"
    ]


def test_too_few_pairs_pairs_used_twice_and_sources_of_two_kinds(tmp_path):
    few = tmp_path / "few"
    few.mkdir()
    head = "smlmbench: dots.yaml: data[0]."
    assert refused(write_pairs(few, pairs(few, 2))) == [
        f"{head}train.images: 2 pairs of files with targets of their own cannot be cut into train, val and "
        "test; give more pairs, or folders of their own, or track: iid if every page shows something new"
    ]
    entry = {"name": "p", "train": pairs(tmp_path), "val": pairs(tmp_path), "test": {"t": simulated()[0]["train"]}}
    first, second = refused(write_study(tmp_path, data=[entry], **PAIRS))
    assert first == (
        f"{head}test.t: its truth is emitters, that of train is target images; give data of one kind, others under "
        "another name"
    )
    assert second.startswith(f"{head}val.images: 'X' is also trained on, so scores would show memory; leave it out")


def test_an_object_tag_runs_nothing(tmp_path):
    flag = tmp_path / "ran"
    (tmp_path / "s.yaml").write_text(f"study: !!python/object/apply:os.mkdir ['{flag}']\n")
    (line,) = refused(tmp_path / "s.yaml")
    assert line.startswith("smlmbench: s.yaml, line 1: tag '!!python/object/apply:os.mkdir' is not accepted")
    assert not flag.exists()


def test_several_mistakes_are_told_at_once(tmp_path):
    data = simulated(pixel_size_nm=-1, camera={"em_gain": 0})
    assert len(refused(write_study(tmp_path, data=data, models=["nett"], seeds=3))) == 4


def test_a_wrong_override_and_a_wrong_filter(tmp_path):
    path = write_study(tmp_path)
    assert refused(path, "--set", "training.lr") == [
        "smlmbench: --set training.lr: not KEY=VALUE; write for example --set training.samples=500"
    ]
    (line,) = refused(path, "--only", "modle=x")
    assert "did you mean 'model'?" in line


def run(*words, cwd):
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    code = (
        "import sys\n"
        "from smlmbench.cli import main\n"
        "try:\n    main()\n"
        f"finally:\n    print(*[name for name in {HEAVY} if name in sys.modules], file=sys.stderr)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *words], cwd=cwd, env=env, capture_output=True, text=True, timeout=60, check=False
    )


def test_checks_of_files_need_nothing_heavy(tmp_path):
    source = write_movie(tmp_path)
    path = write_study(tmp_path, data=[{"name": "c", "train": source | {"pixel_size_nm": -1}}], models=["nett"])
    done = run("plan", str(path), cwd=ROOT)
    assert done.returncode == 2
    first, second, imported = done.stderr.splitlines()
    assert "pixel_size_nm" in first
    assert "nett" in second
    assert imported == ""
    path = write_study(tmp_path, data=[{"name": "c", "train": source}])  # its table is held against its movie
    done = run("plan", str(path), "--json", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["counts"] == {"cells": 6, "references": 1, "skipped": 0}
    done = run("plan", str(write_study(tmp_path)), "--json", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == ""
    done = run("plan", str(write_pairs(tmp_path, pairs(tmp_path))), "--json", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == ""


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["plan", "--help"], ["list"], ["list", "models"], ["nothing"]]
)
def test_looking_around_needs_nothing_heavy(words):
    done = run(*words, cwd=ROOT)
    assert done.returncode == (2 if words == ["nothing"] else 0), done.stderr
    assert done.stderr.splitlines()[-1] == ""
