"""What a report is made from (a record of the store) and what it is made of (rows, entries, boards)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from smlmbench.report.row import Row, as_number, mean
from smlmbench.tasks.contracts import Task
from smlmbench.tasks.contracts.sections import Section
from smlmbench.tracking.records import RunRecord as Run
from smlmbench.tracking.records import StudyRecord as Record

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LABELS", "LATENCY", "Asked", "Board", "Entry", "Estimate", "Gap", "History", "Record", "Row", "Run"]

LATENCY = "device/latency_ms"
LABELS = ("task", "data", "model", "loss", "lambda", "repeat", "method", "teacher")
# Block of a row by its name in a plan and in leaderboard.csv; `loss` itself is a label.
BLOCKS = {"settings": "settings", "loss_settings": "loss", "method_settings": "method", "training": "training",
          "output": "output"}  # fmt: skip
Direction = Literal["up", "down"]
Verdict = Literal["win", "tie", "unknown"]

History = Callable[[Run, str], Sequence[tuple[int, float]]]  # all values of one of a run's metrics, as (step, value)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number over repeats: mean, interval (None: there is none) and the values that it is made of."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    by_repeat: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gap:
    """A paired difference, leader minus other, in the metric's own unit; None where there is none.

    Attributes:
        verdict: win, tie or unknown (fewer than two common repeats); on a board adjusted for the pairs compared.
        p_value, p_adjusted: Of no difference, and the same adjusted for all pairs of the board.
        unadjusted, worse: The verdict of this pair alone, and whether the other is better by the same rules.
        paired: Over what: repeats that both have, and frames of each (0: over the repeats alone).
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    verdict: Verdict = "unknown"
    p_value: float | None = None
    p_adjusted: float | None = None
    unadjusted: Verdict = "unknown"
    worse: bool = False
    paired: tuple[int, int] = (0, 0)

    @property
    def turned(self) -> "Gap":
        """The same difference as other minus leader."""
        value, low, high = (None if end is None else -end for end in (self.value, self.high, self.low))
        return replace(self, value=value, low=low, high=high)


@dataclass(eq=False)
class Entry:
    """The repeats of one combination of settings, or one reference: one line of a board.

    Attributes:
        entrant: What competes: model, method and teacher.
        rows: All its rows, in the order of repeats.
        estimates: Numbers by (condition or None for the mean, metric).
        second: The second headline number where the headline is a pair: mean over the conditions where it is.
        validation: Mean primary metric on validation.
        picked: Chosen on validation to stand for its entrant.
        rank, verdict: Place, empty where it does not compete, and words on it.
        unadjusted: What they were if the pairs of the board were not counted (PROTOCOL section 5).
        gap: Paired difference to the leader.
        on_front: On the Pareto front of accuracy and latency.
        best: Not beaten by the leader in any headline number.
        trials: How many combinations of its entrant were tried.
        style: Number of its colour and marker in the figures.
    """

    label: str
    entrant: tuple[str, str, str]
    rows: list[Row]
    estimates: dict[tuple[str | None, str], Estimate] = field(default_factory=dict)
    second: Estimate = field(default_factory=Estimate)
    validation: float | None = None
    picked: bool = False
    rank: str = ""
    verdict: str = ""
    unadjusted: str = ""
    gap: Gap | None = None
    on_front: bool = False
    best: bool = False
    flags: list[str] = field(default_factory=list)
    trials: int = 0
    style: int = 0

    @property
    def is_reference(self) -> bool:
        """Whether it needs no training."""
        return self.rows[0].kind == "reference"

    @property
    def is_ceiling(self) -> bool:
        """Whether a reference was told the truth: a bound that no trained row should pass."""
        return self.is_reference and self.rows[0].ceiling

    @property
    def was_run(self) -> bool:
        """Whether any of its rows was begun."""
        return any(row.run is not None for row in self.rows)

    @property
    def scored_rows(self) -> list[Row]:
        """Rows whose numbers count."""
        return [row for row in self.rows if row.scored]

    @property
    def name(self) -> str:
        """Registered name."""
        return self.rows[0].labels.get("model", "")

    def get(self, condition: str | None, metric: str) -> Estimate:
        """A number of this line."""
        return self.estimates.get((condition, metric), Estimate())

    def mean_of(self, metric: str) -> float | None:
        """Mean over the scored repeats of a logged metric such as device/latency_ms."""
        return mean(row.metric(metric) for row in self.scored_rows)

    def mean_param(self, name: str) -> float | None:
        """Mean over the scored repeats of a numeric param."""
        return mean(as_number(row.param(name)) for row in self.scored_rows)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a plan asks of one data entry.

    Attributes:
        name: Of the task.
        primary, direction: The metric that ranks, and which way it is better.
        measured: Facts of every number by name: title, spoken, unit, direction, low, high, help.
        task: The task, None where its file is missing; `missing` says why.
    """

    name: str
    primary: str
    direction: Direction
    headline: tuple[str, ...] = ()
    measured: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    task: Task | None = None
    missing: str = ""

    def title(self, metric: str) -> str:
        """Heading of a number: its title, or its name with the unit."""
        facts = self.measured.get(metric, {})
        unit = str(facts.get("unit") or "")
        named = f"{metric} ({unit})" if unit and not metric.endswith(f"_{unit}") else metric
        return str(facts.get("title") or named)

    def spoken(self, metric: str) -> str:
        """A number's name within a sentence."""
        return str(self.measured.get(metric, {}).get("spoken") or metric)

    def help(self, metric: str) -> str:
        """What a number means."""
        return str(self.measured.get(metric, {}).get("help", ""))

    def falls(self, metric: str) -> bool:
        """Whether less of a number is better."""
        direction = self.direction if metric == self.primary else self.measured.get(metric, {}).get("direction")
        return bool(direction == "down")


@dataclass(eq=False)
class Board:
    """One table: all lines of one data entry whose numbers were made by one protocol.

    Attributes:
        conditions, facts: Names of the test conditions, and facts of each from the plan.
        section, columns: What the task says of this part of the page; metrics shown beside the primary, in order.
        entries, others: Lines, best first; the unpicked ones stand in `others`.
        not_ranked: Why nothing is ranked, or empty.
        notes, answer: Sentences below the table, and at the top of the page; frame, numbers: see `boards.frame`.
    """

    data: str
    protocol: str
    asked: Asked
    conditions: list[str]
    facts: Mapping[str, Mapping[str, Any]]
    section: Section = field(default_factory=Section)
    columns: list[str] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    others: list[Entry] = field(default_factory=list)
    not_ranked: str = ""
    notes: list[str] = field(default_factory=list)
    answer: list[str] = field(default_factory=list)
    frame: "pd.DataFrame | None" = None
    numbers: "pd.DataFrame | None" = None

    @property
    def primary(self) -> str:
        """The metric that ranks."""
        return self.asked.primary

    @property
    def direction(self) -> Direction:
        """Which way the primary is better."""
        return self.asked.direction

    @property
    def sign(self) -> float:
        """What the primary is multiplied by so that more is better."""
        return -1.0 if self.direction == "down" else 1.0

    @property
    def title(self) -> Callable[[str], str]:
        """Heading of a number."""
        return self.asked.title

    @property
    def heading(self) -> str:
        """Heading of the primary."""
        return self.title(self.primary)

    def score(self, entry: Entry) -> float | None:
        """The primary of a line, mean over conditions and repeats."""
        return entry.get(None, self.primary).value

    @property
    def everything(self) -> list[Entry]:
        """All lines, unpicked ones included."""
        return [*self.entries, *self.others]

    @property
    def by_row(self) -> dict[str, Entry]:
        """The line of each row_id."""
        return {row.row_id: entry for entry in self.everything for row in entry.rows if row.row_id}

    @property
    def competitors(self) -> list[Entry]:
        """The picks that have the primary number, best first."""
        return [entry for entry in self.entries if entry.picked and self.score(entry) is not None]

    @property
    def references(self) -> list[Entry]:
        """Rows without training."""
        return [entry for entry in self.entries if entry.is_reference]

    def better(self, one: float, other: float, metric: str = "") -> bool:
        """Whether one value of a metric (by default the primary) beats another."""
        return one < other if self.asked.falls(metric or self.primary) else one > other
