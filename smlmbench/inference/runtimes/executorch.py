"""ExecuTorch: what phones run, here on this machine's processor (XNNPACK), one frame at a time."""

import importlib.util
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

from smlmbench.errors import ConfigError
from smlmbench.export import executorch
from smlmbench.export.graph import SAFE_MULTIPLE_PX, Graph, need, plain, quiet

CARD = {
    "version": 1,
    "summary": "ExecuTorch with XNNPACK, the runtime of phones, on this processor",
    "facts": {"devices": ["cpu"], "number_formats": ["fp32"], "needs": ["executorch"], "suffix": ".pte", "max_px": 512},
}


def why_not(device: torch.device, number_format: str) -> str:
    """Why it cannot run here, or empty."""
    if device.type != "cpu" or number_format != "fp32":
        return f"ExecuTorch files are fp32 on the processor; not {number_format} on {device.type}"
    if importlib.util.find_spec("executorch.runtime") is None:
        return "this build of executorch has no Python runtime"
    return ""


def prepare(
    model: nn.Module, example: torch.Tensor, number_format: str, calibration: Sequence[torch.Tensor] = ()
) -> Callable[..., torch.Tensor]:
    """Translate the network and load it.

    Raises:
        MissingExtraError: executorch is not installed.
        ConfigError: Frames larger than the file's memory is planned for.
    """
    del calibration, number_format
    largest = max(example.shape[2:])
    if largest > executorch.LARGEST_PX:
        raise ConfigError(f"ExecuTorch files take frames up to {executorch.LARGEST_PX} px, not {largest}; use tiles")
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.pte"
        executorch.save(Graph(plain(model), example.shape[1], 1, SAFE_MULTIPLE_PX, {}), path)
        return load(path, example.device)


def load(path: Path, device: torch.device, number_format: str = "fp32") -> Callable[..., torch.Tensor]:
    """A callable from a file.

    Raises:
        ConfigError: Not the processor, or not fp32.
    """
    need(("executorch",), "an ExecuTorch file")
    if reason := why_not(device, number_format):
        raise ConfigError(reason)
    with quiet():
        from executorch.runtime import Runtime

        program = Runtime.get().load_program(path.read_bytes())
        method = program.load_method("forward")

    def call(frames: torch.Tensor) -> torch.Tensor:
        # The answer lies in the runtime's own memory, which the next frame overwrites.
        return torch.cat([method.execute([frame[None].contiguous()])[0].clone() for frame in frames])

    call.program = program  # type: ignore[attr-defined]  # the method does not keep it alive
    return call
