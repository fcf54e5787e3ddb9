"""Whether answers of a reduced number format count beside those of fp32."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

GATE_SEED = 20_160
MOST_LOST = 1.0


@dataclass(frozen=True, slots=True)
class Gate:
    """Whether a reduced number format counts beside fp32, its scores for people, and why it does not count, or empty.

    The numbers are for the store; one of fp32 has the suffix `_fp32`.
    """

    passed: bool
    told: str
    reason: str
    numbers: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Answers:
    """What a row says about a condition and about the further sets of it."""

    own: Any
    extras: Mapping[str, Any] = field(default_factory=dict)
