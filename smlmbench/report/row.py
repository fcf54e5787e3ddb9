"""One planned row joined with its run, and the numbers that files hold of it."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from smlmbench.study.schema import Scoring
from smlmbench.tracking.records import RunRecord as Run

OWN_MATCHER = Scoring().matcher
Kind = Literal["cell", "reference", "skipped"]


def read_json(path: Path | None) -> dict[str, Any]:
    """A JSON object from a file; empty where the file is absent or no object."""
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path is not None else {}
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def finite(value: object) -> float | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def as_number(text: str) -> float | None:
    """The number that a text is, or None."""
    try:
        return float(text)
    except ValueError:
        return None


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of those that are known, None where none is."""
    return sum(known) / len(known) if (known := [value for value in values if value is not None]) else None


@dataclass(frozen=True)
class Row:
    """One planned cell, reference or skipped combination, joined with its run.

    Attributes:
        row_id, labels: cell_id, reference_id or empty; the keys of `LABELS`, a reference's name being under `model`.
        status, reason: done, running, interrupted, pruned, failed, collapsed, skipped or planned; why it is not done.
        settings, training, output, loss: Blocks of the plan; `weight` of the loss is λ.
        method: Settings of the recipe and what is known of the teacher, where there is one.
        control: longer or random_teacher for rows that only stand beside a student; they do not compete.
        controls, needs: row_ids of what stands beside a student, by control, and of its teacher.
        knows, context_frames: What it was told beyond the images (PROTOCOL section 3); frames that it sees at once.
        gives, ceiling: Of references: table, image or both; told the truth, so a bound no trained row should pass.
        fidelity: verified, reconstruction or seed, as the card says of the wiring (PROTOCOL section 6); or empty.
        current: False where the stored scores belong to another evaluation than the plan's.
    """

    kind: Kind
    row_id: str
    labels: Mapping[str, str]
    status: str
    reason: str
    run: Run | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    output: Mapping[str, Any] = field(default_factory=dict)
    loss: Mapping[str, Any] = field(default_factory=dict)
    method: Mapping[str, Any] = field(default_factory=dict)
    control: str = ""
    controls: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    knows: tuple[str, ...] = ()
    gives: str = ""
    ceiling: bool = False
    context_frames: int = 1
    fidelity: str = ""
    current: bool = True

    @property
    def data(self) -> str:
        """Name of the data."""
        return self.labels.get("data", "")

    @property
    def scored(self) -> bool:
        """Whether it is done and its scores belong to this plan."""
        return self.status == "done" and self.current and self.run is not None

    @property
    def repeat(self) -> int:
        """Number of the repeat; 0 for references."""
        text = self.labels.get("repeat", "0")
        return int(text) if text.lstrip("-").isdigit() else 0

    def param(self, name: str) -> str:
        """A param of the run, or empty."""
        return str(self.run.params.get(name, "")) if self.run is not None else ""

    def metric(self, name: str) -> float | None:
        """A logged metric, None where it is absent or not finite."""
        return finite(self.run.metrics.get(name)) if self.run is not None else None

    @cached_property
    def scores(self) -> dict[str, Any]:
        """The run's metrics.json."""
        return read_json(self.run.artifact("metrics.json")) if self.run is not None else {}

    @cached_property
    def _blocks(self) -> dict[tuple[str, ...], Mapping[str, Any]]:
        return {}

    def validation(self, metric: str) -> float | None:
        """A number on the validation set: of the final scoring, else the newest logged one."""
        held = self.stored("val", "values") if "values" in self.stored("val") else self.stored("val")
        final = finite(held.get(metric))
        return self.metric(f"val/{metric}") if final is None else final

    def stored(self, *names: str) -> Mapping[str, Any]:
        """A block of metrics.json, such as the values, intervals or reasons of a condition; empty where it is none."""
        if (known := self._blocks.get(names)) is not None:
            return known
        found: Any = self.scores
        for name in names:
            found = found.get(name) if isinstance(found, Mapping) else None
        return self._blocks.setdefault(names, found if isinstance(found, Mapping) else {})

    def value(self, condition: str, metric: str) -> float | None:
        """A test number of one condition; absent where `metrics.json` lacks it, since MLflow keeps what became n/a."""
        stored = self.stored("test", condition, "values")
        if stored and metric not in stored:
            return None
        logged = self.metric(f"test.{condition}/{metric}")
        return finite(stored.get(metric)) if logged is None else logged

    def interval(self, condition: str, metric: str) -> tuple[float, float] | None:
        """The stored interval of a condition's number (over its frames), or None."""
        found = self.stored("test", condition, "intervals").get(metric)
        low, high = map(finite, found) if isinstance(found, list) and len(found) == 2 else (None, None)
        return None if low is None or high is None else (low, high)

    def why_absent(self, condition: str, metric: str) -> str:
        """The reason why a number could not be computed, or empty."""
        return str(self.stored("test", condition, "reasons").get(metric, ""))

    @property
    def protocol(self) -> str:
        """Id of the protocol that made the numbers, with the matcher where it is not the protocol's own."""
        name, matcher = (self.param(fact) or str(self.scores.get(fact, "")) for fact in ("protocol", "matcher"))
        return f"{name} ({matcher})" if name and matcher not in ("", OWN_MATCHER) else name
