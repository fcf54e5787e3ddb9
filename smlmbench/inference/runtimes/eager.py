"""PyTorch eager mode: the network as it is, channels last."""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from smlmbench.errors import ConfigError
from smlmbench.inference.allocator import place
from smlmbench.models.folding import folded

CARD = {
    "version": 1,
    "summary": "PyTorch eager mode, channels last",
    "facts": {"devices": ["cpu", "cuda", "mps"], "number_formats": ["fp32", "bf16"], "takes_range": True},
}


def prepare(
    model: nn.Module, example: torch.Tensor, number_format: str, calibration: Sequence[torch.Tensor] = ()
) -> Callable[..., torch.Tensor]:
    """Return a callable for frames on the example's device.

    Raises:
        ConfigError: A number format that eager mode does not run.
    """
    del calibration
    if number_format not in ("fp32", "bf16"):
        raise ConfigError(f"runtime eager has no number format '{number_format}'; accepted: fp32, bf16")
    return calling(place(folded(model.eval()), example.device), example.device, number_format)


def calling(
    network: Callable[..., torch.Tensor], device: torch.device, number_format: str
) -> Callable[..., torch.Tensor]:
    """A callable that infers in a number format and answers in fp32."""

    def call(frames: torch.Tensor, *more: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=number_format == "bf16"):
            return network(frames, *more).float()

    return call
