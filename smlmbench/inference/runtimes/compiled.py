"""torch.compile: the network translated to machine code for frames of the example's kind; needs a C++ compiler."""

import importlib.util
import os
import shutil
import warnings
from collections.abc import Callable, Sequence

import torch
from torch import nn

from smlmbench.errors import ConfigError
from smlmbench.inference.allocator import place
from smlmbench.inference.runtimes.eager import calling
from smlmbench.models.folding import folded

CARD = {
    "version": 1,
    "summary": "torch.compile, translated to machine code by a C++ compiler; the first call takes a minute",
    "facts": {"devices": ["cpu", "cuda"], "number_formats": ["fp32", "bf16"], "takes_range": True},
}


def why_not(device: torch.device, number_format: str) -> str:
    """Why it cannot run here, or empty."""
    del number_format
    if device.type == "cpu" and _compiler() is None:
        return "torch.compile needs a C++ compiler: install g++ or clang, or name one in CXX"
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        return "torch.compile needs triton on a card: pip install triton (triton-windows on Windows)"
    return ""


def _compiler() -> str | None:
    named = os.environ.get("CXX")
    found = [shutil.which(name) for name in ([named] if named else ["g++", "clang++", "c++"])]
    return next((path for path in found if path), None)


def prepare(
    model: nn.Module, example: torch.Tensor, number_format: str, calibration: Sequence[torch.Tensor] = ()
) -> Callable[..., torch.Tensor]:
    """Return a callable for frames on the example's device; it is compiled by the first call.

    Raises:
        ConfigError: No compiler.
    """
    del calibration
    if reason := why_not(example.device, number_format):
        raise ConfigError(reason)
    network = place(folded(model.eval()), example.device)
    fast = calling(torch.compile(network, dynamic=False), example.device, number_format)

    def call(frames: torch.Tensor, *more: torch.Tensor) -> torch.Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the compiler about its own parts
            return fast(frames, *more)

    return call
