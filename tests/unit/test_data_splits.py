"""A dummy that only remembers training positions must score at chance on every ranked split."""

import numpy as np
import pytest
import tifffile
from matched import match

from smlmbench import data
from smlmbench.data.contracts import Scope
from smlmbench.predictions import Localizations
from smlmbench.registry import Catalog
from smlmbench.study.cells import DataPlan
from smlmbench.study.sources import MovieSource, Part, SimulateSource

CATALOG = Catalog()
STRUCTURE = {"name": "filaments", "filaments": 24, "width_nm": 10}


def jaccard(found, truth):
    n_matched = len(match(found, truth, lateral_nm=100).found)
    return n_matched / (len(found) + len(truth) - n_matched)


def guess(condition, places, seed):
    """As many remembered places (n, 2) in each test frame as there are true emitters."""
    generator = np.random.default_rng(seed)
    frame = condition.truth.table.frame
    picked = places[generator.integers(0, len(places), len(frame))]
    columns = {"frame": frame, "x_nm": picked[:, 0], "y_nm": picked[:, 1]}
    return Localizations.of(columns, n_frames=condition.truth.table.n_frames, field_nm=condition.field_nm)


def remembered(plan):
    """Positions of the first 512 training samples, in the coordinates of a sample."""
    taught = data.training_set(plan, Scope(1, augment=False), CATALOG).batch(0, 512).truth
    return np.stack((taught.x_nm.numpy(), taught.y_nm.numpy()), axis=1).astype(float)


def above_chance(condition, places):
    """Jaccard of the dummy less that of uniform positions, and the standard error of the difference."""
    generator = np.random.default_rng(5)
    anywhere = generator.uniform(0, 1, (20_000, 2)) * condition.field_nm
    dummy = [jaccard(guess(condition, places, seed), condition.truth.table) for seed in range(8)]
    chance = [jaccard(guess(condition, anywhere, seed), condition.truth.table) for seed in range(8)]
    return np.mean(dummy) - np.mean(chance)


def movie_plan(folder, rule, track=None):
    """Molecules on fixed places that blink over the whole movie."""
    generator = np.random.default_rng(3)
    n_frames, height, width = 60, 32, 96
    homes = generator.uniform(0, 1, (60, 2)) * (width * 100, height * 100)
    rows = [
        f"{frame},{x:.2f},{y:.2f},1000"
        for frame in range(n_frames)
        for x, y in homes[generator.random(len(homes)) < 0.3] + generator.normal(0, 5, 2)
    ]
    tifffile.imwrite(folder / "m.tif", np.ones((n_frames, height, width), np.uint16), photometric="minisblack")
    (folder / "t.csv").write_text("frame,x_nm,y_nm,photons\n" + "\n".join(rows) + "\n")
    parts = {
        role: MovieSource(
            movie=folder / "m.tif",
            truth=folder / "t.csv",
            pixel_size_nm=100,
            camera="uncalibrated",
            track=track,
            crop_px=32,
            part=Part(role=role, rule=rule, val=0.2, test=0.4, guard_px=8),
        )
        for role in ("train", "val", "test")
    }
    return DataPlan(
        name="m",
        train=parts["train"],
        val=parts["val"],
        tests={"test": parts["test"]},
        train_identity={"file": "m"},
        test_identity={"test": {"file": "m"}},
    )


@pytest.mark.parametrize("structure", [{"name": "uniform"}, STRUCTURE])
def test_simulated_splits_show_new_places(structure):
    source = SimulateSource(structure=structure, density_per_um2=2.0, frames=200)
    plan = DataPlan(
        name="s", train=source, val=source, tests={"t": source}, train_identity={"d": 1}, test_identity={"t": {"d": 1}}
    )
    places = remembered(plan)
    for condition in (data.validation(plan, 1, CATALOG), data.conditions(plan, 1, CATALOG)["t"]):
        assert abs(above_chance(condition, places)) < 0.02
        own = np.stack((condition.truth.table.x_nm, condition.truth.table.y_nm), axis=1)
        # the measure does see a leak: places of the test itself on filaments are far above chance
        assert structure["name"] == "uniform" or above_chance(condition, own) > 0.05


def test_columns_of_a_movie_with_lasting_molecules_share_no_places(tmp_path):
    plan = movie_plan(tmp_path, "columns")
    condition = data.conditions(plan, 1, CATALOG)["test"]
    assert not condition.shared_structure
    # crops of the whole train block, 32 of its 32 columns
    assert abs(above_chance(condition, remembered(plan))) < 0.03


def test_frames_of_a_movie_with_lasting_molecules_leak_and_are_marked(tmp_path):
    plan = movie_plan(tmp_path, "frames")
    condition = data.conditions(plan, 1, CATALOG)["test"]
    homes = data.validation(plan, 1, CATALOG).truth.table
    places = np.stack((homes.x_nm, homes.y_nm), axis=1)
    assert above_chance(condition, places) > 0.1
    assert condition.shared_structure


def test_frames_said_to_be_independent_are_not_marked(tmp_path):
    assert not data.conditions(movie_plan(tmp_path, "frames", "iid"), 1, CATALOG)["test"].shared_structure
