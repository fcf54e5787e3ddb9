"""Parameters: numbers of each crop, standardised by the mean and standard deviation of the training's.

Raw output is (B, C): a column for each parameter that the data ask, (value - mean) / sd, in their order. A periodic one
may have two, the sine and the cosine of its angle. What the data say of their parameters (`data.parameters`) stands in
the settings: parameter_mean, parameter_sd, parameter_low, parameter_high and parameter_period, by name.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from smlmbench.errors import ConfigError
from smlmbench.predictions import Parameters
from smlmbench.truths.parameter_table import ParameterTable

CARD = {
    "version": 1,
    "summary": "Physical parameters of each crop, standardised",
    "settings": {
        "periodic": {
            "default": "direct",
            "choices": ["direct", "sine_cosine"],
            "help": "how angles that wrap around are given: as they are (which wraps badly), or as sine and cosine",
        },
    },
    "tiny": {},
    "facts": {"tasks": ["psf_regression"], "perfect_raw": "values"},
}


class Batch(Protocol):
    """What targets are made of: a batch of the data room."""

    @property
    def truth(self) -> Any:
        """A table of parameters."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of raw output: the parameter that it is of, and how it is told: `value`, `sine` or `cosine`."""

    name: str
    told: str = "value"


def columns(settings: Mapping[str, Any]) -> list[Column]:
    """Columns of raw output; one without a name where the data are not known yet."""
    names, periods = settings.get("parameter_mean"), settings.get("parameter_period", {})
    if not names:
        return [Column("")]
    found = []
    for name in names:
        turned = name in periods and settings.get("periodic") == "sine_cosine"
        found += [Column(name, told) for told in (("sine", "cosine") if turned else ("value",))]
    return found


def targets(batch: Batch, settings: Mapping[str, Any]) -> dict[str, Tensor]:
    """Standardised parameters, and 1 over their bound in the same unit; NaN where the data state no bound.

    Returns:
        `values` and `weights`, both (B, C) float32.

    Raises:
        ConfigError: The truth is no table of parameters.
    """
    truth = batch.truth
    if not isinstance(truth, ParameterTable):
        raise ConfigError(f"parameters are taught by a table of them, not by {type(truth).__name__}; choose another")
    values, weights = [], []
    for column in columns(settings):
        value, bound = truth.values[column.name], truth.bounds[column.name]
        if column.told == "value":
            sd = settings["parameter_sd"][column.name]
            values.append((value - settings["parameter_mean"][column.name]) / sd)
        else:
            # both together weigh as much as one number
            turn = 2 * math.pi / settings["parameter_period"][column.name]
            sd = math.sqrt(2) / turn
            values.append(np.sin(turn * value) if column.told == "sine" else np.cos(turn * value))
        weights.append(sd / bound)
    return {
        name: torch.from_numpy(np.stack(parts, axis=1).astype(np.float32))
        for name, parts in (("values", values), ("weights", weights))
    }


def decode(raw: Tensor, settings: Mapping[str, Any], threshold: float) -> Parameters:
    """Parameters in their own units; angles from 0 to their period."""
    del threshold
    numbers, periods = raw.double().cpu().numpy(), settings.get("parameter_period", {})
    found: dict[str, Any] = {}
    parts: dict[str, Any] = {}
    for at, column in enumerate(columns(settings)):
        if column.told == "value":
            value = numbers[:, at] * settings["parameter_sd"][column.name] + settings["parameter_mean"][column.name]
            period = periods.get(column.name)
            found[column.name] = value if period is None else value % period
        elif column.told == "sine":
            parts[column.name] = numbers[:, at]
        else:
            period = periods[column.name]
            turn = np.arctan2(parts[column.name], numbers[:, at]) / (2 * math.pi)
            found[column.name] = turn * period % period
    return Parameters(found)
