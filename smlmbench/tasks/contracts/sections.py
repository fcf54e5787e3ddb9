"""What a task says of its part of a page, and what it is told for that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure of a task's section: caption, the same in words for those who do not see it, and an SVG or PNG."""

    caption: str
    alt: str
    image: bytes


@dataclass(frozen=True, slots=True)
class Listing:
    """A table of a task's section: caption, headings, and a text for each of them in every row."""

    caption: str
    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


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
        words: Further columns of the board, by title: what stands in a line, by its label.
        listings: Tables of its own, below the board.
        pictured: What the pictures of examples show, in words, and `pictured_whole`, what those of references show that
            give an image alone, where that is of all frames and not of the example; `pictured_of` of what they are.
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
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    listings: tuple[Listing, ...] = ()
    pictured: str = "input, prediction, truth and error"
    pictured_whole: str = ""
    pictured_of: str = "the same example of a condition by every row"


@dataclass(frozen=True, slots=True)
class Along:
    """What a line of a board has stored of one condition along its axes (`Scores.profiles`).

    Attributes:
        label, condition: Of the line; picks and references come in the order of the board.
        kind: pick or reference, `ceiling` for a reference that was told the truth.
        style: Number of its colour and marker in the figures.
        profiles: One mapping of profiles by name for each repeat.
        facts: Of the condition.
    """

    label: str
    condition: str
    kind: str
    style: int
    profiles: tuple[Mapping[str, Mapping[str, Sequence[float | None]]], ...]
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Told:
    """One board of a page.

    Attributes:
        data, arm: Name of the data entry, and the arm of a sweep that the study says it is; empty for none.
        frame: The board's numbers, as `Task.section` has them.
        conditions: Facts by condition.
    """

    data: str
    arm: str
    frame: "pd.DataFrame"
    conditions: Mapping[str, Mapping[str, Any]]
