"""Every study of experiments/ loads and plans, and does what its head says."""

import os
import re
from itertools import product
from pathlib import Path

import pytest
import tifffile

from smlmbench.errors import ConfigError
from smlmbench.registry import Catalog
from smlmbench.run.movies.calibrating import Wanted, calibrate_beads
from smlmbench.run.using.pairing import draw_pairs
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan
from smlmbench.study.sources import SimulateSource

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "experiments"
SHARED = Path(os.environ.get("SMLMBENCH_DATA", ROOT.parent / "shared" / "data"))
# Studies on files: their folder among public data, or how they are made.
DATA = {
    "deepstorm-demo": "deepstorm-bundled-tubulins",
    "own-movie": "nairr-2dgauss-ld",
    "own-optics": "picasso-dnapaint-sim",
    "nairr-3das": "nairr-3das-ld",
    "tetrapod": "deepstorm3d-tetrapod-storm",
}
STUDIES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
TINY = SimulateSource(density_per_um2=1.0, photons=1000.0, field_px=32, psf={"name": "gaussian", "sigma_nm": 130.0})


def calibrated_bead(folder):
    """What the head of bead-crops says: every second plane, and the PSF that is calibrated from the others."""
    stack = SHARED / "deepnebulae-beads" / "tetrapod_bead_stack.tiff"
    if not stack.is_file():
        pytest.skip(f"{stack} is absent; the study needs it")
    planes = tifffile.imread(stack)
    for name, first in (("even", 0), ("odd", 1)):
        tifffile.imwrite(folder / f"{name}.tif", planes[first::2])
    calibrate_beads(Wanted(folder / "even.tif", 110.0, output=folder / "optics", overwrite=True), 200.0, Catalog())
    return folder


def planned(name, tmp_path, **more):
    root = None
    if name in DATA:
        root = SHARED / DATA[name]
        if not root.is_dir():
            pytest.skip(f"{root} is absent; the study needs its files")
    if name == "bead-crops":
        root = calibrated_bead(tmp_path)
    if name == "image-pairs":
        root = tmp_path
        for ratio in (1, 4):
            draw_pairs(TINY, 9, 0, ratio, tmp_path / f"x{ratio}", Catalog())
    return make_plan(load_study(FOLDER / f"{name}.yaml", data_root=root, **more))


@pytest.mark.parametrize("name", STUDIES)
def test_it_plans_under_the_name_of_its_file_and_warns_of_nothing_but_what_its_head_says(name, tmp_path):
    plan = planned(name, tmp_path)
    assert {cell.study for cell in plan.cells} == {name}
    collapse = [line for line in plan.warnings if "collapse threshold" in line]
    assert len(collapse) == (1 if name == "seed-against-published" else 0)
    gone = [row.reason for row in plan.skipped if row.labels["loss"] != "none"]
    assert len(gone) == (2 if name == "image-pairs" else 0), gone


@pytest.mark.parametrize("name", STUDIES)
def test_its_head_says_what_it_is_and_how_to_run_it(name):
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    head = text[: text.index("study:")]
    command = "search" if name == "search" else "run"
    assert f"smlmbench {command} experiments/{name}.yaml" in head
    assert re.search(r"minutes|about a day", head)


def test_the_grid_of_all_networks_and_losses_has_the_rows_that_its_head_says(tmp_path):
    assert len(planned("dl4smlm", tmp_path).cells) == 6 * 3 * 3 * 3 == 162
    text = (FOLDER / "dl4smlm.yaml").read_text(encoding="utf-8")
    sets = re.findall(r"--set (\S+)", text[: text.index("study:")])
    assert len(sets) >= 9
    small = planned("dl4smlm", tmp_path, sets=sets)
    widths = {cell.model.name: cell.model.settings["width"] for cell in small.cells}
    assert widths["drl_storm"] < widths["deep_storm"] == widths["skip_storm"] < widths["u_storm"] == 1
    assert {cell.output.settings["upsampling"] for cell in small.cells} == {4}
    assert {cell.study for cell in small.cells} == {"dl4smlm-cpu"}


def test_the_seed_is_compared_on_equal_terms(tmp_path):
    plan = planned("seed-against-published", tmp_path)
    variants = {(cell.model.name, cell.model.settings["variant"]) for cell in plan.cells}
    wired = [name for name in Catalog().names("models") if "variant" in Catalog().card("models", name).settings]
    assert len(wired) == 6
    assert variants == {(name, variant) for name in wired for variant in ("published", "seed")}
    assert len({cell.training for cell in plan.cells}) == 1
    weights = {(cell.loss.settings["kernel"], cell.loss.settings["weight"]) for cell in plan.cells}
    assert weights == {("unit", 200), ("seed", 200), ("seed", 1)}


def test_every_scaling_is_compared(tmp_path):
    plan = planned("normalisation", tmp_path)
    kinds = {cell.model.settings["normalisation"] for cell in plan.cells}
    assert kinds == set(Catalog().card("models", "srcnn").settings["normalisation"].choices)
    assert len(plan.cells) == 2 * len(kinds)


def test_at_ratio_one_the_network_that_cannot_upsample_is_skipped_and_its_seed_runs(tmp_path):
    plan = planned("image-pairs", tmp_path)
    gone = {(row.labels["data"], row.labels["model"]) for row in plan.skipped if "upsampling stage" in row.reason}
    assert gone == {("ratio-1", "fid_storm")}
    left = {cell.model.settings["variant"] for cell in plan.cells if cell.data.name == "ratio-1"}
    assert left == {"published", "seed"}  # of srcnn, and of fid_storm
    assert {cell.output.settings["upsampling"] for cell in plan.cells} == {1, 4}


def test_one_and_three_frames_are_compared_on_both_kinds_of_movies(tmp_path):
    plan = planned("context", tmp_path)
    seen = {(cell.data.name, cell.model.name, cell.model.settings["context"]) for cell in plan.cells}
    assert seen == set(product(("iid", "blinking"), ("fid_storm", "deep_storm", "decode"), (1, 3)))
    tracks = {
        name: getattr(source.track, "name", source.track)
        for cell in plan.cells
        for name, source in cell.data.tests.items()
    }
    assert tracks == {"iid": "iid", "blinking": "blinking"}


def test_files_that_are_not_there_are_named_one_by_one(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load_study(FOLDER / "own-movie.yaml", data_root=tmp_path)
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert all("does not exist; give the path of a" in line for line in lines)
