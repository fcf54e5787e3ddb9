"""Values as the store keeps them: plain text for params, finite numbers for metrics, strict JSON."""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from smlmbench.addresses import hidden

TAG_CHARACTERS = 5000
PARAM_CHARACTERS = 6000


def param_text(value: object) -> str:
    """Write a setting as text that MLflow's charts read as a number where it is one.

    Example:
        >>> [param_text(value) for value in (0.1, np.float32(0.5), True, None, [8, 16], "fid_storm")]
        ['0.1', '0.5', 'true', 'none', '[8,16]', 'fid_storm']
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(plain_json(value), separators=(",", ":"), ensure_ascii=False)[:PARAM_CHARACTERS]
    return hidden(str(value))[:PARAM_CHARACTERS]


def metric_value(value: float | str) -> float | str:
    """A finite number, or the reason why there is none."""
    if isinstance(value, str):
        return value
    number = float(value)
    if math.isfinite(number):
        return number
    return "not a number" if math.isnan(number) else "infinite"


def plain_json(value: object) -> Any:
    """Replace arrays by lists, paths and other objects by text, numbers that are not finite by None."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain_json(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, int | None) else hidden(str(value))


def not_logged_text(reasons: Mapping[str, str]) -> str:
    """The reasons as one tag; what does not fit is counted, `metrics.json` has them all."""
    kept = dict(reasons)
    text = json.dumps(kept, ensure_ascii=False)
    while len(text) > TAG_CHARACTERS:
        kept.popitem()
        text = json.dumps({**kept, "...": f"{len(reasons) - len(kept)} more"}, ensure_ascii=False)
    return text
