"""How near calibration comes to the truth of simulated movies, and how often its intervals hold it.

python benchmarks/calibration_spots.py [--movies 100] [--first 0] [--least-snr 6]

Each movie has its own width (100 to 200 nm), density (0.05 to 1 per um2), pixel (100, 130 or 160 nm), background (5 to
250), photons (uniform from 300 to 1500 up to ten times that) and camera. Movies whose median spot has a signal below
`--least-snr` times its noise are left out of the sums: they are told as cut by the detection limit.

Prints a line for each movie; the last line is one JSON object.
"""

import argparse
import json
import time

import numpy as np

from smlmbench import psf
from smlmbench.calibrate.molecules.spots import measure_spots
from smlmbench.data.contracts import ArrayFrames
from smlmbench.registry import Catalog
from smlmbench.simulate import Movie
from smlmbench.study.sources import SimulateSource

CAMERAS = {
    "scmos": {"kind": "scmos", "read_noise_e": 1.6, "baseline_adu": 100, "e_per_adu": 0.5},
    "emccd": {"kind": "emccd", "em_gain": 100, "read_noise_e": 20, "baseline_adu": 200, "e_per_adu": 5},
}
NAMES, GOALS = ("sigma_nm", "photons", "density_per_um2"), (0.03, 0.1, 0.1)
SIDE_PX = 64


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--movies", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--least-snr", type=float, default=6.0)
    return parser.parse_args()


def described(seed: int) -> tuple[SimulateSource, float, int]:
    """A description, its width in nm and its number of frames."""
    draws = np.random.default_rng(seed)
    low = float(np.exp(draws.uniform(np.log(300), np.log(1500))))
    high = low * float(draws.choice([1.001, 2, 5, 10]))
    sigma_nm = float(draws.uniform(100, 200))
    source = SimulateSource(
        psf={"name": "gaussian", "sigma_nm": sigma_nm},
        photons={"min": low, "max": high},
        density_per_um2=float(np.exp(draws.uniform(np.log(0.05), 0))),
        pixel_size_nm=float(draws.choice([100, 130, 160])),
        background_photons=float(np.exp(draws.uniform(np.log(5), np.log(250)))),
        camera=CAMERAS[str(draws.choice(list(CAMERAS)))],
        field_px=SIDE_PX,
    )
    return source, sigma_nm, int(draws.choice([100, 200, 400]))


def run(seed: int, catalog: Catalog) -> tuple[float, list[float], list[bool], float]:
    """Signal over noise, relative errors, whether intervals hold the truth, seconds of processor time."""
    source, sigma_nm, frames = described(seed)
    movie = Movie(source, psf.build(source.psf, catalog), (0, frames), seed, catalog=catalog)
    pixels, truth = movie.block(0, frames, seed)
    photons = float(truth.photons.median())
    begun = time.process_time()
    found = measure_spots(ArrayFrames(pixels.numpy()), source.pixel_size_nm, source.camera.noise)
    seconds = time.process_time() - begun
    wanted = (sigma_nm, photons, len(truth.frame) / frames / source.area_um2)
    numbers = [getattr(found, name) for name in NAMES]
    under = 4 * np.pi * (sigma_nm / source.pixel_size_nm) ** 2 * float(source.background_photons)
    snr = photons / (source.camera.noise.excess * (photons + under)) ** 0.5
    errors = [number.value / true - 1 for number, true in zip(numbers, wanted, strict=True)]
    held = [number.low <= true <= number.high for number, true in zip(numbers, wanted, strict=True)]
    parts = zip(NAMES, errors, held, strict=True)
    shown = " ".join(f"{name} {error:+.1%}{'' if ok else ' outside'}" for name, error, ok in parts)
    print(f"{seed}: snr {snr:.1f}, {shown}, {seconds:.1f} s", *found.doubts, sep=" | ", flush=True)
    return snr, errors, held, seconds


def main() -> None:
    asked, catalog = arguments(), Catalog()
    rows = [run(seed, catalog) for seed in range(asked.first, asked.first + asked.movies)]
    kept = [row for row in rows if row[0] >= asked.least_snr and np.isfinite(row[1]).all()]
    errors, held = np.array([row[1] for row in kept]), np.array([row[2] for row in kept])
    told = {
        "movies": len(rows),
        "summed": len(kept),
        "within_goal": dict(zip(NAMES, (np.abs(errors) <= GOALS).mean(axis=0).round(3).tolist(), strict=True)),
        "coverage": dict(zip(NAMES, held.mean(axis=0).round(3).tolist(), strict=True)),
        "seconds": float(np.median([row[3] for row in rows])),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
