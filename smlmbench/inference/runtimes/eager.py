"""PyTorch eager mode: the network as it is, channels last."""

from collections.abc import Callable

import torch
from torch import nn

from smlmbench.errors import ConfigError
from smlmbench.inference.allocator import place

CARD = {
    "version": 1,
    "summary": "PyTorch eager mode, channels last",
    "facts": {"devices": ["cpu", "cuda", "mps"], "number_formats": ["fp32", "bf16"]},
}


def prepare(model: nn.Module, example: torch.Tensor, number_format: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a callable for frames on the example's device.

    Raises:
        ConfigError: A number format that eager mode does not run.
    """
    if number_format not in ("fp32", "bf16"):
        raise ConfigError(f"runtime eager has no number format '{number_format}'; accepted: fp32, bf16")
    network = place(model.eval(), example.device)
    device = example.device.type

    def call(frames: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=number_format == "bf16"):
            result: torch.Tensor = network(frames)
            return result.float()

    return call
