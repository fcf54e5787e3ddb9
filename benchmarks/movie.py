"""How a movie grows over workers: here, 1 and 2 workers for real, and up to 64 under the virtual clock of scaling.py.

python benchmarks/movie.py [--model fid_storm] [--size 128] [--frames 512] [--rounds 1] [--tiny]

Each process has one thread. The network has drawn weights and a threshold that about 20 positions a frame exceed; what
is timed is `predict` on a TIFF by warm processes, with table and summed image on disk. On a busy machine the frames a
second say little; the processor time of all processes for a frame, against that of one alone, says what it costs.

What the command does for a block (sending it, taking rows and image in, writing them) is measured by its processor time
with the smallest form of the network, where it waits little. The virtual clock does that one block after the other, and
lets a worker take for a block the processor time that it took here. Bandwidth between machines is not in it: the bytes
of an image are printed. The last line is one JSON object.
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

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import psutil
import scaling
import tifffile
import torch

from smlmbench.camera import Camera
from smlmbench.data.contracts import Given, Statistics
from smlmbench.engine import clusters
from smlmbench.inference.checkpoint import build_network, checkpoint_of
from smlmbench.registry import Catalog
from smlmbench.run.progress import Reporter
from smlmbench.run.slots import Slots
from smlmbench.run.using.blocks import Crew
from smlmbench.run.using.predicting import Request, opened, predict_movie
from smlmbench.training import save_atomically

WORKERS = (1, 4, 16, 64)
CATALOG, POSITIONS = Catalog(), 20
RATIOS = ("frames_per_s", "busy_s")


def network(folder: Path, model: str, shape: tuple[int, int], *, tiny: bool) -> Path:
    """A checkpoint for frames of a size (px) and an upsampling."""
    size, upsampling = shape
    given = Given(1, upsampling, 100.0, Statistics(10.0, 5.0, 0.0, 80.0))
    card, output = CATALOG.card("models", model), CATALOG.module("outputs", "raster")
    settings = card.fill(model, card.tiny if tiny else {})
    torch.manual_seed(0)
    built = build_network(CATALOG, model, settings, given).eval()
    read = {**CATALOG.card("outputs", "raster").fill("raster", {"upsampling": upsampling}), "pixel_size_nm": 100.0}
    with torch.inference_mode():
        raw = built(torch.poisson(torch.full((1, 1, size, size), 10.0)))
        scores = sorted(output.decode(raw, read, 0.0).probability.tolist(), reverse=True)
    of = ({"name": model, "version": 1, "settings": settings}, {"name": "raster", "version": 1, "settings": read})
    facts = {"task": "localization", "threshold": scores[POSITIONS] if len(scores) > POSITIONS else 0.0}
    path = folder / ("tiny.pt" if tiny else "best.pt")
    save_atomically(checkpoint_of(built, given, *of, {**facts, "calibrated": True}), path)
    return path


def processor_s() -> float:
    """Processor seconds of this process and of its workers so far."""
    this = psutil.Process()
    return sum(sum(one.cpu_times()[:2]) for one in (this, *this.children(recursive=True)))


def timed(request: Request, crew: Crew | None) -> dict[str, float]:
    """Frames a second of warm processes, and processor seconds: of all for a frame, of this one for a block."""
    seen: list[tuple[int, float]] = []
    warm = replace(request, output=request.output / "warm", frames=(0, 1))
    predict_movie(warm, CATALOG, lambda *_: None, crew)
    began, busy = time.perf_counter(), processor_s()
    predict_movie(request, CATALOG, lambda *at: seen.append((at[0], time.process_time())), crew)
    took_s, busy = time.perf_counter() - began, processor_s() - busy
    own_s = (seen[-1][1] - seen[0][1]) / max(1, len(seen) - 1)
    return {"frames_per_s": seen[-1][0] / took_s, "busy_s": busy / seen[-1][0], "own_s": own_s}


def with_workers(request: Request, count: int) -> dict[str, float]:
    """The same by workers that have one thread each, however many there are."""
    clusters.thread_count = lambda _: 1
    with clusters.local_workers(count) as workers, Reporter(quiet=True) as reporter:
        return timed(request, Crew(Slots(scheduler=workers.client.scheduler.address), reporter))


def measured(request: Request, rounds: int) -> dict[str, dict[str, float]]:
    """Medians over rounds, in turn, of predicting here and with 1 and 2 workers."""
    found: dict[str, list[dict[str, float]]] = {"here": [], "1": [], "2": []}
    for _ in range(rounds):
        found["here"].append(timed(request, None))
        for count in (1, 2):
            found[str(count)].append(with_workers(request, count))
    return {name: {key: statistics.median(one[key] for one in runs) for key in runs[0]} for name, runs in found.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="fid_storm")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--frames", type=int, default=512)
    parser.add_argument("--upsampling", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--tiny", action="store_true", help="The smallest form of the network.")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        counts = np.random.default_rng(0).poisson(10, (asked.frames, asked.size, asked.size)).astype(np.uint16)
        tifffile.imwrite(folder / "movie.tif", counts, photometric="minisblack")
        shape = (asked.size, asked.upsampling)
        best = network(folder, asked.model, shape, tiny=asked.tiny)
        request = Request(best, folder / "movie.tif", folder, Camera(kind="ideal"), overwrite=True, measure=False)
        with opened(request, CATALOG) as source:
            block = source.block
        runs = measured(request, asked.rounds)
        small = replace(request, checkpoint=network(folder, asked.model, shape, tiny=True))
        own_s = with_workers(small, 1)["own_s"]
    load, block_s = os.getloadavg()[0], block * runs["here"]["busy_s"]
    cost = {"dispatch_s": own_s, "store_s": 0.0}
    virtual = {
        str(count): scaling.simulate(40 * count, count, block_s, cost, blocks=True)["efficiency"] for count in WORKERS
    }
    image_bytes = 8 * (asked.size * asked.upsampling) ** 2
    print(f"{asked.model}, {asked.size} px, upsampling {asked.upsampling}: {asked.frames} frames in blocks of {block}")
    for name, run in runs.items():
        ratio, busy = (run[key] / runs["here"][key] for key in ("frames_per_s", "busy_s"))
        print(f"{name:>5s}: {run['frames_per_s']:8.2f} frames/s, {ratio:.2f}x; processor time {busy:.2f}x")
    said = f"{block_s:.2f} s of a worker, {1e3 * own_s:.1f} ms of the command, {image_bytes / 1e6:.1f} MB of image"
    print(f"a block: {said}; load {load:.1f} on {os.cpu_count()} cores")
    print("efficiency under the virtual clock: " + ", ".join(f"{n} workers {x:.2f}" for n, x in virtual.items()))
    numbers = {"block_frames": block, "block_bytes": image_bytes, "load": round(load, 2), "cores": os.cpu_count()}
    for name, run in runs.items():
        numbers |= {f"frames_per_s_{name}": round(run["frames_per_s"], 3), f"busy_s_{name}": round(run["busy_s"], 5)}
    for name in ("1", "2"):
        numbers |= {f"{key}_ratio_{name}": round(runs[name][key] / runs["here"][key], 3) for key in RATIOS}
    numbers |= {"block_s": round(block_s, 4), "command_s_per_block": round(own_s, 5)}
    numbers |= {"virtual": {name: round(value, 3) for name, value in virtual.items()}}
    numbers |= {"frames_per_s_64_virtual": round(64 * virtual["64"] * block / block_s, 2)}
    print(json.dumps(numbers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
