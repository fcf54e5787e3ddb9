"""smlmbench study: one command from a movie to a study; what it refuses, in one line, before it measures."""

import json
import re

import numpy as np
import pytest
import tifffile
import yaml
from test_calibrate_study import CAMERA, NOTHING, found
from typer.testing import CliRunner

import smlmbench
from smlmbench.calibrate import movie as calibration
from smlmbench.calibrate.proposing.ranges import BACKGROUND, SIGMA
from smlmbench.cli import app
from smlmbench.errors import ConfigError
from smlmbench.run.movies import studying

STATED = ["--pixel-size-nm", "160", "--camera", yaml.safe_dump(CAMERA, default_flow_style=True).strip()]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a movie of 48 x 64 px, worked in."""
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("cells.tif", np.full((4, 48, 64), 300, dtype=np.uint16), photometric="minisblack")
    return tmp_path


@pytest.fixture
def asked(monkeypatch):
    """What is asked of the calibration, which is answered by hand."""
    calls = []

    def measured(path, pixel_size_nm, camera, dark, catalog, excess, frames):
        calls.append((path.name, pixel_size_nm, camera, dark, excess, frames))
        return found()

    monkeypatch.setattr(calibration, "measured", measured)
    return calls


def study(*words):
    return CliRunner().invoke(app, ["study", "cells.tif", *words])


def test_one_command_writes_a_study_that_plan_takes(folder, asked):
    done = study(*STATED, "-o", "mine.yaml", "--frames", "1:3")
    assert done.exit_code == 0, done.output
    ((name, pixel, camera, dark, excess, frames),) = asked
    assert (name, pixel, dark, excess, frames) == ("cells.tif", 160, None, 1.0, (0, 3))
    assert camera.e_per_adu == 0.5
    rows = {line[:20].strip(): line for line in done.stdout.splitlines()}
    assert "248 (236 to 260) photons a pixel" in rows["background"]
    assert rows["background"].split()[-3:] == [f"{BACKGROUND[0] * 200:.0f}", "to", f"{BACKGROUND[1] * 300:,.0f}"]
    assert "mine.yaml: " in done.stdout
    assert "not measured (too few spots); emitters of single frames assumed" in done.stderr
    (look,) = [line for line in done.stdout.splitlines() if line.startswith("look: ")]
    planned = CliRunner().invoke(app, look.split()[2:])
    assert planned.exit_code == 0, planned.output
    assert "3 cells" in planned.stdout


def test_the_default_name_is_the_movies_and_nothing_is_replaced_unasked(folder, asked):
    assert study(*STATED).exit_code == 0
    first = (folder / "cells.yaml").read_text(encoding="utf-8")
    again = study(*STATED, "--samples", "700")
    assert (again.exit_code, len(asked)) == (2, 1)
    assert again.stderr.strip() == "smlmbench: 'cells.yaml' exists already; give another name, or --overwrite"
    assert study(*STATED, "--samples", "700", "--overwrite").exit_code == 0
    text = (folder / "cells.yaml").read_text(encoding="utf-8")
    assert "samples: 700" in text
    assert first != text


def test_a_script_reads_all_of_it(folder, asked):
    told = json.loads(study(*STATED, "--json").stdout)
    assert told["file"] == "cells.yaml"
    assert told["measured"]["spots"]["sigma_nm"]["value"] == 131
    assert told["train"]["psf"]["sigma_nm"]["min"] == pytest.approx((1 - SIGMA) * 131, rel=0.01)
    assert set(told["test"]) == {"as-measured", "dim", "wide", "bright-background"}
    assert told["samples"] > 500


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (STATED[2:], "--pixel-size-nm is not given"),
        (
            STATED[:2],
            "the camera is not known: give --camera .* what `smlmbench calibrate cells.tif --pixel-size-nm 160` finds",
        ),
        ([*STATED, "-o", "mine"], "--output 'mine': not a YAML file; give a name such as cells.yaml"),
        ([*STATED, "-o", "absent/mine.yaml"], "study 'absent/mine.yaml' cannot be written"),
        ([*STATED, "--dark", "dark.tif"], "'dark.tif'"),
        ([*STATED, "--truth", "truth.csv"], "'truth.csv'"),
        ([*STATED, "--em-gain", "300"], "--em-gain 300: give the gain of a register above 1, and no camera beside it"),
        ([*STATED, "--minutes", "1"], "--minutes 1: too few to train"),
        ([*STATED, "--minutes", "9", "--samples", "9"], "keep one"),
        ([*STATED, "--frames", "3:1"], "--frames 3:1: not a range"),
    ],
)
def test_what_is_missing_or_wrong_is_said_in_one_line(folder, asked, words, said):
    refused = study(*words)
    assert refused.exit_code == 2, refused.output
    (line,) = refused.stderr.splitlines()
    assert re.search(said, line), line
    assert list(folder.glob("*.y*ml")) == []


def test_dark_frames_stand_in_place_of_a_camera(folder, asked):
    tifffile.imwrite("dark.tif", np.full((4, 48, 64), 100, dtype=np.uint16), photometric="minisblack")
    assert study("--pixel-size-nm", "160", "--dark", "dark.tif", "--em-gain", "300").exit_code == 0
    ((_, _, camera, dark, excess, _),) = asked
    assert (camera, dark.name) == (None, "dark.tif")
    assert excess == pytest.approx(2 - 1 / 300)
    assert "dark frames 'dark.tif'" in (folder / "cells.yaml").read_text(encoding="utf-8")


def test_a_movie_that_says_nothing_leaves_no_file(folder, monkeypatch):
    monkeypatch.setattr(calibration, "measured", lambda *_: found(sigma_nm=NOTHING, photons=NOTHING))
    assert "too few spots" in study(*STATED).stderr
    assert list(folder.glob("*.yaml")) == []


def test_a_study_that_does_not_load_is_not_left_behind(folder, asked, monkeypatch):
    (folder / "cells.yaml").write_text("mine", encoding="utf-8")
    monkeypatch.setattr(studying, "study_text", lambda *_: "study: x\n")
    assert study(*STATED, "--overwrite").exit_code == 2
    assert (folder / "cells.yaml").read_text(encoding="utf-8") == "mine"
    assert study(*STATED, "-o", "other.yaml").exit_code == 2
    assert not (folder / "other.yaml").exists()


def test_the_function_takes_facts_and_gives_what_was_measured(folder, asked):
    made = smlmbench.write_study("cells.tif", "mine.yaml", 160, CAMERA, samples=600)
    assert made.measured.spots.sigma_nm.value == 131
    assert (made.budget.samples, made.file.name) == (600, "mine.yaml")
    assert len(smlmbench.plan(made.file).cells) == 3
    with pytest.raises(ConfigError, match="the camera is not known"):
        smlmbench.write_study("cells.tif", "other.yaml", 160)
