"""What the rows of one command share."""

import os
import platform
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from smlmbench.addresses import command
from smlmbench.registry import Catalog
from smlmbench.run.materials import Materials
from smlmbench.run.progress import Reporter
from smlmbench.timing import host_name
from smlmbench.tracking.store import Store
from smlmbench.version import __version__

PACKAGES = ("torch", "mlflow", "numpy", "scipy", "torchmetrics", "tifffile", "pydantic")


@dataclass(frozen=True, slots=True)
class Session:
    """One command at work on one study."""

    store: Store
    experiment_id: str
    materials: Materials  # data sets of this process
    reporter: Reporter
    device: str = "auto"  # auto, cpu, cuda or mps
    retry_failed: bool = False  # repeat failed and collapsed rows
    infer_device: str | None = None  # where trained networks are scored; None takes `device`
    job: str = ""  # name of the command's work in workers
    system_metrics: bool = False  # MLflow's, beside each training

    @property
    def scoring_device(self) -> str:
        """Where trained networks choose their threshold, are scored and predict."""
        return self.infer_device or self.device

    @property
    def catalog(self) -> Catalog:
        """Registered things, plug-ins included."""
        return self.materials.catalog


def versions() -> dict[str, str]:
    """Versions of Python, of this package and of what numbers depend on."""
    return {"python": platform.python_version(), "smlmbench": __version__} | {name: _version(name) for name in PACKAGES}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def host() -> dict[str, Any]:
    """The machine as far as numbers depend on it."""
    import torch

    return {
        "processor": host_name(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "threads": torch.get_num_threads(),
        "cuda": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
    }


def command_line() -> str:
    """The command as it can be typed again, without the folder of the program and without a password."""
    program = Path(sys.argv[0]).name or "smlmbench"
    return command("smlmbench" if program.startswith(("smlmbench", "__main__")) else program, *sys.argv[1:])
