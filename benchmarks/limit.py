"""Emitters per second and core whose bound is computed, at 20 and 82 in a frame of 64 x 64 px.

python benchmarks/limit.py [--frames 128] [--rounds 3]

The whole Fisher matrix of each frame is inverted: no neighbour is left out. Seconds are those that the processor
spent, best of the rounds. The last line is one JSON object; its `emitters_per_s` is that of the Gaussian at 82, every
parameter unknown.
"""

import argparse
import json
import time

import torch

from smlmbench import psf
from smlmbench.limit.inverse import inverses
from smlmbench.limit.scene import Known, Scene
from smlmbench.psf.contracts import Canvas, Spots
from smlmbench.registry import Catalog

SIDE_PX, PIXEL_NM = 64, 100.0
PRIOR = Known(photons=12 / 2500**2)  # 500 to 3000 photons; the background is unknown


def scene(name: str, n_frames: int, each: int) -> Scene:
    """Emitters anywhere in the field."""
    optics = psf.build({"name": name}, Catalog())
    numbers, n = torch.Generator().manual_seed(0), n_frames * each
    unit = torch.rand(4, n, generator=numbers, dtype=torch.float64)
    deep, extent = optics.depth_nm is not None, SIDE_PX * PIXEL_NM
    sample = torch.arange(n_frames).repeat_interleave(each)
    spots = Spots(sample, unit[0] * extent, unit[1] * extent, (unit[2] - 0.5) * 1000 * deep, 500 + 2500 * unit[3])
    canvas = Canvas(n_frames, SIDE_PX, SIDE_PX, PIXEL_NM)
    background = torch.full((n_frames,), 10.0, dtype=torch.float64)
    return Scene(spots, optics.shapes(n, numbers), canvas, background, optics, torch.reciprocal, deep)


def rate(told: Scene, known: tuple[Known, ...], rounds: int) -> float:
    """Emitters per second of the best round."""
    taken = []
    for _ in range(rounds):
        began = time.process_time()
        inverses(told, known)
        taken.append(time.process_time() - began)
    return len(told.spots) / min(taken)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, float] = {}
    for name in ("gaussian", "astigmatic"):
        for each in (20, 82):
            told = scene(name, asked.frames, each)
            for what, known in (("free", (Known(),)), ("free_and_prior", (Known(), PRIOR))):
                found[f"{name}_{each}_{what}_per_s"] = rate(told, known, asked.rounds)
    found["emitters_per_s"] = found["gaussian_82_free_per_s"]
    for name, value in found.items():
        print(f"{name:40s} {value:10.0f}")
    print(json.dumps({name: round(value) for name, value in found.items()}))


if __name__ == "__main__":
    main()
