"""What each rule for the threshold of a trained network gains and gives away, also among dim emitters.

python benchmarks/thresholds.py STUDY.yaml --store STORE [--only data=ranged] [--dim-photons 300] [--plugin FILE]

Takes the trained networks (best.pt) of a study from its store. Every rule chooses a threshold on validation, with its
signal-free frames, and the network is scored with it on every test condition, and on a movie of two frames of 400 px in
the optics of the first one whose emitters have `--dim-photons` photons each. Numbers are means over the conditions:
efficiency, recall, precision (the least in brackets), recall of the dimmest quarter of the emitters, false detections
on signal-free frames. Prints a table for each network; the last line is one JSON object.
"""

import argparse
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from smlmbench import tasks
from smlmbench.data.contracts import Asked, Condition
from smlmbench.inference.answering import answering
from smlmbench.inference.checkpoint import load_trained
from smlmbench.metrics import brightness
from smlmbench.metrics.ratios import efficiency, precision, recall
from smlmbench.predictions import Localizations
from smlmbench.run.cells.evaluation import answers_of
from smlmbench.run.materials import Materials
from smlmbench.study.cells import Cell
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan
from smlmbench.tasks.localization import rules
from smlmbench.tasks.localization.rules import Rule
from smlmbench.tasks.localization.scoring import SIGNAL_FREE, evidence_of
from smlmbench.tasks.localization.tuning import MIDDLE, choose_threshold
from smlmbench.tracking.records import read_study
from smlmbench.tracking.store import open_store

LIMITS = (0.01, 0.02, 0.05, 0.1, 0.2, math.inf)
DIM = "dim movie"
Found = tuple[Condition, Localizations, Localizations | None]  # condition, its candidates, those where there is nothing


def compared() -> dict[str, Rule]:
    """Every rule, those with a limit of false detections at each of some."""
    limited = (rules.plateau_low, rules.every_stratum, rules.mean_of_strata, rules.precise)
    kept = [Rule(choose, limit) for choose in limited for limit in LIMITS]
    return {"plateau_middle": MIDDLE} | {f"{rule.name} {rule.limit:g}": rule for rule in kept}


def candidates(cell: Cell, path: Path, materials: Materials, dim_photons: float) -> dict[str, Found]:
    """Everything that a network could say, on validation, on the test conditions, and on a movie of dim emitters."""
    task, trained = tasks.load(cell.task, materials.catalog), load_trained(path, materials.catalog)
    splits = materials.splits(cell)
    first = next(iter(cell.data.tests.values()))
    source = first.model_copy(update={"photons": dim_photons, "frames": 2, "field_px": 400})
    asked = Asked("test", cell.root_seed)
    drawer = materials.catalog.module("data", source.kind)
    drawn: Condition = drawer.condition(DIM, source, {"dim": dim_photons}, asked, materials.catalog)
    made: dict[str, Found] = {}
    for name, condition in {"val": splits.validation, **splits.tests, DIM: drawn}.items():
        answers = answers_of(task, answering(trained), condition, None)
        empty = answers.extras.get(SIGNAL_FREE)
        made[name] = condition, answers.own.table, None if empty is None else empty.table
    return made


def scored(found: Found, threshold: float, cell: Cell) -> dict[str, float]:
    """Numbers of one condition at a threshold."""
    condition, table, empty = found
    evidence = evidence_of(table.select(table.probability > threshold), condition, cell.scoring)
    assert evidence.sums is not None
    sums = evidence.sums.sum(axis=0)
    numbers = {ratio.__name__: float(ratio(sums)) for ratio in (efficiency, recall, precision)}
    dim = brightness.measure(evidence)["recall_dimmest_quarter"]
    numbers["dimmest"] = float("nan") if isinstance(dim, str) else dim
    if empty is not None:
        frames = condition.extras[SIGNAL_FREE].frames
        area_um2 = frames.n_frames * math.prod(condition.field_nm) / 1e6
        numbers["false"] = 1000 * int((empty.probability > threshold).sum()) / area_um2
    return numbers


def compare(cell: Cell, made: Mapping[str, Found]) -> dict[str, Any]:
    """Every rule on one network."""
    condition, table, empty = made["val"]
    told: dict[str, Any] = {}
    for name, rule in compared().items():
        chosen = choose_threshold(table, condition, cell.scoring, rule=rule, empty=empty)
        threshold = chosen.settings["threshold"]
        on = {place: scored(found, threshold, cell) for place, found in made.items() if place != "val"}
        told[name] = {"threshold": threshold, "val": scored(made["val"], threshold, cell), "on": on}
    return told


def line(name: str, told: Mapping[str, Any]) -> str:
    tests = [numbers for place, numbers in told["on"].items() if place != DIM]
    mean = {key: float(np.nanmean([numbers[key] for numbers in tests])) for key in tests[0]}
    least = float(np.nanmin([numbers["precision"] for numbers in tests]))
    dim = told["on"][DIM]
    return (
        f"{name:22s} {told['threshold']:9.3f} {mean['efficiency']:10.2f} {mean['recall']:7.3f} {mean['precision']:9.4f}"
        f" ({least:.3f}) {mean['dimmest']:8.3f} {mean['false']:8.2f} | {dim['recall']:7.3f} {dim['precision']:9.4f}"
        f" | {told['val']['efficiency']:7.2f} {told['val']['dimmest']:8.3f} {told['val']['false']:7.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--store", required=True)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--dim-photons", type=float, default=300.0)
    parser.add_argument("--plugin", type=Path, action="append", default=[])
    asked = parser.parse_args()
    loaded = load_study(asked.study, plugins=asked.plugin)
    runs = read_study(open_store(asked.store), loaded.study.study).rows()
    done = {run.cell_id: run for run in runs if run.status == "done"}
    materials, told = Materials(loaded.catalog), {}
    for cell in make_plan(loaded, only=asked.only).cells:
        path = done[cell.cell_id].artifact("best.pt") if cell.cell_id in done else None
        if path is None:
            continue
        name = " ".join(str(cell.labels[part]) for part in ("data", "model", "repeat")) + f" {cell.cell_id[:6]}"
        told[name] = compare(cell, candidates(cell, path, materials, asked.dim_photons))
        print(f"\n{name}: means over {len(cell.data.tests)} conditions | {DIM} | validation")
        print(f"{'rule':22s} threshold efficiency  recall precision  (least)  dimmest    false |  recall precision |")
        for rule, numbers in told[name].items():
            print(line(rule, numbers), flush=True)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
