"""On how many boards of copies of one model are all tied, as they should be: boards are simulated, verdicts are real.

python benchmarks/ties.py [--boards 500] [--rows 6] [--repeats 3] [--frames 200] [--block 1]

Every row of a board is the same model, trained anew in every repeat; all are scored on the same frames. A frame has its
own number of emitters and its own difficulty (blocks of frames share both where molecules persist), a training its own
skill. `shares` are the spread of skill over the standard error of a row over frames. Of 500 boards at least 465 must be
tied: with 5 % of errors 475 are expected, and 465 is two standard errors fewer. The last line is one JSON object.
"""

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd

from smlmbench import tasks
from smlmbench.metrics.pooling import SUMS
from smlmbench.metrics.ratios import ratio
from smlmbench.registry import Catalog
from smlmbench.report.boards import intervals
from smlmbench.report.boards.ranking import rank
from smlmbench.report.model import Asked, Board, Entry, Estimate, Row

METRIC, CONDITION = "efficiency", "test"
FOUND, EACH, FALSE, ERROR_NM = 0.7, 8.0, 1.0, 20.0
HARDNESS = 0.08  # standard deviation over frames of the share that is found


@dataclass(frozen=True)
class Setting:
    """How boards are drawn."""

    rows: int = 6
    repeats: int = 3
    frames: int = 200
    block: int = 1
    share: float = 0.5


@dataclass
class Scored:
    """A run as a board reads it, its sums in memory."""

    sums: pd.DataFrame
    metrics: dict[str, float]
    params: dict[str, str] = field(default_factory=dict)

    def artifact(self, relative: str) -> pd.DataFrame | None:
        """Its one file."""
        return self.sums if relative == f"per_frame/{CONDITION}.csv" else None


def sums_of(rng: np.random.Generator, setting: Setting) -> Iterator[np.ndarray]:
    """Sums of each frame (frames, len(SUMS)) of every repeat of every row of one board."""
    blocks = -(-setting.frames // setting.block)
    emitters, hardness = rng.poisson(EACH, blocks) + 1, rng.normal(0, HARDNESS, blocks)
    emitters, hardness = (np.repeat(one, setting.block)[: setting.frames] for one in (emitters, hardness))
    error = math.sqrt(HARDNESS**2 * setting.block + FOUND * (1 - FOUND) / EACH) / math.sqrt(setting.frames)
    for _ in range(setting.rows * setting.repeats):
        found = np.clip(FOUND + hardness + rng.normal(0, setting.share * error), 0.02, 0.98)
        hits = rng.binomial(emitters, found)
        sums = np.zeros((setting.frames, len(SUMS)))
        sums[:, SUMS.index("tp")], sums[:, SUMS.index("fn")] = hits, emitters - hits
        sums[:, SUMS.index("fp")] = rng.poisson(FALSE, setting.frames)
        sums[:, SUMS.index("lateral_sq")] = ERROR_NM**2 * rng.gamma(np.maximum(hits, 1)) * (hits > 0)
        yield sums


def board(rng: np.random.Generator, setting: Setting, asked: Asked) -> Board:
    """One board, ranked."""
    entries, given, statistic = [], sums_of(rng, setting), ratio(METRIC, three_d=False)
    for row in range(setting.rows):
        rows = []
        for repeat in range(setting.repeats):
            sums = next(given)
            table = pd.DataFrame(dict(zip(SUMS, sums.T, strict=True)))
            run: Any = Scored(table, {f"test.{CONDITION}/{METRIC}": float(statistic(sums.sum(axis=0)))})
            rows.append(Row("cell", f"{row}-{repeat}", {"repeat": str(repeat)}, "done", "", run))
        mean = float(np.mean([one.metric(f"test.{CONDITION}/{METRIC}") or 0.0 for one in rows]))
        estimates = {(None, METRIC): Estimate(mean)}
        entries.append(Entry(f"copy {row}", (str(row), "", ""), rows, estimates, picked=True))
    entries.sort(key=lambda entry: -(entry.estimates[None, METRIC].value or 0.0))
    made = Board("data", "smlmbench-1", asked, [CONDITION], {CONDITION: {"block": setting.block}}, entries=entries)
    rank(made)
    return made


def count(boards: int, setting: Setting, seed: int = 0) -> dict[str, int]:
    """Boards on which all rows are tied at the top, those without the adjustment, and those with a single best."""
    asked = Asked("localization", METRIC, "up", task=tasks.load("localization", Catalog()))
    rng, found = np.random.default_rng(seed), {"tied": 0, "unadjusted": 0, "single_best": 0}
    for _ in range(boards):
        with patch.object(intervals, "read_units", lambda sums: sums):
            entries = board(rng, setting, asked).entries
        found["tied"] += {entry.verdict for entry in entries} == {"tie at the top"}
        found["unadjusted"] += {entry.unadjusted for entry in entries} == {"tie at the top"}
        found["single_best"] += any(entry.verdict == "best" for entry in entries)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boards", type=int, default=500)
    for name, default in (("rows", 6), ("repeats", 3), ("frames", 200), ("block", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--shares", type=float, nargs="*", default=[0.0, 0.5, 3.0])
    asked = parser.parse_args()
    said = {}
    for share in asked.shares:
        setting = Setting(asked.rows, asked.repeats, asked.frames, asked.block, share)
        said[f"{share:g}"] = found = count(asked.boards, setting)
        print(
            f"share {share:g}: {found['tied']} of {asked.boards} boards tied, {found['unadjusted']} without the number "
            f"of pairs in mind; a single best on {found['single_best']}",
            flush=True,
        )
    print(json.dumps({"boards": asked.boards, "shares": said}))


if __name__ == "__main__":
    main()
