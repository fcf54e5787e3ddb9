"""How a study grows: 1 and 2 workers for real, and up to 64 workers with 10,000 cells under a virtual clock.

python benchmarks/scaling.py [--cells 10000] [--no-real]

Measured here: planning a study of 10,000 cells; what a cell costs the store and the parent; the trainings of a tiny
study with one and with two processes. The virtual clock then runs the engine's own order of cells with these numbers:
every cell writes to one store that takes one writer at a time, a tenth of the cells are students that wait for their
teacher, and times are drawn with a long tail. Prints tables; the last line is one JSON object.
"""

import argparse
import heapq
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from smlmbench.engine.order import Order

WORKERS = (1, 4, 16, 64)
CELL_S = (1, 10, 60, 600)
BURSTS = 8  # a cell writes when it is claimed, at each validation, and at its end
TAIL = 0.35  # sigma of the logarithm of the times of like cells; the longest of 10,000 takes 3.7 times the median
BLOCK_TAIL = 0.1
STUDENTS, PER_TEACHER = 0.1, 10
GOOD = 0.9
COMMAND = [sys.executable, "-c", "import sys; from smlmbench.cli import main; sys.exit(main())", "run"]


def write_study(folder: Path, name: str, lambdas: int, repeats: int, **training: Any) -> Path:
    simulate = {"density_per_um2": 1.0, "photons": 2000, "field_px": 16, "camera": {"kind": "scmos", "e_per_adu": 0.5}}
    data = {
        "name": "sim",
        "train": {"simulate": simulate},
        "val": {"simulate": {"frames": 12}},
        "test": {"test": {"simulate": {"frames": 8}}},
    }
    study = {
        "study": name,
        "seed": 1,
        "repeats": repeats,
        "data": [data],
        "output": {"upsampling": 2},
        "references": ["blank"],
        "models": [{"name": "fid_storm", "blocks": 1, "width": 0.25}],
        "losses": [{"name": "l1l2", "lambda": [100.0 + number for number in range(lambdas)]}],
        "training": training,
        "timing": None,
        "log_models": "none",
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(study), encoding="utf-8")
    return path


def planning(folder: Path, cells: int) -> dict[str, float]:
    """Seconds to load, plan and write a study of many cells."""
    from smlmbench.run.studies.planfile import plan_document
    from smlmbench.study.load import load_study
    from smlmbench.study.planning.plan import make_plan
    from smlmbench.tracking.plain import plain_json

    path = write_study(folder, "big", lambdas=math.ceil(cells / 20), repeats=20)
    began, busy = time.perf_counter(), time.process_time()
    loaded = load_study(path)
    plan = make_plan(loaded)
    planned, computed = time.perf_counter(), time.process_time() - busy
    text = json.dumps(plain_json(plan_document(loaded.study, plan, loaded.catalog)))
    (folder / "plan.json").write_text(text, encoding="utf-8")
    written = time.perf_counter()
    return {
        "cells": len(plan.cells),
        "plan_s": planned - began,
        "plan_cpu_s": computed,
        "document_s": written - planned,
    }


def nothing(spec: Mapping[str, Any]) -> dict[str, str]:
    """A cell without work."""
    return {"status": "done", "id": str(spec["id"])}


def dispatching(count: int = 200) -> float:
    """Seconds that the parent needs for one cell: to send it out and to take its result in."""
    from smlmbench.engine.clusters import local_workers

    specs = [{"id": f"c{number}", "pad": "x" * 5000} for number in range(count)]
    with local_workers(2) as workers:
        workers.map_cells(nothing, specs[:10], on_result=lambda *_: None)
        began = time.perf_counter()
        workers.map_cells(nothing, specs, on_result=lambda *_: None)
        return (time.perf_counter() - began) / count


def storing(folder: Path, count: int = 12) -> dict[str, float]:
    """Seconds that one cell keeps the store busy, and to read one run back."""
    from smlmbench.tracking.claims import Row, claim
    from smlmbench.tracking.records import read_study
    from smlmbench.tracking.store import open_store

    store = open_store(folder / "store")
    number = store.ensure_experiment("cost")
    seconds = []
    for index in range(count):
        began = time.perf_counter()
        held = claim(store, number, Row(f"cell{index}", "eval", f"cell{index}"))
        if held.run is None:
            raise SystemExit("a cell of a new store could not be claimed")
        with held.run as run:
            run.log_params({f"param{n}": n for n in range(40)})
            for step in range(BURSTS - 3):
                run.log_metrics({f"val/metric{n}": n for n in range(15)}, step=step)
                run.flush()
            run.log_text("x" * 20_000, "table.csv")
            run.log_metrics({f"test/metric{n}": n for n in range(80)})
        seconds.append(time.perf_counter() - began)
    began = time.perf_counter()
    read_study(store, "cost")
    return {"store_s": statistics.median(seconds[1:]), "read_s": (time.perf_counter() - began) / count}


def real(folder: Path, workers: int) -> dict[str, float]:
    """Seconds from the first training to the end of the last, by the runs of the store."""
    from smlmbench.tracking.records import read_study
    from smlmbench.tracking.store import open_store

    study = write_study(folder, "tiny", lambdas=4, repeats=2, samples=1600, batch_size=8, validations=4)
    home = folder / f"real{workers}"
    words = [*COMMAND, str(study), "--store", str(home), "--workers", str(workers)]
    began = time.perf_counter()
    subprocess.run(words, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    whole_s = time.perf_counter() - began
    rows = read_study(open_store(home), "tiny").rows("cell")
    trained_s = max(row.end_s or 0.0 for row in rows) - min(row.start_s for row in rows)
    cell_s = statistics.median((row.end_s or 0.0) - row.start_s for row in rows)
    return {"workers": workers, "cells": len(rows), "training_s": trained_s, "cell_s": cell_s, "command_s": whole_s}


def specs_of(cells: int, share: float = STUDENTS) -> list[dict[str, Any]]:
    """Cells of which the first are teachers of a `share`, the last."""
    students = int(cells * share)
    teachers = max(1, students // PER_TEACHER)
    first = cells - students
    return [
        {"id": f"c{number}", "needs": [f"c{(number - first) % teachers}"] if number >= first else []}
        for number in range(cells)
    ]


def simulate(
    cells: int, workers: int, cell_s: float, cost: Mapping[str, float], seed: int = 1, *, blocks: bool = False
) -> dict[str, float]:
    """Run the engine's order under a virtual clock.

    Args:
        cells: Number of cells.
        workers: Number of workers.
        cell_s: Median seconds of computing in a cell.
        cost: dispatch_s of the parent and store_s of the store, for one cell.
        seed: Of the times.
        blocks: They are blocks of a movie, none of which needs another, and which take about the same time.

    Returns:
        makespan_s and efficiency: computing over workers times makespan.
    """
    draw = random.Random(seed)
    order, tail = Order(specs_of(cells, 0.0 if blocks else STUDENTS)), BLOCK_TAIL if blocks else TAIL
    computing_s = 0.0
    parent_free_s = store_free_s = 0.0
    idle = [0.0] * workers
    heapq.heapify(idle)
    # (time, number, spec, seconds between two writes, writes that are left)
    events: list[tuple[float, int, Mapping[str, Any], float, int]] = []
    now_s, number = 0.0, 0
    while True:
        while order and idle:
            # One parent sends the cells out, one after the other.
            parent_free_s = max(parent_free_s, now_s, heapq.heappop(idle)) + cost["dispatch_s"]
            took_s = cell_s * math.exp(draw.gauss(0.0, tail))
            computing_s += took_s
            number += 1
            heapq.heappush(events, (parent_free_s, number, order.take(), took_s / BURSTS, BURSTS))
        if not events:
            break
        now_s, _, spec, between_s, left = heapq.heappop(events)
        # One writer at a time.
        store_free_s = max(store_free_s, now_s) + cost["store_s"] / BURSTS
        if left:
            number += 1
            heapq.heappush(events, (store_free_s + between_s, number, spec, between_s, left - 1))
        else:
            order.ended(spec, {"status": "done"})
            heapq.heappush(idle, store_free_s)
    makespan_s = max(idle)
    return {"makespan_s": makespan_s, "efficiency": computing_s / workers / makespan_s}


def bend(cells: int, cell_s: float, cost: Mapping[str, float]) -> int:
    """The largest power of two of workers that are used well."""
    best = 0
    for power in range(13):
        if simulate(min(cells, 2000), 2**power, cell_s, cost)["efficiency"] < GOOD:
            break
        best = 2**power
    return best


def table(cells: int, cost: Mapping[str, float]) -> dict[str, dict[str, float]]:
    print(f"\nefficiency of {cells} cells (virtual clock), by seconds of a cell and number of workers")
    print(f"{'':8s}" + "".join(f"{workers:>9d}" for workers in WORKERS) + f"   used well (>= {GOOD:.0%}) up to")
    found: dict[str, dict[str, float]] = {}
    for cell_s in CELL_S:
        row = {str(workers): simulate(cells, workers, cell_s, cost)["efficiency"] for workers in WORKERS}
        most = bend(cells, cell_s, cost)
        found[str(cell_s)] = {**{name: round(value, 3) for name, value in row.items()}, "used_well_up_to": most}
        print(f"{cell_s:6d} s" + "".join(f"{value:9.2f}" for value in row.values()) + f"   {most} workers")
    return found


def shortest_s(workers: int, cost: Mapping[str, float]) -> float:
    """Seconds of a cell from which on so many workers are used well, to 10 %."""
    cell_s = 0.1
    while simulate(40 * workers, workers, cell_s, cost)["efficiency"] < GOOD and cell_s < 1e5:
        cell_s *= 1.1
    return cell_s


def explain(cost: Mapping[str, float], needed_s: float) -> str:
    store_s, dispatch_s = cost["store_s"], cost["dispatch_s"]
    slower, limit_s = ("store", store_s) if store_s > dispatch_s else ("parent", dispatch_s)
    return (
        f"The {slower} bends it: at most {1 / limit_s:.1f} cells a second, so {max(WORKERS)} workers are used well by "
        f"cells of {needed_s:.0f} s and more. To go on: fewer and larger writes a cell, a server on PostgreSQL (more "
        "than one writer), or longer cells. All that a cell does with the store counts as if nobody else could write "
        "meanwhile, which is more than SQLite asks."
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--no-real", action="store_true", help="Leave out the trainings with 1 and 2 workers.")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        plan = planning(folder, asked.cells)
        said = f"{plan['plan_s']:.2f} s ({plan['plan_cpu_s']:.2f} s of processor)"
        print(f"planning {plan['cells']} cells: {said}; its document: {plan['document_s']:.2f} s")
        cost = {**storing(folder), "dispatch_s": dispatching()}
        print(f"a cell costs the store {cost['store_s'] * 1e3:.0f} ms, the parent {cost['dispatch_s'] * 1e3:.1f} ms")
        resume_s = cost["read_s"] * asked.cells
        print(f"reading {asked.cells} runs back, at the start of a command that continues: about {resume_s:.0f} s")
        runs = [] if asked.no_real else [real(folder, workers) for workers in (1, 2)]
    for run in runs:
        said = f"{run['training_s']:.1f} s of training ({run['cell_s']:.1f} s a cell), {run['command_s']:.1f} s in all"
        print(f"{run['cells']} cells, {run['workers']} workers: {said}")
    measured = runs[0]["training_s"] / (2 * runs[1]["training_s"]) if runs else None
    if measured is not None:
        print(f"efficiency of 2 workers on {os.cpu_count()} cores: {measured:.2f}")
    virtual = table(asked.cells, cost)
    needed_s = shortest_s(max(WORKERS), cost)
    print(explain(cost, needed_s))
    numbers: dict[str, Any] = {name: round(value, 2) for name, value in plan.items()}
    numbers |= {name: round(value, 5) for name, value in cost.items()}
    numbers |= {"real": [{name: round(value, 2) for name, value in run.items()} for run in runs]}
    numbers |= {"efficiency_2_workers": None if measured is None else round(measured, 3), "virtual": virtual}
    numbers |= {"shortest_cell_s_for_64_workers": round(needed_s, 1)}
    print(json.dumps(numbers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
