"""Field cases of tables held against movies and against each other; their READMEs say where from."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from smlmbench.errors import FormatError, LossWarning, PairingError
from smlmbench.registry import Catalog
from smlmbench.run.studies.pairing import doubts
from smlmbench.run.tables.comparing import compare
from smlmbench.study.load import load_study

DATA = Path(os.environ.get("SMLMBENCH_DATA", Path(__file__).parents[2].parent / "shared" / "data")) / "field-cases"
CATALOG = Catalog()

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the folder of field cases is not here")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs") / "cases"
    shutil.copytree(DATA / "15-truth-out-of-step", folder)
    command = [sys.executable, "-m", "smlmbench", "simulate", "simulate.yaml", "--frames", "120", "-o", "sim"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("zerobased", "1 frame later; write first_frame: 0, or"),
        ("half", r"moved by \+0.5 px in x and \+0.5 px in y; write origin: centre, or"),
        ("swapped", "x and y swapped; write columns: {x_nm: 'y \\[nm\\]', y_nm: 'x \\[nm\\]'}, or"),
        ("flip", "y mirrored; mirror y in the table"),
    ],
)
def test_a_truth_out_of_step_stops_with_what_mends_it(pairs: Path, name: str, said: str) -> None:
    with pytest.raises(PairingError, match=said):
        doubts(load_study(pairs / f"{name}.yaml"))


def test_a_truth_in_step_goes_on(pairs: Path) -> None:
    assert doubts(load_study(pairs / "ok.yaml")) == []


def test_wild_rows_are_false_detections() -> None:
    folder = DATA / "16-evaluate-wild-rows"
    for name in ("hugex.csv", "hugeframe.csv"):
        with pytest.warns(LossWarning, match="1 of 3 rows"):
            scores, _ = compare(folder / name, folder / "truth.csv", {}, CATALOG)
        assert scores.values["jaccard"] == 0.5
    with pytest.raises(FormatError, match="state first_frame: 0"):
        compare(folder / "frame0.csv", folder / "truth.csv", {}, CATALOG)
    scores, _ = compare(folder / "frame0.csv", folder / "truth.csv", {"found_as": {"first_frame": 0}}, CATALOG)
    assert scores.values["jaccard"] == 1.0


def test_the_brightness_threshold_of_equal_photons_leaves_nothing() -> None:
    folder = DATA / "19-challenge-t25-constant-photons"
    options = {"field_nm": (6400.0, 6400.0)}
    scores, _ = compare(folder / "found.csv", folder / "truth.csv", options, CATALOG)
    for name in ("challenge_jaccard_t25", "challenge_efficiency_t25", "challenge_rmse_nm_t25"):
        assert scores.reasons[name] == "no true emitter is above the threshold T = 1000 photons"
