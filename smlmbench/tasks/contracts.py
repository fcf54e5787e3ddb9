"""What a task gives back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scores:
    """Numbers of one row on one condition.

    Attributes:
        values: Finite numbers by metric name.
        reasons: Why a number cannot be computed, by metric name.
        intervals: 95 % interval over frames, for the primary alone.
        per_frame: Sums by frame and name, for paired comparisons.
    """

    values: Mapping[str, float]
    reasons: Mapping[str, str]
    intervals: Mapping[str, tuple[float, float]]
    per_frame: Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True)
class Threshold:
    """A chosen threshold, the primary metric there on validation, and the whole curve."""

    value: float
    reached: float
    tried: Sequence[float]
    curve: Sequence[float]
