"""Fits a second of isolated emitters on one core, beside the least squares of `peaks_gaussian` in the same run.

python benchmarks/fitters.py [--fits 8192] [--rounds 5] [--sides 7,9]

Windows of 1000 photons on 10, sigma 1.3 px, Poisson noise, one thread. Each round runs every fitter once, in a new
order; processor time, medians over rounds, and the ratio to least squares with a free width.

Prints a table; the last line is one JSON object.
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from smlmbench.references.fitting import fit
from smlmbench.references.likelihood import Pixels, Spot, climb

SIGMA_PX, PHOTONS, BACKGROUND, AT_ONCE = 1.3, 1000.0, 10.0, 1024
ONE = torch.ones(1, 1, 1, dtype=torch.float64)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fits", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sides", default="7,9", help="of the window in px")
    return parser.parse_args()


def fitters(count: int, side: int) -> dict[str, Callable[[], object]]:
    """By name, each on the same windows from the same starts."""
    generator, middle = torch.Generator().manual_seed(1), side / 2
    true = torch.empty(4, count, dtype=torch.float64)
    true[:2] = middle - 0.5 + torch.rand(2, count, generator=generator, dtype=torch.float64)
    true[2], true[3] = PHOTONS, BACKGROUND
    values = torch.poisson(Spot((SIGMA_PX, SIGMA_PX)).light(true, side) + BACKGROUND, generator=generator)
    pixels = Pixels(values, ONE[0, 0], ONE * 0, ONE * 0)
    windows = values.permute(2, 0, 1).float().numpy()
    at = np.full(count, middle)

    def likely(spot: Spot) -> Callable[[], object]:
        start = torch.full((len(spot.names), count), SIGMA_PX, dtype=torch.float64)
        start[:4] = torch.tensor([middle, middle, PHOTONS / 2, BACKGROUND * 1.5])[:, None]
        rows = torch.arange(count).split(AT_ONCE)
        return lambda: [climb(spot, pixels.rows(some), start[:, some]) for some in rows]

    return {
        "least squares, free width": lambda: fit(windows, at, at, SIGMA_PX, free_sigma=True),
        "likelihood, fixed width": likely(Spot((SIGMA_PX, SIGMA_PX))),
        "likelihood, free width": likely(Spot()),
        "likelihood, elliptic": likely(Spot(elliptic=True)),
    }


def main() -> None:
    asked = arguments()
    torch.set_num_threads(1)
    found: dict[str, dict[str, float]] = {}
    for side in map(int, asked.sides.split(",")):
        runs = fitters(asked.fits, side)
        took: dict[str, list[float]] = {name: [] for name in runs}
        for turn in range(asked.rounds + 1):
            for name in random.Random(turn).sample(sorted(runs), len(runs)):
                before = time.process_time()
                runs[name]()
                if turn:  # the first one warms up
                    took[name].append(time.process_time() - before)
        base = statistics.median(took["least squares, free width"])
        for name, times in took.items():
            middle = statistics.median(times)
            found[f"{name}, {side} px"] = {"fits_per_s": round(asked.fits / middle), "ratio": round(base / middle, 2)}
    for name, numbers in found.items():
        print(f"{name:36} {numbers['fits_per_s']:>9} fits/s  {numbers['ratio']:>7.2f} x")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
