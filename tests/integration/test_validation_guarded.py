"""Nothing that is chosen knows the test set: with another one, training, picks and all `val/` stay bit for bit.

Every kind of data source is trained, watched, stopped early, tuned and picked twice, on one validation set and two test
sets that have nothing in common; what differs between the two runs is what is said of the test set, and nothing else.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import image_pairs
import numpy as np
import pytest
import tifffile
import torch
import yaml
from guarded_sources import FURTHER

from smlmbench.registry import Catalog
from smlmbench.run.progress import Reporter
from smlmbench.run.studies.asked import Options
from smlmbench.run.studies.picks import picks
from smlmbench.run.studies.study import run_study
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan
from smlmbench.tracking.records import metric_history, read_study
from smlmbench.tracking.store import open_store

GAUGE = sorted((Path(__file__).parent.parent / "plugins" / "gauge").rglob("*.py"))
TRAINING = {"samples": 96, "batch_size": 8, "validations": 4, "patience": 1, "schedule": "plateau", "lr": 0.003}
# Params of what a run cost; all others tell what was trained and chosen.
COSTS = {"train_s", "threads", "device", "infer_device"}


def movie(path: Path, seed: int, photons: float, *, n_frames: int = 24, apart: bool = False) -> dict[str, Any]:
    """A movie (a stack, or a folder of single frames) with its truth, three spots in a frame."""
    rng, side = np.random.default_rng(seed), 24
    places = rng.uniform(3, side - 3, (n_frames, 3, 2))
    pixels = np.arange(side) + 0.5
    bells = [np.exp(-((pixels - places[..., axis, None]) ** 2) / (2 * 1.3**2)) for axis in (0, 1)]
    light = photons / (2 * np.pi * 1.3**2) * np.einsum("fsx,fsy->fyx", *bells)
    frames = rng.poisson(light + 10).astype(np.uint16)
    path.parent.mkdir(parents=True, exist_ok=True)
    if apart:
        path.mkdir()
        for number, frame in enumerate(frames):
            tifffile.imwrite(path / f"f{number:03d}.tif", frame, photometric="minisblack")
    else:
        tifffile.imwrite(path, frames, photometric="minisblack")
    rows = [f"{f},{x * 100:.3f},{y * 100:.3f},{photons}" for f, spots in enumerate(places) for x, y in spots]
    truth = path.with_suffix(".csv")
    truth.write_text("\n".join(["frame,x_nm,y_nm,photons", *rows]) + "\n", encoding="utf-8")
    known = {"pixel_size_nm": 100, "camera": {"kind": "ideal"}, "track": "iid", "crop_px": 16}
    return {"movie": str(path), "truth": str(truth), **known}


def simulated(folder: Path, other: bool) -> dict[str, Any]:
    drawn = {"density_per_um2": 1.0, "photons": 2000, "field_px": 16}
    test = {"density_per_um2": 4.0, "photons": 150} if other else {}
    return {
        "train": {"simulate": drawn},
        "val": {"simulate": {"frames": 12}},
        "test": {"t": {"simulate": {"frames": 8, **test}}},
    }


def files(folder: Path, other: bool, *, apart: bool = False) -> dict[str, Any]:
    suffix = "" if apart else ".tif"
    test = movie(folder / f"test{suffix}", *((13, 300.0) if other else (12, 2000.0)), apart=apart)
    made = {name: movie(folder / f"{name}{suffix}", seed, 2000.0, apart=apart) for seed, name in enumerate(("a", "b"))}
    return {"train": made["a"], "val": made["b"], "test": {"t": test}}


def pairs(folder: Path, other: bool) -> dict[str, Any]:
    made = {}
    for seed, name in enumerate(("train", "val", "test")):
        for number in range(4):
            given, wanted = image_pairs.draw(10 * seed + number + 100 * (other and name == "test"), 16, 2)
            if other and name == "test":
                given, wanted = given[::-1], 3 * wanted[:, ::-1]  # which belong together no more
            image_pairs.put(folder / name, f"im{number}.tif", given, wanted)
        sides = {side: str(folder / name / place) for side, place in (("input", "X"), ("target", "Y"))}
        made[name] = {"images": {**sides, "crop_px": 16}}
    return {"train": made["train"], "val": made["val"], "test": {"t": made["test"]}}


def spectra(folder: Path, other: bool) -> dict[str, Any]:
    test = {"spectra": {"counts": 20 if other else 300, "frames": 15}}
    return {"train": {"spectra": {"counts": 300}}, "val": {"spectra": {"frames": 30}}, "test": {"t": test}}


NETWORK = {
    "models": [{"name": "fid_storm", "blocks": 1, "width": 0.25}],
    "losses": [{"name": "l1l2", "lambda": [4000, 400]}],
}
POSITIONS = {**NETWORK, "output": {"upsampling": 2}}
KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "simulate": (simulated, POSITIONS),
    "movie": (files, POSITIONS),
    "movie of a folder": (lambda folder, other: files(folder, other, apart=True), POSITIONS),
    "images": (pairs, NETWORK),
    "spectra": (spectra, {"models": [{"name": "line_net", "width": [4, 8]}], "plugins": [str(path) for path in GAUGE]}),
    **FURTHER,
}


def test_every_kind_of_data_is_here() -> None:
    assert {name.split()[0] for name in KINDS} >= set(Catalog(GAUGE).names("data"))


class Chosen:
    """What a study chose and said, and apart from it what it said of the test set."""

    def __init__(self, kind: str, folder: Path, home: Path, *, other: bool) -> None:
        made, blocks = KINDS[kind]
        common = {"study": "guarded", "seed": 3, "repeats": 1, "references": [], "training": TRAINING, "timing": None}
        study = {**common, "data": [{"name": "d", **made(folder, other)}], "log_models": "none", **blocks}
        path = folder / "study.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(study), encoding="utf-8")
        loaded, store = load_study(path), open_store(home)
        plan = make_plan(loaded)
        finished = run_study(loaded, plan, store, Reporter(quiet=True), Options(device="cpu"))
        runs = {run.cell_id: run for run in read_study(store, "guarded").rows("cell")}
        why = {run.reason for run in runs.values()}
        assert finished.statuses == {"done": len(plan.cells)} == {"done": 2}, why
        self.numbers: dict[str, Any] = {"pick": [cell.cell_id for cell in picks(plan.cells, runs, loaded.catalog)]}
        self.of_test: list[float] = []
        for cell_id, run in sorted(runs.items()):
            trained = torch.load(run.artifact("best.pt"), weights_only=True)
            self.numbers[cell_id] = {
                "params": {name: value for name, value in run.params.items() if name not in COSTS},
                "tuned": trained["facts"]["tuned"],
                "weights": {name: value.numpy().tobytes() for name, value in trained["state"].items()},
                "metrics": {name: value for name, value in run.metrics.items() if name.startswith("val/")},
                "curves": {
                    name: [(point.step, point.value) for point in metric_history(store, run.run_id, name)]
                    for name in run.metrics
                    if name.startswith(("val/", "train/")) and name != "train/seconds"
                },
                "scores": json.dumps(run.json("metrics.json")["val"], sort_keys=True),
            }
            self.of_test += [value for name, value in run.metrics.items() if name.startswith("test/")]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_another_test_set_changes_nothing_that_is_chosen(kind: str, tmp_path: Path, empty_store: Path) -> None:
    one, two = (
        Chosen(kind, tmp_path / name, shutil.copytree(empty_store, tmp_path / f"store-{name}"), other=name == "other")
        for name in ("first", "other")
    )
    assert one.of_test != two.of_test
    assert one.numbers.keys() == two.numbers.keys()  # of the same cells
    for cell_id, known in one.numbers.items():
        if cell_id == "pick":
            assert known == two.numbers["pick"]
            continue
        assert {name: known[name] == two.numbers[cell_id][name] for name in known} == dict.fromkeys(known, True)
        assert known["metrics"]
        assert max(map(len, known["curves"].values())) > 1
