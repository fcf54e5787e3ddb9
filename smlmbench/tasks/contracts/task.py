"""The contract of a task: one file that owns its way, from a network's output to its section of the page.

Everybody else holds the order of stations and asks the task; nobody else names one. A task is a subclass of `Task`,
made by `build(name, catalog)` beside its `CARD`. Only `answer`, `watch` and `score` must be written; every other method
has a default that suits a task with nothing to tune, no further frozen sets and no picture.

Facts of a card: `primary`, `direction`, `headline` (names of numbers, in the order of the columns), `truths` (kinds of
truth that it takes), `default_for` (kinds of truth whose data are its own where a study names no task), `inner` (a task
whose metrics are its own too), `extras` (further frozen sets that sources draw for it), `doubts`, `compares`, `fits`
(True where it has a method of that name), `most_lost` (of the primary, by a reduced number format), `predicts` (endings
of the files that `predict` writes; absent where what it finds are localizations), `whole_units` (True where inputs are
never cut, padded or tiled: networks are told their sides).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from smlmbench.data.contracts import Condition
from smlmbench.errors import ConfigError
from smlmbench.figures import Panels, uint8_panel
from smlmbench.movies import Frames
from smlmbench.predictions import Floats
from smlmbench.registry import Catalog
from smlmbench.statistics import Statistic, paired_difference
from smlmbench.study.schema import Scoring
from smlmbench.tasks.contracts.applied import AppliedRow, MoviePart, Untrue
from smlmbench.tasks.contracts.fits import Fitting
from smlmbench.tasks.contracts.gating import GATE_SEED, MOST_LOST, Answers, Gate
from smlmbench.tasks.contracts.measuring import Measuring
from smlmbench.tasks.contracts.predicting import Predicted
from smlmbench.tasks.contracts.rows import Model, OnUnits, Referee
from smlmbench.tasks.contracts.sections import Along, Drawing, Section, Told
from smlmbench.truths.misfit import Misfit

if TYPE_CHECKING:
    import pandas as pd

Chosen = Mapping[str, float] | None


@dataclass(frozen=True, slots=True)
class Scores:
    """Numbers of one row on one condition.

    Attributes:
        values, reasons: Finite numbers, and why the others cannot be computed, by metric name.
        intervals: 95 % interval over units, for the primary alone.
        per_unit: What is summed or averaged, by name: a number for each unit, NaN where it has none; see `Task.sums`.
        profiles: What changes along an axis, by name: columns of one length, None where a place has no number.
    """

    values: Mapping[str, float]
    reasons: Mapping[str, str] = field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    per_unit: Mapping[str, Sequence[float]] = field(default_factory=dict)
    profiles: Mapping[str, Mapping[str, Sequence[float | None]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tuned:
    """What was chosen on validation, and what it reached there.

    Attributes:
        settings: By name, such as {"threshold": 0.4}; empty where a task tunes nothing.
        reached: The primary metric with it; NaN where nothing was tried.
        tried, curve: Every value that was tried, and the primary metric there.
        how: By which rule, and the rule's own numbers; params of the run.
    """

    settings: Mapping[str, float] = field(default_factory=dict)
    reached: float = float("nan")
    tried: Sequence[float] = ()
    curve: Sequence[float] = ()
    how: Mapping[str, str] = field(default_factory=dict)


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


class Task(ABC):
    """What is asked of a network, and everything that follows from it; its metrics are those whose card names it."""

    def __init__(self, name: str, catalog: Catalog) -> None:
        self.name, self.catalog = name, catalog
        self.card = catalog.card("tasks", name)

    @property
    def primary(self) -> str:
        """Name of the metric that ranks."""
        return str(self.card.facts["primary"])

    @property
    def direction(self) -> Literal["up", "down"]:
        """Which way it is better."""
        return "down" if self.card.facts.get("direction") == "down" else "up"

    @property
    def sign(self) -> float:
        """What the primary is multiplied by so that more is better."""
        return -1.0 if self.direction == "down" else 1.0

    def shown(self, value: float) -> str:
        """A primary value with the decimals that suit it: fractions three, numbers of 0..100 one."""
        return f"{value:.3f}" if self.direction == "down" else f"{value:.1f}"

    def metric_files(self) -> list[str]:
        """Registered metric files of this task."""
        return list(self.catalog.metrics_of(self.name))

    def measure(self, evidence: Any) -> tuple[dict[str, float], dict[str, str]]:
        """Run every metric of this task: finite numbers, and the reasons of the others."""
        found: dict[str, Any] = {}
        for name in self.metric_files():
            found |= self.catalog.module("metrics", name).measure(evidence)
        numbers = {key: value for key, value in found.items() if not isinstance(value, str)}
        values = {key: float(value) for key, value in numbers.items() if np.isfinite(value)}
        absent = {
            key: "the number is not finite" if key in numbers else found[key] for key in found if key not in values
        }
        return values, absent

    # From a row to its answer

    @abstractmethod
    def answer(
        self, model: Model, condition: Condition, tuned: Chosen = None, *, whole: bool = True, on_units: OnUnits = None
    ) -> Any:
        """What a network says about a frozen set.

        `tuned` is as chosen on validation, None asks for everything that tuning may choose from; `whole` False leaves
        out what only pictures and image numbers need; `on_units` is called with the number of units done.
        """

    def seen_by(self, network: Callable[..., Any], condition: Condition) -> Condition:
        """As it comes to the graph of a network, which is all that runtimes have; by default as it is."""
        return condition

    def refer(self, reference: Referee, condition: Condition) -> Any:
        """What a reference says about a frozen set."""
        return reference(condition)

    def tune(
        self, answer: Any, condition: Condition, scoring: Scoring, extras: Mapping[str, Any] | None = None
    ) -> Tuned:
        """Choose on validation, from answers without tuning to it and to its further sets; by default nothing."""
        return Tuned()

    def at(self, answer: Any, tuned: Mapping[str, float]) -> Any:
        """The part of an untuned answer that stays with what was chosen."""
        return answer

    def doubts(self, condition: Condition) -> Misfit | None:
        """Whether a truth of a file belongs to its frames; by default nothing is looked at."""
        return None

    def finish(self, answer: Any, condition: Condition) -> Any:
        """A tuned answer with what is measured of it on the frames themselves, before it is scored and kept."""
        return answer

    def measuring(self, known: Mapping[str, float], stated: Mapping[str, float]) -> Measuring | None:
        """What `finish` measures of a streamed movie, or None; `known` is as `Condition.told`, `stated` the user's."""
        return None

    def seen(self, inputs: Iterable[NDArray[np.float32]], known: Mapping[str, float]) -> dict[str, Any]:
        """What a training saw, as plain values for its checkpoint, from blocks of its samples (n, H, W).

        `known` is as `Condition.told`; empty where the task says nothing of it.
        """
        return {}

    def fits(self, seen: Mapping[str, Any], frames: Frames) -> Fitting | None:
        """A movie beside what a training saw; None where nothing can be compared."""
        return None

    # Numbers

    @abstractmethod
    def watch(self, answer: Any, condition: Condition, scoring: Scoring) -> Watch:
        """Judge an untuned answer during training."""

    @abstractmethod
    def score(
        self, answer: Any, condition: Condition, scoring: Scoring, extras: Mapping[str, Any] | None = None
    ) -> Scores:
        """Score an answer; without a truth, everything has a reason. `extras`: answers to its further sets, by name."""

    def sums(self, metric: str, per_unit: "pd.DataFrame") -> Floats | None:
        """What is summed over units for a number, (units, K), from a stored `per_unit`; None where nothing is stored.

        By default the number is a mean over units: its column, and ones.
        """
        if metric not in per_unit.columns:
            return None
        values = per_unit[metric].to_numpy(dtype=np.float64)
        known = np.isfinite(values)
        return np.column_stack([np.where(known, values, 0.0), known.astype(np.float64)])

    def statistic(self, metric: str, facts: Mapping[str, Any]) -> Statistic | None:
        """The function of pooled sums (..., K) behind a number of a condition, for its interval and differences."""
        return mean_of_sums

    def facts(self, condition: Condition, scoring: Scoring) -> Mapping[str, Any]:
        """What the task can say of a condition beyond its own facts, asked where a row is scored."""
        return {}

    def gate(
        self, pairs: Iterable[tuple[Answers, Answers, Condition]], scoring: Scoring, most_lost: float | None = None
    ) -> Gate:
        """Hold a reduced number format to fp32 on every test condition; `pairs`: its answers, fp32's, the condition.

        By default the paired interval of the primary must exclude that more than `most_lost` (in its unit; the fact of
        that name, else 1 of 100) is lost.
        """
        import pandas as pd

        most_lost = float(self.card.facts.get("most_lost", MOST_LOST)) if most_lost is None else most_lost
        found: list[list[float]] = [[], []]
        lost: list[float] = []
        for *sides, condition in pairs:
            scored = [self.score(side.own, condition, scoring, side.extras) for side in sides]
            sums = [self.sums(self.primary, pd.DataFrame(dict(one.per_unit))) for one in scored]
            statistic = self.statistic(self.primary, condition.facts)
            if statistic is None or sums[0] is None or sums[1] is None:
                return Gate(False, "", f"{self.primary} has no sums per unit to be compared by", {})
            known = [np.isfinite(list(one.per_unit.get(self.primary, ()))).sum() for one in scored]
            if known[0] < known[1]:
                return Gate(False, "", f"it has {self.primary} for {known[0]} units, fp32 for {known[1]}", {})
            for values, one in zip(found, scored, strict=True):
                values.append(one.values.get(self.primary, float("nan")))
            difference = paired_difference(
                [sums[0]], [sums[1]], statistic, block=condition.block, seed=GATE_SEED, trained=False
            )
            lost.append(-difference.low if self.direction == "up" else difference.high)
        if not lost:
            return Gate(False, "", "no condition with a truth to be judged on", {})
        reduced, single = (float(np.mean(values)) for values in found)
        worst = float(np.max(lost))
        passed = worst <= most_lost
        reason = "" if passed else f"it may lose {worst:.3g} of {self.primary} (at most {most_lost:g})"
        numbers = {self.primary: reduced, f"{self.primary}_fp32": single, "lost_most": worst}
        told = f"{self.primary} {self.shown(reduced)}, fp32 {self.shown(single)}"
        return Gate(passed, told, reason, {name: value for name, value in numbers.items() if np.isfinite(value)})

    # What people see, and files

    def example(self, condition: Condition) -> int | None:
        """Number of the unit that shows most, by default the first, or None where a condition has none to show."""
        return 0 if condition.truth is not None and condition.frames.n_frames else None

    def shown_of(self, condition: Condition) -> Condition | None:
        """The units that a picture shows, as a condition of their own: by default the example alone."""
        return None if (number := self.example(condition)) is None else condition.unit(number)

    def shown_also(self, condition: Condition) -> Sequence[Condition]:
        """Further units to choose from on the page, each a condition of its own: by default two, evenly over it."""
        first, count = self.example(condition), condition.frames.n_frames
        if first is None:
            return ()
        numbers = {(first + third * count // 3) % count for third in (1, 2)} - {first}
        return [condition.unit(number) for number in sorted(numbers)]

    def panels(self, answer: Any, condition: Condition) -> Panels | None:
        """Input, truth and answer as images; of one unit where the condition has one, else of what shows most."""
        return None

    def picture(self, answer: Any, condition: Condition) -> NDArray[np.uint8] | None:
        """What is stored of it where its truth is known, (height, width, 3); by default the panels."""
        shown = self.panels(answer, condition)
        return None if shown is None or shown.truth is None else uint8_panel(shown)

    def section(self, frame: "pd.DataFrame", conditions: Mapping[str, Mapping[str, Any]]) -> Section:
        """Its part of the page, from the facts of each condition.

        The frame has the board's numbers: row, condition, metric, value, low, high, reason, unit, direction.
        """
        return Section(columns=tuple(self.card.facts.get("headline", ())))

    def along(self, lines: Sequence[Along]) -> Sequence[Drawing]:
        """Figures of a board from the profiles that its lines have stored, behind those of its section."""
        return ()

    def across(self, boards: Sequence[Told]) -> Sequence[Drawing]:
        """Figures over all data entries of a page, such as a sweep over conditions; by default there are none."""
        return ()

    def applied(self, answer: Any, condition: Condition, taught: Condition) -> Untrue:
        """What can be said of an answer to a movie without truth beyond `score`, where the movie is at hand.

        `taught` is the validation set of the data that rows were trained on.
        """
        return Untrue()

    def movie(self, rows: Sequence[AppliedRow]) -> MoviePart | None:
        """The page's part for a movie without truth, from what is stored of every row; None: nothing is said."""
        return None

    def work(self, condition: Condition) -> tuple[str, float] | None:
        """What a unit holds and how many on average, for rates such as `emitters_per_s`; None where nothing counts."""
        return None

    def write(self, answer: Any, folder: Path, name: str, *, applied: bool = False) -> list[Path]:
        """Write an answer's files, named by their stem, into a folder that exists.

        `applied`: the data are the user's, without truth, so everything that may be wanted is written.
        """
        return []

    def read(self, folder: Path, name: str) -> Any:
        """What `write` wrote of an answer, as an answer; None where nothing is there."""
        return None

    def unit(self, answer: Any, number: int) -> Any:
        """The part of an answer that is about one unit, as if that were all; None where it says nothing of units."""
        return None

    def predict(self, model: Model, asked: Predicted) -> list[Path]:
        """Write what a trained network says of a user's file (fact `predicts`); the files, the main one first.

        Raises:
            ConfigError: The task writes no results of its own.
        """
        raise ConfigError(f"task {self.name} predicts nothing from a user's file")

    def given_words(self, facts: Mapping[str, Any]) -> tuple[str, ...]:
        """What a user gives to `smlmbench predict MODEL ...`, as words of its command line; by default a movie.

        `facts` are those of a condition as the network was trained on. Of options `--camera camera.yaml` and `--places
        places.csv` the page says what they are.
        """
        return ("movie.tif", "--camera", "camera.yaml")

    def compare(self, found: Any, truth: Any, options: Mapping[str, Any]) -> Scores:
        """Score a file of any program, or a prediction in memory, against a true one (`smlmbench evaluate`).

        Raises:
            ConfigError: The task compares no files.
        """
        raise ConfigError(f"task {self.name} compares no files; run a study with it")


def mean_of_sums(sums: Floats) -> Floats:
    """Mean over units from sums (..., 2): of the number, and of ones; NaN where no unit has one."""
    counts = np.asarray(sums[..., 1])
    return np.asarray(np.where(counts > 0, sums[..., 0] / np.maximum(counts, 1), np.nan))


def mean_over_conditions(by_condition: Mapping[str, Scores]) -> dict[str, float]:
    """Plain mean of each number over the conditions; a number that one condition lacks has no mean."""
    scores = list(by_condition.values())
    shared = set.intersection(*(set(one.values) for one in scores)) if scores else ()
    return {name: float(np.mean([one.values[name] for one in scores])) for name in sorted(shared)}
