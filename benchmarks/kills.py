"""Kill workers and parents of a running study at random moments; afterwards every cell is there exactly once.

python benchmarks/kills.py [--kills 20] [--cells 24] [--seed 1]

Starts `smlmbench run` with two workers on a study of tiny cells in a store of its own. SIGKILL is sent to one of its
processes, drawn at random, spread over the progress of the study; a command that has ended is started again. Prints
what was killed; the last line is one JSON object with kills, cells, finished, doubled, lost, running.
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
from pathlib import Path

import psutil
import yaml

COMMAND = [sys.executable, "-c", "import sys; from smlmbench.cli import main; sys.exit(main())", "run"]
WORKERS = 2
LONGEST_WAIT_S = 6.0
BUDGET_S = 1800.0
DONE = """
select count(*) from runs join tags on tags.run_uuid = runs.run_uuid and tags.key = 'smlmbench.role'
where tags.value = 'cell' and runs.status = 'FINISHED' and runs.lifecycle_stage = 'active'
"""


def write_study(folder: Path, cells: int) -> Path:
    lambdas = [100.0 + 10 * number for number in range(cells)]
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
        "losses": [{"name": "l1l2", "lambda": lambdas}],
        "training": {"samples": 640, "batch_size": 8, "validations": 4},
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


def kill_one(command: Command, draw: random.Random) -> str | None:
    members = command.members()
    kinds = sorted({kind for kind, _ in members})
    if not kinds:
        return None
    kind, victim = draw.choice([each for each in members if each[0] == draw.choice(kinds)] or members)
    try:
        victim.send_signal(signal.SIGKILL)
    except psutil.Error:
        return None
    if kind == "parent":
        command.process.wait()
    return kind


def rain(command: Command, store: Path, kills: int, cells: int, draw: random.Random) -> Counter[str]:
    """Kill `kills` processes while the study goes on."""
    killed: Counter[str] = Counter()
    until = time.monotonic() + BUDGET_S
    while killed.total() < kills:
        if time.monotonic() > until:
            raise SystemExit(f"only {killed.total()} kills in {BUDGET_S:.0f} s; see {command.log}")
        command.keep_alive()
        # Spread over the progress, so that the study is never over before the last kill.
        if done(store) < killed.total() * (cells - 1) // kills:
            time.sleep(0.1)
            continue
        wait_until = time.monotonic() + draw.uniform(0.0, LONGEST_WAIT_S)
        while time.monotonic() < wait_until and done(store) < (killed.total() + 1) * (cells - 1) // kills:
            time.sleep(0.05)
        kind = kill_one(command, draw)
        if kind is not None:
            killed[kind] += 1
            print(f"kill {killed.total():3d}: {kind:6s} with {done(store)} of {cells} cells done", flush=True)
    return killed


def finish(command: Command, tries: int = 5) -> int:
    """Let the command end, starting it again until it says that all is done."""
    for _ in range(tries):
        code = command.process.wait()
        if code == 0:
            return 0
        command.start()
    return command.process.wait()


def count(store: Path, cells: int) -> dict[str, int]:
    from smlmbench.tracking.records import read_study
    from smlmbench.tracking.store import open_store

    opened = open_store(store, create=False)
    record = read_study(opened, "kills")
    finished = Counter(run.cell_id for run in record.runs if run.role == "cell" and run.status == "done")
    running = sum(opened.client.get_run(run.run_id).info.status == "RUNNING" for run in record.runs)
    return {
        "finished": len(finished),
        "doubled": sum(number > 1 for number in finished.values()),
        "lost": cells - len(finished),
        "running": running,
        "deaths": sum(run.deaths for run in record.runs if run.role == "cell"),
        "given_up_once": sum(run.superseded for run in record.runs if run.role == "cell"),
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
            killed = rain(command, store, asked.kills, asked.cells, random.Random(asked.seed))
            code = finish(command)
        finally:
            if command.process.poll() is None:
                command.process.kill()
        if code != 0:
            print("\n".join((folder / "commands.log").read_text().splitlines()[-20:]))
        counted = count(store, asked.cells)
        numbers = {"kills": killed.total(), "cells": asked.cells, **counted, "workers_killed": killed["worker"]}
        numbers |= {"parents_killed": killed["parent"], "commands": command.starts, "exit_code": code}
        numbers["seconds"] = round(time.monotonic() - began)
        for name, value in numbers.items():
            print(f"{name:16s} {value}")
        print(json.dumps(numbers))
    right = counted["finished"] == asked.cells and not (counted["doubled"] or counted["lost"] or counted["running"])
    return 0 if right and code == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
