"""Where networks run, and what to do where memory runs out."""

import gc
import warnings

import torch

from smlmbench.errors import ConfigError, NoMemoryError, one_line

NO_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "alloc_failed")


def present_devices() -> list[str]:
    """Kinds of device that torch can use on this machine, the CPU first."""
    found = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return [name for name, present in found.items() if present]


def resolve_device(wanted: str = "auto") -> torch.device:
    """The device of a name such as `cpu` or `cuda:1`; `auto` takes CUDA, then MPS, then the CPU.

    See `exact`.

    Raises:
        ConfigError: Not a device of this machine.
    """
    present = present_devices()
    if wanted == "auto":
        wanted = present[min(1, len(present) - 1)]
    kind, _, number = wanted.partition(":")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if kind not in present or (number and not (number.isdigit() and int(number) < count)):
        raise ConfigError(f"device '{wanted}' is not on this machine; accepted: auto, {', '.join(present)}")
    return exact(torch.device(wanted))


def exact(device: torch.device) -> torch.device:
    """A device, on which fp32 is fp32 from now on and the same numbers come every time.

    Left alone, convolutions on a card round to TF32 (10 bits of mantissa) and may add up in any order.
    """
    if device.type == "cuda":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of some versions of torch about further names of these
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.deterministic = True
    return device


def synchronise(device: torch.device) -> None:
    """Wait for a device; nothing to wait for on the CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def lacks_memory(error: BaseException) -> bool:
    """Whether an error says that a device, or the processor, has too little memory."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error).lower() for words in NO_MEMORY)
    )


def free_memory(device: torch.device) -> None:
    """Give back what is held for later; call it where the error that told of too little memory is gone already."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def no_memory(device: torch.device, what: str, advice: str, error: BaseException) -> NoMemoryError:
    """Make the error that ends what does not fit."""
    return NoMemoryError(f"{device} has no memory for {what}; {advice} ({one_line(error)})")
