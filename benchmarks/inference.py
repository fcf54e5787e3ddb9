"""Inference: a plain eager fp32 loop over TIFF files against the engine, per runtime and number format.

One process, interleaved rounds, medians, the same network on both sides, untrained. The plain loop does what a script
would do: read one file, make a tensor, run the network as it was built, read out, add to the sum. The engine reads
ahead, folds batch normalisation, takes blocks and, where asked, another runtime.

    python benchmarks/inference.py --sizes 64,128 --frames 20 --models deep_storm,fid_storm

Whether a reduced number format counts is decided by the quality gate on trained networks (`smlmbench time`); here its
time and its NMSE against fp32 are shown, and it counts as gated below an NMSE of 0.01.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
import torch

from smlmbench.data.contracts import Given, Statistics
from smlmbench.errors import SmlmBenchError
from smlmbench.formats import open_movie
from smlmbench.inference.allocator import keep_buffers
from smlmbench.inference.checkpoint import build_network, halo_of
from smlmbench.inference.engine import ReadOut, frame_multiple, predict
from smlmbench.inference.folding import folded
from smlmbench.inference.running import prepare, why_not
from smlmbench.movies import calibrated
from smlmbench.registry import Catalog

CPU = torch.device("cpu")
LEVEL = Statistics(mean=12.0, std=10.0, low=2.0, high=120.0)
PLAIN, ENGINE, NETWORK = "plain loop", "engine", "network"
MOST_NMSE = 0.01
HEADLINE = ("deep_storm", 128)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="srcnn,deep_storm,skip_storm,u_storm,drl_storm,fid_storm")
    parser.add_argument("--sizes", default="64,128")
    parser.add_argument("--large", default="fid_storm,deep_storm", help="models that are also run at 256 px")
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--upsampling", type=int, default=4)
    parser.add_argument("--runtimes", default="eager,compiled,onnxruntime,openvino,executorch")
    parser.add_argument("--formats", default="fp32,bf16,int8")
    parser.add_argument("--tiny", action="store_true", help="smallest networks, to try the script")
    return parser.parse_args()


def write_files(folder: Path, frames: np.ndarray) -> list[Path]:
    """One TIFF file per frame for the plain loop, and a stack for the engine."""
    paths = []
    for number, frame in enumerate(frames):
        paths.append(folder / f"{number:05d}.tif")
        tifffile.imwrite(paths[-1], frame)
    tifffile.imwrite(folder / "stack.tiff", frames, photometric="minisblack")
    return paths


class Case:
    """One network at one size: the plain loop, and the engine by every runtime."""

    def __init__(self, asked: argparse.Namespace, catalog: Catalog, name: str, size: int, folder: Path) -> None:
        self.name, self.size = name, size
        card = catalog.card("models", name)
        settings = card.fill(name, card.tiny if asked.tiny else {})
        given = Given(1, asked.upsampling, 100.0, LEVEL)
        torch.manual_seed(0)
        self.network = build_network(catalog, name, settings, given).eval()
        for weight in self.network.parameters():
            if float(weight.detach().abs().max()) == 0:  # an answer of zeros would cost no read-out
                torch.nn.init.normal_(weight, std=0.02)
        output = catalog.card("outputs", "raster").fill("raster", {"upsampling": asked.upsampling})
        self.multiple = frame_multiple(card.under(settings).facts, asked.upsampling)
        self.read_out = ReadOut(
            output=catalog.module("outputs", "raster"),
            settings={**output, "pixel_size_nm": 100.0},
            threshold=0.3,
            multiple_px=self.multiple,
            halo_px=halo_of(catalog, name, settings, asked.upsampling),
        )
        drawn = np.random.default_rng(0).poisson(12, (asked.frames, size, size)).astype(np.uint16)
        drawn[:, 5::16, 7::16] += 300
        self.paths = write_files(folder, drawn)
        self.movie = open_movie(folder / "stack.tiff", catalog=catalog)
        self.frames = torch.from_numpy(drawn.astype(np.float32))[:, None]
        side = size + -size % self.multiple
        self.example = torch.full((1, 1, side, side), LEVEL.mean)

    def plain(self) -> None:
        """What a script does with a folder of files."""
        read_out, total = self.read_out, None
        with torch.no_grad():
            for path in self.paths:
                frame = torch.from_numpy(tifffile.imread(path).astype(np.float32))[None, None]
                raw = self.network(frame)
                read_out.output.decode(raw, read_out.settings, read_out.threshold)
                image = read_out.output.image(raw, read_out.settings)[0]
                total = image if total is None else total + image

    def engine(self, call: Callable[..., torch.Tensor]) -> Callable[[], object]:
        """The whole way of the same frames through the engine, read from one stack."""
        return lambda: predict(calibrated(self.movie, None), call, self.read_out, device=CPU)

    def alone(self, call: Callable[..., torch.Tensor]) -> Callable[[], object]:
        """The network on the same frames, one after the other, and nothing else."""
        return lambda: [call(frame[None]) for frame in self.frames]


def calls_of(case: Case, asked: argparse.Namespace, catalog: Catalog) -> tuple[dict[str, Callable[[], object]], dict]:
    """What is timed by label, and NMSE against fp32 by runtime and format."""
    calls: dict[str, Callable[[], object]] = {PLAIN: case.plain}
    calls[f"{NETWORK} plain"] = case.alone(torch.inference_mode()(case.network))
    nmse: dict[str, float] = {}
    with torch.no_grad():
        expected = case.network(case.frames[:2])
    for runtime in asked.runtimes.split(","):
        for number_format in asked.formats.split(","):
            label = f"{runtime} {number_format}"
            reason = why_not(catalog, runtime, CPU, number_format)
            if not reason:
                try:
                    noise = [case.frames[:8]]
                    call = prepare(catalog, runtime, case.network, case.example, number_format, noise)
                    answer = call(case.frames[:2])
                except (SmlmBenchError, RuntimeError) as error:
                    reason = str(error).splitlines()[0]
            if reason:
                print(f"  {label}: not run: {reason}")
                continue
            nmse[label] = float(((answer - expected) ** 2).sum() / (expected**2).sum())
            calls[f"{ENGINE} {label}"] = case.engine(call)
            if label == "eager fp32":
                calls[f"{NETWORK} {label}"] = case.alone(torch.inference_mode()(folded(case.network)))
    return calls, nmse


def timed(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each, interleaved, after one warm-up."""
    seen: dict[str, list[float]] = {label: [] for label in calls}
    for call in calls.values():
        call()
    for turn in range(rounds):
        for label in list(calls) if turn % 2 == 0 else list(calls)[::-1]:
            began = time.perf_counter()
            calls[label]()
            seen[label].append(time.perf_counter() - began)
    return {label: statistics.median(values) for label, values in seen.items()}


def main() -> None:
    asked, catalog = arguments(), Catalog()
    keep_buffers()
    sizes = [int(size) for size in asked.sizes.split(",")]
    wanted = [(name, size) for name in asked.models.split(",") for size in sizes]
    wanted += [(name, 256) for name in asked.large.split(",") if name and not asked.tiny]
    print(f"{torch.get_num_threads()} threads, {asked.frames} frames, upsampling {asked.upsampling}; ms per frame")
    rows, headline = [], {}
    for name, size in wanted:
        with tempfile.TemporaryDirectory() as folder:
            case = Case(asked, catalog, name, size, Path(folder))
            calls, nmse = calls_of(case, asked, catalog)
            calls["A against A"] = calls[PLAIN]
            found = timed(calls, asked.rounds)
            case.movie.close()
        for label, seconds in found.items():
            ratio, gap = found[PLAIN] / seconds, nmse.get(label.removeprefix(f"{ENGINE} "))
            shown = "" if gap is None or not label.startswith(ENGINE) else f"   NMSE {gap:.1e}"
            print(f"{name:11s} {size:4d} px  {label:28s} {1e3 * seconds / asked.frames:9.2f}  {ratio:6.2f} x{shown}")
            rows.append({"model": name, "size_px": size, "what": label, "ms": 1e3 * seconds / asked.frames})
        if (name, size) == HEADLINE or not headline:
            headline = summary(found, nmse)
    print(json.dumps({**headline, "rows": len(rows)}))


def summary(found: dict[str, float], nmse: dict[str, float]) -> dict[str, float]:
    """The numbers of the last line."""
    ratios = {label: found[PLAIN] / found[f"{ENGINE} {label}"] for label in nmse}
    single = [ratio for label, ratio in ratios.items() if label.endswith("fp32")]
    gated = [ratio for label, ratio in ratios.items() if nmse[label] <= MOST_NMSE]
    plain = found.get(f"{ENGINE} eager fp32", float("nan")) / found.get(f"{NETWORK} eager fp32", float("nan"))
    return {
        "deep_storm_128_fp32_ratio": round(max(single, default=float("nan")), 3),
        "deep_storm_128_best_gated_ratio": round(max(gated, default=float("nan")), 3),
        "end_to_end_over_network": round(plain, 3),
        "a_over_a": round(found[PLAIN] / found["A against A"], 3),
    }


if __name__ == "__main__":
    main()
