"""A number, or numbers drawn from a law: from one uniform number each, by the inverse of its distribution."""

import math
from collections.abc import Mapping
from typing import Any, Protocol

import torch

MOST = 1 - 2**-53  # largest uniform number that is drawn


class Units(Protocol):
    """Gives uniform numbers in [0, 1)."""

    def uniform(self, *shape: int, dtype: torch.dtype = ...) -> torch.Tensor:
        """Uniform numbers of a shape."""


def drawn(value: float | Mapping[str, Any], n: int, generator: torch.Generator | Units) -> torch.Tensor:
    """Give n values, (n,) float64, of a number or of a law (see `quantile`).

    The generator is advanced by n draws for a law, and untouched for a number.
    """
    if not isinstance(value, Mapping):
        return torch.full((n,), float(value), dtype=torch.float64)
    if isinstance(generator, torch.Generator):
        return quantile(value, torch.rand(n, generator=generator, dtype=torch.float64))
    return quantile(value, generator.uniform(n, dtype=torch.float64))


def quantile(value: float | Mapping[str, Any], unit: torch.Tensor) -> torch.Tensor:
    """Values below which shares (n,) in [0, 1) of a law lie, float64.

    Laws: {min, max} `uniform` (default) or `log_uniform`; {mean, sd} `normal`, given that it is above 0; {mean}
    `exponential`; {median, sigma} `log_normal`; {values}, each of them as often as any other.
    """
    if not isinstance(value, Mapping):
        return torch.full_like(unit, float(value))
    if "values" in value:
        values = torch.as_tensor(value["values"], dtype=torch.float64)
        return values[(unit * len(values)).long()]
    match value.get("law", "uniform"):
        case "normal":
            mean, sd = float(value["mean"]), float(value["sd"])
            # by the upper tail, which keeps its digits
            upper: torch.Tensor = torch.special.ndtri((1 - unit) * _below(mean / sd))
            return (mean - sd * upper).clamp_min(0)
        case "exponential":
            return -float(value["mean"]) * torch.log1p(-unit)
        case "log_normal":
            sigmas: torch.Tensor = torch.special.ndtri(unit)
            return float(value["median"]) * torch.exp(float(value["sigma"]) * sigmas)
    low, high = float(value["min"]), float(value["max"])
    if value.get("law", "uniform") == "log_uniform":
        return torch.exp(math.log(low) + unit * (math.log(high) - math.log(low)))
    return low + unit * (high - low)


def mean_of(value: float | Mapping[str, Any]) -> float:
    """Mean of what `drawn` gives."""
    if not isinstance(value, Mapping):
        return float(value)
    if "values" in value:
        return float(torch.as_tensor(value["values"], dtype=torch.float64).mean())
    match value.get("law", "uniform"):
        case "normal":
            mean, sd = float(value["mean"]), float(value["sd"])
            density = math.exp(-((mean / sd) ** 2) / 2) / math.sqrt(2 * math.pi)
            return mean + sd * density / _below(mean / sd)
        case "exponential":
            return float(value["mean"])
        case "log_normal":
            return float(value["median"]) * math.exp(value["sigma"] ** 2 / 2)
    low, high = float(value["min"]), float(value["max"])
    if value.get("law", "uniform") == "log_uniform" and high > low:
        return (high - low) / math.log(high / low)
    return (low + high) / 2


def largest_of(value: float | Mapping[str, Any]) -> float:
    """Largest value that `drawn` can give, of laws without an end by the largest uniform number."""
    if not isinstance(value, Mapping):
        return float(value)
    if "values" in value:
        return float(torch.as_tensor(value["values"], dtype=torch.float64).max())
    if "max" in value:
        return float(value["max"])
    return float(quantile(value, torch.tensor([MOST], dtype=torch.float64)))


def _below(sigmas: float) -> float:
    """Probability of a standard normal number below."""
    return math.erfc(-sigmas / math.sqrt(2)) / 2
