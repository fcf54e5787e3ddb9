"""TensorRT, as a provider of ONNX Runtime: the network built anew for the card and for each size of frames."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

from smlmbench.errors import ConfigError
from smlmbench.export import onnx
from smlmbench.export.graph import SAFE_MULTIPLE_PX, Graph, plain
from smlmbench.inference.runtimes.onnxruntime import PROVIDERS, bound, lacking, session_of

CARD = {
    "version": 1,
    "summary": "TensorRT through ONNX Runtime, fp32 as TensorRT means it (TF32); each new size takes a minute",
    "facts": {"devices": ["cuda"], "number_formats": ["fp32"], "needs": ["onnx", "onnxscript", "onnxruntime"]},
}

PROVIDER = "TensorrtExecutionProvider"


def why_not(device: torch.device, number_format: str) -> str:
    """Why it cannot run here, or empty."""
    del device, number_format
    return lacking(PROVIDER)


def prepare(
    model: nn.Module, example: torch.Tensor, number_format: str, calibration: Sequence[torch.Tensor] = ()
) -> Callable[..., torch.Tensor]:
    """Export the network and load it on the card of the example (B, C, H, W).

    Raises:
        MissingExtraError: A package of the extra is missing.
        ConfigError: TensorRT is not here, or does not start.
    """
    del calibration
    if reason := why_not(example.device, number_format):
        raise ConfigError(reason)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "prepared.onnx"
        onnx.save(Graph(plain(model), example.shape[1], 1, SAFE_MULTIPLE_PX, {}), path)
        return bound(session_of(path, example.device, [PROVIDER, PROVIDERS["cuda"]]), example.device)
