"""Kill workers and parents of a running study at random moments; afterwards every cell is there exactly once.

python benchmarks/kills.py [--kills 20] [--cells 24] [--seed 1]        about 6 minutes on two free cores

Starts `smlmbench run` with two workers on a study of tiny cells in a store of its own. SIGKILL is sent to one of its
processes, drawn at random, spread over the progress of the study; a command that has ended is started again.

The store alone could hide a training that was made twice, so the loss (a plug-in) writes every training step with its
process to a file of the cell. A cell counts as doubled where it has two finished runs, where a process takes a step
after another one has taken over, or where it has more steps than its deaths explain: each costs at most the steps
since the last checkpoint, and a run that was given up all of them. Prints what was killed; the last line is one JSON
object with kills, cells, finished, doubled, lost, running.
"""

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import psutil
import yaml

COMMAND = [sys.executable, "-c", "import sys; from smlmbench.cli import main; sys.exit(main())", "run"]
WORKERS = 2
LONGEST_WAIT_S = 3.0
IN_TRAINING = 0.8  # of the kills wait until something is trained; the others may hit a start
START_S = 60.0
JUST_NOW_S = 0.5
BUDGET_S = 1800.0
STEPS, BATCH, VALIDATIONS = 500, 8, 5
WITNESS = '''
"""L1L2 that writes down every training step and who took it."""
import os
import time
from pathlib import Path

import torch
from torch import nn

from smlmbench.losses import l1l2

CARD = {
    "version": 1, "summary": "L1L2 with a witness.", "accepts": ["raster"], "tiny": {},
    "settings": {"weight": {"default": 200.0, "min": 0.0, "help": "lambda"}},
}
STEPS = Path(__file__).parent.parent / "steps"


class Witness(nn.Module):
    def __init__(self, inner, weight):
        super().__init__()
        self.inner, self.path = inner, STEPS / f"{weight:g}"

    def forward(self, raw, targets):
        if torch.is_grad_enabled():
            STEPS.mkdir(exist_ok=True)
            with self.path.open("a") as stream:
                stream.write(f"{os.getpid()} {time.time():.3f}\\n")
        return self.inner(raw, targets)


def build(settings, output_settings):
    """Build the loss."""
    inner = l1l2.build({"weight": settings["weight"], "kernel": "unit"}, output_settings)
    return Witness(inner, settings["weight"])
'''
DONE = """
select count(*) from runs join tags on tags.run_uuid = runs.run_uuid and tags.key = 'smlmbench.role'
where tags.value = 'cell' and runs.status = 'FINISHED' and runs.lifecycle_stage = 'active'
"""


def write_study(folder: Path, cells: int) -> Path:
    lambdas = [100.0 + 10 * number for number in range(cells)]
    (folder / "losses").mkdir()
    (folder / "losses" / "witness.py").write_text(WITNESS.lstrip(), encoding="utf-8")
    simulate = {"density_per_um2": 1.0, "photons": 2000, "field_px": 16, "camera": {"kind": "scmos", "e_per_adu": 0.5}}
    study = {
        "study": "kills",
        "seed": 1,
        "repeats": 1,
        "data": [
            {
                "name": "sim",
                "train": {"simulate": simulate},
                "val": {"simulate": {"frames": 12}},
                "test": {"test": {"simulate": {"frames": 8}}},
            }
        ],
        "output": {"upsampling": 2},
        "references": ["blank"],
        "models": [{"name": "fid_storm", "blocks": 1, "width": 0.25}],
        "plugins": ["losses/witness.py"],
        "losses": [{"name": "witness", "lambda": lambdas}],
        "training": {"samples": STEPS * BATCH, "batch_size": BATCH, "validations": VALIDATIONS},
        "timing": None,
        "log_models": "none",
    }
    path = folder / "kills.yaml"
    path.write_text(yaml.safe_dump(study), encoding="utf-8")
    return path


def done(store: Path) -> int:
    """Finished cells, read past MLflow so that nothing else is disturbed."""
    database = store / "mlflow.db"
    if not database.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)) as connection:
            return int(connection.execute(DONE).fetchone()[0])
    except sqlite3.OperationalError:
        return 0


class Command:
    """`smlmbench run`, started again whenever it has ended."""

    def __init__(self, study: Path, store: Path, log: Path) -> None:
        self.words = [*COMMAND, str(study), "--store", str(store), "--workers", str(WORKERS), "--retry-failed"]
        self.log = log
        self.starts = 0
        self.start()

    def start(self) -> None:
        """Start it."""
        self.starts += 1
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with self.log.open("a") as sink:
            self.process = subprocess.Popen(
                self.words, stdout=sink, stderr=sink, env=environment, start_new_session=True
            )

    def keep_alive(self) -> None:
        """Start it again where it has ended."""
        if self.process.poll() is not None:
            self.start()

    def members(self) -> list[tuple[str, psutil.Process]]:
        """The parent and its workers that live now."""
        try:
            parent = psutil.Process(self.process.pid)
            found = [("parent", parent)]
            for child in parent.children(recursive=True):
                if any("spawn_main" in word for word in child.cmdline()):
                    found.append(("worker", child))
        except psutil.Error:
            return []
        return found


def steps_of(folder: Path) -> dict[str, list[int]]:
    """By lambda of the cell, the process of every training step in the order of the steps."""
    found = {}
    for path in (folder / "steps").glob("*"):
        lines = [line.split() for line in path.read_text().splitlines()]
        found[path.name] = [int(pid) for pid, *_ in sorted(lines, key=lambda line: float(line[1]))]
    return found


def is_training(folder: Path, pids: set[int]) -> bool:
    """Whether one of some processes trains a cell now: it took the last step of it, which was not the very last."""
    for path in (folder / "steps").glob("*"):
        steps = path.read_text().splitlines()
        pid, written_s = steps[-1].split()
        if int(pid) in pids and (len(steps) < STEPS or time.time() - float(written_s) < JUST_NOW_S):
            return True
    return False


def kill_one(command: Command, folder: Path, draw: random.Random) -> tuple[str, bool] | None:
    """Kill the parent or a worker, each as likely; say which, and whether it (or a worker of it) was training."""
    members = command.members()
    if not members:
        return None
    kind = draw.choice(sorted({kind for kind, _ in members}))
    victim = draw.choice([process for each, process in members if each == kind])
    hit = {process.pid for _, process in members} if kind == "parent" else {victim.pid}
    training = is_training(folder, hit)
    try:
        victim.send_signal(signal.SIGKILL)
    except psutil.Error:
        return None
    if kind == "parent":
        command.process.wait()
    return kind, training


def rain(command: Command, folder: Path, kills: int, cells: int, draw: random.Random) -> Counter[str]:
    """Kill `kills` processes while the study goes on."""
    killed: Counter[str] = Counter()
    store, count = folder / "mlruns", 0
    until = time.monotonic() + BUDGET_S
    while count < kills:
        if time.monotonic() > until:
            raise SystemExit(f"only {count} kills in {BUDGET_S:.0f} s; see {command.log}")
        command.keep_alive()
        # Spread over the progress, so that the study is never over before the last kill.
        if done(store) < count * (cells - 1) // kills:
            time.sleep(0.1)
            continue
        if draw.random() < IN_TRAINING:
            early = time.monotonic() + START_S
            while time.monotonic() < early and not is_training(folder, {one.pid for _, one in command.members()}):
                command.keep_alive()
                time.sleep(0.1)
        wait_until = time.monotonic() + draw.uniform(0.0, LONGEST_WAIT_S)
        while time.monotonic() < wait_until and done(store) < (count + 1) * (cells - 1) // kills:
            time.sleep(0.05)
        hit = kill_one(command, folder, draw)
        if hit is not None:
            kind, training = hit
            count += 1
            killed[kind] += 1
            killed["training"] += training
            doing = "in a training" if training else "between trainings"
            print(f"kill {count:3d}: {kind:6s} {doing} with {done(store)} of {cells} cells done", flush=True)
    return killed


def finish(command: Command, tries: int = 5) -> int:
    """Let the command end, starting it again until it says that all is done."""
    for _ in range(tries):
        code = command.process.wait()
        if code == 0:
            return 0
        command.start()
    return command.process.wait()


def is_doubled(pids: list[int], deaths: int, given_up: int) -> bool:
    """Whether the steps of a cell are more than one training and what its deaths have cost.

    Args:
        pids: Process of each step.
        deaths: Of processes while they had the cell.
        given_up: Runs of it that were left for a new one.
    """
    takes_over = sum(before != after for before, after in pairwise(pids))
    went_back = takes_over + 1 > len(set(pids))
    return went_back or len(pids) > STEPS * (1 + given_up) + deaths * -(-STEPS // VALIDATIONS)


def count(folder: Path, cells: int) -> dict[str, int]:
    from smlmbench.tracking.records import read_study
    from smlmbench.tracking.store import open_store

    opened = open_store(folder / "mlruns", create=False)
    record = read_study(opened, "kills")
    runs = [run for run in record.runs if run.role == "cell"]
    finished = Counter(run.params["lambda"] for run in runs if run.status == "done")
    deaths: Counter[str] = Counter()
    given_up: Counter[str] = Counter()
    for run in runs:
        name = f"{float(run.params['lambda']):g}" if "lambda" in run.params else ""
        deaths[name] += run.deaths
        given_up[name] += run.superseded
    steps = steps_of(folder)
    twice = {f"{float(name):g}" for name, number in finished.items() if number > 1}
    twice |= {name for name, pids in steps.items() if is_doubled(pids, deaths[name], given_up[name])}
    running = sum(opened.client.get_run(run.run_id).info.status == "RUNNING" for run in record.runs)
    return {
        "finished": len(finished),
        "doubled": len(twice),
        "lost": cells - len(finished),
        "running": running,
        "deaths": deaths.total(),
        "given_up_once": given_up.total(),
        "steps": sum(len(pids) for pids in steps.values()),
        "steps_of_one_training_each": STEPS * cells,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--cells", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="Folder to work in and to keep.")
    asked = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        store = folder / "mlruns"
        command = Command(write_study(folder, asked.cells), store, folder / "commands.log")
        try:
            killed = rain(command, folder, asked.kills, asked.cells, random.Random(asked.seed))
            code = finish(command)
        finally:
            if command.process.poll() is None:
                command.process.kill()
        if code != 0:
            print("\n".join((folder / "commands.log").read_text().splitlines()[-20:]))
        counted = count(folder, asked.cells)
        numbers = {"kills": killed["worker"] + killed["parent"], "cells": asked.cells, **counted}
        numbers |= {"workers_killed": killed["worker"], "parents_killed": killed["parent"]}
        numbers |= {"killed_in_training": killed["training"], "commands": command.starts, "exit_code": code}
        numbers["seconds"] = round(time.monotonic() - began)
        for name, value in numbers.items():
            print(f"{name:16s} {value}")
        print(json.dumps(numbers))
    right = counted["finished"] == asked.cells and not (counted["doubled"] or counted["lost"] or counted["running"])
    return 0 if right and code == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
