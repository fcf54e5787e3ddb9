"""How a movie grows over workers: here, 1 and 2 workers for real, and up to 64 under the virtual clock of scaling.py.

python benchmarks/movie.py [--model deep_storm] [--size 128] [--frames 256] [--tiny]

Each process has one thread. The network has drawn weights; what is timed is `predict` on a TIFF, with the table and the
summed image on disk, without starting the workers. What the commanding process computes for a block (sending it,
taking rows and image in, writing them) is its own processor time; the virtual clock does that one block after the
other, and lets each worker take as long for a block as the one worker took. Bandwidth between machines is not in it:
the bytes of a block are printed. The last line is one JSON object.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import scaling
import tifffile
import torch

from smlmbench.camera import Camera
from smlmbench.data.contracts import Given, Statistics
from smlmbench.engine.clusters import local_workers
from smlmbench.inference.checkpoint import build_network, checkpoint_of
from smlmbench.registry import Catalog
from smlmbench.run.progress import Reporter
from smlmbench.run.slots import Slots
from smlmbench.run.using.blocks import Crew
from smlmbench.run.using.predicting import Request, opened, predict_movie
from smlmbench.training import save_atomically

WORKERS = (1, 4, 16, 64)
CATALOG = Catalog()


def network(folder: Path, model: str, upsampling: int, tiny: bool) -> Path:
    given = Given(1, upsampling, 100.0, Statistics(10.0, 5.0, 0.0, 80.0))
    card = CATALOG.card("models", model)
    settings = card.fill(model, card.tiny if tiny else {})
    torch.manual_seed(0)
    built = build_network(CATALOG, model, settings, given).eval()
    output = {**CATALOG.card("outputs", "raster").fill("raster", {"upsampling": upsampling}), "pixel_size_nm": 100.0}
    of = ({"name": model, "version": 1, "settings": settings}, {"name": "raster", "version": 1, "settings": output})
    facts = {"task": "localization", "threshold": 1e9, "calibrated": True}  # without positions: weights are drawn
    save_atomically(checkpoint_of(built, given, *of, facts), folder / "best.pt")
    return folder / "best.pt"


def timed(request: Request, crew: Crew | None) -> dict[str, Any]:
    """Frames a second of warm processes; seconds, and processor seconds of this one, from one block to the next."""
    seen: list[tuple[int, float, float]] = []
    warm = replace(request, output=request.output / "warm", frames=(0, 1))
    predict_movie(warm, CATALOG, lambda *_: None, crew)
    began = time.perf_counter()
    predict_movie(request, CATALOG, lambda *at: seen.append((at[0], time.perf_counter(), time.process_time())), crew)
    took_s = time.perf_counter() - began
    blocks = max(1, len(seen) - 1)
    return {
        "frames_per_s": seen[-1][0] / took_s,
        "block_s": (seen[-1][1] - seen[0][1]) / blocks,
        "busy_s": (seen[-1][2] - seen[0][2]) / blocks,
    }


def measured(request: Request, rounds: int) -> dict[str, dict[str, float]]:
    """Medians over rounds, in turn, of predicting here and with 1 and 2 workers."""
    found: dict[str, list[dict[str, float]]] = {"here": [], "1": [], "2": []}
    for _ in range(rounds):
        found["here"].append(timed(request, None))
        for count in (1, 2):
            with local_workers(count) as workers, Reporter(quiet=True) as reporter:
                address = workers.client.scheduler.address
                found[str(count)].append(timed(request, Crew(Slots(scheduler=address), reporter)))
    return {name: {key: statistics.median(one[key] for one in runs) for key in runs[0]} for name, runs in found.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="deep_storm")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--frames", type=int, default=256)
    parser.add_argument("--upsampling", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--tiny", action="store_true", help="The smallest form of the network.")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        counts = np.random.default_rng(0).poisson(10, (asked.frames, asked.size, asked.size)).astype(np.uint16)
        tifffile.imwrite(folder / "movie.tif", counts, photometric="minisblack")
        best = network(folder, asked.model, asked.upsampling, asked.tiny)
        request = Request(best, folder / "movie.tif", folder, Camera(kind="ideal"), overwrite=True, measure=False)
        with opened(request, CATALOG) as source:
            block = source.block
        runs = measured(request, asked.rounds)
    load = os.getloadavg()[0]
    one = runs["1"]
    cost = {"dispatch_s": one["busy_s"], "store_s": 0.0}
    virtual = {
        str(count): scaling.simulate(40 * count, count, one["block_s"], cost, blocks=True)["efficiency"]
        for count in WORKERS
    }
    image_bytes = 8 * (asked.size * asked.upsampling) ** 2
    print(f"{asked.model}, {asked.size} px, upsampling {asked.upsampling}: {asked.frames} frames in blocks of {block}")
    for name, run in runs.items():
        ratio = run["frames_per_s"] / runs["here"]["frames_per_s"]
        print(f"{name:>5s}: {run['frames_per_s']:8.2f} frames/s, {ratio:.2f}x")
    said = (
        f"{one['block_s']:.2f} s of a worker, {1e3 * one['busy_s']:.1f} ms of the command, {image_bytes / 1e6:.1f} MB"
    )
    print(f"a block: {said}; load {load:.1f} on {os.cpu_count()} cores")
    print("efficiency under the virtual clock: " + ", ".join(f"{n} workers {x:.2f}" for n, x in virtual.items()))
    numbers = {"block_frames": block, "block_bytes": image_bytes, "load": round(load, 2), "cores": os.cpu_count()}
    numbers |= {f"frames_per_s_{name}": round(run["frames_per_s"], 3) for name, run in runs.items()}
    numbers |= {f"ratio_{n}": round(runs[n]["frames_per_s"] / runs["here"]["frames_per_s"], 3) for n in ("1", "2")}
    numbers |= {"block_s": round(one["block_s"], 4), "command_s_per_block": round(one["busy_s"], 5)}
    numbers |= {"virtual": {name: round(value, 3) for name, value in virtual.items()}}
    numbers |= {"frames_per_s_64_virtual": round(64 * virtual["64"] * block / max(one["block_s"], 1e-9), 2)}
    print(json.dumps(numbers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
