"""Peak resident memory of predicting the first frames of a huge movie, and of evaluating what was found; of a training.

python benchmarks/memory.py [--gigabytes 4.2] [--side 256] [--frames 20] [--model fid_storm]
python benchmarks/memory.py --whole [--kill-after 60]        every frame by a small network, killed once and continued
python benchmarks/memory.py --training [--batch 16] [--side 32] [--steps 4] [--model fid_storm] [--settings '{}']

Makes a BigTIFF of one page per frame and a contiguous ImageJ stack of that size, with noise and spots in the frames
that are read and nothing (no disk space either) in the others; then runs `smlmbench predict --frames` and
`smlmbench evaluate`, each in a process of its own, and asks the system for its peak.

Prints a table; the last line is one JSON object with `peak_mb`, the largest of all; with --whole also `resumed`, the
frames that the second command found done, and `frames`, those of the movie. With --training its parts: what Python
holds after its imports, what libraries add at their first use, the tensors of a step (`held_mb` of them between the
forward and the backward pass) and what malloc holds beyond them; only that of the tensors is the same at every run.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

PIXEL_NM, AMPLITUDE = 100.0, 100.0
SPOTS = 40
LIMIT_MB = 1000.0
STARTS_S = 120.0
START = "import sys; from smlmbench.cli import main; sys.exit(main())"
SMALL = {"blocks": 1, "width": 0.125}
CAMERA = "{kind: scmos, baseline_adu: 100, e_per_adu: 0.5, read_noise_e: 1.6}"


def sparse_movie(path: Path, kind: str, frames: int, filled: int, side_px: int) -> str:
    """Write a movie of which only the first frames take disk space, and return its truth as a table of ThunderSTORM.

    Args:
        path: File to make.
        kind: `bigtiff`, one page per frame; or `imagej`, one page and contiguous frames behind it.
        frames: In all.
        filled: With noise and spots.
        side_px: Of a frame.
    """
    shape = (frames, side_px, side_px)
    if kind == "imagej":
        tifffile.imwrite(path, shape=shape, dtype=np.uint16, imagej=True)
    else:
        tifffile.imwrite(path, shape=shape, dtype=np.uint16, bigtiff=True, photometric="minisblack", metadata=None)
    with tifffile.TiffFile(path) as written:
        page, order = written.pages.first, written.byteorder
        offset = page.dataoffsets[0]
    draws = np.random.default_rng(0)
    block = 120 + draws.poisson(20, (filled, side_px, side_px))
    rows, columns = draws.integers(1, side_px - 1, (2, filled, SPOTS))
    for number in range(filled):
        block[number, rows[number], columns[number]] += 600
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(block.astype(np.dtype(np.uint16).newbyteorder(order)).tobytes())
    lines = [
        f"{number + 1},{(column + 0.5) * PIXEL_NM},{(row + 0.5) * PIXEL_NM},1200"
        for number in range(filled)
        for row, column in zip(rows[number], columns[number], strict=True)
    ]
    return "\n".join(['"frame","x [nm]","y [nm]","intensity [photon]"', *lines]) + "\n"


def checkpoint(path: Path, model: str, upsampling: int, own: dict[str, Any]) -> None:
    """Save an untrained network with some settings of its own."""
    import torch

    from smlmbench.data.contracts import Given, Statistics
    from smlmbench.inference.checkpoint import checkpoint_of
    from smlmbench.registry import Catalog
    from smlmbench.training import save_atomically

    torch.manual_seed(0)
    catalog = Catalog()
    settings = catalog.card("models", model).fill(model, own)
    given = Given(1, upsampling, PIXEL_NM, Statistics(20.0, 8.0, 5.0, 60.0))
    network = catalog.module("models", model).build(settings, given)
    output = catalog.card("outputs", "raster").fill("raster", {"upsampling": upsampling, "amplitude": AMPLITUDE})
    facts = {"task": "localization", "tuned": {"threshold": 1e-3}, "calibrated": True, "loss": "l1l2"}
    facts |= {"cell_id": "0" * 12, "protocol": "none"}
    content = checkpoint_of(
        network,
        given,
        {"name": model, "version": catalog.card("models", model).version, "settings": settings},
        {"name": "raster", "version": 1, "settings": {**output, "pixel_size_nm": PIXEL_NM}},
        facts,
    )
    save_atomically(content, path)


def measured(command: list[str], wait: Callable[[], None] | None = None) -> tuple[float, str]:
    """Run a command of this package to its end, or kill it after a wait; return its peak MB and what it printed."""
    process = subprocess.Popen([sys.executable, "-c", START, *command], stdout=subprocess.PIPE, text=True)
    if wait is not None:
        wait()
        process.kill()
    shown = process.stdout.read() if process.stdout is not None else ""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != (0 if wait is None else -signal.SIGKILL):
        raise SystemExit(f"smlmbench {command[0]} ended with {process.returncode}: {shown}")
    return usage.ru_maxrss / (1024.0**2 if sys.platform == "darwin" else 1024.0), shown


def whole_movie(folder: Path, asked: argparse.Namespace) -> None:
    """Predict every frame of the movie; the first command is killed, the second continues."""
    count = round(asked.gigabytes * 1e9 / (2 * asked.side**2))
    checkpoint(folder / "best.pt", "fid_storm", 2, SMALL)
    movie = folder / "movie.tif"
    sparse_movie(movie, "bigtiff", count, asked.frames, asked.side)
    command = ["predict", str(folder / "best.pt"), str(movie), "--camera", CAMERA, "-o", str(folder), "--json"]
    began = time.perf_counter()

    def wait() -> None:
        until = time.monotonic() + STARTS_S
        while not list(folder.glob("*.journal.json")) and time.monotonic() < until:
            time.sleep(0.1)
        time.sleep(asked.kill_after)

    killed_mb, _ = measured(command, wait)
    peak, said = measured(command)
    found = json.loads(said)
    seconds = time.perf_counter() - began
    resumed = int(found.get("resumed", 0))
    print(f"{movie.stat().st_size / 1e9:.2f} GB, {found['frames']} frames in {seconds:.0f} s, both commands together")
    print(f"the first, killed, had {killed_mb:.0f} MB; the second found {resumed} frames done")
    print(f"second command: {peak:.0f} MB resident at most   (wanted: under {LIMIT_MB:.0f})")
    facts = {"resumed": resumed, "frames": found["frames"], "seconds": round(seconds)}
    print(json.dumps({"peak_mb": round(max(peak, killed_mb), 1), "gigabytes": asked.gigabytes, **facts}))


def live_bytes(network: Any, frames: Any, targets: Any) -> tuple[int, int]:
    """Bytes of the tensors of a training step that are alive between its passes, and at most; weights do not count."""
    import torch
    from torch.multiprocessing.reductions import StorageWeakRef
    from torch.utils._python_dispatch import TorchDispatchMode

    from smlmbench.models.recalled import recalled
    from smlmbench.registry import Catalog

    own = {each.untyped_storage()._cdata for each in (*network.parameters(), *network.buffers())}

    class Live(TorchDispatchMode):
        most = 0
        seen: dict[int, tuple[Any, int]] = {}

        def now(self) -> int:
            self.seen = {key: one for key, one in self.seen.items() if not one[0].expired()}
            return sum(size for _, size in self.seen.values())

        def __torch_dispatch__(self, call: Any, _: Any, given: Any = (), more: Any = None) -> Any:
            made = call(*given, **(more or {}))
            for each in made if isinstance(made, tuple | list) else (made,):
                if isinstance(each, torch.Tensor) and (storage := each.untyped_storage())._cdata not in own:
                    self.seen[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
            self.most = max(self.most, self.now())
            return made

    loss = Catalog().module("losses", "l1l2").build({"weight": 200.0, "kernel": "unit"}, {"amplitude": AMPLITUDE})
    with Live() as live:
        with recalled(network):
            value = loss(network(frames), targets)["loss"]
        held = live.now()
        value.backward()
    return held, live.most


def train(asked: argparse.Namespace) -> dict[str, float]:
    """Train a network for some steps in this process; MB by part."""
    import resource

    import torch

    from smlmbench.data.contracts import Batch, Given, Statistics
    from smlmbench.inference.allocator import KEPT_IN_TRAINING_BYTES, keep_buffers, place
    from smlmbench.registry import Catalog
    from smlmbench.study.schema import Training
    from smlmbench.training import Validation, fit

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2.0**20 if sys.platform == "darwin" else 2.0**10)

    keep_buffers(KEPT_IN_TRAINING_BYTES)
    torch.manual_seed(0)
    catalog, cpu, up = Catalog(), torch.device("cpu"), asked.upsampling
    settings = catalog.card("models", asked.model).fill(asked.model, json.loads(asked.settings))
    given = Given(1, up, PIXEL_NM, Statistics(20.0, 8.0, 5.0, 60.0))
    network = place(catalog.module("models", asked.model).build(settings, given), cpu)
    loss = catalog.module("losses", "l1l2").build({"weight": 200.0, "kernel": "unit"}, {"amplitude": AMPLITUDE})
    frames = 50 * torch.rand(asked.batch, 1, asked.side, asked.side)
    spikes = AMPLITUDE * (torch.rand(asked.batch, 1, up * asked.side, up * asked.side) > 0.999).float()
    build = catalog.module("recipes", "supervised").build
    parts = {"imports_mb": peak()}
    loss(network(frames[:1, :, :8, :8]), {"spikes": spikes[:1, :, : 8 * up, : 8 * up]})["loss"].backward()
    torch.optim.Adam(network.parameters(), lr=0.0).step()  # imports much
    parts["libraries_mb"] = peak() - parts["imports_mb"]

    class Same:
        def batch(self, first: int, count: int) -> Batch:
            return Batch(frames[:count], None, first)

    with tempfile.TemporaryDirectory() as scratch:
        steps = Training(
            samples=asked.steps * asked.batch, batch_size=asked.batch, lr=1e-4, schedule="constant", validations=1,
            number_format="fp32",
        )  # fmt: skip
        recipe = build(network, loss, lambda _: {"spikes": spikes}, cpu, {})
        done = fit(recipe, Same(), steps, lambda: Validation(0.0, 1.0, {}), print, folder=Path(scratch), device=cpu)
    parts["peak_mb"] = peak()
    held, most = live_bytes(network.train(), frames, {"spikes": spikes})
    parts |= {"held_mb": held / 2**20, "tensors_mb": most / 2**20}
    parts["malloc_mb"] = parts["peak_mb"] - sum(parts[name] for name in ("imports_mb", "libraries_mb", "tensors_mb"))
    return {name: round(value, 1) for name, value in parts.items()} | {"step_s": round(done.train_s / asked.steps, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=4.2, help="of the movie, on paper")
    parser.add_argument("--side", type=int, help="camera pixels of a frame; 256, with --training 32")
    parser.add_argument("--frames", type=int, default=20, help="frames to predict")
    parser.add_argument("--model", default="fid_storm")
    parser.add_argument("--upsampling", type=int, default=8)
    parser.add_argument("--training", action="store_true", help="train a network on frames of --side px")
    parser.add_argument("--batch", type=int, default=16, help="with --training")
    parser.add_argument("--steps", type=int, default=4, help="with --training")
    parser.add_argument("--settings", default="{}", help="of the model as JSON, with --training")
    parser.add_argument("--whole", action="store_true", help="predict all frames with a small network at upsampling 2")
    parser.add_argument(
        "--kill-after",
        type=float,
        default=60.0,
        help="seconds, with --whole; counted from the first frames that are on disk",
    )
    parser.add_argument("--kinds", nargs="+", default=["bigtiff", "imagej"], choices=("bigtiff", "imagej"))
    asked = parser.parse_args()
    asked.side = asked.side or (32 if asked.training else 256)
    if asked.training:
        parts = train(asked)
        for name, value in parts.items():
            print(f"{name:14s} {value:8.1f}")
        print(json.dumps({"model": asked.model, "batch": asked.batch, "side": asked.side, **parts}))
        return
    if asked.whole:
        with tempfile.TemporaryDirectory() as scratch:
            whole_movie(Path(scratch), asked)
        return
    count = max(asked.frames, round(asked.gigabytes * 1e9 / (2 * asked.side**2)))
    peaks: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        checkpoint(folder / "best.pt", asked.model, asked.upsampling, {})
        for kind in asked.kinds:
            movie = folder / f"{kind}.tif"
            (folder / "truth.csv").write_text(sparse_movie(movie, kind, count, asked.frames, asked.side))
            size, taken = movie.stat().st_size, movie.stat().st_blocks * 512
            print(f"{kind}: {count} frames, {size / 1e9:.2f} GB on paper, {taken / 1e6:.0f} MB on disk")
            options = ["--frames", f"1:{asked.frames}", "--camera", CAMERA, "-o", str(folder)]
            peaks[f"predict {kind}"], _ = measured(["predict", str(folder / "best.pt"), str(movie), *options])
            movie.unlink()
        found = str(next(folder.glob("*_locs.csv")))
        field = str(asked.side * PIXEL_NM)
        peaks["evaluate"], _ = measured(["evaluate", found, str(folder / "truth.csv"), "--field-nm", field, field])
    for name, value in peaks.items():
        print(f"{name:20s} {value:8.0f} MB resident at most   (wanted: under {LIMIT_MB:.0f})")
    whole = {name.replace(" ", "_") + "_mb": round(value, 1) for name, value in peaks.items()}
    print(json.dumps({"peak_mb": round(max(peaks.values()), 1), "gigabytes": asked.gigabytes} | whole))


if __name__ == "__main__":
    main()
