"""The loss of voxel grids as banded matrices against the dense 3-D convolution that defines it.

    python benchmarks/volumes.py [--planes 13 --side 64 --batch 4]

Prints milliseconds of one value with its gradient, each way, and by how much the values differ; one thread.
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from smlmbench.losses.kde_overlap import RADIUS, SIGMA, blurred


def dense(volumes: Tensor) -> Tensor:
    """The 7 x 7 x 7 kernel itself, padded in depth alone."""
    profile = torch.exp(-0.5 * (torch.arange(-RADIUS, RADIUS + 1) / SIGMA) ** 2)
    kernel = profile[:, None, None] * profile[:, None] * profile
    return functional.conv3d(volumes[:, None], kernel[None, None], padding=(RADIUS, 0, 0))[:, 0]


def timed(blur: Callable[[Tensor], Tensor], raw: Tensor, spikes: Tensor) -> tuple[float, float]:
    """The value, and the fewest processor milliseconds of five."""
    spent, value = [], torch.zeros(())
    for _ in range(5):
        began = time.process_time()
        value = (blur(raw) - blur(spikes)).square().mean()
        value.backward()  # type: ignore[no-untyped-call]
        spent.append(1e3 * (time.process_time() - began))
    return float(value.detach()), min(spent)


def main() -> None:
    """Compare both on random volumes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("planes", 13), ("side", 64), ("batch", 4)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    raw, spikes = (torch.rand(asked.batch, asked.planes, asked.side, asked.side) * 800 for _ in range(2))
    raw.requires_grad_()
    (value, bands_ms), (wanted, dense_ms) = (
        timed(blur, raw, spikes) for blur in (lambda volumes: blurred(volumes, "valid"), dense)
    )
    print(f"banded {bands_ms:.1f} ms, dense {dense_ms:.1f} ms: {dense_ms / bands_ms:.0f} times as fast")
    print(f"values differ by {abs(value - wanted) / wanted:.1e} of it")


if __name__ == "__main__":
    main()
