"""Every export format of every network of a study: does the file answer as the network does, and how large is it?

    python benchmarks/exports.py                        networks of the quickstart, full width, untrained
    python benchmarks/exports.py --store mlruns --study quickstart      the trained picks
    python benchmarks/exports.py --tiny --formats onnx  smallest networks, to try the script

Parity is checked in a process that does not have this package: the largest difference over the range of the
network's answer, at two frame sizes, at most 1e-4. A bioimage.io package is checked by its weights; whether
`bioimageio test` passes is said on a line of its own. What is not installed is a line with its reason.

The last line is one JSON object.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from smlmbench.data.contracts import Given, Statistics
from smlmbench.errors import SmlmBenchError
from smlmbench.inference.checkpoint import build_network, checkpoint_of
from smlmbench.registry import Catalog
from smlmbench.run.using.exporting import export
from smlmbench.training import save_atomically

QUICKSTART = {"fid_storm": {"blocks": 5}, "srcnn": {}, "deep_storm": {}}
LEVEL = Statistics(mean=12.0, std=10.0, low=2.0, high=120.0)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(QUICKSTART))
    parser.add_argument("--formats", default="onnx,openvino,executorch,bioimageio")
    parser.add_argument("--upsampling", type=int, default=4)
    parser.add_argument("--store", help="with trained networks")
    parser.add_argument("--study", default="quickstart")
    parser.add_argument("--tiny", action="store_true", help="smallest networks")
    return parser.parse_args()


def untrained(folder: Path, name: str, asked: argparse.Namespace, catalog: Catalog) -> Path:
    """A checkpoint of a network as it is built, its answer not zero everywhere."""
    card = catalog.card("models", name)
    settings = card.fill(name, card.tiny if asked.tiny else QUICKSTART.get(name, {}))
    given = Given(1, asked.upsampling, 100.0, LEVEL)
    torch.manual_seed(0)
    network = build_network(catalog, name, settings, given).eval()
    for weight in network.parameters():
        if float(weight.detach().abs().max()) == 0:
            torch.nn.init.normal_(weight, std=0.02)
    output = {**catalog.card("outputs", "raster").fill("raster", {"upsampling": asked.upsampling})}
    content = checkpoint_of(
        network,
        given,
        {"name": name, "version": card.version, "settings": settings},
        {"name": "raster", "version": 1, "settings": {**output, "pixel_size_nm": given.pixel_size_nm}},
        {"task": "localization", "tuned": {"threshold": 0.3}, "calibrated": True, "cell_id": "untrained000"},
    )
    path = folder / f"{name}.pt"
    save_atomically(content, path)
    return path


def checkpoints(folder: Path, asked: argparse.Namespace, catalog: Catalog) -> Iterator[tuple[str, Path]]:
    """Networks by name: the best on validation of each model of a study, or untrained ones."""
    if not asked.store:
        yield from ((name, untrained(folder, name, asked, catalog)) for name in asked.models.split(","))
        return
    from smlmbench.tracking.records import read_study
    from smlmbench.tracking.store import open_store

    rows = read_study(open_store(asked.store, create=False), asked.study).rows("cell")
    done = [row for row in rows if row.status == "done" and row.artifact("best.pt") is not None]
    for name in asked.models.split(","):
        own = [row for row in done if row.params.get("model") == name]
        best = max(own, key=lambda row: row.metrics.get("val/efficiency", float("-inf")), default=None)
        path = best.artifact("best.pt") if best is not None else None
        if path is None:
            print(f"{name}: no finished training in study {asked.study}")
        else:
            yield name, path


def package_test(path: Path) -> str:
    """What the bioimage.io tool says of a package: passed, or the last line of its message."""
    words = [sys.executable, "-m", "bioimageio.core", "test", str(path), "--weight-format", "onnx"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode == 0:
        return "passed"
    lines = [line.strip(" │|") for line in (done.stdout + done.stderr).splitlines()]
    told = next((line for line in lines if "Error" in line), "no message")
    return f"not passed: {told[:160]}"


def main() -> None:
    asked, catalog = arguments(), Catalog()
    rows: list[dict[str, Any]] = []
    print(f"{'network':12s} {'format':11s} {'kB':>9s} {'gap':>9s} {'passed':>7s} {'s':>6s}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name, path in checkpoints(folder, asked, catalog):
            for form in asked.formats.split(","):
                began = time.perf_counter()
                try:
                    made = export(path, form, folder / form, catalog)
                except (SmlmBenchError, RuntimeError) as error:
                    reason = (str(error).splitlines() or [type(error).__name__])[0]
                    print(f"{name:12s} {form:11s} not written: {reason}")
                    rows.append({"network": name, "format": form, "passed": False})
                    continue
                took, passed = time.perf_counter() - began, made.parity.passed
                size = made.size_bytes / 1e3
                print(f"{name:12s} {form:11s} {size:9.1f} {made.parity.gap:9.1e} {passed!s:>7s} {took:6.1f}")
                rows.append({"network": name, "format": form, "gap": made.parity.gap, "passed": passed})
                if form == "bioimageio":
                    print(f"{name:12s} bioimageio test: {package_test(made.files[0])}")
    worst = max((row["gap"] for row in rows if "gap" in row), default=None)
    good = sum(bool(row["passed"]) for row in rows)
    print(json.dumps({"exports": len(rows), "passed": good, "worst_gap": worst}))


if __name__ == "__main__":
    main()
