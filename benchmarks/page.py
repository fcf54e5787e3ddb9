"""The page of a large study: seconds, bytes and peak memory of `smlmbench report`.

python benchmarks/page.py [--runs 300 1000] [--conditions 3] [--store FOLDER]

Plans a study of networks x losses x lambdas x repeats over conditions, writes as many finished runs of it to a store,
with all the numbers, sums per frame, curves and pictures of a real one but drawn by lot, and builds the report in a
process of its own; what the plan has more stays planned. A --store that holds the runs already is used as it is.

Prints a table; the last line is one JSON object with `seconds`, `cpu_s` of them computing, `page_mb` and `peak_mb`
for each number of runs.
"""

import argparse
import json
import math
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from memory import measured

from smlmbench.metrics.pooling import SUMS
from smlmbench.metrics.ratios import efficiency, jaccard
from smlmbench.tracking.location import local_path
from smlmbench.tracking.records import list_studies
from smlmbench.tracking.runs import open_run
from smlmbench.tracking.store import Store, open_store

MODELS = ("fid_storm", "srcnn", "u_storm", "deep_storm", "skip_storm")
LOSSES = ("l1l2", "weighted_mse")
REPEATS, VALIDATIONS, SAMPLES = 3, 8, 32_000
FRAMES, EMITTERS, NUMBERS = 200, 20, 46
PROTOCOL = "smlmbench-2"
STRUCTURES = ("uniform", "filaments", "microtubules", "nuclear_pores")
CAMERAS = (
    {"kind": "scmos", "e_per_adu": 0.5},
    {"kind": "emccd", "e_per_adu": 45, "em_gain": 300},
    {"kind": "ideal"},
)
GOALS = {300: {"page_mb": 5.0}, 1000: {"seconds": 15.0, "peak_mb": 1000.0}}


@dataclass(frozen=True, slots=True)
class Scored:
    """One condition of a run: numbers by name, sums per frame by name (FRAMES,)."""

    condition: str
    values: Mapping[str, float]
    sums: Mapping[str, "np.ndarray[Any, Any]"]


def write_study(folder: Path, runs: int, conditions: int) -> Path:
    """A study with at least as many cells as runs are wanted."""
    source = {"density_per_um2": 1.0, "photons": 1000, "field_px": 64, "pixel_size_nm": 100}
    settings = islice(product(STRUCTURES, CAMERAS), conditions)
    tests = {
        f"{structure}-{camera['kind']}": {"simulate": {"structure": structure, "camera": camera, "frames": FRAMES}}
        for structure, camera in settings
    }
    lambdas = math.ceil(runs / (len(MODELS) * len(LOSSES) * REPEATS))
    study = {
        "study": f"page-{runs}x{conditions}",
        "repeats": REPEATS,
        "data": [{"name": "sim", "train": {"simulate": source}, "test": tests}],
        "references": ["truth", "blank", "peaks_gaussian"],
        "models": list(MODELS),
        "losses": [{"name": name, "lambda": [100.0 * 1.2**power for power in range(lambdas)]} for name in LOSSES],
        "training": {"samples": SAMPLES},
    }
    path = folder / f"{study['study']}.yaml"
    path.write_text(yaml.safe_dump(study), encoding="utf-8")
    return path


def fabricate(store: Store, path: Path, runs: int) -> str:
    """Write finished runs of a study's plan; its name."""
    from smlmbench.run.studies.planfile import plan_document
    from smlmbench.study.load import load_study
    from smlmbench.study.planning.plan import make_plan

    loaded = load_study(path)
    document = plan_document(loaded.study, make_plan(loaded), loaded.catalog)
    name = loaded.study.study
    number = store.ensure_experiment(name)
    facts = next(iter(document["tasks"].values()))
    names = list(dict.fromkeys([*facts["headline"], *facts["columns"]]))[:NUMBERS]
    picture = example()
    for at, cell in enumerate(document["cells"][:runs]):
        write_run(store, number, cell, list(scores(at, cell["labels"], document["conditions"]["sim"], names)), picture)
    with open_run(store, number, role="study", name=name) as run:
        run.log_dict(document, "plan.json")
        run.log_text(loaded.text, "study.yaml")
    return name


def example() -> bytes:
    """A picture as runs store it of a frame."""
    from smlmbench.figures import Panels, panel

    draws = np.random.default_rng(0)
    fine = draws.poisson(0.02, (256, 256)).astype(float)
    return panel(Panels(draws.poisson(20, (64, 64)).astype(float), fine, fine))


def scores(at: int, labels: Mapping[str, str], conditions: Sequence[str], names: Sequence[str]) -> Iterator[Scored]:
    """Each condition, drawn by lot around a level of the network, λ and condition."""
    draws = np.random.default_rng(at)
    off = math.log10(float(labels["lambda"]) / 400)
    level = 0.85 - 0.06 * MODELS.index(labels["model"]) - 0.1 * off**2 + draws.normal(0, 0.01)
    for place, condition in enumerate(conditions):
        share = min(max(level - 0.03 * place + draws.normal(0, 0.02), 0.05), 0.98)
        found, false = draws.binomial(EMITTERS, (share, 0.1), (FRAMES, 2)).T
        sums = dict.fromkeys(SUMS, 0 * found) | {"tp": found, "fp": false, "fn": EMITTERS - found}
        sums["lateral_sq"] = np.round(found * draws.uniform(300, 900, FRAMES), 3)
        total = np.array([sums[name].sum() for name in SUMS])
        values = dict(zip(names, draws.uniform(0, 1, len(names)).tolist(), strict=True))
        yield Scored(
            condition, values | {"efficiency": float(efficiency(total)), "jaccard": float(jaccard(total))}, sums
        )


def write_run(store: Store, number: str, cell: Mapping[str, Any], scored: Sequence[Scored], picture: bytes) -> None:
    """One finished run of a cell, in as few calls of the store as it takes."""
    from mlflow.entities import Metric, Param

    mean = {name: float(np.mean([one.values[name] for one in scored])) for name in scored[0].values}
    metrics = {f"test.{one.condition}/{name}": value for one in scored for name, value in one.values.items()}
    metrics |= {f"{split}/{name}": value for split in ("test", "val") for name, value in mean.items()}
    metrics |= {"device/latency_ms": 1.0 + MODELS.index(cell["labels"]["model"])}
    every = [Metric(name, value, 0, SAMPLES) for name, value in metrics.items()]
    for step in range(SAMPLES // VALIDATIONS, SAMPLES + 1, SAMPLES // VALIDATIONS):
        curve = {"train/samples": float(step), "val/efficiency": mean["efficiency"] * (1 - 2000 / (2000 + step))}
        every += [Metric(name, value, 0, step) for name, value in curve.items()]
    params = {f"model.{name}": value for name, value in cell["settings"].items()} | cell["labels"]
    params |= {"protocol": PROTOCOL, "matcher": "greedy", "n_params": 10_000, "samples_seen": SAMPLES, "train_s": 60}
    tags = {"smlmbench.role": "cell", "smlmbench.cell_id": cell["cell_id"], "smlmbench.eval_id": cell["eval_id"]}
    run = store.client.create_run(number, tags=tags, run_name=cell["cell_id"])
    store.client.log_batch(run.info.run_id, every, [Param(name, str(value)) for name, value in params.items()])
    folder = local_path(run.info.artifact_uri)
    if folder is None:
        raise SystemExit(f"no folder: {run.info.artifact_uri}")
    test = {one.condition: {"values": one.values, "intervals": {}, "reasons": {}} for one in scored}
    said = {"protocol": PROTOCOL, "matcher": "greedy", "val": {"values": mean}, "test": test}
    for part in ("per_frame", "figures"):
        (folder / part).mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(said), encoding="utf-8")
    for one in scored:
        rows = zip(range(FRAMES), *(sums.tolist() for sums in one.sums.values()), strict=True)
        lines = [",".join(["frame", *one.sums]), *(",".join(map(str, row)) for row in rows)]
        (folder / "per_frame" / f"{one.condition}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / "figures" / f"{one.condition}.png").write_bytes(picture)
    store.client.set_terminated(run.info.run_id)


def page(folder: Path, runs: int, conditions: int) -> dict[str, float]:
    """Seconds, MB of the page and of memory for one number of runs."""
    began = time.perf_counter()
    store = open_store(folder)
    name = f"page-{runs}x{conditions}"
    if name not in list_studies(store):
        fabricate(store, write_study(folder, runs, conditions), runs)
    made = time.perf_counter()
    shutil.rmtree(store.report_dir(name))  # a page that is there is not built again
    before = os.times()
    peak_mb, _ = measured(["report", name, "--store", str(folder)])
    after, seconds = os.times(), time.perf_counter() - made
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    size = (store.report_dir(name) / "leaderboard.html").stat().st_size
    return {"fabricated_s": made - began, "seconds": seconds, "cpu_s": cpu_s, "page_mb": size / 1e6, "peak_mb": peak_mb}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, nargs="+", default=[300, 1000])
    parser.add_argument("--conditions", type=int, default=3, help=f"at most {len(STRUCTURES) * len(CAMERAS)}")
    parser.add_argument("--store", type=Path, help="folder that keeps the runs for another time")
    asked = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for runs in asked.runs:
            one = page(asked.store or Path(scratch), runs, asked.conditions)
            found[str(runs)] = {key: round(value, 2) for key, value in one.items()}
            for key, value in one.items():
                goal = f"   (wanted: under {GOALS[runs][key]:g})" if key in GOALS.get(runs, {}) else ""
                print(f"{runs:5d} runs {key:14s} {value:9.2f}{goal}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
