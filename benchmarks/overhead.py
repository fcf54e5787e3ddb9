"""Seconds around the learning: what `fit` does besides it, and what a cell costs outside fit and scoring.

python benchmarks/overhead.py [--steps 150] [--field 32] [--cells 2]

Runs a small study of FID-STORM on simulated frames into a store of its own, as `smlmbench run` does, and takes the
time of every part (each without the parts inside it). In `fit` the rest is everything but data, forward (targets and
loss included), backward, optimiser, and the two callbacks: validation, which is scoring, and its logging, which counts
to the cell. Outside fit and scoring a cell claims its run, prepares data, logs, draws pictures, saves checkpoints and,
where it is the pick of its model, is logged as a model.

Prints a table; the last line is one JSON object with `fit_rest_percent` and `cell_outside_s` (the costliest cell but
the first, with its LoggedModel). The first cell of a process also pays for imports.
"""

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import torch
import yaml

from smlmbench.data.simulate import SimulatedTraining
from smlmbench.recipes.supervised import Supervised
from smlmbench.run.cells import run as cells_module
from smlmbench.run.cells import training as training_module
from smlmbench.run.cells import worker as worker_module
from smlmbench.run.materials import Materials
from smlmbench.run.progress import Reporter
from smlmbench.run.studies import study as study_module
from smlmbench.run.studies.asked import Options
from smlmbench.run.studies.study import run_study
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan
from smlmbench.tracking.runs import Run
from smlmbench.tracking.store import open_store
from smlmbench.training import fit

LEARNING = ("data", "forward", "backward", "optimiser")
IN_FIT = (*LEARNING, "rest of fit")
SCORING = ("validation in fit", "scoring")


class Stopwatch:
    """Seconds by part, each without the parts that run inside it; one table per cell."""

    def __init__(self) -> None:
        self.tables: list[dict[str, float]] = [defaultdict(float)]
        self._open: list[tuple[str, float]] = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time a block."""
        began, table = time.perf_counter(), self.tables[-1]
        self._open.append((name, 0.0))
        try:
            yield
        finally:
            whole = time.perf_counter() - began
            inside = self._open.pop()[1]
            table[name] += whole - inside
            if self._open:
                outer, seconds = self._open[-1]
                self._open[-1] = (outer, seconds + whole)

    def wrapped(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """A function that is timed."""

        @wraps(call)
        def timed(*args: Any, **options: Any) -> Any:
            with self.part(name):
                return call(*args, **options)

        return timed

    def watch(self, holder: Any, attribute: str, name: str) -> None:
        """Time what a module or class holds under a name."""
        setattr(holder, attribute, self.wrapped(name, getattr(holder, attribute)))


def install(watch: Stopwatch) -> None:
    watch.watch(SimulatedTraining, "batch", "data")
    watch.watch(Supervised, "step", "forward")
    watch.watch(torch.Tensor, "backward", "backward")
    watch.watch(torch.optim.Adam, "step", "optimiser")
    watch.watch(cells_module, "seen_in_training", "looking at the training")
    for scored in ("choose_on_validation", "score_conditions"):
        watch.watch(cells_module, scored, "scoring")
    for holder, attribute, name in (
        (cells_module, "claim", "claim"),
        (Materials, "splits", "drawing the data"),
        (Materials, "given", "drawing the data"),
        (training_module, "example_picture", "pictures"),
        (cells_module, "_log_checkpoint", "checkpoint"),
        (cells_module, "log_evaluation", "logging"),
        (Run, "log_params", "logging"),
        (Run, "log_input", "logging"),
        (Run, "flush", "logging"),
        (Run, "log_image", "logging"),
        (Run, "terminate", "logging"),
    ):
        watch.watch(holder, attribute, name)

    def timed_fit(recipe: Any, stream: Any, settings: Any, validate: Any, on_validation: Any, **more: Any) -> Any:
        calls = (watch.wrapped("validation in fit", validate), watch.wrapped("rest of the cell", on_validation))
        with watch.part("rest of fit"):
            return fit(recipe, stream, settings, *calls, **more)

    training_module.fit = timed_fit
    one_cell = cells_module.run_cell

    def timed_cell(*args: Any, **options: Any) -> Any:
        watch.tables.append(defaultdict(float))
        with watch.part("rest of the cell"):
            end = one_cell(*args, **options)
        if end != "done":
            raise SystemExit(f"a cell ended as {end}; its times say nothing")
        return end

    worker_module.run_cell = timed_cell
    study_module.log_picks = watch.wrapped("LoggedModel", study_module.log_picks)
    study_module._report = lambda *_: None


def study(asked: argparse.Namespace) -> dict[str, Any]:
    """The quickstart's source and model, with as many cells as asked."""
    simulate = {
        "density_per_um2": 1.0,
        "photons": 2000 if asked.tiny else 1000,
        "background_photons": 10,
        "pixel_size_nm": 100,
        "psf": {"name": "gaussian", "sigma_nm": 130},
        "camera": {"kind": "scmos", "baseline_adu": 100, "e_per_adu": 0.5, "read_noise_e": 1.6},
        "field_px": asked.field,
    }
    return {
        "study": "overhead",
        "seed": 7,
        "repeats": asked.cells,
        "data": [
            {
                "name": "sim",
                "train": {"simulate": simulate},
                "val": {"simulate": {"frames": 100}},
                "test": {"a": {"simulate": {"frames": 100}}},
            }
        ],
        "output": {"upsampling": 2 if asked.tiny else 4},
        "references": [],
        "models": [{"name": "fid_storm", **({"blocks": 1, "width": 0.25} if asked.tiny else {})}],
        "losses": [{"name": "l1l2", "lambda": 400 if asked.tiny else 200}],
        "training": {"samples": asked.steps * 8, "batch_size": 8, "validations": 6}
        | ({"lr": 0.003} if asked.tiny else {}),
    }


def report(watch: Stopwatch, steps: int) -> dict[str, Any]:
    around, *cells = watch.tables
    picked = around.pop("LoggedModel", 0.0) + sum(table.pop("LoggedModel", 0.0) for table in cells)
    names = [*IN_FIT, *SCORING]
    names += sorted({name for table in cells for name in table} - set(names), key=lambda name: name.startswith("rest"))
    print(f"{'seconds':28s}" + "".join(f"{'cell ' + str(number):>12s}" for number in range(1, len(cells) + 1)))
    for name in names:
        print(f"{name:28s}" + "".join(f"{table.get(name, 0.0):12.3f}" for table in cells))
    print(f"{'LoggedModel (one pick)':28s}{picked:12.3f}")
    shares = [100 * table["rest of fit"] / sum(table[name] for name in IN_FIT) for table in cells]
    outside = [sum(table.values()) - sum(table.get(name, 0.0) for name in (*IN_FIT, *SCORING)) for table in cells]
    per_step = [1e3 * table["rest of fit"] / steps for table in cells]
    print(f"{'rest of fit, %':28s}" + "".join(f"{share:12.2f}" for share in shares) + "   (wanted: under 2)")
    print(f"{'rest of fit, ms a step':28s}" + "".join(f"{each:12.3f}" for each in per_step))
    print(
        f"{'outside fit and scoring, s':28s}" + "".join(f"{each:12.2f}" for each in outside) + "   (wanted: 5 or less)"
    )
    print("cell 1 also imports torch's compiler (in fit) and matplotlib, LoggedModel mlflow.pytorch: once a process")
    later = slice(1 if len(cells) > 1 else 0, None)
    return {
        "fit_rest_percent": round(max(shares[later]), 3),
        "fit_rest_ms_per_step": round(max(per_step[later]), 4),
        "cell_outside_s": round(max(outside[later]) + picked, 3),
        "cells_outside_s": [round(each, 3) for each in outside],
        "logged_model_s": round(picked, 3),
        "steps": steps,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=150, help="training steps of a cell")
    parser.add_argument("--field", type=int, default=32, help="camera pixels of a frame")
    parser.add_argument("--cells", type=int, default=2)
    parser.add_argument("--tiny", action="store_true", help="the smallest network: to try this script out")
    asked = parser.parse_args()
    watch = Stopwatch()
    install(watch)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "overhead.yaml"
        path.write_text(yaml.safe_dump(study(asked)), encoding="utf-8")
        loaded = load_study(path)
        run_study(loaded, make_plan(loaded), open_store(Path(scratch) / "store"), Reporter(quiet=True), Options())
    print(json.dumps(report(watch, asked.steps)))


if __name__ == "__main__":
    main()
