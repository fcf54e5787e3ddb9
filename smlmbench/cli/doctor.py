"""smlmbench doctor: what this machine can do, and what stands in the way."""

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from smlmbench.cli.options import AsJson, Store
from smlmbench.cli.output import emit, emit_json
from smlmbench.errors import SmlmBenchError
from smlmbench.version import __version__

LOW_MEMORY_BYTES = 2 << 30
LOW_DISK_BYTES = 5 << 30
PYTHON = (3, 11)
NEEDED = (
    *("numpy", "scipy", "pandas", "pydantic", "torch", "torchmetrics", "mlflow", "optuna", "dask"),
    *("matplotlib", "seaborn", "tifffile", "h5py"),
)
EXTRAS = ("onnxruntime", "openvino", "onnx", "imagecodecs", "nd2", "sif_parser")
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "bf16")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, whether it is well, what was seen."""

    what: str
    ok: bool
    seen: str


def command(store: Store = None, as_json: AsJson = False) -> None:
    """Look at Python, packages, processor, memory, disk and store, one line each.

    Example: smlmbench doctor --store /data/mlruns
    """
    findings = list(examine(store))
    if as_json:
        emit_json([asdict(finding) for finding in findings])
    else:
        width = max(len(finding.what) for finding in findings)
        for finding in findings:
            emit(f"{'ok  ' if finding.ok else 'warn'}  {finding.what:<{width}}  {finding.seen}")
    if any(finding.what == "torch works" and not finding.ok for finding in findings):
        raise typer.Exit(1)


def examine(store: str | None) -> Iterator[Finding]:
    """All findings; none of them raises."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", sys.version_info[:2] >= PYTHON, f"{version} on {platform.platform()}")
    yield Finding("smlmbench", True, __version__)
    yield _packages()
    yield _extras()
    yield from _processor()
    yield from _torch()
    yield _memory()
    for what, look in (("disk", _disk), ("store", _store)):
        try:
            ok, seen = look(store)
        except (SmlmBenchError, OSError) as error:
            ok, seen = False, str(error)
        yield Finding(what, ok, seen)


def _packages() -> Finding:
    found = {name: _version(name) for name in NEEDED}
    absent = [name for name, version in found.items() if version is None]
    seen = ", ".join(f"{name} {version}" for name, version in found.items() if version is not None)
    missing = f"; missing {', '.join(absent)}: pip install smlmbench" if absent else ""
    return Finding("packages", not absent, seen + missing)


def _extras() -> Finding:
    found = {name: _version(name) for name in EXTRAS}
    seen = [f"no {name}" if version is None else f"{name} {version}" for name, version in found.items()]
    return Finding("optional packages", True, ", ".join(seen))


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> Iterator[Finding]:
    model, flags = processor()
    cores = os.cpu_count() or 1
    yield Finding("processor", True, f"{model}, {cores} cores")
    seen = ", ".join(flag for flag in FLAGS if flag in flags) or "none that is known here"
    yield Finding("vector units", True, seen)
    stated = os.environ.get("OMP_NUM_THREADS")
    yield Finding("OMP_NUM_THREADS", True, stated if stated is not None else f"not set; torch takes up to {cores}")


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> tuple[str, set[str]]:
    """Model name and feature flags; where the system does not list them, its own name and no flags."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine(), set()
    facts = {key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in lines) if value}
    flags = set((facts.get("flags") or facts.get("features") or "").split())
    return facts.get("model name") or platform.machine(), flags


def _torch() -> Iterator[Finding]:
    try:
        import torch

        from smlmbench.inference.devices import resolve_device
        from smlmbench.inference.probe import example_format

        device = resolve_device()
        if float(torch.ones(2, 2).mm(torch.ones(2, 2)).sum()) != 8:
            raise RuntimeError("wrong product of two matrices")
        chosen = example_format(device)
    except Exception as error:  # whatever is broken in an installation is what this command is asked to tell
        yield Finding("torch works", False, f"{type(error).__name__}: {' '.join(str(error).split())}")
        return
    yield Finding("torch works", True, f"{torch.__version__}, {torch.get_num_threads()} threads")
    takes = f"number_format auto takes {chosen.number_format} for a small network: {chosen.why}"
    yield Finding("training", True, f"on {device}, {takes}")
    for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        facts = torch.cuda.get_device_properties(number)
        yield Finding(f"cuda:{number}", True, f"{facts.name}, {_gb(facts.total_memory)}, CUDA {torch.version.cuda}")


def _memory() -> Finding:
    import psutil

    facts = psutil.virtual_memory()
    return Finding("memory", facts.available >= LOW_MEMORY_BYTES, f"{_gb(facts.available)} of {_gb(facts.total)} free")


def _disk(store: str | None) -> tuple[bool, str]:
    from smlmbench.tracking.location import resolve

    home = resolve(store).home
    there = next(path for path in (home, *home.parents) if path.exists())
    usage = shutil.disk_usage(there)
    return usage.free >= LOW_DISK_BYTES, f"{_gb(usage.free)} of {_gb(usage.total)} free at {there}"


def _store(store: str | None) -> tuple[bool, str]:
    """Look without leaving anything behind: a store is made by the first run."""
    from smlmbench.tracking.location import check, resolve

    where = resolve(store)
    if where.database is None or where.home.is_dir():
        check(where, create=True)
        made = "" if where.database is None or where.database.exists() else "; the first run makes a store"
        return True, f"{where.uri} can be written{made}"
    parent = next(path for path in where.home.parents if path.exists())
    if not os.access(parent, os.W_OK):
        return False, f"{parent} cannot be written; name another folder with --store"
    return True, f"{where.home} will be made by the first run"


def _gb(count: float) -> str:
    return f"{count / (1 << 30):.1f} GB"
