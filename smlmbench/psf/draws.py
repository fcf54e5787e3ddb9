"""A number, or numbers drawn from a range."""

import math
from collections.abc import Mapping
from typing import Any

import torch


def drawn(value: float | Mapping[str, Any], n: int, generator: torch.Generator) -> torch.Tensor:
    """Give n values, (n,) float64, of a number or of {min, max, law} with law `uniform` (default) or `log_uniform`.

    The generator is advanced by n draws for a range, and untouched for a number.
    """
    if not isinstance(value, Mapping):
        return torch.full((n,), float(value), dtype=torch.float64)
    unit = torch.rand(n, generator=generator, dtype=torch.float64)
    low, high = float(value["min"]), float(value["max"])
    if value.get("law", "uniform") == "log_uniform":
        return torch.exp(math.log(low) + unit * (math.log(high) - math.log(low)))
    return low + unit * (high - low)


def mean_of(value: float | Mapping[str, Any]) -> float:
    """Mean of what `drawn` gives."""
    if not isinstance(value, Mapping):
        return float(value)
    low, high = float(value["min"]), float(value["max"])
    if value.get("law", "uniform") == "log_uniform" and high > low:
        return (high - low) / math.log(high / low)
    return (low + high) / 2


def largest_of(value: float | Mapping[str, Any]) -> float:
    """Largest value that `drawn` can give."""
    return float(value["max"]) if isinstance(value, Mapping) else float(value)
