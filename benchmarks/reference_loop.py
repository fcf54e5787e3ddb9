"""Deep-STORM by this package and by a plain script: seconds of a training step, and of files to a summed image.

python benchmarks/reference_loop.py [--rounds 5] [--frames 32] [--size 64] [--upsampling 8]

Both sides have the same weights and see the same numbers; their losses and summed images are compared. They take turns
in one process, round after round. The plain side is what published scripts do: float32, the default memory layout and
allocator, patches and heatmaps ready in memory, one file and one frame after the other. The allocator's thresholds
belong to the process: before a plain round they are set to what glibc itself settles on in a process that frees large
maps (32 and 64 MiB) and free memory is returned; `--alone plain|ours` times one side in a process of its own, where
nothing was ever set, to check that. Other programs on the processor disturb both sides alike: read the ratios.

The two losses differ by about 1e-4 where both are float32: torch's batch normalisation of channels-last maps sums
their variance less exactly than that of plain ones.

Prints a table; the last line is one JSON object with `step_ratio` and `predict_ratio` (plain / ours, above 1 is
faster), both of medians over rounds, and `..._seed_over_published` (the seed package's wiring by the published one,
both ours). `step_ratio` is of our training in `number_format`, `step_fp32_ratio` of float32 on both sides, as
`predict_ratio` is; `predict_bf16_ratio` is of our bf16.
"""

import argparse
import ctypes
import json
import math
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from torch import nn
from torch.nn import functional

from smlmbench.data.contracts import Batch, Given, Statistics
from smlmbench.formats import open_movie
from smlmbench.inference import allocator
from smlmbench.inference.engine import ReadOut, predict
from smlmbench.inference.probe import training_format
from smlmbench.inference.runtimes import eager
from smlmbench.movies import calibrated
from smlmbench.outputs import raster
from smlmbench.registry import Catalog
from smlmbench.study.schema import Training
from smlmbench.training import Validation, fit
from smlmbench.truths.emitters import Sampled

CPU = torch.device("cpu")
GLIBC_MMAP_BYTES, GLIBC_TRIM_BYTES = 2**25, 2**26
PIXEL_NM, AMPLITUDE, LAMBDA = 100.0, 100.0, 200.0
LONG = 10**9  # samples of a training for which the probe of its number format is worth it
LEARNING_RATE = 1e-5  # so small that both sides stay at the same weights
STATISTICS = Statistics(mean=118.0, std=24.0, low=85.0, high=330.0)


class PlainDeepStorm(nn.Module):
    """The published layers in their published order, on patches that are normalised and enlarged already."""

    def __init__(self, width: float) -> None:
        super().__init__()
        widths = [max(1, round(channels * width)) for channels in (32, 64, 128, 512, 128, 64, 32)]
        pairs = zip([1, *widths[:-1]], widths, strict=True)
        self.convolutions = nn.ModuleList([nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in pairs])
        self.norms = nn.ModuleList([nn.BatchNorm2d(b, eps=1e-3, momentum=0.01) for b in widths])
        self.head = nn.Conv2d(widths[-1], 1, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) to the same shape."""
        for number, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            if number > 3:
                x = functional.interpolate(x, scale_factor=2, mode="nearest")
            x = functional.relu(norm(convolution(x)))
            if number < 3:
                x = functional.max_pool2d(x, 2)
        return self.head(x)

    def take(self, network: nn.Module) -> None:
        """Take the weights and statistics of ours, layer by layer in order."""
        kinds = (nn.Conv2d, nn.BatchNorm2d)
        theirs = [part for part in network.modules() if isinstance(part, kinds)]
        for kind in kinds:
            mine = [part for part in self.modules() if isinstance(part, kind)]
            for target, source in zip(mine, (part for part in theirs if isinstance(part, kind)), strict=True):
                target.load_state_dict(source.state_dict())


@dataclass
class Times:
    """Seconds of each round, by side."""

    seen: dict[str, list[float]] = field(default_factory=dict)

    def add(self, side: str, seconds: float) -> None:
        """Keep the seconds of a round."""
        self.seen.setdefault(side, []).append(seconds)

    def median(self, side: str) -> float:
        """Over rounds."""
        return statistics.median(self.seen[side])


def set_allocator(ours: bool) -> None:
    """Switch glibc between our thresholds and its own (see above); nothing on other systems."""
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL("libc.so.6")
    mapped, trimmed = (
        (allocator.KEPT_BYTES, 2 * allocator.KEPT_BYTES - 1) if ours else (GLIBC_MMAP_BYTES, GLIBC_TRIM_BYTES)
    )
    libc.mallopt(allocator.M_MMAP_THRESHOLD, mapped)
    libc.mallopt(allocator.M_TRIM_THRESHOLD, trimmed)
    if not ours:
        libc.malloc_trim(0)


class Patches:
    """Emitters and frames drawn once; as a stream for ours, normalised, enlarged and blurred for the plain side."""

    def __init__(self, batch: int, side_px: int, upsampling: int) -> None:
        generator = torch.Generator().manual_seed(1)
        each = max(1, round(side_px**2 * PIXEL_NM**2 * 1e-6))
        sample = torch.arange(batch).repeat_interleave(each)
        places = [torch.rand(len(sample), generator=generator) * side_px * PIXEL_NM for _ in range(2)]
        frames = 100 + 10 * torch.rand(batch, 1, side_px, side_px, generator=generator)
        for at, x, y in zip(sample, *places, strict=True):
            frames[at, 0, int(y // PIXEL_NM), int(x // PIXEL_NM)] += 200
        unknown = torch.full((len(sample),), torch.nan)
        self.samples = Batch(frames, Sampled(sample, places[0], places[1], unknown, unknown, PIXEL_NM))
        self.output = {"upsampling": upsampling, "amplitude": AMPLITUDE, "label_rule": "floor", "collisions": "sum"}

    def batch(self, first: int, count: int) -> Batch:
        """The same samples every time."""
        del first, count
        return self.samples

    def plain(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Patches and heatmaps as a published script keeps them on disk."""
        frames = self.samples.inputs.numpy()[:, 0]
        patches = torch.stack([plain_frame(frame, self.output["upsampling"])[0] for frame in frames])
        return patches, functional.conv2d(raster.targets(self.samples, self.output)["spikes"], gaussian(), padding=3)


def gaussian() -> torch.Tensor:
    """The 7 x 7 kernel of Deep-STORM's loss, of unit sum."""
    profile = torch.exp(-0.5 * torch.arange(-3.0, 4.0) ** 2)
    return (torch.outer(profile, profile) / profile.sum() ** 2)[None, None]


def plain_frame(frame: np.ndarray, upsampling: int) -> torch.Tensor:
    """One frame as published scripts prepare it: min-max, z-score, enlarged; (1, 1, U*H, U*W)."""
    frame = frame.astype(np.float32)
    frame = (frame - frame.min()) / (frame.max() - frame.min())
    span = STATISTICS.high - STATISTICS.low
    frame = (frame - (STATISTICS.mean - STATISTICS.low) / span) / (STATISTICS.std / span)
    return torch.from_numpy(frame.repeat(upsampling, axis=0).repeat(upsampling, axis=1))[None, None]


class Plain:
    """The plain script."""

    def __init__(self, network: nn.Module, width: float, patches: Patches) -> None:
        self.upsampling = int(patches.output["upsampling"])
        self.network = PlainDeepStorm(width)
        self.network.take(network)
        self.patches, self.heatmaps = patches.plain()
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=LEARNING_RATE)
        self.losses: list[float] = []

    def train(self, steps: int) -> float:
        """Seconds of a step."""
        self.network.train()
        kernel, began = gaussian(), time.perf_counter()
        for _ in range(steps):
            self.optimiser.zero_grad()
            raw = self.network(self.patches)
            fidelity = functional.mse_loss(functional.conv2d(raw, kernel, padding=3), self.heatmaps)
            loss = 0.5 * LAMBDA / AMPLITUDE * fidelity + raw.abs().mean()
            loss.backward()
            self.optimiser.step()
            self.losses.append(loss.item())
        return (time.perf_counter() - began) / steps

    def predict(self, folder: Path) -> tuple[float, np.ndarray]:
        """Seconds, and the summed image."""
        self.network.eval()
        began, total = time.perf_counter(), None
        with torch.no_grad():
            for path in sorted(folder.iterdir()):
                image = functional.relu(self.network(plain_frame(tifffile.imread(path), self.upsampling)))[0, 0].numpy()
                total = image if total is None else total + image
        if total is None:
            raise SystemExit(f"no frames in {folder}")
        return time.perf_counter() - began, total / AMPLITUDE


class Ours:
    """The same by this package: `fit` with the supervised recipe, and the streaming engine."""

    def __init__(self, network: nn.Module, patches: Patches, catalog: Catalog, number_format: str) -> None:
        self.catalog, self.patches = catalog, patches
        self.network = allocator.place(network, CPU)
        self.settings = {**catalog.card("outputs", "raster").fill("raster", patches.output), "pixel_size_nm": PIXEL_NM}
        loss = catalog.module("losses", "l1l2").build({"weight": LAMBDA, "kernel": "unit"}, self.settings)
        recipes = catalog.module("recipes", "supervised")
        self.recipe = recipes.build(self.network, loss, lambda batch: raster.targets(batch, self.settings), CPU, {})
        self.losses: list[float] = []
        asked = Training(samples=LONG, batch_size=len(patches.samples.inputs), number_format=number_format)
        self.resolved = training_format(self.recipe, lambda count: patches.batch(0, count), asked, CPU)

    def train(self, steps: int, number_format: str = "") -> float:
        """Seconds of a step, in the format that was asked for or measured unless another is given."""
        batch = len(self.patches.samples.inputs)
        settings = Training(
            samples=steps * batch, batch_size=batch, lr=LEARNING_RATE, schedule="constant", clip=None, validations=1,
            number_format=number_format or self.resolved.number_format,
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as scratch:
            progress = fit(
                self.recipe,
                self.patches,
                settings,
                lambda: Validation(0.0, 1.0, {}),
                lambda _, numbers: self.losses.append(numbers["train/loss"]),
                folder=Path(scratch),
                device=CPU,
            )
        return progress.train_s / steps

    def predict(self, folder: Path, *, table: bool = False, bf16: bool = False) -> tuple[float, np.ndarray]:
        """Seconds, and the summed image; with `table` detections are read out too."""
        self.network.eval()
        began = time.perf_counter()
        movie = open_movie(folder, catalog=self.catalog)
        read_out = ReadOut(raster, self.settings, 0.5, keep_table=table)
        frames = calibrated(movie, None)
        network: Any = self.network
        if bf16:
            network = eager.prepare(network, torch.zeros(1, 1, frames.height, frames.width), "bf16")
        prediction = predict(frames, network, read_out, device=CPU)
        movie.close()
        if prediction.image is None:
            raise SystemExit("no summed image")
        return time.perf_counter() - began, prediction.image.values[0]


def write_frames(folder: Path, frames: int, size_px: int) -> None:
    draws = np.random.default_rng(2)
    for number in range(frames):
        frame = 100 + draws.poisson(10, (size_px, size_px))
        frame[tuple(draws.integers(0, size_px, (2, size_px)))] += 200
        tifffile.imwrite(folder / f"{number + 1:05d}.tif", frame.astype(np.uint16))


def build(catalog: Catalog, asked: argparse.Namespace, variant: str) -> nn.Module:
    """Deep-STORM with the published or the seed package's wiring."""
    wanted: dict[str, Any] = {"width": asked.width, "normalisation": "frame_minmax_zscore"}
    wanted |= {"zero_last": False} if variant == "published" else {"variant": variant}
    torch.manual_seed(0)
    settings = catalog.card("models", "deep_storm").fill("deep_storm", wanted)
    network: nn.Module = catalog.module("models", "deep_storm").build(
        settings, Given(1, asked.upsampling, PIXEL_NM, STATISTICS)
    )
    return network


def rounds(asked: argparse.Namespace, sides: dict[str, Any], folder: Path) -> tuple[Times, dict[str, np.ndarray]]:
    """Let the sides take turns; the first round warms up and is not counted."""
    times, images = Times(), {}
    for number in range(asked.rounds + 1):
        for name, side in sides.items() if number % 2 else reversed(sides.items()):
            if asked.alone is None:
                set_allocator(ours=name != "plain")
            elif name != "plain":
                allocator.keep_buffers()
            step_s = side.train(asked.steps)
            predict_s, images[name] = side.predict(folder)
            if number:
                times.add(f"{name} step", step_s)
                times.add(f"{name} predict", predict_s)
                if name == "ours":
                    times.add("fp32 step", side.train(asked.steps, "fp32"))
                    times.add("table predict", side.predict(folder, table=True)[0])
                    times.add("bf16 predict", side.predict(folder, bf16=True)[0] if asked.bf16 else math.nan)
            print(
                f"round {number}/{asked.rounds} {name}: step {step_s:.3f} s, movie {predict_s:.3f} s", file=sys.stderr
            )
    return times, images


def compare(plain: Plain, ours: Ours, folder: Path, *, bf16: bool) -> dict[str, float]:
    """Loss of the first step at equal weights, and the summed image after it at equal weights again."""
    plain.train(1)
    ours.train(1)
    plain.network.take(ours.network)
    expected, got = plain.predict(folder)[1], ours.predict(folder)[1]
    largest, power = float(np.abs(got - expected).max()), float(np.square(expected).sum())
    half = {}
    if bf16:
        half["image_nmse_of_bf16"] = float(np.square(ours.predict(folder, bf16=True)[1] - expected).sum() / power)
    return half | {
        "loss_relative_difference": abs(ours.losses[0] / plain.losses[0] - 1),
        "image_max_difference": largest,
        "image_relative_difference": largest / float(np.abs(expected).max()),
    }


def show(times: Times, compared: dict[str, float], asked: argparse.Namespace) -> dict[str, Any]:
    print(f"\n{'':34s} {'plain s':>9s} {'ours s':>9s} {'ratio':>7s} {'of minima':>9s}   {'seed s':>9s} seed/published")
    result: dict[str, Any] = {}
    for what, label in (
        ("step", f"step, {asked.batch} crops of {asked.crop} px"),
        ("predict", f"{asked.frames} files of {asked.size} px, summed"),
    ):
        slow, fast = (times.seen[f"{side} {what}"] for side in ("plain", "ours"))
        ratio, of_minima = statistics.median(slow) / statistics.median(fast), min(slow) / min(fast)
        seed = statistics.median(times.seen[f"seed {what}"])
        against = seed / statistics.median(fast)
        medians = f"{statistics.median(slow):9.3f} {statistics.median(fast):9.3f}"
        print(f"{label:34s} {medians} {ratio:7.2f} {of_minima:9.2f}   {seed:9.3f} {against:9.2f}")
        result |= {f"{what}_ratio": round(ratio, 3), f"{what}_ratio_of_minima": round(of_minima, 3)}
        result[f"{what}_seed_over_published"] = round(against, 3)
    for side, label in (("table", "the same, with a table of spots"), ("bf16", "the same, ours in bf16")):
        seconds = times.median(f"{side} predict")
        if math.isnan(seconds):
            continue
        ratio = times.median("plain predict") / seconds
        print(f"{label:34s} {'':9s} {seconds:9.3f} {ratio:7.2f}")
        result[f"predict_{side}_ratio"] = round(ratio, 3)
    result["step_fp32_ratio"] = round(times.median("plain step") / times.median("fp32 step"), 3)
    print(f"{'a step, ours in fp32':34s} {'':9s} {times.median('fp32 step'):9.3f} {result['step_fp32_ratio']:7.2f}")
    print(", ".join(f"{name.replace('_', ' ')} {value:.2g}" for name, value in compared.items()))
    return result | compared


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2, help="training steps of a round")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--crop", type=int, default=26, help="camera pixels of a training crop; Deep-STORM's 208 / 8")
    parser.add_argument("--frames", type=int, default=32, help="files of one frame each")
    parser.add_argument("--size", type=int, default=64, help="camera pixels of a frame")
    parser.add_argument("--upsampling", type=int, default=8, choices=(2, 4, 8))
    parser.add_argument("--width", type=float, default=1.0, help="multiplies the channels")
    parser.add_argument("--number-format", default="auto", choices=("auto", "fp32", "bf16"), help="of our training")
    parser.add_argument("--bf16", action="store_true", help="also predict in bf16; always so where we train in it")
    parser.add_argument("--threads", type=int, help="threads of torch, on both sides")
    parser.add_argument("--alone", choices=("plain", "ours"), help="time this side only")
    return parser.parse_args()


def main() -> None:
    asked = parse()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    catalog = Catalog()
    patches = Patches(asked.batch, asked.crop, asked.upsampling)
    published, seed = build(catalog, asked, "published"), build(catalog, asked, "seed")
    amx = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()
    plain = Plain(published, asked.width, patches)
    if asked.alone != "plain":
        set_allocator(ours=True)
    ours = Ours(published, patches, catalog, "fp32" if asked.alone == "plain" else asked.number_format)
    used = ours.resolved.number_format
    asked.bf16 = asked.bf16 or used == "bf16"
    print(f"Deep-STORM, upsampling {asked.upsampling}, {torch.get_num_threads()} threads, AMX {'yes' if amx else 'no'}")
    print(f"ours trains in {used} ({ours.resolved.why or 'asked for'}) and predicts in fp32; plain does both in fp32")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_frames(folder, asked.frames, asked.size)
        if asked.alone:
            times, _ = rounds(asked, {asked.alone: {"plain": plain, "ours": ours}[asked.alone]}, folder)
            medians = {name.replace(" ", "_") + "_s": round(times.median(name), 4) for name in times.seen}
            medians = {name: seconds for name, seconds in medians.items() if not math.isnan(seconds)}
            print(json.dumps({"alone": asked.alone, "threads": torch.get_num_threads()} | medians))
            return
        compared = compare(plain, ours, folder, bf16=asked.bf16)
        sides = {"plain": plain, "ours": ours, "seed": Ours(seed, patches, catalog, used)}
        times, _ = rounds(asked, sides, folder)
    facts = {"threads": torch.get_num_threads(), "amx": amx, "number_format": used, "rounds": asked.rounds}
    print(json.dumps(show(times, compared, asked) | facts))


if __name__ == "__main__":
    main()
