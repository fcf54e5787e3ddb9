"""Frames per second and core of drawing emitters and of the camera, and the ratio to drawing each on the whole frame.

python benchmarks/simulation.py [--rounds 5] [--movie 20000]

Seconds are those that one thread of the processor spent, best of the rounds, so that a busy machine counts little.
Then a blinking movie of microtubules (128 px, EMCCD) is drawn to a TIFF in a fresh process: seconds that passed and
that its processors spent, most memory in MB. `--movie 0` leaves it out.
The last line is one JSON object.
"""

import argparse
import json
import math
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from smlmbench import psf
from smlmbench.camera import Camera
from smlmbench.psf.contracts import Canvas, Spots
from smlmbench.registry import Catalog

PIXEL_NM, SIGMA_NM = 100.0, 130.0
FRAMES = 128
MOVIE = {
    "structure": "microtubules",
    "track": {"name": "blinking", "on_frames": 3, "off_frames": 200, "bleach_after": 5},
    "density_per_um2": 0.2,
    "photons": {"median": 1500, "sigma": 0.5},
    "field_px": 128,
    "camera": {"kind": "emccd", "baseline_adu": 100, "e_per_adu": 45, "em_gain": 300, "read_noise_e": 74},
}
CAMERAS = {
    "ideal": Camera(kind="ideal"),
    "scmos": Camera(kind="scmos", baseline_adu=100, e_per_adu=0.5, read_noise_e=1.6),
    "emccd": Camera(kind="emccd", baseline_adu=100, e_per_adu=45, em_gain=300, read_noise_e=74),
}


def spots(field_px: int, emitters: int, frames: int) -> Spots:
    """So many in every frame, anywhere."""
    generator = torch.Generator().manual_seed(1)
    sample = torch.arange(frames).repeat_interleave(emitters)
    places = torch.rand(2, len(sample), generator=generator, dtype=torch.float64) * field_px * PIXEL_NM
    return Spots(sample, places[0], places[1], torch.zeros(len(sample)), torch.full((len(sample),), 1000.0))


def dense(each: Spots, canvas: Canvas) -> torch.Tensor:
    """Every emitter integrated over every pixel of its frame, as common simulators do."""
    image = torch.zeros(canvas.n_frames, canvas.height, canvas.width)
    edges = torch.arange(canvas.width + 1, dtype=torch.float32)
    for number in range(canvas.n_frames):
        rows = each.sample == number
        away = (edges - (place[rows] / PIXEL_NM).float()[:, None] for place in (each.y_nm, each.x_nm))
        shares = [torch.erf(px * (PIXEL_NM / SIGMA_NM / math.sqrt(2))).diff(dim=1) / 2 for px in away]
        light = shares[0][:, :, None] * shares[1][:, None, :] * each.photons[rows, None, None]
        image[number] = light.sum(dim=0)
    return image


def seconds(work: Callable[[], object], rounds: int) -> float:
    """Least seconds of this process that the work took."""
    work()
    taken = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return min(taken)


def written(frames: int) -> dict[str, float]:
    """Draw a movie into a folder, in a process of its own."""
    from smlmbench.run.using.drawing import described, draw_movie

    torch.set_num_threads(1)
    began, spent = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        draw_movie(described(MOVIE), frames, 1, Path(folder), Catalog())
    found = {f"movie_{frames}_s": time.perf_counter() - began, f"movie_{frames}_cpu_s": time.process_time() - spent}
    status = Path("/proc/self/status").read_text(encoding="ascii")  # unlike getrusage it forgets the parent process
    peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return found | {"peak_mb": int(peak) / 1024}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--movie", type=int, default=20_000)
    asked = parser.parse_args()
    rounds = asked.rounds
    torch.set_num_threads(1)
    optics = psf.build({"name": "gaussian", "sigma_nm": SIGMA_NM}, Catalog())
    found: dict[str, float] = {}
    for field_px, emitters in ((64, 20), (64, 82), (128, 82), (256, 328)):
        count = max(2, FRAMES * 64 * 64 // field_px**2)
        each, canvas = spots(field_px, emitters, count), Canvas(count, field_px, field_px, PIXEL_NM)
        shapes = optics.shapes(len(each), torch.Generator())
        taken = seconds(partial(optics.render, each, shapes, canvas), rounds) / count
        found[f"frames_per_s_{field_px}px_{emitters}"] = 1 / taken
        found[f"ratio_{field_px}px_{emitters}"] = seconds(partial(dense, each, canvas), 2) / count / taken
    canvas, each = Canvas(FRAMES, 64, 64, PIXEL_NM), spots(64, 20, FRAMES)
    shapes = optics.shapes(len(each), torch.Generator())
    for name, camera in CAMERAS.items():
        generator = torch.Generator().manual_seed(2)

        def movie(camera: Camera = camera, generator: torch.Generator = generator) -> torch.Tensor:
            return camera.expose(optics.render(each, shapes, canvas) + 10, generator)

        found[f"frames_per_s_64px_20_{name}"] = FRAMES / seconds(movie, rounds)
    if asked.movie:
        with multiprocessing.get_context("spawn").Pool(1) as fresh:
            found |= fresh.apply(written, (asked.movie,))
    for name, value in found.items():
        print(f"{name:32s} {value:10.1f}")
    print(json.dumps({name: round(value, 1) for name, value in found.items()}))


if __name__ == "__main__":
    main()
