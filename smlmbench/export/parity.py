"""Whether an exported file answers as the network it came from, checked in a process without this package."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from smlmbench.errors import FormatError
from smlmbench.export.graph import Graph

SCRIPT = Path(__file__).with_name("standalone.py")
TOLERANCE = 1e-4
TIMEOUT_S = 600


@dataclass(frozen=True, slots=True)
class Parity:
    """Outcome of the comparison.

    Attributes:
        gap: Largest difference over the range of the expected output, over all sizes.
        sizes: Shapes of the frames compared.
        tolerance: Largest gap that passes.
    """

    gap: float
    sizes: list[list[int]]
    tolerance: float = TOLERANCE

    @property
    def passed(self) -> bool:
        """Whether the file answers as the network does."""
        return self.gap <= self.tolerance

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "passed": self.passed}


def check_parity(graph: Graph, kind: str, path: Path, shapes: Sequence[tuple[int, ...]]) -> Parity:
    """Compare a file of a kind (onnx, openvino, executorch) with its network on random inputs of shapes (B, C, ...).

    Raises:
        FormatError: The file does not run; the other process's last line is given.
    """
    generator = torch.Generator().manual_seed(1)
    pairs: dict[str, Any] = {}
    for number, shape in enumerate(shapes):
        frames = 10 + 40 * torch.rand(shape, generator=generator) ** 8
        with torch.inference_mode():
            pairs[f"raw_{number}"] = graph.network(frames).numpy()
        pairs[f"frames_{number}"] = frames.numpy()
    with tempfile.TemporaryDirectory() as scratch:
        stored = Path(scratch) / "frames.npz"
        np.savez(stored, **pairs)
        command = [sys.executable, "-I", str(SCRIPT), kind, str(path), str(stored)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)  # noqa: S603
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    if done.returncode != 0:
        raise FormatError(f"'{path.name}' does not run by itself: {lines[-1] if lines else 'no message'}")
    said = json.loads(lines[-1])
    if not said["alone"]:
        raise FormatError(f"'{path.name}' was checked in a process that had smlmbench imported; report this")
    gaps = [pair["gap"] / max(pair["range"], 1e-12) for pair in said["pairs"]]
    return Parity(max(gaps), [pair["shape"] for pair in said["pairs"]])
