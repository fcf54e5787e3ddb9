"""Random numbers of a simulation: torch's generator, or one whose numbers no version and no processor changes.

Everything that is drawn asks one of these two, so that a frozen condition can be drawn bit for bit again (`Frozen`),
while training draws as fast as torch does (`Fast`).
"""

from typing import Protocol

import numpy as np
import torch

FLOAT = torch.float64


class Chance(Protocol):
    """A stream of random numbers, all on the CPU; `dtype` is float64 unless it says otherwise."""

    def uniform(self, *shape: int, dtype: torch.dtype = FLOAT) -> torch.Tensor:
        """Uniform in [0, 1)."""

    def normal(self, *shape: int, dtype: torch.dtype = FLOAT) -> torch.Tensor:
        """Standard normal."""

    def poisson(self, expected: torch.Tensor) -> torch.Tensor:
        """Poisson numbers of these means, in their dtype."""

    def gamma(self, shape: torch.Tensor) -> torch.Tensor:
        """Gamma numbers of these shapes (> 0) and scale 1, in their dtype."""


class Fast:
    """Torch's own generator."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    @classmethod
    def of(cls, seed: int) -> "Fast":
        """Seeded."""
        return cls(torch.Generator().manual_seed(seed))

    def uniform(self, *shape: int, dtype: torch.dtype = FLOAT) -> torch.Tensor:
        """Uniform in [0, 1)."""
        return torch.rand(shape, generator=self.generator, dtype=dtype)

    def normal(self, *shape: int, dtype: torch.dtype = FLOAT) -> torch.Tensor:
        """Standard normal."""
        return torch.randn(shape, generator=self.generator, dtype=dtype)

    def poisson(self, expected: torch.Tensor) -> torch.Tensor:
        """Poisson numbers."""
        return torch.poisson(expected, generator=self.generator)

    def gamma(self, shape: torch.Tensor) -> torch.Tensor:
        """Gamma numbers of scale 1."""
        return torch._standard_gamma(shape, generator=self.generator)


class Frozen:
    """NumPy's legacy generator, whose stream is frozen for ever (NEP 19); always computed in float64."""

    def __init__(self, seed: int) -> None:
        self._state = np.random.RandomState(np.array([seed >> 32 & 0xFFFFFFFF, seed & 0xFFFFFFFF], dtype=np.uint32))

    def uniform(self, *shape: int, dtype: torch.dtype = FLOAT) -> torch.Tensor:
        """Uniform in [0, 1)."""
        return torch.from_numpy(np.asarray(self._state.random_sample(shape))).to(dtype)

    def normal(self, *shape: int, dtype: torch.dtype = FLOAT) -> torch.Tensor:
        """Standard normal."""
        return torch.from_numpy(np.asarray(self._state.standard_normal(shape))).to(dtype)

    def poisson(self, expected: torch.Tensor) -> torch.Tensor:
        """Poisson numbers."""
        return torch.from_numpy(self._state.poisson(expected.double().numpy())).to(expected.dtype)

    def gamma(self, shape: torch.Tensor) -> torch.Tensor:
        """Gamma numbers of scale 1."""
        return torch.from_numpy(self._state.standard_gamma(shape.double().numpy())).to(shape.dtype)
