"""Every command of the README runs, at tiny settings; its two set-up commands are run by .ci/run as they stand."""

import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import tifffile
import yaml
from documented import ROOT, TINY, blocks, commands, sets, tiny_quickstart
from typer.testing import CliRunner

import smlmbench
from smlmbench.cli import app
from smlmbench.formats import write_table
from smlmbench.registry import Catalog

README = (ROOT / "README.md").read_text(encoding="utf-8")
# `ui` serves until it is stopped: test_ui.py starts it.
NOT_HERE = {"smlmbench ui"}
CAMERA = {"kind": "scmos", "baseline_adu": 100, "e_per_adu": 0.5, "read_noise_e": 1.6}


def shown() -> list[str]:
    return [line for line in commands(README) if line not in NOT_HERE]


def python_blocks() -> list[str]:
    return [block.text for block in blocks(README, "python")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, empty_store):
    """A working folder with the tiny quickstart, its store, and the README's own model file."""
    place = tmp_path_factory.mktemp("readme")
    tiny_quickstart(place / "experiments" / "quickstart.yaml")
    shutil.copytree(empty_store, place / "mlruns")
    own_movie(place)
    (model,) = [text for text in python_blocks() if "CARD" in text]
    (place / "my_net.py").write_text(model, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        result = CliRunner().invoke(app, ["run", "experiments/quickstart.yaml"])
    assert result.exit_code == 0, result.output
    return place


def own_movie(place: Path) -> None:
    """A user's movie, its dark frames and its positions."""
    scene = {"density_per_um2": 0.3, "psf": {"name": "gaussian", "sigma_nm": 130}, "camera": CAMERA, "field_px": 32}
    movie, truth = smlmbench.simulate({**scene, "photons": {"min": 1000, "max": 4000}}, 150)
    dark, _ = smlmbench.simulate({**scene, "density_per_um2": 1e-9, "background_photons": 0}, 40)
    for name, frames in (("cells", movie), ("dark", dark)):
        tifffile.imwrite(place / f"{name}.tif", frames, photometric="minisblack")
    write_table(truth, place / "truth.csv", catalog=Catalog(), format="thunderstorm_csv")


def run_name(place: Path) -> str:
    from smlmbench.tracking.records import read_study
    from smlmbench.tracking.store import open_store

    return read_study(open_store(place / "mlruns"), "quickstart").rows("cell")[0].name


def test_the_readme_has_the_commands_that_a_newcomer_needs():
    named = {line.split()[1] for line in shown()}
    assert {
        "calibrate",
        "study",
        "run",
        "plan",
        "simulate",
        "predict",
        "evaluate",
        "report",
        "time",
        "check",
        "list",
        "doctor",
    } <= named
    setups = [line for line in README.splitlines() if line.startswith("python3 -m venv ")]
    assert len(setups) == 2
    assert "smlmbench run experiments/quickstart.yaml" in setups[0]
    assert "'.[test]'" in setups[1]
    assert setups[1].endswith(" && .venv/bin/python -m pytest -n 2")


@pytest.mark.parametrize("line", shown())
def test_each_command_of_the_readme_runs(line, folder, monkeypatch):
    monkeypatch.chdir(folder)
    words = shlex.split(line)[1:]
    if "RUN" in words:
        words[words.index("RUN")] = run_name(folder)
    if words[0] == "time":
        words += ["--set", "fid_storm.blocks=1", "--set", "deep_storm.width=0.03125", "--sizes", "16"]
    if words[:2] == ["run", "cells.yaml"]:
        words += sets(TINY)
    if words[0] == "evaluate" and not Path(words[1]).exists():
        pytest.fail(f"{words[1]} was not written by the commands before")
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, f"{line}: {result.output}"


def test_the_python_of_the_readme_runs(folder, monkeypatch):
    (text,) = [text for text in python_blocks() if "import smlmbench\n" in text]
    monkeypatch.chdir(folder)
    made: dict[str, Any] = {}
    exec(compile(text, "README.md", "exec"), made)
    assert made["finished"].statuses == {"done": 1}
    assert set(made["board"].model) == {"fid_storm", "truth", "blank"}
    assert (made["movie"].shape, len(made["found"]) > 0) == ((50, 16, 16), True)
    assert list((folder / "models").glob("*.onnx"))


def test_the_study_of_the_readme_loads_with_files_in_place(folder, tmp_path, monkeypatch):
    """The first yaml block is a study: only its files are missing."""
    text, *_ = [block.text for block in blocks(README, "yaml")]
    (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    refused = CliRunner().invoke(app, ["plan", "study.yaml"])
    assert refused.exit_code == 2
    problems = [line for line in refused.stderr.splitlines() if line]
    assert all("does not exist" in line for line in problems), problems


def test_the_scene_of_the_readme_is_drawn():
    """The second yaml block is a simulation."""
    _, text = [block.text for block in blocks(README, "yaml")]
    movie, truth = smlmbench.simulate({**yaml.safe_load(text)["simulate"], "field_px": 16}, 20)
    assert movie.shape == (20, 16, 16)
    assert truth.molecule is not None
