"""Where networks run, and in which number format they are trained there."""

import torch

from smlmbench.errors import ConfigError


def present_devices() -> list[str]:
    """Kinds of device that torch can use on this machine, the CPU first."""
    found = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return [name for name, present in found.items() if present]


def resolve_device(wanted: str = "auto") -> torch.device:
    """The device of a name such as `cpu` or `cuda:1`; `auto` takes CUDA, then MPS, then the CPU.

    Raises:
        ConfigError: Not a device of this machine.
    """
    present = present_devices()
    if wanted == "auto":
        return torch.device(present[min(1, len(present) - 1)])
    kind, _, number = wanted.partition(":")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if kind not in present or (number and not (number.isdigit() and int(number) < count)):
        raise ConfigError(f"device '{wanted}' is not on this machine; accepted: auto, {', '.join(present)}")
    return torch.device(wanted)


def resolve_number_format(wanted: str, device: torch.device) -> str:
    """`auto`: bf16 where the processor multiplies it faster than fp32 (CUDA with bf16, CPU with AMX), else fp32.

    AVX512_BF16 alone does not count: its convolutions were measured slower than fp32 ones (benchmarks/step.py).
    """
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    has_amx = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    return "bf16" if device.type == "cpu" and has_amx() else "fp32"
