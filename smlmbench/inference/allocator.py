"""Memory: networks in channels-last layout, and large buffers kept in the process between steps.

glibc returns every block above a moving threshold to the kernel when it is freed, so each activation map of each step
is mapped and zeroed anew. Raising the thresholds made a training step of Deep-STORM 1.5 times as fast here
(benchmarks/step.py prints the ratio on this machine). Elsewhere than on glibc this does nothing.

A kept block is rarely taken for the next map of its size, since glibc wants some bytes more for its alignment. A
training, which holds many maps at a time, then holds twice its tensors; so from a size on it gives them back.
"""

import ctypes
import sys
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
KEPT_BYTES = 2**30
KEPT_IN_TRAINING_BYTES = 192 * 2**20  # FID-STORM's seed at batch 16: 3.6 GB instead of 6.2, for a quarter of time more


@lru_cache(maxsize=1)
def keep_buffers(kept_bytes: int = KEPT_BYTES) -> bool:
    """Raise glibc's thresholds, so that blocks of up to `kept_bytes` stay; True where that took effect."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, kept_bytes)) and bool(mallopt(M_TRIM_THRESHOLD, 2 * KEPT_BYTES - 1))


def place(network: "nn.Module", device: "torch.device") -> "nn.Module":
    """Move a network to a device with its weights channels last, the layout in which convolutions are fastest."""
    import torch

    placed: nn.Module = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return placed
