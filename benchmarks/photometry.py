"""What photons, background and uncertainty of every localization cost beside the network that found it.

python benchmarks/photometry.py [--model fid_storm] [--size 64] [--emitters 5,20,60] [--upsampling 8] [--rounds 5]

An untrained network runs on simulated frames, and what it answers is replaced by spikes at the true positions, so that
the read-out has as many emitters as the frames. The movie is predicted with and without photometry, in turn, in one
process with one thread; ratios of processor time, medians over rounds. `more` is all of it, with the stretches of the
movie that the width of the PSF is learned from, `alone` the fit of every emitter, on blocks of 64 frames.

Prints a table; the last line is one JSON object.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from smlmbench import psf
from smlmbench.camera import Noise
from smlmbench.data.contracts import ArrayFrames, Given, Statistics
from smlmbench.inference.checkpoint import build_network, halo_of
from smlmbench.inference.engine import Piece, ReadOut, frame_multiple, predict, stream
from smlmbench.movies import stretches, window
from smlmbench.predictions import Localizations
from smlmbench.psf.contracts import Canvas, Spots
from smlmbench.references.photometry import Places, measure
from smlmbench.registry import Catalog
from smlmbench.tasks.localization.photometry import Photometry

PIXEL_NM, SIGMA_NM, BACKGROUND = 100.0, 130.0, 10.0
CPU = torch.device("cpu")
MARK = 2.0**-10  # photons in the first pixel that number a frame: spikes are found by it


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="fid_storm")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--emitters", default="5,20,60", help="in a frame")
    parser.add_argument("--upsampling", type=int, default=8)
    parser.add_argument("--frames", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tiny", action="store_true", help="the smallest network, to try the script")
    return parser.parse_args()


def movie(
    each: int, asked: argparse.Namespace, catalog: Catalog
) -> tuple[np.ndarray[Any, Any], Places, np.ndarray[Any, Any]]:
    """Frames, true places and true photons."""
    draws, count = np.random.default_rng(0), each * asked.frames
    at = draws.uniform(0, asked.size, (2, count))
    photons = draws.uniform(500, 3000, count)
    frame = np.repeat(np.arange(asked.frames), each)
    x_nm, y_nm, light = (torch.from_numpy(values) for values in (*(at * PIXEL_NM), photons))
    spots = Spots(torch.from_numpy(frame), x_nm, y_nm, torch.zeros(count, dtype=torch.float64), light.float())
    optics = psf.build({"name": "gaussian", "sigma_nm": SIGMA_NM}, catalog)
    shapes = optics.shapes(count, torch.Generator())
    expected = optics.render(spots, shapes, Canvas(asked.frames, asked.size, asked.size, PIXEL_NM)) + BACKGROUND
    frames = draws.poisson(expected.numpy()).astype(np.float32)
    frames[:, 0, 0] = np.floor(frames[:, 0, 0]) + np.arange(asked.frames) * MARK
    return frames, Places(frame, *at), photons


class Answers:
    """A network that takes its time and answers with spikes at the true places."""

    def __init__(self, asked: argparse.Namespace, places: Places, catalog: Catalog) -> None:
        card = catalog.card("models", asked.model)
        settings = card.fill(asked.model, card.tiny if asked.tiny else {})
        torch.manual_seed(0)
        given = Given(1, asked.upsampling, PIXEL_NM, Statistics(12.0, 10.0, 2.0, 120.0))
        self.network = build_network(catalog, asked.model, settings, given).eval()
        output = catalog.card("outputs", "raster").fill("raster", {"upsampling": asked.upsampling})
        self.amplitude, self.places, self.upsampling = output["amplitude"], places, asked.upsampling
        self.read_out = ReadOut(
            output=catalog.module("outputs", "raster"),
            settings={**output, "pixel_size_nm": PIXEL_NM},
            threshold=0.3,
            multiple_px=frame_multiple(card.under(settings).facts, asked.upsampling),
            halo_px=halo_of(catalog, asked.model, settings, asked.upsampling, self.network),
        )

    def __call__(self, frames: torch.Tensor) -> torch.Tensor:
        """Raw output for frames that are numbered in their first pixel."""
        raw = torch.zeros_like(self.network(frames))
        numbers = (frames[:, 0, 0, 0] % 1 / MARK).round().long().tolist()
        for at, number in enumerate(numbers):
            start, stop = np.searchsorted(self.places.frame, (number, number + 1))
            x, y = (self.upsampling * where[start:stop] for where in (self.places.x_px, self.places.y_px))
            raw[at, 0, y.astype(int), x.astype(int)] = self.amplitude
        return raw


def measured(frames: ArrayFrames, answers: Answers) -> Callable[[Piece], Piece]:
    """As `smlmbench predict` measures: the width from stretches of the movie first, then piece by piece."""
    photometry = Photometry({"pixel_size_nm": PIXEL_NM, "psf_sigma_nm": SIGMA_NM, **Noise().told()}, {})

    def parts() -> Iterator[Piece]:
        for part in stretches(frames):
            yield from stream(window(frames, frames=part), answers, answers.read_out, device=CPU)

    for piece in parts():
        if photometry.look(piece.frames, piece.table.shifted(-piece.start)):
            break

    def finish(piece: Piece) -> Piece:
        table: Localizations = photometry.measure(piece.frames, piece.table.shifted(-piece.start))
        return Piece(piece.start, piece.stop, table.shifted(piece.start), piece.image, piece.frames)

    return finish


def run(each: int, asked: argparse.Namespace, catalog: Catalog) -> dict[str, float]:
    """Medians over rounds of one density."""
    pixels, places, photons = movie(each, asked, catalog)
    frames, answers = ArrayFrames(pixels), Answers(asked, places, catalog)
    settings = {"device": CPU}
    calls: dict[str, Callable[[], Any]] = {
        "without": lambda: predict(frames, answers, answers.read_out, **settings),
        "with": lambda: predict(frames, answers, answers.read_out, finish=measured(frames, answers), **settings),
        "alone": lambda: [_block(pixels, places, start) for start in range(0, asked.frames, 64)],
    }
    seen: dict[str, list[float]] = {name: [] for name in calls}
    draws = np.random.default_rng(0)
    table = calls["with"]().table
    for _ in range(asked.rounds):
        for name in draws.permutation(list(calls)):
            began = time.process_time()
            calls[str(name)]()
            seen[str(name)].append(time.process_time() - began)
    found = {name: statistics.median(values) for name, values in seen.items()}
    extra = statistics.median(a / b - 1 for a, b in zip(seen["with"], seen["without"], strict=True))
    alone = statistics.median(a / b for a, b in zip(seen["alone"], seen["without"], strict=True))
    return {
        "emitters": each,
        "photons_over_true": float(np.nansum(table.photons) / photons.sum()),
        "ms_per_frame": 1e3 * found["without"] / asked.frames,
        "more_percent": 100 * extra,
        "alone_percent": 100 * alone,
        "emitters_per_s": len(photons) / found["alone"],
    }


def _block(pixels: np.ndarray[Any, Any], places: Places, start: int) -> None:
    rows = np.flatnonzero((places.frame >= start) & (places.frame < start + 64))
    some = places.rows(rows)
    block = Places(some.frame - start, some.x_px, some.y_px)
    measure(pixels[start : start + 64], block, SIGMA_NM / PIXEL_NM, Noise())


def main() -> None:
    asked, catalog = arguments(), Catalog()
    torch.set_num_threads(1)
    print(f"{asked.model}, {asked.frames} frames of {asked.size} px, upsampling {asked.upsampling}, one thread")
    print(
        f"{'emitters/frame':>14s}  {'found/true':>10s}  {'ms/frame':>8s}  {'more':>6s}  {'alone':>6s}"
        f"  {'emitters/s':>10s}"
    )
    rows = []
    for each in map(int, asked.emitters.split(",")):
        row = run(each, asked, catalog)
        rows.append(row)
        print(
            f"{each:14d}  {row['photons_over_true']:10.3f}  {row['ms_per_frame']:8.1f}  {row['more_percent']:5.1f}%"
            f"  {row['alone_percent']:5.1f}%  {row['emitters_per_s']:10.0f}"
        )
    print(json.dumps({"model": asked.model, "size": asked.size, "upsampling": asked.upsampling, "rows": rows}))


if __name__ == "__main__":
    main()
