"""OpenVINO: fp32, bf16 as a hint, int8 by NNCF calibrated on training frames; the precision is always set."""

import gc
import importlib.util
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from smlmbench.errors import ConfigError
from smlmbench.export.graph import SAFE_MULTIPLE_PX, Graph, check_frames, need, plain, quiet
from smlmbench.export.openvino import core, translated

CARD = {
    "version": 1,
    "summary": "OpenVINO on the processor, fp32, bf16 and int8 (NNCF, calibrated on training frames)",
    "facts": {
        "devices": ["cpu"],
        "number_formats": ["fp32", "bf16", "int8"],
        "needs": ["onnx", "onnxscript", "openvino"],
        "suffix": ".xml",
        "prepares_s": 10,
    },
}

# Left alone, OpenVINO runs an fp32 file in bf16 where the processor has it.
HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}


def why_not(device: torch.device, number_format: str) -> str:
    """Why it cannot run here, or empty."""
    if device.type != "cpu":
        return f"OpenVINO is used on the processor; it does not run on {device.type}"
    if number_format == "int8" and importlib.util.find_spec("nncf") is None:
        return "int8 needs nncf; pip install 'smlmbench[export]'"
    if number_format == "bf16" and "BF16" not in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        return "this processor has no bf16"
    return ""


def prepare(
    model: nn.Module, example: torch.Tensor, number_format: str, calibration: Sequence[torch.Tensor] = ()
) -> Callable[..., torch.Tensor]:
    """Translate the network and compile it for the processor; calibration frames are (b, C, H, W) each.

    Raises:
        MissingExtraError: A package of the extra is missing.
        ConfigError: A device or number format that cannot run here.
    """
    graph = Graph(plain(model), example.shape[1], 1, SAFE_MULTIPLE_PX, {})
    return compiled(_translated(graph, number_format, calibration), example.device, number_format)


def write(graph: Graph, path: Path, number_format: str, calibration: Sequence[torch.Tensor] = ()) -> None:
    """Write the pair of files that `load` reads; bf16 is a hint, its file is that of fp32.

    Raises:
        ConfigError: int8 without frames to calibrate on.
    """
    import openvino

    openvino.save_model(_translated(graph, number_format, calibration), str(path), compress_to_fp16=False)


def _translated(graph: Graph, number_format: str, calibration: Sequence[torch.Tensor]) -> Any:
    return quantised(translated(graph), calibration) if number_format == "int8" else translated(graph)


def load(path: Path, device: torch.device, number_format: str = "fp32") -> Callable[..., torch.Tensor]:
    """A callable from a file."""
    need(("openvino",), "an OpenVINO file")
    return compiled(core().read_model(str(path)), device, number_format)


def compiled(graph: Any, device: torch.device, number_format: str) -> Callable[..., torch.Tensor]:
    """Compile an OpenVINO model.

    Raises:
        ConfigError: A device or number format that cannot run here.
    """
    if reason := why_not(device, number_format):
        raise ConfigError(reason)
    hints = {
        "INFERENCE_PRECISION_HINT": HINTS[number_format],
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    model = core().compile_model(graph, "CPU", hints)

    def call(frames: torch.Tensor) -> torch.Tensor:
        # A copy: the next call writes into the same memory.
        return torch.from_numpy(np.array(model(np.ascontiguousarray(frames.numpy()))[0], dtype=np.float32))

    return call


def quantised(graph: Any, calibration: Sequence[torch.Tensor]) -> Any:
    """An int8 model, its ranges taken from what passes through on training frames.

    Raises:
        ConfigError: No frames to calibrate on.
    """
    check_frames(calibration)
    need(("nncf",), "int8")
    frames = [np.ascontiguousarray(each.cpu().numpy()) for each in calibration]
    os.environ.setdefault("NNCF_CI", "1")  # its usage statistics are sent unless this stands
    with quiet():
        import nncf

        core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")  # loads our plug-in before that of nncf's own cores
        data = nncf.Dataset(frames)
        made = nncf.quantize(graph, data, subset_size=len(frames), preset=nncf.QuantizationPreset.MIXED)
        gc.collect()  # which go here, on the thread that made them
        return made
