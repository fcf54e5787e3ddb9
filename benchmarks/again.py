"""The same command again over finished cells, and their report: what a user waits who asks whether all is done.

python benchmarks/again.py [--cells 300] [--rounds 3] [--store FOLDER]

Trains a study of that many cells in the fewest steps, with all the rows and files of a real one (takes about a second
a cell; a --store that holds them already is used as it is), then runs the same command and `smlmbench report` again,
each as a process of its own. The last line is one JSON object: `again_s` of `run`, `report_s` of `report`, `help_s` of
a command that only starts Python.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scaling import COMMAND, write_study


def seconds(words: list[str], rounds: int) -> float:
    """Median of some rounds."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        taken.append(time.perf_counter() - began)
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
    return statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cells", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3, help="each command is timed so often, the median counts")
    parser.add_argument("--store", type=Path, help="folder that keeps the cells for another time")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        home = asked.store or Path(scratch) / "store"
        study = write_study(Path(scratch), "again", asked.cells, 1, samples=2, batch_size=2, validations=1)
        run = [*COMMAND, str(study), "--store", str(home)]
        began = time.perf_counter()
        subprocess.run(run, check=True, capture_output=True)
        first_s = time.perf_counter() - began
        found = {
            "cells": asked.cells,
            "first_s": round(first_s, 1),
            "again_s": round(seconds(run, asked.rounds), 2),
            "report_s": round(seconds([*COMMAND[:-1], "report", "again", "--store", str(home)], asked.rounds), 2),
            "help_s": round(seconds([*COMMAND[:-1], "run", "--help"], asked.rounds), 2),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    sys.exit(main())
