"""What sources of crops share: which parameters are asked, and what output kinds are told of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from smlmbench.errors import ConfigError, suggest
from smlmbench.truths.parameter_table import ParameterTable

ALL = "all"


def asked_of(text: str, known: Sequence[str], where: str) -> tuple[str, ...]:
    """Names of a text such as `x_nm y_nm`, in the order of what is known; all of them for `all`.

    Raises:
        ConfigError: A name that is not known, or none.
    """
    names = text.replace(",", " ").split()
    if names == [ALL]:
        return tuple(known)
    for name in names:
        if name not in known:
            hint = suggest(name, list(known))
            raise ConfigError(f"{where}.parameters: '{name}' is none of these crops, {hint}")
    if not names:
        raise ConfigError(f"{where}.parameters: nothing is asked; give some of {', '.join(known)}, or all")
    return tuple(name for name in known if name in names)


def told_of(table: ParameterTable, side_px: int, *, photons: bool) -> dict[str, Any]:
    """What joins the settings of output kinds: side and unit of a crop; mean, spread, ends and period of what is asked.

    A parameter that does not vary has a standard deviation of 1.
    """
    values = table.values
    return {
        "side_px": side_px,
        "photons": photons,
        "parameter_mean": {name: float(column.mean()) for name, column in values.items()},
        "parameter_sd": {name: float(column.std()) if np.ptp(column) > 0 else 1.0 for name, column in values.items()},
        "parameter_low": {name: float(column.min()) for name, column in values.items()},
        "parameter_high": {name: float(column.max()) for name, column in values.items()},
        "parameter_period": dict(table.periods),
    }
