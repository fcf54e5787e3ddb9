import json
import sys
import types

import numpy as np
import pytest
import tifffile
from study_fakes import write_movie, write_rooms, write_study
from typer.testing import CliRunner

from smlmbench import __version__, predict
from smlmbench.cli import app, doctor, group
from smlmbench.cli.doctor import processor
from smlmbench.cli.output import emit_json
from smlmbench.errors import ConfigError, LossWarning, TrainingError
from smlmbench.registry import ROOMS


def invoke(*words):
    return CliRunner().invoke(app, list(words))


@pytest.fixture
def failing(monkeypatch):
    """A command `fail` that raises what it is told."""
    raised = {}

    def command() -> None:
        """Fail as told."""
        raise raised["error"]

    module = types.ModuleType("smlmbench.cli.fail")
    module.command = command
    monkeypatch.setitem(sys.modules, "smlmbench.cli.fail", module)
    monkeypatch.setattr(group, "commands", lambda: {"fail": "Fail as told."})
    return raised


def test_every_command_has_a_line_of_help_and_a_function_that_is_found():
    listed = group.commands()
    assert {"plan", "list", "doctor"} <= set(listed)
    assert all(listed.values())
    for name in listed:
        result = invoke(name, "--help")
        assert result.exit_code == 0, result.output
        assert "Example: smlmbench" in result.output, name


def test_help_and_version():
    result = invoke("--help")
    assert result.exit_code == 0
    assert "plan" in result.stdout
    assert invoke("--version").stdout == f"smlmbench {__version__}\n"


def test_no_words_show_the_help():
    result = invoke()
    assert result.exit_code == 2
    assert "Commands:" in result.output


def test_an_unknown_command_names_the_nearest():
    result = invoke("plna", "x.yaml")
    assert result.exit_code == 2
    assert result.stderr.startswith("smlmbench: unknown command 'plna': did you mean 'plan'?")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--nothing"], "No such option: --nothing"),
        (["plan", "x.yaml", "--repeat", "3"], "--repeats"),
        (["plan"], "STUDY.yaml"),
        (["plan", "x.yaml", "--repeats", "0"], "--repeats"),
    ],
)
def test_a_wrong_option_is_one_line(words, said):
    result = invoke(*words)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("smlmbench: ")
    assert said in line
    assert line.endswith("--help)")
    assert "(see smlmbench" in line


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (ConfigError("one\ntwo"), 2, ["smlmbench: one", "smlmbench: two"]),
        (TrainingError("no model"), 1, ["smlmbench: no model"]),
        (ZeroDivisionError("by\nzero"), 1, ["smlmbench: unexpected ZeroDivisionError: by zero (--debug shows where)"]),
        (KeyboardInterrupt(), 130, ["smlmbench: interrupted; the same command continues what it had begun"]),
    ],
)
def test_errors_are_lines_and_codes(failing, error, code, lines):
    failing["error"] = error
    result = invoke("fail")
    assert result.exit_code == code
    assert result.stderr.splitlines() == lines


@pytest.mark.parametrize("words", [("--debug", "fail"), ("fail", "--debug")])
def test_debug_shows_the_traceback_before_or_after_the_command(failing, words):
    failing["error"] = ConfigError("wrong")
    result = invoke(*words)
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1] == "smlmbench: wrong"


def test_plan_prints_rows_warnings_and_counts(tmp_path):
    path = write_study(tmp_path, models=[{"name": "tiny_net", "blocks": 4}, "list_net"])
    result = invoke("plan", str(path), "--repeats", "1", "--set", "losses.0.lambda=3")
    assert result.exit_code == 0, result.output
    assert "blocks=4" in result.stdout
    assert "task" not in result.stdout  # there is one
    assert "list_net gives dotlist, pull accepts dotgrid" in result.stdout
    assert "1 cells, 1 references, 1 skipped; plan " in result.stdout
    assert "smlmbench: warning: loss pull: lambda 3 is below" in result.stderr


def test_a_long_plan_is_cut_unless_all_is_asked(tmp_path):
    path = write_study(tmp_path, losses=[{"name": "pull", "lambda": list(range(20, 240))}])
    cut = invoke("plan", str(path), "--repeats", "1")
    assert "... and 21 more rows (--all prints them)" in cut.stdout
    whole = invoke("plan", str(path), "--repeats", "1", "--all")
    assert len(whole.stdout.splitlines()) - len(cut.stdout.splitlines()) == 20


def test_plan_as_json(tmp_path):
    path = write_study(tmp_path, data=[{"name": "cells", "train": write_movie(tmp_path)}])
    read = json.loads(invoke("plan", str(path), "--json", "--only", "lambda=50").stdout)
    assert read["counts"] == {"cells": 3, "references": 1, "skipped": 0}
    assert {row["lambda"] for row in read["rows"] if row["status"] == "planned"} == {"50"}
    assert read["data"]["cells"]["train"]["movie"] == str(tmp_path / "a.tif")
    assert len(read["plan_hash"]) == 12


def test_list_shows_rooms_names_and_one_thing(tmp_path):
    plugins = [word for path in write_rooms(tmp_path) for word in ("--plugin", str(path))]
    assert "tiny_net" in invoke("list", *plugins).stdout
    table = invoke("list", "models", *plugins).stdout
    assert "10 (upsampling=8)" in table
    one = invoke("list", "losses", "pull", *plugins).stdout
    assert "lambda" in one
    assert "weight" not in one
    assert "accepts: dotgrid" in one
    net = invoke("list", "models", "tiny_net", *plugins).stdout
    for said in (
        "variant",
        "plain, published",
        "training defaults: lr 0.002, batch_size 8",
        "receptive field: 25 camera px",
    ):
        assert said in net
    assert json.loads(invoke("list", "models", "tiny_net", "--json", *plugins).stdout)["version"] == 3
    assert "tiny_net" in json.loads(invoke("list", "--json", *plugins).stdout)["models"]


def test_list_works_for_every_room_of_the_package():
    for room in ROOMS:
        result = invoke("list", room)
        assert result.exit_code == 0, result.output


def test_list_names_the_nearest():
    assert "did you mean 'models'?" in invoke("list", "model").stderr
    result = invoke("list", "psf", "gausian")
    assert result.exit_code == 2
    assert "did you mean 'gaussian'?" in result.stderr


def test_doctor_has_a_line_for_everything(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    result = invoke("doctor", "--json")
    found = {item["what"]: item for item in json.loads(result.stdout)}
    assert {"python", "packages", "processor", "vector units", "training", "memory", "disk", "store"} <= set(found)
    assert "number_format auto takes" in found["training"]["seen"]
    assert found["store"]["seen"] == f"{tmp_path / 'mlruns'} will be made by the first run"
    assert not (tmp_path / "mlruns").exists()
    lines = invoke("doctor").stdout.splitlines()
    assert all(line.startswith(("ok  ", "warn")) for line in lines)


def test_doctor_warns_of_a_store_that_cannot_be_used(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "file2").mkdir()
    (tmp_path / "file2" / "mlflow.db").write_text("no database, only text that is long enough to be looked at")
    found = {item.what: item for item in doctor.examine(str(tmp_path / "file2"))}
    assert not found["store"].ok
    assert "no MLflow database" in found["store"].seen
    assert not {item.what: item for item in doctor.examine("s3://bucket")}["store"].ok


def test_processor_is_read_from_the_system(tmp_path):
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t\t: fpu avx2 amx_bf16\n\n")
    assert processor(info) == ("Some CPU @ 2 GHz", {"fpu", "avx2", "amx_bf16"})
    assert processor(tmp_path / "none")[1] == set()


def test_json_has_neither_paths_nor_nan(capsys, tmp_path):
    emit_json({"a": tmp_path, "b": [float("nan"), 1.5], 3: (True, None)})
    assert json.loads(capsys.readouterr().out) == {"a": str(tmp_path), "b": [None, 1.5], "3": [True, None]}


def test_bad_pixels_are_kept_refused_or_replaced_and_told_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frames = np.random.default_rng(1).normal(120, 4, (4, 24, 32)).astype(np.float32)
    frames[2, 5, 7] = np.inf
    tifffile.imwrite("m.tif", frames, photometric="minisblack")
    assert invoke("convert", "m.tif", "kept.tif").exit_code == 0
    np.testing.assert_array_equal(tifffile.imread("kept.tif"), frames)
    refused = "smlmbench: 'm.tif': frame 3 (counted from 1) has 1 pixels that are NaN or infinite"
    told = "smlmbench: note: 'm.tif': 1 pixels of 1 frames were NaN or infinite and are replaced by the median"
    fit = ("predict", "peaks_gaussian", "m.tif", "--pixel-size-nm", "100")
    for words in (fit, ("figure", "m.tif", "--sum")):
        result = invoke(*words)
        assert (result.exit_code, result.stderr.startswith(refused)) == (2, True), result.output
    for words in (("convert", "m.tif", "m2.tif"), fit, ("figure", "m.tif", "--sum")):
        result = invoke(*words, "--bad-pixels", "median")
        assert (result.exit_code, result.stderr.count(told)) == (0, 1), result.output
    mended = tifffile.imread("m2.tif")
    around = frames[2, 4:7, 6:9]
    assert mended[2, 5, 7] == np.median(around[np.isfinite(around)])
    mended[2, 5, 7] = np.inf
    np.testing.assert_array_equal(mended, frames)
    with pytest.warns(LossWarning, match="1 pixels of 1 frames"):
        predict("peaks_gaussian", frames, pixel_size_nm=100, bad_pixels="median")
