"""Inference: a plain eager fp32 loop over TIFF files against the engine, per runtime and number format.

One process, rounds in random order, medians, the same network and the same files on both sides. The plain loop does
what a script would do: read one file, make a tensor, run the network as it was built, read out, add to the sum. The
engine reads ahead, folds batch normalisation, takes blocks and, where asked, another runtime. Both sides share the
process's allocator settings, so what those gain is in no ratio.

    python benchmarks/inference.py                                          untrained networks: times alone
    python benchmarks/inference.py --store mlruns --study number-formats     trained ones, with accuracy and gate
    python benchmarks/inference.py --quick                                  two minutes: does all of it run here?

Columns: `x plain` is the plain loop's time over the row's, the median over rounds of both in one round. `gate` is that
of PROTOCOL 5 as the study's timing phase stored it for the trained network (efficiency on its test frames, in points);
NMSE against fp32 is no gate. `seed wiring` rows are another network (as DL4SMLM connects it) on the same frames: their
gain stands in a column of its own, `x wiring`, with the efficiency of both beside where --wiring-study names a study.

The last line is one JSON object; a number that this run cannot know is null.
"""

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch

from smlmbench.data.contracts import ArrayFrames, Given, Statistics
from smlmbench.errors import SmlmBenchError
from smlmbench.export import onnx
from smlmbench.export.graph import Graph, plain
from smlmbench.formats import open_movie
from smlmbench.inference.allocator import keep_buffers
from smlmbench.inference.checkpoint import build_network, halo_of, load_trained
from smlmbench.inference.engine import ReadOut, frame_multiple, frames_per_batch, predict, stream
from smlmbench.inference.loading import load
from smlmbench.inference.running import prepare, takes_range, why_not
from smlmbench.movies import calibrated
from smlmbench.registry import Catalog
from smlmbench.run.timing.gated import Verdict, judged, verdict
from smlmbench.timing import BUSY, used_by_others

CPU = torch.device("cpu")
LEVEL = Statistics(mean=12.0, std=10.0, low=2.0, high=120.0)
PLAIN, SAME, ALONE, WIRING = "plain loop", "plain loop again", "network alone, eager fp32", "seed wiring, eager fp32"
SINGLE = "eager fp32"
HEADLINE = ("deep_storm", 128)
# What takes long to prepare is prepared, in fp32, for these alone.
SLOW = {"compiled": ("deep_storm",), "executorch": ("deep_storm", "fid_storm")}
READS_ONNX = ("onnxruntime", "openvino")
SOON_S = 0.5
LINEAR_PX = (512, 1024, 2048, 4096)
Call = Callable[..., torch.Tensor]


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="deep_storm,fid_storm,srcnn,u_storm,skip_storm,drl_storm")
    parser.add_argument("--sizes", default="128,64")
    parser.add_argument("--large", default="fid_storm,deep_storm", help="models that are also run at 256 px")
    parser.add_argument("--frames", type=int, default=5, help="in each round")
    parser.add_argument("--rounds", type=int, default=4, help="of the headline and of 256 px; 3 at most for the others")
    parser.add_argument("--upsampling", type=int, default=4)
    parser.add_argument("--runtimes", default="eager,compiled,onnxruntime,openvino,executorch")
    parser.add_argument("--formats", default="fp32,bf16,int8")
    parser.add_argument("--store", help="with trained networks and their gate")
    parser.add_argument("--study", default="number-formats", help="whose networks are taken")
    parser.add_argument("--wiring-study", default="seed-against-published", help="efficiency of both wirings")
    parser.add_argument("--minutes", type=float, default=7.0, help="begin no further case after this; 0 for no end")
    parser.add_argument("--quick", action="store_true", help="two networks, few frames, two runtimes")
    parser.add_argument("--tiny", action="store_true", help="smallest networks, to try the script")
    asked = parser.parse_args(words)
    if asked.quick:
        asked.models, asked.large, asked.sizes, asked.frames = "deep_storm,fid_storm", "", "128", 2
        asked.rounds, asked.runtimes, asked.formats = 2, "eager,openvino", "fp32,int8"
    return asked


@dataclass
class Net:
    """One network, trained or not, with its callables by `runtime format`."""

    name: str
    network: torch.nn.Module
    settings: dict[str, Any]
    read_out: ReadOut
    gates: dict[str, Verdict] = field(default_factory=dict)
    record: Any = None
    calls: dict[str, Call] = field(default_factory=dict)
    seed: tuple[Call, ReadOut] | None = None
    scratch: Any = field(default_factory=tempfile.TemporaryDirectory)
    onnx: Path | None = None


def network_of(name: str, asked: argparse.Namespace, catalog: Catalog, given: dict[str, Any]) -> Net:
    """An untrained network with its read-out; all settings are the card's unless given."""
    card = catalog.card("models", name)
    settings = card.fill(name, {**(card.tiny if asked.tiny else {}), **given})
    torch.manual_seed(0)
    network = build_network(catalog, name, settings, Given(1, asked.upsampling, 100.0, LEVEL)).eval()
    for weight in network.parameters():
        if float(weight.detach().abs().max()) == 0:  # an answer of zeros would cost no read-out
            torch.nn.init.normal_(weight, std=0.02)
    output = catalog.card("outputs", "raster").fill("raster", {"upsampling": asked.upsampling})
    read_out = ReadOut(
        output=catalog.module("outputs", "raster"),
        settings={**output, "pixel_size_nm": 100.0},
        threshold=0.3,
        multiple_px=frame_multiple(card.under(settings).facts, asked.upsampling),
        halo_px=halo_of(catalog, name, settings, asked.upsampling, network),
    )
    return Net(name, network, dict(settings), read_out)


def rows_of(asked: argparse.Namespace, study: str) -> list[Any]:
    """The trainings of a study; none without a store, or where it does not hold the study."""
    from smlmbench.tracking.records import list_studies, read_study
    from smlmbench.tracking.store import open_store

    store = open_store(asked.store, create=False) if asked.store else None
    return [] if store is None or study not in list_studies(store) else read_study(store, study).rows("cell")


def trained_of(name: str, asked: argparse.Namespace, catalog: Catalog) -> Net | None:
    """The study's network of a name with what its timing phase found out; None where there is none that fits."""
    rows = rows_of(asked, asked.study)
    wanted = {"model": name, "upsampling": str(asked.upsampling), "model.variant": "published"}
    fitting = [row for row in rows if row.status == "done" and row.artifact("best.pt") is not None]
    fitting = [row for row in fitting if all(row.params.get(key, value) == value for key, value in wanted.items())]
    if not fitting:
        return None
    # The gate is measured on the pick of each model; without one the best on validation stands in.
    record = max(fitting, key=lambda row: (len(judged(row)), row.metrics.get("val/efficiency", -math.inf)))
    trained = load_trained(record.artifact("best.pt"), catalog)
    settings = dict(trained.facts["model"]["settings"])
    # As it was built: the plain loop runs what a script would have.
    return Net(name, plain(trained.network), settings, trained.read_out(), judged(record), record)


def prepare_all(net: Net, asked: argparse.Namespace, catalog: Catalog) -> None:
    """Every runtime and format that runs here, once; what does not run is named with its reason."""
    multiple = net.read_out.multiple_px
    example = torch.full((1, 1, 64 + -64 % multiple, 64 + -64 % multiple), LEVEL.mean)
    noise = [torch.poisson(torch.full((8, *example.shape[1:]), LEVEL.mean))]
    for runtime, number_format in [(r, f) for r in asked.runtimes.split(",") for f in asked.formats.split(",")]:
        label, began = f"{runtime} {number_format}", time.perf_counter()
        if runtime in SLOW and (net.name not in SLOW[runtime] or number_format != "fp32"):
            continue
        reason = why_not(catalog, runtime, CPU, number_format)
        if reason:
            if net.name == asked.models.split(",")[0]:
                print(f"  {label}: not run: {reason}")
            continue
        try:
            net.calls[label] = _made(net, runtime, number_format, example, noise, catalog)
            net.calls[label](example)
        except (SmlmBenchError, RuntimeError, ValueError, OSError) as error:
            net.calls.pop(label, None)
            print(f"  {net.name} {label}: not run: {(str(error).splitlines() or [type(error).__name__])[0]}")
            continue
        print(f"  {net.name} {label}: prepared in {time.perf_counter() - began:.1f} s")
    if net.settings.get("variant") == "published":
        try:
            other = network_of(net.name, asked, catalog, {"variant": "seed"})
            net.seed = (prepare(catalog, "eager", other.network, example), other.read_out)
        except SmlmBenchError as error:  # some widths have no meaning there
            print(f"  {net.name} {WIRING}: not run: {error}")


def _made(
    net: Net, runtime: str, number_format: str, example: torch.Tensor, noise: list[torch.Tensor], catalog: Catalog
) -> Call:
    from smlmbench.run.timing.reduced import file_of

    path = file_of(net.record, runtime, number_format) if net.record is not None else None
    if path is not None:  # calibrated on training frames, and the very file that passed the gate
        return load(path, catalog, CPU, runtime, number_format).network
    module = catalog.module("runtimes", runtime)
    if runtime in READS_ONNX and number_format != "int8":  # one translation for all of them
        if net.onnx is None:
            net.onnx = Path(net.scratch.name) / "model.onnx"
            onnx.save(Graph(plain(net.network), 1, net.read_out.upsampling, net.read_out.multiple_px, {}), net.onnx)
        made: Call = module.load(net.onnx, CPU, number_format)
        return made
    return prepare(catalog, runtime, net.network, example, number_format, noise)


class Case:
    """One network at one frame size: the plain loop, and the engine by every runtime, over the same files."""

    def __init__(self, net: Net, size: int, count: int, folder: Path, catalog: Catalog) -> None:
        self.net, self.size, self.count = net, size, count
        drawn = np.random.default_rng(0).poisson(12, (count, size, size)).astype(np.uint16)
        drawn[:, 5::16, 7::16] += 300
        self.paths = [folder / f"{number:05d}.tif" for number in range(count)]
        for path, frame in zip(self.paths, drawn, strict=True):
            tifffile.imwrite(path, frame)
        self.movie = open_movie(folder, catalog=catalog)
        frames = torch.from_numpy(drawn.astype(np.float32))[:, None]
        down = -size % net.read_out.multiple_px
        frames = torch.nn.functional.pad(frames, (0, down, 0, down), mode="replicate")
        self.padding = down
        self.blocks = torch.split(frames, frames_per_batch(size + down, size + down, net.read_out.upsampling))
        self.catalog = catalog

    def plain(self) -> None:
        """What a script does with a folder of files."""
        read_out, total, pad = self.net.read_out, None, self.padding
        side = self.size * read_out.upsampling
        with torch.no_grad():
            for path in self.paths:
                frame = torch.from_numpy(tifffile.imread(path).astype(np.float32))[None, None]
                if pad:
                    frame = torch.nn.functional.pad(frame, (0, pad, 0, pad), mode="replicate")
                raw = self.net.network(frame)[..., :side, :side]
                read_out.output.decode(raw, read_out.settings, read_out.threshold)
                image = read_out.output.image(raw, read_out.settings)[0]
                total = image if total is None else total + image

    def engine(self, call: Call, read_out: ReadOut, runtime: str) -> Callable[[], object]:
        """The whole way of the same files through the engine."""
        largest = self.catalog.card("runtimes", runtime).facts.get("max_px")
        shown = replace(read_out, largest_px=largest)
        if shown.frame_range and not takes_range(self.catalog, runtime):
            shown = replace(shown, halo_px=None, frame_range=False)
        return lambda: predict(calibrated(self.movie, None), call, shown, device=CPU)

    def alone(self) -> None:
        """The same network in the engine's blocks on frames in memory, and nothing else."""
        for block in self.blocks:
            self.net.calls[SINGLE](block)

    def everything(self, *, every: bool, wiring: bool) -> dict[str, Callable[[], object]]:
        """What is timed, by label; only with `every` the plain loop against itself and the network alone."""
        found: dict[str, Callable[[], object]] = {PLAIN: self.plain, **({SAME: self.plain} if every else {})}
        if SINGLE in self.net.calls and every:
            found[ALONE] = self.alone
        for label, call in self.net.calls.items():
            found[label] = self.engine(call, self.net.read_out, label.split()[0])
        if wiring and self.net.seed is not None:
            found[WIRING] = self.engine(*self.net.seed, "eager")
        return found


def timed(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each in every round; the order is drawn anew for each, so that none always follows the same.

    What is over soon runs once untimed before its turn: threads of the one before still spin, its data fill the caches.
    """
    seen: dict[str, list[float]] = {label: [] for label in calls}
    soon = {}
    for label, call in calls.items():
        began = time.perf_counter()
        call()
        soon[label] = time.perf_counter() - began < SOON_S
    draws = np.random.default_rng(0)
    for _ in range(rounds):
        for label in draws.permutation(list(calls)):
            if soon[str(label)]:
                calls[str(label)]()
            began = time.perf_counter()
            calls[str(label)]()
            seen[str(label)].append(time.perf_counter() - began)
    return seen


def ratio(found: dict[str, list[float]], over: str, under: str) -> float:
    """Median over the rounds of one's seconds over another's in the same round."""
    if over not in found or under not in found:
        return math.nan
    return statistics.median(a / b for a, b in zip(found[over], found[under], strict=True))


def show(net: Net, size: int, count: int, found: dict[str, list[float]], wirings: dict[str, str]) -> None:
    """The lines of one case."""
    for label, seconds in found.items():
        gain = "" if label in (PLAIN, WIRING) else f"{ratio(found, PLAIN, label):7.2f}"
        wired = f"{ratio(found, SINGLE, label):7.2f}" if label == WIRING else ""
        beside = wirings.get(net.name, "efficiency of both: unknown") if label == WIRING else ""
        told = verdict(net.gates, label) if label in net.calls and net.record is not None else None
        beside = told.text if told is not None else beside
        if label in net.calls and net.record is None:
            beside = "untrained" if label.endswith("fp32") else "untrained: no gate"
        ms = 1e3 * statistics.median(seconds) / count
        print(f"{net.name:11s} {size:4d} px  {label:27s} {ms:9.2f}  {gain:>7s}  {wired:>7s}   {beside}")


def summary(net: Net, found: dict[str, list[float]], *, counts: bool) -> dict[str, float | None]:
    """The numbers of the last line; null where this was not the case that they are of (A against A always counts)."""
    gains = {label: ratio(found, PLAIN, label) for label in net.calls}
    single = [gain for label, gain in gains.items() if label.endswith("fp32")]
    gated = [gain for label, gain in gains.items() if verdict(net.gates, label).passed] if net.record else []
    numbers = {
        "deep_storm_128_fp32_ratio": max(single, default=math.nan),
        "deep_storm_128_best_gated_ratio": max(gated, default=math.nan),
        "end_to_end_over_network": ratio(found, SINGLE, ALONE),
        "a_over_a": ratio(found, PLAIN, SAME),
    }
    shown = {name: value for name, value in numbers.items() if math.isfinite(value) and (counts or name == "a_over_a")}
    return {name: round(shown[name], 3) if name in shown else None for name in numbers}


def wiring_scores(asked: argparse.Namespace) -> dict[str, str]:
    """Efficiency as published and as the seed wires it, by model, from a study of both."""
    best: dict[str, dict[str, float]] = {}
    for row in rows_of(asked, asked.wiring_study):
        score = row.metrics.get("test/efficiency", math.nan)
        if row.status == "done" and math.isfinite(score) and row.params.get("loss.kernel", "unit") == "unit":
            both = best.setdefault(row.params["model"], {})
            variant = row.params.get("model.variant", "published")
            both[variant] = max(score, both.get(variant, -math.inf))
    text = "efficiency {seed:.1f} seed, {published:.1f} published"
    return {name: text.format(**both) for name, both in best.items() if {"seed", "published"} <= set(both)}


def linear(asked: argparse.Namespace, catalog: Catalog) -> float | None:
    """Seconds per pixel of one network over frames of growing size, in tiles: largest over smallest."""
    sizes = LINEAR_PX[:2] if asked.quick or asked.tiny else LINEAR_PX
    small = argparse.Namespace(**{**vars(asked), "tiny": False, "upsampling": 2})
    net = network_of("fid_storm", small, catalog, {"blocks": 1, "width": 0.25})
    call = prepare(catalog, "eager", net.network, torch.full((1, 1, 64, 64), LEVEL.mean))
    read_out = replace(net.read_out, keep_image=False)
    per_px: list[float] = []
    print("fid_storm, 1 block of quarter width, upsampling 2, through the engine in tiles:")
    for size in sizes:
        drawn = np.random.default_rng(0).poisson(12, (1, size, size)).astype(np.float32)
        drawn[:, 5::16, 7::16] += 300
        took = []
        for _ in range(2 if size == max(LINEAR_PX) else 3):
            began = time.perf_counter()
            for _piece in stream(ArrayFrames(drawn), call, read_out, device=CPU):
                pass
            took.append(time.perf_counter() - began)
        per_px.append(min(took) / size**2)
        print(f"  {size:5d} px  {min(took):8.2f} s  {1e9 * per_px[-1]:8.1f} ns per pixel")
    return round(per_px[-1] / per_px[0], 3)


def cases(asked: argparse.Namespace) -> Iterator[tuple[str, int]]:
    """The headline first, then the large frames, then every network."""
    sizes, names = [int(size) for size in asked.sizes.split(",")], asked.models.split(",")
    wanted = [(name, 256) for name in asked.large.split(",") if name and not asked.tiny]
    wanted += [(name, size) for name in names for size in sizes]
    yield from sorted(wanted, key=lambda case: case != HEADLINE)


def run(asked: argparse.Namespace, catalog: Catalog, began: float) -> dict[str, Any]:
    """Every case; returns what the last line says of them."""
    nets: dict[str, Net] = {}
    wirings = wiring_scores(asked)
    headline: dict[str, float | None] = {}
    rows, left = 0, []
    for name, size in cases(asked):
        if asked.minutes and time.perf_counter() - began > 60 * asked.minutes:
            left.append(f"{name} {size} px")
            continue
        if name not in nets:
            nets[name] = trained_of(name, asked, catalog) or network_of(name, asked, catalog, {})
            prepare_all(nets[name], asked, catalog)
            print(f"{'model':11s} {'frame':7s}  {'what':27s} {'ms/frame':>9s}  {'x plain':>7s}  x wiring  gate")
        first = (name, size) == HEADLINE
        with tempfile.TemporaryDirectory() as folder:
            case = Case(nets[name], size, asked.frames, Path(folder), catalog)
            rounds = asked.rounds if first or size == 256 else min(3, asked.rounds)
            found = timed(case.everything(every=first or len(nets) == 1, wiring=size < 256), rounds)
            case.movie.close()
        show(nets[name], size, asked.frames, found, wirings)
        rows += len(found)
        if first or not headline:
            headline = summary(nets[name], found, counts=first and not asked.tiny)
    if left:
        print(f"not run, the {asked.minutes:g} minutes were over (--minutes 0 runs all): {', '.join(left)}")
    trained = sorted(name for name, net in nets.items() if net.record is not None)
    gated = "by the timings of the study" if trained else "no trained network given: nothing is gated"
    return {**headline, "gated": gated, "trained": trained, "rows": rows, "left": left}


def main() -> None:
    asked, catalog, began = arguments(), Catalog(), time.perf_counter()
    keep_buffers()
    others = used_by_others()
    print(f"{torch.get_num_threads()} threads, {asked.frames} frames in a round, upsampling {asked.upsampling}")
    if others > BUSY:
        print(f"other programs use {100 * others:.0f} % of the processor: these are not the ratios of an idle one")
    said = run(asked, catalog, began)
    large = {"seconds_per_pixel_4096_over_512": linear(asked, catalog)}
    print(json.dumps({**said, **large, "others": round(others, 2), "seconds": round(time.perf_counter() - began, 1)}))


if __name__ == "__main__":
    main()
