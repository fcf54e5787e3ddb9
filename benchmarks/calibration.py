"""How often the intervals of a movie's camera and background hold what the movie was drawn with.

python benchmarks/calibration.py [--movies 100] [--frames 200] [--size 64] [--seed 0]

Every movie has a camera, optics, density, photons, background and track of its own. Prints a line per movie and, for
each number, how many have a value, the share of intervals that hold the true one, and the median and 95th percentile of
the relative error; the last line is one JSON object.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from smlmbench.calibrate.contracts import Number
from smlmbench.calibrate.pixels.background import measure_background
from smlmbench.calibrate.pixels.camera import measure_camera
from smlmbench.movies import ArrayMovie, calibrated
from smlmbench.registry import Catalog
from smlmbench.run.using.drawing import described, draw_frames
from smlmbench.simulate.background import structured
from smlmbench.simulate.chance import Fast
from smlmbench.study.sources import SimulateSource

CAMERAS: tuple[dict[str, Any], ...] = (
    {"kind": "scmos", "baseline_adu": 100, "e_per_adu": 0.46, "read_noise_e": 1.6},
    {"kind": "scmos", "baseline_adu": 400, "e_per_adu": 2.1, "read_noise_e": 2.5},
    {"kind": "emccd", "baseline_adu": 100, "e_per_adu": 45, "em_gain": 300, "read_noise_e": 74.4},
    {"kind": "emccd", "baseline_adu": 200, "e_per_adu": 12, "em_gain": 100, "read_noise_e": 40},
)
HAZES = (None, "slope", "perlin", "out_of_focus")
TRACKS = ("iid", {"name": "blinking", "on_frames": 4})
DARK_FRAMES = 100


@dataclass(frozen=True, slots=True)
class Case:
    """A movie in counts, dark frames, and what they were drawn with."""

    source: SimulateSource
    counts: np.ndarray[Any, Any]
    dark: np.ndarray[Any, Any]


def cases(movies: int, frames: int, size: int, seed: int) -> Iterator[Case]:
    """Movies with everything drawn: 0.05 to 1 emitters per um2, PSF of 0.9 to 1.5 px, 3 to 100 background photons."""
    draws = np.random.default_rng(seed)
    for number in range(movies):
        bright = float(np.exp(draws.uniform(np.log(500), np.log(3000))))
        pixel_nm = draws.uniform(90, 160)
        told: dict[str, Any] = {
            "camera": CAMERAS[number % len(CAMERAS)],
            "density_per_um2": float(np.exp(draws.uniform(np.log(0.05), 0))),
            "background_photons": float(np.exp(draws.uniform(np.log(3), np.log(100)))),
            "photons": {"min": bright / 4, "max": bright * 2},
            "pixel_size_nm": pixel_nm,
            "psf": {"name": "gaussian", "sigma_nm": pixel_nm * draws.uniform(0.9, 1.5)},
            "track": TRACKS[int(draws.integers(len(TRACKS)))],
            "field_px": size,
        }
        if haze := HAZES[int(draws.integers(len(HAZES)))]:
            told["background"] = haze
        source = described(told)
        counts, _ = draw_frames(source, frames, seed + number, Catalog())
        numbers = torch.Generator().manual_seed(seed + number)
        dark = source.camera.expose(torch.zeros(DARK_FRAMES, size, size), numbers).numpy()
        yield Case(source, counts, dark)


def measured(case: Case) -> dict[str, tuple[Number, float]]:
    """Numbers of a movie and their true values."""
    camera = case.source.camera
    excess = camera.noise.excess
    each = 1 / camera.adu_per_photon
    counts, dark = (calibrated(ArrayMovie(values), None) for values in (case.counts, case.dark))
    alone, with_dark = measure_camera(counts, None, excess), measure_camera(counts, dark, excess)
    photons = calibrated(ArrayMovie(case.counts), camera)
    sigma_px = case.source.psf["sigma_nm"] / case.source.pixel_size_nm
    found = measure_background(photons, sigma_px)
    return {
        "alone e_per_adu": (alone.e_per_adu, each),
        "alone baseline_e": (alone.baseline_e, camera.baseline_adu * each),
        "dark e_per_adu": (with_dark.e_per_adu, each),
        "dark baseline_adu": (with_dark.baseline_adu, camera.baseline_adu),
        "dark read_noise_e": (with_dark.read_noise_e, camera.read_noise_e / camera.gain),
        "background": (found.level, level_of(case.source)),
    }


def level_of(source: SimulateSource) -> float:
    """Median of the light that is not the spots'."""
    flat = torch.full((200,), float(source.background_photons), dtype=torch.float64)  # type: ignore[arg-type]
    light = structured(source.background, flat, source.field_px, source.pixel_size_nm, Fast.of(1))
    return float((flat if light is None else light).median())


def told_of(number: Number, true: float) -> str:
    """The number over the true one, marked where its interval misses."""
    return f"{number.value / true:.3f}{'' if number.low <= true <= number.high else '!'}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--movies", type=int, default=100)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    every: dict[str, list[tuple[Number, float]]] = {}
    for case in cases(asked.movies, asked.frames, asked.size, asked.seed):
        for name, pair in measured(case).items():
            every.setdefault(name, []).append(pair)
        source = case.source
        told = f"{source.camera.kind} {source.density_per_um2:.2f}/um2 background {source.background_photons:.3g}"
        light = f"photons {source.photons.max:.4g} {getattr(source.background, 'name', 'flat')}"  # type: ignore[union-attr]
        said = " ".join(told_of(*numbers[-1]) for numbers in every.values())
        print(f"{told} {light}: {said}", flush=True)
    found = {}
    for name, pairs in every.items():
        known = [(number, true) for number, true in pairs if number.known]
        held = np.mean([number.low <= true <= number.high for number, true in known])
        away = np.abs([number.value / true - 1 for number, true in known])
        found[name] = {"known": len(known), "held": float(held), "median": float(np.median(away))}
        found[name]["p95"] = float(np.quantile(away, 0.95))
        print(f"{name:20s}", " ".join(f"{what} {value:.3f}" for what, value in found[name].items()))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
