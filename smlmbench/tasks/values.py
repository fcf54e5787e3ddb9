"""What passes between a task and those who ask it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Scores:
    """Numbers of one row on one condition.

    Attributes:
        values, reasons: Finite numbers, and why the others cannot be computed, by metric name.
        intervals: 95 % interval over units, for the primary alone.
        per_unit: What is summed or averaged, by name: one number for each unit (frame, crop, image), NaN where a unit
            has none. `Task.sums` reads it back.
    """

    values: Mapping[str, float]
    reasons: Mapping[str, str] = field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    per_unit: Mapping[str, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tuned:
    """What was chosen on validation, and what it reached there.

    Attributes:
        settings: By name, such as {"threshold": 0.4}; empty where a task tunes nothing.
        reached: The primary metric with it; NaN where nothing was tried.
        tried, curve: Every value that was tried, and the primary metric there.
    """

    settings: Mapping[str, float] = field(default_factory=dict)
    reached: float = float("nan")
    tried: Sequence[float] = ()
    curve: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class Watch:
    """What one validation during training says.

    Attributes:
        score: Picks the best step; up is better.
        mass: Output over truth, for the collapse guard; 1 where a task has no such thing, NaN for answers that are not
            finite.
        numbers: To be logged, the primary metric among them.
        tuned: As it would be chosen now, for pictures.
    """

    score: float
    mass: float
    numbers: Mapping[str, float]
    tuned: Mapping[str, float] = field(default_factory=dict)


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
class Drawing:
    """A figure of a task's section: caption, the same in words for those who do not see it, and an SVG or PNG."""

    caption: str
    alt: str
    image: bytes


@dataclass(frozen=True, slots=True)
class Section:
    """What a task says of its part of a page.

    Attributes:
        columns: Numbers beside the primary, in order; by default the headline.
        second: The second number of the headline where it is a pair, and `second_on`, the conditions where it is;
            `second_said` says where in words.
        on_mean, on_each: Numbers that are shown for the mean of several conditions too, and for each of several.
        against: Number by which a row is compared with a reference that lacks the primary; empty for none.
        reading, notes: Sentences on how to read the numbers, and below the table.
        protocols: What each protocol means, by its id.
        also: Titles of numbers that are stored without a metric's card, by name.
        beside: What stands beside a condition's name in the table's heading, by condition.
    """

    columns: tuple[str, ...] = ()
    second: str = ""
    second_on: tuple[str, ...] = ()
    second_said: str = ""
    on_mean: tuple[str, ...] = ()
    on_each: tuple[str, ...] = ()
    against: str = ""
    reading: tuple[str, ...] = ()
    protocols: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    also: Mapping[str, str] = field(default_factory=dict)
    beside: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answers:
    """What a row says about a condition and about the further sets of it."""

    own: Any
    extras: Mapping[str, Any] = field(default_factory=dict)
