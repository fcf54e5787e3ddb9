"""Emitters that are matched and scored per second and core, at 20 and 82 in a frame of 64 x 64 px.

python benchmarks/matching.py [--emitters 1000000] [--rounds 3]

Seconds are those that the processor spent, best of the rounds. The last line is one JSON object.
"""

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
import torch

from smlmbench import tasks
from smlmbench.data.contracts import ArrayFrames, Condition
from smlmbench.metrics.matching import assign, near_pairs
from smlmbench.predictions import Localizations, Prediction
from smlmbench.registry import Catalog
from smlmbench.study.schema import Scoring
from smlmbench.truths.emitters import Emitters

SIDE_PX, PIXEL_NM = 64, 100.0
FIELD_NM = (SIDE_PX * PIXEL_NM, SIDE_PX * PIXEL_NM)


def tables(emitters: int, each: int) -> tuple[Localizations, Localizations]:
    """A truth, and what a good network finds of it: nine in ten, 20 nm beside, and some that are none."""
    rng = np.random.default_rng(0)
    n_frames = emitters // each
    frame = np.repeat(np.arange(n_frames), each)
    x_nm, y_nm = rng.uniform(0, FIELD_NM[0], (2, len(frame)))
    photons = rng.uniform(500, 3000, len(frame))
    columns = {"frame": frame, "x_nm": x_nm, "y_nm": y_nm, "photons": photons}
    truth = Localizations.of(columns, n_frames=n_frames, field_nm=FIELD_NM)
    seen, false = rng.random(len(frame)) < 0.9, rng.integers(0, n_frames, len(frame) // 20)
    away = rng.normal(0, 20, (2, int(seen.sum())))
    more = rng.uniform(0, FIELD_NM[0], (2, len(false)))
    found = {
        "frame": np.concatenate([frame[seen], false]),
        "x_nm": np.concatenate([x_nm[seen] + away[0], more[0]]),
        "y_nm": np.concatenate([y_nm[seen] + away[1], more[1]]),
        "probability": rng.random(int(seen.sum()) + len(false)),
    }
    return Localizations.of(found, n_frames=n_frames, field_nm=FIELD_NM), truth


def seconds(work: Callable[[], object], rounds: int) -> float:
    """Least seconds of this process that the work took."""
    taken = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return min(taken)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--emitters", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, float] = {}
    for each in (20, 82):
        given, truth = tables(asked.emitters, each)

        def match(given: Localizations = given, truth: Localizations = truth) -> object:
            return assign(near_pairs(given, truth, lateral_nm=250, axial_nm=500, three_d=False))

        found[f"matches_per_s_{each}"] = len(truth) / seconds(match, asked.rounds)
    task = tasks.load("localization", Catalog())
    extent = np.broadcast_to(np.float32(0), (truth.n_frames, SIDE_PX, SIDE_PX))
    condition = Condition("benchmark", ArrayFrames(extent), Emitters(truth), told={"pixel_size_nm": PIXEL_NM})
    answer = Prediction(given, None, PIXEL_NM / 4)
    found["scored_s"] = seconds(lambda: task.score(answer, condition, Scoring()), 1)
    found["matches_per_s"] = found["matches_per_s_82"]
    for name, value in found.items():
        print(f"{name:24s} {value:12.1f}")
    print(json.dumps({name: round(value, 1) for name, value in found.items()}))


if __name__ == "__main__":
    main()
